"""MHFA, multi-head factorised attentive pooling of a pretrained front end (Peng et al., SLT 2022).

Parameter names and shapes are those of WeDefense, whose checkpoints load; its logits are in the other order.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from masd.models.front_ends import FrontEnd, OnFrontEnds

HEADS = 32
COMPRESSED = 128


class Mhfa(OnFrontEnds, nn.Module):
    """Keys and values, sums of all layers under weights of their own; each head pools the values over time.

    Args:
        front_end: the front end; with a large one, what is on it has 1,316,436 parameters.
        tuned: whether the front end is trained on; else it is frozen.
    """

    dim = 256  # of the embedding

    def __init__(self, front_end: FrontEnd, tuned: bool = True) -> None:
        super().__init__()
        self.attach([front_end], tuned)
        self.weights_k = nn.Parameter(torch.ones(front_end.layers + 1))
        self.weights_v = nn.Parameter(torch.ones(front_end.layers + 1))
        self.cmp_linear_k = nn.Linear(front_end.dim, COMPRESSED)
        self.cmp_linear_v = nn.Linear(front_end.dim, COMPRESSED)
        self.att_head = nn.Linear(COMPRESSED, HEADS)
        self.pooling_fc = nn.Linear(HEADS * COMPRESSED, self.dim)
        self.projection = nn.Sequential(nn.BatchNorm1d(self.dim), nn.ReLU(), nn.Linear(self.dim, 2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map waveforms (B, N) at 16 kHz to (B, 256) and logits (B, 2), [spoof, bona fide]."""
        with self.front_end_grad():
            states = self.front_ends[0].hidden_states(x)
        states = states - states.mean(3, keepdim=True)  # a frame's mean, as WeDefense takes it off
        keys = self.cmp_linear_k(torch.einsum("l,lbtd->btd", self.weights_k.softmax(0), states))
        values = self.cmp_linear_v(torch.einsum("l,lbtd->btd", self.weights_v.softmax(0), states))
        pooled = torch.einsum("bth,btd->bhd", self.att_head(keys).softmax(1), values)
        embedding = self.pooling_fc(pooled.flatten(1))
        return embedding, self.projection(embedding)
