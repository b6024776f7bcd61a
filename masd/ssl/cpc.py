"""L_CPC: tell the frame k steps ahead from others by the context so far (Eq. 4)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from masd.models.normalization import frame_mask
from masd.training.batch_place import Place, alone


class CpcOutput(NamedTuple):
    """Sums over valid anchors; `anchors` and `across_anchors` are what to divide by."""

    loss: Tensor
    correct: Tensor
    within: Tensor
    across: Tensor
    anchors: Tensor
    across_anchors: Tensor


def draw_outside(uniform: Tensor, size: Tensor | int, start: Tensor | int, length: Tensor | int) -> Tensor:
    """Turn numbers from [0, 1) into integers uniform over [0, size) without [start, start + length).

    All arguments broadcast; where nothing is left to draw from, 0 is returned.
    """
    left = torch.as_tensor(size - length, device=uniform.device)
    index = (uniform * left).long().minimum(left - 1).clamp_min(0)
    return torch.where(index >= start, index + length, index).where(left > 0, torch.zeros_like(index))


class Cpc(nn.Module):
    """InfoNCE between GRU contexts and later frames of the fused sequence (Eq. 4).

    loss_t = -log exp(s(c_t, z_{t+k}) / tau) / sum over the positive and N negatives, s the cosine.
    Negatives are valid frames of the batch, never the positive itself, drawn with replacement.

    Args:
        dim: D of z, also the GRU's hidden size, so that the cosine is defined.
        step: k.
        negatives: N.
        within: share of negatives from the anchor's own utterance, the rest from other ones, or
            `uniform` over all frames of the batch.
        temperature: tau.
        pool: most frames of the batch outside negatives are drawn from.
    """

    def __init__(
        self,
        dim: int = 128,
        step: int = 17,
        negatives: int = 128,
        within: float | Literal["uniform"] = 0.75,
        temperature: float = 0.07,
        pool: int = 4096,
    ) -> None:
        super().__init__()
        self.gru = nn.GRU(dim, dim, 2, batch_first=True)
        self.step, self.negatives, self.within = step, negatives, within
        self.temperature, self.pool = temperature, pool

    def forward(
        self, z: Tensor, lengths: Tensor, generator: torch.Generator, place: Place | None = None
    ) -> CpcOutput:
        """Score every valid anchor of z (B, T', D) with `lengths` (B,) valid frames.

        Where the batch is a part of a step's (`place`, lengths in frames of z), negatives from outside the
        utterance come from the micro-batch of all processes, and each frame's gradient goes back to the
        process that made it: with detached ones the gradient would depend on the number of processes.

        Accuracies count anchors whose positive beats every negative: those of the loss, N from the
        own utterance, N from other utterances. Chance is 1 / (N + 1), and ln(N + 1) for the loss.
        """
        place = place or alone(lengths, lengths)
        contexts = self.gru(z)[0]
        anchors = z.shape[1] - self.step
        if anchors <= 0 or not bool((place.lengths > self.step).any()):  # all must take the same way
            zero = (contexts.sum() + z.sum()) * 0.0
            return CpcOutput(zero, *(zero.detach() for _ in range(5)))
        contexts = F.normalize(contexts[:, :anchors], dim=-1)
        own = contexts @ F.normalize(z, dim=-1).transpose(1, 2)
        positive = own.diagonal(self.step, 1, 2)
        pool = self._pool(z.shape[1], generator, place)
        pooled = place.gathered(F.normalize(z, dim=-1), pool)
        return self._score(positive, own, contexts @ pooled.T, pool, lengths, generator, place)

    def _pool(self, frames: int, generator: torch.Generator, place: Place) -> Tensor:
        """Indices b * T' + t of valid frames, rising; a random choice of `pool` if there are more."""
        ids = frame_mask(place.lengths, frames).flatten().nonzero()[:, 0]
        if len(ids) > self.pool:
            ids = ids[torch.randperm(len(ids), generator=generator, device=ids.device)]
        return ids[place.together[ids // frames]][: self.pool].sort()[0]

    def _score(
        self,
        positive: Tensor,
        own: Tensor,
        other: Tensor,
        pool: Tensor,
        lengths: Tensor,
        generator: torch.Generator,
        place: Place,
    ) -> CpcOutput:
        """From similarities to own frames (B, A, T') and to pooled frames (B, A, P) to the sums."""
        index = self._indices(own, pool, lengths, generator, place)
        within = own.gather(2, index["within"])
        across = other.gather(2, index["across"])
        has_others = index["has_others"][:, None, None]
        if self.within == "uniform":
            negatives = other.gather(2, index["uniform"])
        else:
            cut = round(self.within * self.negatives)
            rest = torch.where(has_others, across[..., : self.negatives - cut], within[..., cut:])
            negatives = torch.cat([within[..., :cut], rest], 2)
        logits = torch.cat([positive[..., None], negatives], 2) / self.temperature
        valid = frame_mask(lengths - self.step, own.shape[1])
        loss = (logits.logsumexp(2) - logits[..., 0]).where(valid, logits.new_zeros(())).sum()
        with_others = valid & index["has_others"][:, None]
        with torch.no_grad():
            beats = [
                ((positive > rival.amax(2)) & which).sum()
                for rival, which in ((negatives, valid), (within, valid), (across, with_others))
            ]
        return CpcOutput(loss, *beats, valid.sum(), with_others.sum())

    def _indices(
        self, own: Tensor, pool: Tensor, lengths: Tensor, generator: torch.Generator, place: Place
    ) -> dict[str, Tensor]:
        """Draw N indices an anchor, (B, A, N): own frames, frames of others and of all in the pool."""
        (_, anchors, frames), rows, batch = own.shape, place.rows, len(place.lengths)
        target = torch.arange(anchors, device=own.device) + self.step
        shape = (2, batch, anchors, self.negatives)
        draw = torch.rand(shape, generator=generator, device=own.device)[:, rows]
        # pool is sorted, so each item's frames are one run of it
        edges = torch.searchsorted(pool, torch.arange(batch + 1, device=own.device) * frames)
        first, count = edges[:-1][rows, None, None], edges.diff()[rows, None, None]
        index = {
            "within": draw_outside(draw[0], lengths[:, None, None], target[None, :, None], 1),
            "across": draw_outside(draw[1], len(pool), first, count),
            "has_others": len(pool) > count[:, 0, 0],
        }
        if self.within == "uniform":
            flat = rows[:, None] * frames + target
            rank = torch.searchsorted(pool, flat)
            present = (pool[rank.clamp_max(len(pool) - 1)] == flat).long()
            index["uniform"] = draw_outside(draw[1], len(pool), rank[..., None], present[..., None])
        return index
