"""SLS, sensitive layer selection over a pretrained front end (Zhang et al., ACM Multimedia 2024).

Parameter names and shapes are those of the authors' released checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from masd.errors import MasdError
from masd.models.front_ends import FrontEnd, OnFrontEnds

POOL = 3


class Sls(OnFrontEnds, nn.Module):
    """Layers' frames weighed by a gate of each layer's mean, summed, pooled 3 x 3, and two linear layers.

    Args:
        front_end: the front end; with XLS-R, 300 million, what is on it has 23,399,429 parameters.
        tuned: whether the front end is trained on; else it is frozen.
        samples: length of the waveforms, since each frame has weights of its own.
    """

    dim = 1024  # of the embedding

    def __init__(self, front_end: FrontEnd, tuned: bool = True, samples: int = 64600) -> None:
        super().__init__()
        self.attach([front_end], tuned)
        self.samples = samples
        self.first_bn = nn.BatchNorm2d(1)
        self.fc0 = nn.Linear(front_end.dim, 1)
        self.fc1 = nn.Linear((front_end.frames(samples) // POOL) * (front_end.dim // POOL), self.dim)
        self.fc3 = nn.Linear(self.dim, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map waveforms (B, `samples`) at 16 kHz to (B, 1024) and logits (B, 2), [spoof, bona fide].

        Raises:
            MasdError: the waveforms have another length.
        """
        if x.shape[1] != self.samples:
            raise MasdError(f"sls takes {self.samples} samples, not {x.shape[1]}")
        with self.front_end_grad():
            layers = self.front_ends[0].all_layers(x)
        gates = torch.sigmoid(self.fc0(layers.mean(2)))
        frames = (layers * gates[:, :, None]).sum(0)
        pooled = F.max_pool2d(F.selu(self.first_bn(frames[:, None])), POOL)
        embedding = F.selu(self.fc1(pooled.flatten(1)))
        return embedding, F.selu(self.fc3(embedding))
