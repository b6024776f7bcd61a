"""Batch normalisation that never sees a padded frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def frame_mask(lengths: Tensor, frames: int) -> Tensor:
    """Return a boolean mask (B, frames), true on the first `lengths[b]` frames of item b."""
    return torch.arange(frames, device=lengths.device)[None, :] < lengths[:, None]


class MaskedBatchNorm2d(nn.Module):
    """Batch normalisation of (B, C, F, T) over valid frames, with running statistics for evaluation.

    Padded frames enter neither mean nor variance, and are zero in the output, so that the next
    convolution finds there what it finds beyond the end of an utterance that stands alone.

    Args:
        channels: C.
        momentum: weight of a new batch in the running statistics (the variance unbiased).
        eps: added to the variance.

    Attributes:
        averaged: None, or the number of batches whose plain mean the running statistics are; set to
            0 to begin such a mean anew.
    """

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.averaged: int | None = None
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise `x` (B, C, F, T); `mask` (B, 1, 1, T) in x's type, 1 on valid frames, or None for all."""
        momentum = self._momentum() if self.training else 0.0
        if mask is None or not self.training:
            running = (self.running_mean, self.running_var)
            y = F.batch_norm(x, *running, self.weight, self.bias, self.training, momentum, self.eps)
            return y if mask is None else y * mask
        # Plain sums, whose gradient the framework derives, were no slower here than its fused kernels.
        valid = mask.float().sum() * x.shape[2]
        x = x * mask
        wide = x.float()
        mean = wide.sum((0, 2, 3)) / valid
        var = (wide.square().sum((0, 2, 3)) / valid - mean.square()).clamp_min(0.0)
        with torch.no_grad():
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(var * (valid / (valid - 1.0).clamp_min(1.0)), momentum)
        scale = self.weight * (var + self.eps).rsqrt()
        shift = self.bias - mean * scale
        shape = (-1, 1, 1)
        return (x * scale.view(shape).to(x.dtype) + shift.view(shape).to(x.dtype)) * mask

    def _momentum(self) -> float:
        if self.averaged is None:
            return self.momentum
        self.averaged += 1
        return 1.0 / self.averaged
