"""The pretraining loss L = L_mask + L_CPC + L_adv over one masked forward pass (Eq. 5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from masd.models.encoder import Encoder
from masd.models.pooling import interior
from masd.ssl.adversarial import Adversarial
from masd.ssl.config import PretrainConfig
from masd.ssl.cpc import Cpc
from masd.ssl.masking import Decoder, masked_error, patch_mask
from masd.training.batch_place import Place, alone, padded, places
from masd.training.distributed import Processes
from masd.training.precision import autocast_options


class Batch(NamedTuple):
    """Items of one step: log-mel (B, T, F), valid frames (B,), vocoder index (B,) with -1 for real.

    `place` says where they stand in the step if they are not all of it.
    """

    mel: Tensor
    lengths: Tensor
    labels: Tensor
    place: Place | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch on `device`."""
        return Batch(*(part.to(device, non_blocking=True) for part in self[:3]))

    def parts(self, size: int, number: int, group: Processes) -> list[Batch]:
        """Return the micro-batches of this process's share of a step of `size` items (see `Place`)."""
        if number == 1 and group.world == 1:
            return [self]
        out = []
        for rows, place in places(self.lengths, self.labels, size, number, group):
            mel = padded(self.mel[rows], int(place.lengths.max()))
            out.append(Batch(mel, self.lengths[rows], self.labels[rows], place))
        return out


class Objective(nn.Module):
    """The encoder with the heads of the objectives in use.

    Args:
        encoder: the encoder that is trained.
        config: which objectives, and how.
        vocoders: names of the vocoders, in the order of the batch's labels.

    Attributes:
        compiled: None, or what training calls in place of the encoder's `encode`.
    """

    compiled: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None

    def __init__(self, encoder: Encoder, config: PretrainConfig, vocoders: Sequence[str]) -> None:
        super().__init__()
        self.encoder = encoder
        self.config = config
        self.vocoders = list(vocoders)
        dim, bins = encoder.config.dim, len(encoder.mel_mean)
        if "mask" in config.objectives:
            width = encoder.num_bands * dim
            self.decoder = Decoder(width, config.decoder_dim, bins, encoder.config.frame_step)
        if "cpc" in config.objectives:
            self.cpc = Cpc(
                dim,
                config.cpc_step,
                config.cpc_negatives,
                config.cpc_within,
                config.cpc_temperature,
                config.cpc_pool,
            )
        if "adv" in config.objectives:
            self.adversarial = Adversarial(dim, len(vocoders), config.grl_lambda, config.adv_standardise)

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of Eq. 5 and sums for `summarise`, each as `sum/<name>` and `n/<name>`.

        Of a part of a step's batch it is that part's share of the step's loss; the shares add up to it.
        """
        config, place = self.config, batch.place or alone(batch.lengths, batch.labels)
        target = self.encoder.standardise(batch.mel)
        share = config.mask_share if "mask" in config.objectives else 0.0
        every = patch_mask(place.lengths, *target.shape[1:], share, config.patch, generator)
        cells = every[place.rows]
        with torch.autocast(target.device.type, **autocast_options(config.precision)):
            encode = self.compiled if self.compiled and self.training else self.encoder.encode
            z, lengths = encode(target.masked_fill(cells, 0.0), batch.lengths)
        z = z.float()
        fused = self.encoder.fuse(z)
        losses: list[Tensor] = []
        sums: dict[str, Tensor] = {}
        if "mask" in config.objectives:
            target = target.where(cells, 0.0)  # padded frames may hold anything
            error, chance, count = masked_error(self.decoder(z, target.shape[1]), target, cells)
            _add(sums, count, loss_mask=error, chance_loss_mask=chance)
            losses.append(error / every.sum().clamp_min(1))
        if "cpc" in config.objectives:
            losses.append(self._cpc(fused, lengths, generator, sums, place))
        if "adv" in config.objectives:
            losses.append(self._adv(fused, lengths, batch.labels, sums, place))
        self._count(batch.labels, sums)
        return torch.stack(losses).sum(), sums

    def _cpc(
        self,
        fused: Tensor,
        lengths: Tensor,
        generator: torch.Generator,
        sums: dict[str, Tensor],
        place: Place,
    ) -> Tensor:
        place = place._replace(lengths=self.encoder.out_lengths(place.lengths))
        out = self.cpc(fused, lengths, generator, place)
        _add(sums, out.anchors, loss_cpc=out.loss, acc_cpc=out.correct, acc_cpc_within=out.within)
        _add(sums, out.across_anchors, acc_cpc_across=out.across)
        return out.loss / (place.lengths - self.cpc.step).clamp_min(0).sum().clamp_min(1)

    def _adv(
        self, fused: Tensor, lengths: Tensor, labels: Tensor, sums: dict[str, Tensor], place: Place
    ) -> Tensor:
        out = self.adversarial(*interior(fused, lengths, self.encoder.config.edge_frames), labels)
        _add(sums, out.items, loss_binary=out.binary, acc_binary=out.binary_correct)
        _add(sums, out.vocoded, loss_vocoder=out.vocoder, acc_vocoder=out.vocoder_correct)
        vocoded = (place.labels >= 0).sum()
        return out.binary / len(place.labels) + out.vocoder / vocoded.clamp_min(1)

    def _count(self, labels: Tensor, sums: dict[str, Tensor]) -> None:
        _add(sums, torch.tensor(len(labels), device=labels.device), share_vocoded=(labels >= 0).sum())
        for index, name in enumerate(self.vocoders):
            _add(sums, (labels >= 0).sum(), **{f"share_{name}": (labels == index).sum()})


def _add(sums: dict[str, Tensor], count: Tensor, **values: Tensor) -> None:
    for name, value in values.items():
        sums[f"sum/{name}"] = value.detach()
        sums[f"n/{name}"] = count.detach()


def summarise(sums: dict[str, float], config: PretrainConfig, vocoders: Sequence[str]) -> dict[str, float]:
    """Turn accumulated sums into means, totals and the levels of chance beside them.

    Returns:
        loss_* in nats or squared deviations, acc_* and share_* in 0..1, and for each loss and
        accuracy `chance_<name>`: what an encoder that knows nothing reaches. A mean over nothing
        (no vocoded item) is left out.
    """
    out = {
        name[4:]: value / sums[f"n/{name[4:]}"]
        for name, value in sums.items()
        if name.startswith("sum/") and sums[f"n/{name[4:]}"] > 0
    }
    if "cpc" in config.objectives:
        out["chance_loss_cpc"] = math.log(config.cpc_negatives + 1)
        out |= {
            f"chance_acc_cpc{kind}": 1.0 / (config.cpc_negatives + 1) for kind in ("", "_within", "_across")
        }
    if "adv" in config.objectives:
        vocoded = out.get("share_vocoded", 0.0)
        shares = {"binary": [vocoded, 1.0 - vocoded]}
        if vocoded > 0:
            shares["vocoder"] = [out.get(f"share_{name}", 0.0) for name in vocoders]
        for name, share in shares.items():
            out[f"chance_loss_{name}"] = -sum(p * math.log(p) for p in share if p > 0)
            out[f"chance_acc_{name}"] = max(share)
    parts = [out.get(f"loss_{name}", 0.0) for name in ("mask", "cpc", "binary", "vocoder")]
    out["loss_total"] = sum(parts)
    out["loss_label_free"] = parts[0] + parts[1]
    return out
