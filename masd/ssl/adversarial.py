"""L_adv: know that speech is vocoded, not by which vocoder (Eq. 3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from masd.models.normalization import Share, frame_mask, shared_batch_norm


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * -ctx.scale, None


def reverse_gradient(x: Tensor, scale: float) -> Tensor:
    """Return `x`; its gradient comes back multiplied by -scale."""
    return _Reverse.apply(x, scale)


def mean_over_time(z: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean (B, D) over the valid frames of z (B, T', D)."""
    mask = frame_mask(lengths, z.shape[1]).to(z.dtype)
    return (z * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


class AdversarialOutput(NamedTuple):
    """Sums over items (binary) and over vocoded items (vocoder)."""

    binary: Tensor
    binary_correct: Tensor
    vocoder: Tensor
    vocoder_correct: Tensor
    items: Tensor
    vocoded: Tensor


class Adversarial(nn.Module):
    """Two heads on the mean of z_fused (Eq. 3).

    A linear one tells real from vocoded and helps the encoder; one of two layers names the vocoder
    of vocoded items behind a gradient reversal layer, so that the encoder unlearns what it needs.
    lambda stands in that layer and nowhere else: the head itself trains at full strength.

    Args:
        dim: D of z.
        vocoders: K; with none, the second head is absent.
        scale: lambda.
        standardise: give both heads each dimension at mean 0 and deviation 1 (batch statistics, in
            evaluation mode running ones); the mean over time differs little from one recording to
            another beside its size, and a head on the raw mean learns too slowly to be an adversary.

    Attributes:
        share: None, or what adds up batch statistics over all processes (see `MaskedBatchNorm2d`).
    """

    share: Share | None = None

    def __init__(self, dim: int, vocoders: int, scale: float = 0.3, standardise: bool = True) -> None:
        super().__init__()
        self.scale = scale
        self.norm = nn.BatchNorm1d(dim, affine=False) if standardise else None
        self.binary = nn.Linear(dim, 1)
        self.vocoder = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, max(vocoders, 1)))

    def forward(self, z: Tensor, lengths: Tensor, labels: Tensor) -> AdversarialOutput:
        """Judge z (B, T', D); `labels` (B,): the vocoder's index, -1 for a real recording."""
        pooled = self._standardised(mean_over_time(z, lengths))
        vocoded = labels >= 0
        binary = self.binary(pooled)[:, 0]
        names = self.vocoder(reverse_gradient(pooled, self.scale))
        return AdversarialOutput(
            F.binary_cross_entropy_with_logits(binary, vocoded.to(binary.dtype), reduction="sum"),
            ((binary > 0) == vocoded).sum(),
            F.cross_entropy(names, labels, ignore_index=-1, reduction="sum"),
            (names.argmax(1) == labels).sum(),
            torch.tensor(len(labels), device=labels.device),
            vocoded.sum(),
        )

    def _standardised(self, pooled: Tensor) -> Tensor:
        if self.norm is None:
            return pooled
        if self.training and self.share is not None:
            return shared_batch_norm(pooled, self.norm, 0.1, self.share)
        alone = len(pooled) == 1  # one item has no statistics of its own
        return F.batch_norm(
            pooled, self.norm.running_mean, self.norm.running_var, training=self.training and not alone
        )
