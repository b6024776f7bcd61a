"""Where a batch stands among all that one optimiser step sees: other processes', other micro-batches'."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from masd.training.distributed import Processes


class Place(NamedTuple):
    """A batch of B items is a part of a step's N.

    Every process makes the random draws of the whole step and takes its own rows of them, and divides
    by counts over the whole step, so that a step is the same on any number of processes.

    Args:
        rows: (B,) its items among the step's.
        lengths: (N,) valid frames of the step's items.
        labels: (N,) their vocoders, -1 for real ones.
        together: (N,) true on the items of the same micro-batch, in whatever process.
        group: the processes.
    """

    rows: Tensor
    lengths: Tensor
    labels: Tensor
    together: Tensor
    group: Processes

    def gathered(self, z: Tensor, pool: Tensor) -> Tensor:
        """Return the frames (P, D) that `pool` names (n * T' + t, rising) from all processes' z (B, T', D).

        Each process fills in its own and the sum over all is taken: that is differentiable, and as the
        pool is bounded it moves less than gathering everybody's z would.
        """
        here = torch.full_like(self.lengths, -1)
        here[self.rows] = torch.arange(len(self.rows), device=here.device)
        row, frame = here[pool // z.shape[1]], pool % z.shape[1]
        mine = row >= 0
        own = torch.where(mine[:, None], z[row.clamp_min(0), frame], z.new_zeros(()))
        return self.group.share(own)


def alone(lengths: Tensor, labels: Tensor) -> Place:
    """Return the place of a batch that is all of its step, given its valid frames and vocoders (B,)."""
    rows = torch.arange(len(lengths), device=lengths.device)
    return Place(rows, lengths, labels, rows >= 0, Processes(0, 1, lengths.device))


def places(
    lengths: Tensor, labels: Tensor, size: int, parts: int, group: Processes
) -> list[tuple[list[int], Place]]:
    """Return, for each micro-batch, its rows of this process's batch, and its place.

    Args:
        lengths: (B,) valid frames of this process's items, micro-batch after micro-batch.
        labels: (B,) their vocoders.
        size: N, items of the step.
        parts: number of micro-batches.
        group: the processes.
    """
    rows = group.rows(size, parts)
    flat = torch.tensor([row for part in rows for row in part], device=lengths.device)
    known = torch.zeros(2, size, dtype=torch.long, device=lengths.device)
    known[:, flat] = torch.stack([lengths, labels])
    known = group.add_up(known)
    number = torch.arange(size, device=lengths.device) % parts
    out, start = [], 0
    for m, part in enumerate(rows):
        of_step = flat[start : start + len(part)]
        place = Place(of_step, known[0], known[1], number == m, group)
        out.append((list(range(start, start + len(part))), place))
        start += len(part)
    return out


def padded(mel: Tensor, frames: int) -> Tensor:
    """Return mel (B, T, F) with zero frames at the end, `frames` in all: lengths say which count."""
    return F.pad(mel, (0, 0, 0, frames - mel.shape[1]))
