"""Batch normalisation that never sees a padded frame."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def frame_mask(lengths: Tensor, frames: int) -> Tensor:
    """Return a boolean mask (B, frames), true on the first `lengths[b]` frames of item b."""
    return torch.arange(frames, device=lengths.device)[None, :] < lengths[:, None]


class _MaskedNorm(torch.autograd.Function):
    """Batch normalisation by the statistics of valid frames; padded frames come out as zero.

    With m the mask, n = sum m valid and N all positions of a channel:
    mean = sum(m x) / n, var = sum(m (x - mean)^2) / n, y = m (w (x - mean) / sqrt(var + eps) + b).
    The framework's own kernels run over all N positions of m x, and their sums are rescaled to n.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, mask: Tensor, valid: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        x = x * mask
        total = x.numel() // x.shape[1]
        _, mean_all, inv_all = torch.native_batch_norm(x, None, None, None, None, True, 0.0, eps)
        mean_all, var_all = mean_all.float(), inv_all.float().pow(-2) - eps
        mean = mean_all * (total / valid)
        var = ((var_all + mean_all.square()) * (total / valid) - mean.square()).clamp_min(0.0)
        y = F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps).mul_(mask)
        ctx.save_for_backward(x, mask, valid, weight, mean, (var + eps).rsqrt())
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, mask, valid, weight, mean, inv = ctx.saved_tensors
        grad = (grad * mask).contiguous(
            memory_format=torch.channels_last if _last(x) else torch.contiguous_format
        )
        dx, dweight, dbias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, None, None, mean, inv, True, ctx.eps, [True, True, True]
        )
        # The kernel divided the two sums by all positions; what is missing to a division by `valid`:
        scale = weight * inv * (1.0 / (x.numel() // x.shape[1]) - 1.0 / valid)
        slope = scale * inv * dweight
        shift = scale * dbias - slope * mean
        shape = (1, -1, 1, 1)
        dx = dx + torch.addcmul(shift.view(shape).to(x.dtype), slope.view(shape).to(x.dtype), x)
        return dx.mul_(mask), None, None, dweight, dbias, None


def _last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


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
        valid = mask.float().sum() * x.shape[2]
        y, mean, var = _MaskedNorm.apply(x, mask, valid, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(var * (valid / (valid - 1.0).clamp_min(1.0)), momentum)
        return y

    def _momentum(self) -> float:
        if self.averaged is None:
            return self.momentum
        self.averaged += 1
        return 1.0 / self.averaged
