"""From frames to f_SSL = [mu; sigma_tr; kappa], directly or from compact statistics of the bands."""

from __future__ import annotations

import torch
from torch import Tensor

from masd.models.normalization import frame_mask

FLOOR = 1e-10
"""Least variance: a constant sequence has sigma_tr = 1e-5 and kappa = 0, not NaN."""


LEAST = 2
"""Frames that `interior` leaves at least: one alone has no deviation."""


def interior(z: Tensor, lengths: Tensor, edge: int) -> tuple[Tensor, Tensor]:
    """Leave out frames at either end, those whose receptive field reaches far beyond the utterance.

    An utterance too short to lose `edge` frames at both ends loses as many as leave `LEAST`.

    Args:
        z: (B, ..., T', D).
        lengths: (B,) valid frames.
        edge: frames to leave out at either end, `EncoderConfig.edge_frames`.

    Returns:
        z (B, ..., T'', D), each item's interior from its first frame on, anything in padded frames,
        and the frames that are left (B,).
    """
    if edge == 0:
        return z, lengths
    skip = ((lengths - LEAST).clamp_min(0) // 2).clamp_max(edge)
    left = lengths - 2 * skip
    frames = torch.arange(int(left.max()), device=z.device)
    index = (skip[:, None] + frames).clamp_max(z.shape[-2] - 1)
    index = index.view(len(z), *[1] * (z.dim() - 3), -1, 1)
    return z.gather(-2, index.expand(*z.shape[:-2], -1, z.shape[-1])), left


def statistics(z: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Pool frames over time, padded ones left out.

    mu = mean_t z_t; sigma_tr = sqrt(mean_t |z_t - mu|^2); kappa = mean_t (|z_t - mu| / sigma_tr)^3.

    Args:
        z: (B, T', D) or (T', D).
        lengths: (B,) valid frames; None for all.

    Returns:
        (B, D + 2) or (D + 2,), in the order mu, sigma_tr, kappa.
    """
    if z.dim() == 2:
        return statistics(z[None], lengths)[0]
    mask = _mask(z.shape[0], z.shape[1], lengths, z)
    mu = torch.where(mask[..., None] > 0, z, 0.0).sum(1) / mask.sum(1, keepdim=True)
    return _shape(mu, (z - mu[:, None]).square().sum(-1), mask)


def compact(z: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return what is stored of utterances z (B, J, T', D) with valid frames (B,): f_SSL under any alpha.

    Returns:
        mu (B, J, D), each band's mean over valid frames, and gram (B, T', J, J), the inner products
        of the bands' centred frames at each time, zero in padded frames.
    """
    mask = _mask(z.shape[0], z.shape[2], lengths, z)[:, None, :, None]
    z = torch.where(mask > 0, z, 0.0)
    mu = z.sum(2) / mask.sum(2)
    centred = (z - mu[:, :, None]) * mask
    return mu, torch.einsum("bitd,bjtd->btij", centred, centred)


def from_compact(mu: Tensor, gram: Tensor, alpha: Tensor, lengths: Tensor) -> Tensor:
    """Return `statistics` of sum_j alpha_j z_j from `compact`'s output; exact, differentiable in all.

    z_fused - mu_fused = sum_j alpha_j (z_j - mu_j), so |z_t - mu|^2 = alpha^T G_t alpha.

    Args:
        mu: (B, J, D).
        gram: (B, T', J, J).
        alpha: (J,).
        lengths: (B,) valid frames.

    Returns:
        (B, D + 2).
    """
    squared = torch.einsum("i,btij,j->bt", alpha, gram, alpha)
    return _shape(torch.einsum("j,bjd->bd", alpha, mu), squared, _mask(*gram.shape[:2], lengths, gram))


def _mask(batch: int, frames: int, lengths: Tensor | None, like: Tensor) -> Tensor:
    if lengths is None:
        return torch.ones(batch, frames, dtype=like.dtype, device=like.device)
    return frame_mask(lengths.to(like.device), frames).to(like.dtype)


def _shape(mu: Tensor, squared: Tensor, mask: Tensor) -> Tensor:
    """[mu; sigma_tr; kappa] from mu (B, D) and |z_t - mu|^2 (B, T')."""
    count = mask.sum(1)
    squared = torch.where(mask > 0, squared, 0.0).clamp_min(0.0)
    variance = (squared.sum(1) / count).clamp_min(FLOOR)
    # x^1.5 has a zero gradient at 0, where sqrt has none
    kappa = squared.pow(1.5).sum(1) / count / variance.pow(1.5)
    return torch.cat([mu, variance.sqrt()[:, None], kappa[:, None]], 1)
