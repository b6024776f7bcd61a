"""Pretrained front ends with AASIST as back end: wav2vec 2.0 / XLS-R + AASIST, HuBERT + WavLM.

The back end is that of Tak et al. (Odyssey 2022): frames through a linear layer to 128, AASIST's residual
blocks without pooling, self-attentive aggregation to spectral and temporal nodes, graph attention.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from masd.models.aasist import encoder
from masd.models.front_ends import FrontEnd, OnFrontEnds
from masd.models.graph import GraphBackEnd

WIDTH = 128


class SslAasist(OnFrontEnds, GraphBackEnd):
    """One or more pretrained front ends, their frames fused, and AASIST's back end.

    With one front end its last layer is taken. With several, each gives the sum of its layers under
    softmax weights of its own that are learnt; the sums stand side by side before the linear layer.

    Args:
        front_ends: the front ends; all have the same frame rate.
        tuned: whether they are trained on; else they are frozen and stay in evaluation mode.
    """

    def __init__(self, front_ends: Sequence[FrontEnd], tuned: bool = True) -> None:
        channels = (32, 32, 64, 64, 64, 64)
        super().__init__(WIDTH // 3, channels[-1], (64, 32), (0.5, 0.5, 0.5), (2.0, 2.0, 100.0))
        self.attach(front_ends, tuned)
        several = len(front_ends) > 1
        self.layer_weights = nn.ParameterList(torch.zeros(one.layers) for one in front_ends if several)
        self.project = nn.Linear(sum(one.dim for one in front_ends), WIDTH)
        self.first_bn = nn.BatchNorm2d(1)
        self.encoder = encoder(channels, pool=1)
        self.first_bn1 = nn.BatchNorm2d(channels[-1])
        self.attention = nn.Sequential(
            nn.Conv2d(64, 128, 1), nn.SELU(inplace=True), nn.BatchNorm2d(128), nn.Conv2d(128, 64, 1)
        )

    def frames(self, x: Tensor) -> Tensor:
        """Return the fused frames (B, T, D1 + D2 + ...) of waveforms (B, N) at 16 kHz."""
        if len(self.front_ends) == 1:
            return self.front_ends[0](x)
        parts = []
        for one, weights in zip(self.front_ends, self.layer_weights, strict=True):
            parts.append(torch.einsum("l,lbtd->btd", weights.softmax(0), one.all_layers(x)))
        shortest = min(part.shape[1] for part in parts)
        return torch.cat([part[:, :shortest] for part in parts], dim=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map waveforms (B, N) at 16 kHz to (B, D) and logits (B, 2), [spoof, bona fide]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and (self.tuned or len(self.front_ends) > 1)):
            frames = self.frames(x)
        y = self.project(frames).transpose(1, 2)[:, None]
        y = self.encoder(F.selu(self.first_bn(F.max_pool2d(y, 3)), inplace=True))
        y = F.selu(self.first_bn1(y))
        weights = self.attention(y)
        spectral = (y * weights.softmax(3)).sum(3).transpose(1, 2)
        temporal = (y * weights.softmax(2)).sum(2).transpose(1, 2)
        return self.classify(spectral, temporal)
