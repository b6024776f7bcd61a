"""Nes2Net-X, nested Res2Nets over a pretrained front end (Liu et al., IEEE TIFS 2025).

Parameter names and shapes are those of the authors' released checkpoints, capitals included.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from masd.models.front_ends import FrontEnd, OnFrontEnds

SPLITS = 8  # of the channels, outside and inside


class Excitation(nn.Module):
    """Channels scaled by a gate of their means over time; the gate has no bottleneck.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner, outer = nn.Conv1d(channels, channels, 1), nn.Conv1d(channels, channels, 1)
        self.se = nn.Sequential(nn.AdaptiveAvgPool1d(1), inner, nn.ReLU(), outer, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T) to (B, C, T)."""
        return x * self.se(x)


class WeightedRes2Net(nn.Module):
    """A Res2Net block whose splits are not added but kept side by side, and summed under learnt weights.

    Args:
        channels: C, in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.width = width = channels // SPLITS
        inner = range(SPLITS - 1)
        self.conv1, self.bn1 = nn.Conv1d(channels, channels, 1), nn.BatchNorm1d(channels)
        self.convs = nn.ModuleList(
            nn.Conv2d(width, width, (3, 1), dilation=(2, 1), padding=(2, 0)) for _ in inner
        )
        self.bns = nn.ModuleList(nn.BatchNorm2d(width) for _ in inner)
        self.weighted_sum = nn.ParameterList(torch.full((1, 1, 1, i + 2), 1 / (i + 2)) for i in inner)
        self.conv3, self.bn3 = nn.Conv1d(channels, channels, 1), nn.BatchNorm1d(channels)
        self.se = Excitation(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T) to (B, C, T)."""
        *splits, kept = self.bn1(F.relu(self.conv1(x))).split(self.width, 1)
        stack, outputs = kept[..., None], []
        for split, conv, bn, weights in zip(splits, self.convs, self.bns, self.weighted_sum, strict=True):
            stack = bn(F.relu(conv(torch.cat([stack, split[..., None]], 3))))
            outputs.append((stack * weights).sum(3))
        return x + self.se(self.bn3(F.relu(self.conv3(torch.cat([*outputs, kept], 1)))))


class Nes2Net(OnFrontEnds, nn.Module):
    """Eight splits of the last layer's dimensions, each added to the last one's output and through a Res2Net.

    Args:
        front_end: the front end; with XLS-R, 300 million, what is on it has 512,039 parameters.
        tuned: whether the front end is trained on; else it is frozen.
    """

    def __init__(self, front_end: FrontEnd, tuned: bool = True) -> None:
        super().__init__()
        self.attach([front_end], tuned)
        self.dim = front_end.dim
        self.width = self.dim // SPLITS
        self.Build_in_Res2Nets = nn.ModuleList(WeightedRes2Net(self.width) for _ in range(SPLITS - 1))
        self.bns = nn.ModuleList(nn.BatchNorm1d(self.width) for _ in range(SPLITS - 1))
        self.bn = nn.BatchNorm1d(self.dim)
        self.fc = nn.Linear(self.dim, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map waveforms (B, N) at 16 kHz to (B, D) and logits (B, 2), [spoof, bona fide]."""
        with self.front_end_grad():
            frames = self.front_ends[0](x)
        *splits, kept = frames.transpose(1, 2).split(self.width, 1)
        outputs: list[Tensor] = []
        for split, block, bn in zip(splits, self.Build_in_Res2Nets, self.bns, strict=True):
            outputs.append(bn(F.relu(block(outputs[-1] + split if outputs else split))))
        embedding = F.relu(self.bn(torch.cat([*outputs, kept], 1))).mean(2)
        return embedding, self.fc(embedding)
