"""L_mask: reconstruct hidden patches of the spectrogram (Sec. II-A.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from masd.models.normalization import frame_mask


def patch_mask(
    lengths: Tensor, frames: int, bins: int, share: float, patch: int, generator: torch.Generator
) -> Tensor:
    """Choose which cells of a batch of spectrograms are hidden.

    The plane is tiled with patch x patch squares (cut at the upper edges); of the n tiles that hold a
    valid frame, round(share * n), at least one if share > 0, are drawn without replacement for each item.

    Args:
        lengths: (B,) valid frames.
        frames: T.
        bins: F.
        share: share of tiles to hide, 0 to 1.
        patch: side of a tile in frames and bins.
        generator: on the device of `lengths`.

    Returns:
        boolean (B, T, F), true where hidden; padded frames are never.
    """
    rows, columns = -(-frames // patch), -(-bins // patch)
    valid_rows = torch.div(lengths + patch - 1, patch, rounding_mode="floor")
    count = (valid_rows * columns * share).round().clamp_min(1 if share > 0 else 0)
    keys = torch.rand(len(lengths), rows * columns, generator=generator, device=lengths.device)
    usable = frame_mask(valid_rows, rows).repeat_interleave(columns, 1)
    rank = keys.masked_fill(~usable, 2.0).argsort(dim=1, stable=True).argsort(1)
    tiles = (rank < count[:, None]).view(-1, rows, columns)
    cells = tiles.repeat_interleave(patch, 1)[:, :frames].repeat_interleave(patch, 2)[:, :, :bins]
    return cells & frame_mask(lengths, frames)[:, :, None]


class Decoder(nn.Module):
    """The light decoder: one convolution over time and a frame-wise map back to mel bins.

    Args:
        inputs: J * D, the bands' outputs side by side.
        hidden: channels between.
        bins: mel bins F.
        step: input frames to one encoder frame; each encoder frame gives that many.
    """

    def __init__(self, inputs: int, hidden: int, bins: int, step: int) -> None:
        super().__init__()
        self.bins = bins
        self.conv = nn.Conv1d(inputs, hidden, 3, padding=1)
        self.out = nn.Conv1d(hidden, bins * step, 1)

    def forward(self, z: Tensor, frames: int) -> Tensor:
        """Map z (B, J, T', D) to a spectrogram (B, frames, F)."""
        batch, bands, steps, dim = z.shape
        y = z.transpose(2, 3).reshape(batch, bands * dim, steps)
        y = self.out(F.relu(self.conv(y)))
        return y.transpose(1, 2).reshape(batch, -1, self.bins)[:, :frames]


def masked_error(output: Tensor, target: Tensor, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return summed squared error and summed squared target over `cells`, and their number.

    The first over the last is L_mask; the second over the last is the loss of answering 0, the
    mean of a standardised bin, and so the level of chance. All inputs are (B, T, F).
    """
    weight = cells.to(output.dtype)
    error = ((output - target).square() * weight).sum()
    return error, (target.square() * weight).sum(), weight.sum()
