"""The pretraining loop: what masd.training.loop needs to know of the encoder and its objectives."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from masd.feats.config import FeatsConfig
from masd.models.encoder import Encoder, save_encoder
from masd.models.normalization import MaskedBatchNorm2d
from masd.ssl.adversarial import Adversarial
from masd.ssl.config import PretrainConfig
from masd.ssl.data import FIXED, Crops, mel_statistics
from masd.ssl.objective import Batch, Objective, summarise
from masd.training.distributed import Processes
from masd.training.loop import Loop, accumulate
from masd.training.precision import autocast_options

log = logging.getLogger(__name__)

_SHOWN = ("loss_mask", "loss_cpc", "loss_binary", "loss_vocoder")
_SHOWN_SHARES = ("acc_cpc_within", "acc_cpc_across", "acc_binary", "acc_vocoder", "share_vocoded")


class Trainer(Loop):
    """Trains an encoder; `run` does all that is left to do of it.

    Args:
        objective: encoder and heads, on the CPU.
        train: training items; for this and what follows it see `Loop`.
        dev: items of speakers that are not in `train`.
        feats: feature configuration, stored with the encoder.
    """

    def __init__(
        self,
        objective: Objective,
        train: Crops,
        dev: Crops,
        feats: FeatsConfig,
        out: Path,
        seed: int,
        work: str,
        group: Processes,
    ) -> None:
        self.config, self.dev, self.feats = objective.config, dev, feats
        layout = torch.channels_last if self.config.channels_last else torch.contiguous_format
        self.objective = objective.to(group.device, memory_format=layout)
        self.norms = [one for one in objective.modules() if isinstance(one, MaskedBatchNorm2d)]
        if group.world > 1:
            for module in objective.modules():
                if isinstance(module, (MaskedBatchNorm2d, Adversarial)):
                    module.share = group.share
        self.unused = set(self.config.objectives) == {"mask"}  # then alpha gets no gradient
        optimizer = torch.optim.AdamW(
            parameter_groups(objective, self.config), lr=self.config.lr, weight_decay=self.config.weight_decay
        )
        super().__init__(self.objective, optimizer, train, self.config, out, seed, work, group)

    def begin(self) -> None:
        """Measure the mel statistics of the training set."""
        encoder = self.objective.encoder
        if encoder.config.normalise == "per_bin":
            encoder.set_statistics(*mel_statistics(self.train.real, self.config.statistics_utts, self.seed))

    def describe(self) -> str:
        """Return one line on the sets, the vocoders and the number of parameters."""
        count = sum(p.numel() for p in self.objective.encoder.parameters())
        heads = sum(p.numel() for p in self.objective.parameters()) - count
        copies = ", ".join(self.train.names) or "no vocoder"
        sets = f"{len(self.train)} training and {len(self.dev)} validation utterances, copies by {copies}"
        return f"{sets}; encoder {count} parameters, heads {heads}"

    def before_step(self) -> None:
        """Let batch-norm averages catch up: the first would be mostly their initial values."""
        lowest = self.objective.encoder.config.bn_momentum
        for norm in self.norms:
            norm.momentum = max(lowest, 1.0 / (self.step + 1))
        # only now: a compiled encoder would be compiled anew for every other momentum
        if self.config.compile and self.objective.compiled is None and 1.0 / (self.step + 1) <= lowest:
            self.objective.compiled = compiled(self.objective.encoder, self.group)

    def micro_batches(self, batch: Batch, size: int) -> list[Batch]:
        """Divide a batch, and tell each part where it stands in the step."""
        return batch.parts(size, self.parts, self.group)

    def draws(self) -> torch.Generator:
        """Return the generator of a step's draws: every process makes all of them and takes its rows."""
        return self.generator("step", self.step, 0)

    def summarise(self, sums: dict[str, float]) -> dict[str, float]:
        """Return losses, accuracies and their levels of chance."""
        return summarise(sums, self.config, self.train.names)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return losses and accuracies on the held-out items: the same crops, masks and draws every time."""
        self.objective.eval()
        sums: dict[str, float] = {}
        batches = list(enumerate(self.dev.batches(FIXED)))[self.group.rank :: self.group.world]
        loaded = self.load(self.dev, FIXED, [batch for _, batch in batches])
        for (number, _), batch in zip(batches, loaded, strict=True):
            part = self.objective(batch, self.generator("dev", number))[1]
            accumulate(sums, {name: float(value) for name, value in part.items()})
        self.objective.train()
        names = sorted(self._names())
        values = torch.tensor([sums.get(name, 0.0) for name in names], dtype=torch.float64)
        total = self.group.add_up(values.to(self.group.device)).tolist()
        return summarise(dict(zip(names, total, strict=True)), self.config, self.dev.names)

    def _names(self) -> list[str]:
        # a process may have had no validation batch, but all must add up the same list
        return [name for name in self.state["sums"] if not name.endswith("grad_norm")]

    def extra(self) -> dict[str, Any]:
        """Return alpha and the curriculum's probabilities."""
        weights = self.train.probabilities(self.state["epoch"]).tolist()
        return {
            "alpha": self.objective.encoder.alpha.tolist(),
            "curriculum": dict(zip(self.train.names, weights, strict=True)),
        }

    def criterion(self, dev: dict[str, float]) -> float | list[float]:
        """Return the loss that needs no labels, where there is one; where the last is kept, later is less."""
        labelled = not {"mask", "cpc"} & set(self.config.objectives)
        loss = dev["loss_total" if labelled else "loss_label_free"]
        return [-float(self.state["epoch"]), loss] if self.config.keep == "last" else loss

    def keep(self, record: dict[str, Any]) -> None:
        """Store the encoder, its batch-norm statistics taken anew."""
        if not self.group.first:
            return
        batches = self.load(self.train, FIXED, self.train.batches(FIXED)[: self.config.bn_recalibrate])
        encoder = recalibrated(self.objective.encoder, batches, self.config.precision)
        extra = {
            "epoch": record["epoch"],
            "seed": self.seed,
            "objectives": self.config.objectives,
            "vocoders": self.train.names,
            "precision": self.config.precision,
            "device": self.group.device.type,
            "processes": self.group.world,
            "threads": self.config.threads,
            "dev": record["dev"],
        }
        save_encoder(self.out, encoder, encoder.config, self.feats, extra)

    def show(self, summary: dict[str, float]) -> str:
        """Return one line of a summary: each loss (level of chance in brackets), accuracies in percent."""
        parts = [f"loss {summary['loss_total']:.3f}"]
        for name in (*_SHOWN, *_SHOWN_SHARES):
            if name not in summary:
                continue
            scale, digits = (1.0, 3) if name in _SHOWN else (100.0, 1)
            chance = summary.get(f"chance_{name}")
            beside = "" if chance is None else f" ({scale * chance:.{digits}f})"
            parts.append(f"{name.removeprefix('loss_')} {scale * summary[name]:.{digits}f}{beside}")
        if "grad_norm" in summary:
            parts.append(f"gradient {summary['grad_norm']:.2f}")
        return ", ".join(parts)


