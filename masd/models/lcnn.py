"""LFCC-LCNN, the ASVspoof 2021 baseline: max-feature-map convolutions, two recurrent layers, mean pooling."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from masd.feats.lfcc import Lfcc, LfccConfig

LCNN_LFCC = LfccConfig(n_fft=1024, f_max=4000.0, energy=True)


class MaxFeatureMap(nn.Module):
    """Keep the larger of channel c and channel c + C / 2, (B, C, ...) to (B, C / 2, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        """Halve the channels."""
        return torch.maximum(*x.chunk(2, dim=1))


class _Recurrent(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim // 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0]


class Lcnn(nn.Module):
    """A waveform's embedding and logits through LFCC, of which nothing is trained, and a light network.

    Args:
        dropout: after the last pooling.
    """

    def __init__(self, dropout: float = 0.7) -> None:
        super().__init__()
        self.lfcc = Lfcc(LCNN_LFCC)
        self.transform = nn.Sequential(*_convolutions(), nn.Dropout(dropout))
        dim = LCNN_LFCC.dim // 16 * 32
        self.recurrent = nn.Sequential(_Recurrent(dim), _Recurrent(dim))
        self.output = nn.Linear(dim, 1)

    @property
    def dim(self) -> int:
        """Dimension of the embedding."""
        return self.output.in_features

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map waveforms (B, N) at 16 kHz to (B, D) and logits (B, 2) [spoof, bona fide].

        The published network has one output z and a binary cross-entropy; logits (-z/2, z/2) have the same.
        """
        with torch.no_grad():
            features = self.lfcc(x)
        hidden = self.transform(features[:, None]).transpose(1, 2).flatten(2)  # (B, T / 16, 32 D / 16)
        embedding = (self.recurrent(hidden) + hidden).mean(1)
        half = self.output(embedding) / 2
        return embedding, torch.cat([-half, half], dim=1)


def _convolutions() -> list[nn.Module]:
    """The published stack: (channels in, out before the max, kernel, what follows)."""
    layers: list[nn.Module] = []
    stack = (
        (1, 64, 5, "pool"), (32, 64, 1, "norm"), (32, 96, 3, "pool norm"), (48, 96, 1, "norm"),
        (48, 128, 3, "pool"), (64, 128, 1, "norm"), (64, 64, 3, "norm"), (32, 64, 1, "norm"),
        (32, 64, 3, "pool"),
    )  # fmt: skip
    for inputs, outputs, kernel, after in stack:
        layers += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), MaxFeatureMap()]
        if "pool" in after:
            layers.append(nn.MaxPool2d(2))
        if "norm" in after:
            layers.append(nn.BatchNorm2d(outputs // 2, affine=False))
    return layers
