"""Batch normalisation that never sees a padded frame, over all processes of a training together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def frame_mask(lengths: Tensor, frames: int) -> Tensor:
    """Return a boolean mask (B, frames), true on the first `lengths[b]` frames of item b."""
    return torch.arange(frames, device=lengths.device)[None, :] < lengths[:, None]


Share = Callable[[Tensor], Tensor]
"""Adds a tensor up over all processes; its gradient is added up likewise."""


def shared_batch_norm(
    x: Tensor, norm: nn.modules.batchnorm._BatchNorm, momentum: float, share: Share
) -> Tensor:
    """Normalise x (B, C, ...) by the statistics of all processes' x, and update `norm`'s running ones.

    Deviations are taken from the shared mean, in two passes: the mean may be large beside them.
    """
    axes = [axis for axis in range(x.dim()) if axis != 1]
    shape = (1, -1, *(1 for _ in axes[1:]))
    wide = x.float()
    here = wide.new_full((1,), x.numel() / x.shape[1])
    total = share(torch.cat([wide.sum(axes), here]))
    count = total[-1].detach()
    mean = total[:-1] / count
    var = share((wide - mean.view(shape)).square().sum(axes)) / count
    if norm.running_mean is not None and norm.running_var is not None:
        with torch.no_grad():
            norm.running_mean.lerp_(mean, momentum)
            norm.running_var.lerp_(var * (count / (count - 1.0).clamp_min(1.0)), momentum)
    y = (wide - mean.view(shape)) * (var + norm.eps).rsqrt().view(shape)
    if norm.weight is not None:
        y = y * norm.weight.view(shape) + norm.bias.view(shape)
    return y.to(x.dtype)


class _SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """torch's batch normalisation, its batch statistics taken over all processes."""

    share: Share

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # the module this stands for has its own idea of it; any number of dimensions will do

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return shared_batch_norm(x, self, 0.1 if self.momentum is None else self.momentum, self.share)


def share_batch_norms(module: nn.Module, share: Share) -> None:
    """Let every batch normalisation of torch's in `module` take its statistics over all processes.

    On the CPU (gloo) and on GPUs (NCCL) alike, where torch's own SyncBatchNorm takes GPU tensors alone.
    Parameters, buffers and their names stay.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm) and not isinstance(child, _SharedBatchNorm):
            shared = _SharedBatchNorm(child.num_features, child.eps, child.momentum, False)
            shared.__dict__.update(child.__dict__)
            shared.share = share
            setattr(module, name, shared)
        else:
            share_batch_norms(child, share)


class MaskedBatchNorm2d(nn.Module):
    """Batch normalisation of (B, C, F, T) over valid frames, with running statistics for evaluation.

    Padded frames enter neither mean nor variance, and are zero in the output, so that the next
    convolution finds there what it finds beyond the end of an utterance that stands alone.

    Args:
        channels: C.
        momentum: weight of a new batch in the running statistics (the variance unbiased).

    Attributes:
        averaged: None, or the number of batches whose plain mean the running statistics are; set to
            0 to begin such a mean anew.
        share: None, or what adds up a training batch's statistics over all processes, so that they are
            those of the whole batch however many processes hold it; every process must then come here.
    """

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, 1e-5
        self.averaged: int | None = None
        self.share: Share | None = None
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise `x` (B, C, F, T); `mask` (B, 1, 1, T) in x's type, 1 on valid frames, or None for all."""
        momentum = self._momentum() if self.training else 0.0
        if not self.training or (mask is None and self.share is None):
            running = (self.running_mean, self.running_var)
            y = F.batch_norm(x, *running, self.weight, self.bias, self.training, momentum, self.eps)
            return y if mask is None else y * mask
        # Plain sums, whose gradient the framework derives, were no slower here than its fused kernels.
        if mask is None:
            mask = x.new_ones(len(x), 1, 1, x.shape[3])
        valid = mask.float().sum() * x.shape[2]
        x = x * mask
        wide, shape = x.float(), (-1, 1, 1)
        total = wide.sum((0, 2, 3))
        if self.share is None:
            mean = total / valid
            var = (wide.square().sum((0, 2, 3)) / valid - mean.square()).clamp_min(0.0)
        else:  # deviations are from the shared mean: each process's own rounding would not cancel
            everywhere = self.share(torch.cat([total, valid[None]]))
            valid = everywhere[-1].detach()
            mean = everywhere[:-1] / valid
            apart = (wide - mean.view(shape)) * mask
            var = self.share(apart.square().sum((0, 2, 3))) / valid
        with torch.no_grad():
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(var * (valid / (valid - 1.0).clamp_min(1.0)), momentum)
        scale = self.weight * (var + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return (wide * scale.view(shape) + shift.view(shape)).to(x.dtype) * mask  # rounded once

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return the scale and the shift (C,) that evaluating comes to."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def _momentum(self) -> float:
        if self.averaged is None:
            return self.momentum
        self.averaged += 1
        return 1.0 / self.averaged