def parameter_groups(objective: Objective, config: PretrainConfig) -> list[dict[str, Any]]:
    """Return AdamW's groups: the heads of L_adv learn at `adv_lr` times the rate of all else."""
    heads = {name: p for name, p in objective.named_parameters() if name.startswith("adversarial.")}
    rest = [p for name, p in objective.named_parameters() if name not in heads]
    groups = [(rest, 1.0), (list(heads.values()), config.adv_lr)]
    return [{"params": params, "scale": scale} for params, scale in groups if params]


def compiled(encoder: Encoder, group: Processes) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the encoder's `encode` compiled, for any batch and length; uncompiled where that cannot be.

    That is so in all processes or in none. What cannot be compiled later on runs as it is; sums over all
    processes always do.
    """
    failed = torch.zeros(1, device=group.device)
    try:
        torch.compile(_trial)(torch.ones(4, device=group.device))
    except Exception as error:  # whatever it is, training can go on without
        reason = str(error).strip().splitlines() or [type(error).__name__]
        log.warning("compile: not possible here (%s); training goes on without", reason[0])
        failed += 1
    if group.most(failed) > 0:
        return encoder.encode
    torch._dynamo.config.suppress_errors = True
    for module in encoder.modules():
        if isinstance(module, MaskedBatchNorm2d) and module.share is not None:
            module.share = torch.compiler.disable(module.share)
    return torch.compile(encoder.encode, dynamic=True)


def _trial(x: Tensor) -> Tensor:
    return x.sin() + x.cos()


@torch.no_grad()
def recalibrated(encoder: Encoder, batches: Iterator[Batch], precision: str) -> Encoder:
    """Return a copy of `encoder` whose batch-norm statistics are those of whole, unmasked batches.

    Pretraining sees inputs with patches set to zero, an embedding is taken from whole ones; the
    running averages also lag behind the weights. Each statistic becomes the plain mean of the
    batches' own. Without batches the copy keeps the running ones.
    """
    encoder = copy.deepcopy(encoder).train()
    norms = [module for module in encoder.modules() if isinstance(module, MaskedBatchNorm2d)]
    for norm in norms:
        norm.averaged, norm.share = 0, None  # one process does this
    for batch in batches:
        with torch.autocast(batch.mel.device.type, **autocast_options(precision)):
            encoder(batch.mel, batch.lengths)
    for norm in norms:
        norm.averaged = None
    return encoder.eval()
