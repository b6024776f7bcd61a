"""The pretraining loop: steps, validation, logs, the best encoder, and exact resuming."""

from __future__ import annotations

import copy
import json
import logging
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.files import write_lines
from masd.models.encoder import Encoder, save_encoder
from masd.models.normalization import MaskedBatchNorm2d
from masd.seeding import derive
from masd.ssl.checkpoint import load_checkpoint, read_state, save_checkpoint
from masd.ssl.config import PretrainConfig
from masd.ssl.data import FIXED, Crops, mel_statistics
from masd.ssl.distributed import Processes
from masd.ssl.objective import Batch, Objective, autocast_options, summarise

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 30.0


class Trainer:
    """Trains an encoder; `run` does all that is left to do of it.

    Every random draw comes from (seed, epoch, index) or (seed, step), never from a stream that is
    carried along, so a run that is killed and started again takes the same steps.

    Args:
        objective: encoder and heads, on the CPU.
        train: training items.
        dev: items of speakers that are not in `train`.
        feats: feature configuration, stored with the encoder.
        out: output folder.
        seed: root of all draws.
        work: digest of inputs and configuration; a checkpoint with another one is not continued.
        group: this process among all.
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
        self.config: PretrainConfig = objective.config
        self.train, self.dev, self.feats, self.group = train, dev, feats, group
        self.out, self.seed, self.work = out, seed, work
        layout = torch.channels_last if self.config.channels_last else torch.contiguous_format
        self.objective = objective.to(group.device, memory_format=layout)
        self.norms = [one for one in objective.modules() if isinstance(one, MaskedBatchNorm2d)]
        self.optimizer = torch.optim.AdamW(
            objective.parameters(), lr=self.config.lr, weight_decay=self.config.weight_decay
        )
        self.scaler = torch.amp.GradScaler(group.device.type, enabled=self.config.precision == "fp16")
        self.steps = len(train.batches(0))
        if min(len(batch) for batch in train.batches(0)) < group.world:
            raise MasdError(f"batch: too small to give each of {group.world} processes an item")
        self.state: dict[str, Any] = {
            "work": work, "epoch": 0, "done": 0, "best": None, "sums": {}, "history": [], "scaler": {},
        }  # fmt: skip
        self.saved = time.monotonic()

    @property
    def last(self) -> Path:
        """The checkpoint file."""
        return self.out / "last.safetensors"

    @property
    def step(self) -> int:
        """Optimiser steps taken."""
        return self.state["epoch"] * self.steps + self.state["done"]

    def run(self) -> dict[str, Any]:
        """Train to the end, from the checkpoint if there is one; return the best epoch's record."""
        self._restore()
        model: nn.Module = self.objective
        if self.group.world > 1:
            only_mask = set(self.config.objectives) == {"mask"}  # then alpha gets no gradient
            model = nn.parallel.DistributedDataParallel(self.objective, find_unused_parameters=only_mask)
        with _log_file(self.out / "train.log", self.group.first), self._board() as board:
            self._describe()
            while self.state["epoch"] < self.config.epochs:
                self._epoch(model, board)
        return self.state["history"][self.state["best"]["index"]]

    def _restore(self) -> None:
        """Go on from the checkpoint if it is this very run's, else begin."""
        if self.last.is_file():
            state = read_state(self.last)
            if state.get("work") == self.work:
                load_checkpoint(self.last, self.objective, self.optimizer, self.group.device)
                self.scaler.load_state_dict(state["scaler"])
                self.state = state
                return
            log.warning("%s: of a run with other inputs or settings; starting anew", self.last)
        encoder = self.objective.encoder
        if encoder.config.normalise == "per_bin":
            encoder.set_statistics(*mel_statistics(self.train.real, self.config.statistics_utts, self.seed))
        self.group.wait()  # nobody may look for the old files any more
        if self.group.first:
            shutil.rmtree(self.out / "tensorboard", ignore_errors=True)
            for name in ("train.log", "metrics.jsonl"):
                (self.out / name).unlink(missing_ok=True)

    def _describe(self) -> None:
        count = sum(p.numel() for p in self.objective.encoder.parameters())
        heads = sum(p.numel() for p in self.objective.parameters()) - count
        log.info(
            "%d training and %d validation utterances, copies by %s; encoder %d parameters, heads %d; "
            "%d steps an epoch on %s x %d; from epoch %d, step %d",
            len(self.train), len(self.dev), ", ".join(self.train.names) or "no vocoder", count, heads,
            self.steps, self.group.device, self.group.world, self.state["epoch"] + 1, self.step,
        )  # fmt: skip

    def _epoch(self, model: nn.Module, board: SummaryWriter | None) -> None:
        epoch, begin = self.state["epoch"], time.monotonic()
        batches = self.train.batches(epoch)[self.state["done"] :]
        model.train()
        line = begin
        for batch in self._load(self.train, epoch, [b[self.group.rank :: self.group.world] for b in batches]):
            summary = self._step(model, batch)
            if board is not None:
                for name, value in summary.items():
                    board.add_scalar(f"train/{name}", value, self.step)
            if time.monotonic() - line > _SECONDS_BETWEEN_LINES:
                line = time.monotonic()
                log.info("epoch %d step %d/%d: %s", epoch + 1, self.state["done"], self.steps, _show(summary))
            if self.state["done"] < self.steps:
                self._save_now_and_then()
        self._end_epoch(board, time.monotonic() - begin)

    def _load(self, crops: Crops, epoch: int, batches: list[list[int]]) -> Iterator[Batch]:
        loader = DataLoader(
            crops,
            batch_sampler=[[(epoch, index) for index in batch] for batch in batches],
            collate_fn=crops.collate,
            num_workers=self.config.workers,
            pin_memory=self.group.device.type == "cuda",
            generator=torch.Generator(),  # the loader would draw from the global one
        )
        for batch in loader:
            yield batch.to(self.group.device)

    def _generator(self, *names: str | int) -> torch.Generator:
        generator = torch.Generator(self.group.device)
        return generator.manual_seed(derive(self.seed, *names))

    def _step(self, model: nn.Module, batch: Batch) -> dict[str, float]:
        """Take one optimiser step; return its losses, accuracies, gradient norm and learning rate."""
        config = self.config
        for settings in self.optimizer.param_groups:
            settings["lr"] = learning_rate(self.step, self.steps * config.epochs, config)
        for norm in self.norms:  # the first running averages would be mostly their initial values
            norm.momentum = max(self.objective.encoder.config.bn_momentum, 1.0 / (self.step + 1))
        loss, sums = model(batch, self._generator("step", self.step, self.group.rank))
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        limit = config.clip if config.clip > 0 else math.inf
        norm = nn.utils.clip_grad_norm_(model.parameters(), limit)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        one = torch.ones_like(norm)
        numbers = self._collect(
            sums | {"sum/grad_norm": norm / self.group.world, "n/grad_norm": one / self.group.world}
        )
        summary = summarise(numbers, config, self.train.names)
        overflow = not math.isfinite(numbers["sum/grad_norm"])
        if not math.isfinite(summary["loss_total"]) or (overflow and not self.scaler.is_enabled()):
            raise MasdError(
                f"{self.out}: loss {summary['loss_total']:.4g}, gradient {summary['grad_norm']:.4g} at step "
                f"{self.step + 1}; lower lr or clip, or use precision: float32 (last.safetensors precedes it)"
            )
        if not overflow:  # the scaler skips a step that overflows in fp16
            accumulate(self.state["sums"], numbers)
        self.state["done"] += 1
        return summary | {"lr": self.optimizer.param_groups[0]["lr"]}

    def _collect(self, sums: dict[str, Tensor]) -> dict[str, float]:
        """Add up a step's sums over all processes, in one transfer."""
        values = self.group.add_up(torch.stack([value.double() for value in sums.values()]))
        return dict(zip(sums, values.tolist(), strict=True))

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return losses and accuracies on the held-out items: the same crops, masks and draws every time."""
        self.objective.eval()
        sums: dict[str, float] = {}
        batches = list(enumerate(self.dev.batches(FIXED)))[self.group.rank :: self.group.world]
        loaded = self._load(self.dev, FIXED, [batch for _, batch in batches])
        for (number, _), batch in zip(batches, loaded, strict=True):
            part = self.objective(batch, self._generator("dev", number))[1]
            accumulate(sums, {name: float(value) for name, value in part.items()})
        self.objective.train()
        names = sorted(self._names())
        values = torch.tensor([sums.get(name, 0.0) for name in names], dtype=torch.float64)
        total = self.group.add_up(values.to(self.group.device)).tolist()
        return summarise(dict(zip(names, total, strict=True)), self.config, self.dev.names)

    def _names(self) -> list[str]:
        # a process may have had no validation batch, but all must add up the same list
        return [name for name in self.state["sums"] if not name.endswith("grad_norm")]

    def _end_epoch(self, board: SummaryWriter | None, seconds: float) -> None:
        """Validate, keep the encoder if it is the best, write the epoch's record and the checkpoint."""
        state = self.state
        record: dict[str, Any] = {
            "epoch": state["epoch"] + 1,
            "step": self.step,
            "seconds": round(seconds, 1),
            "lr": self.optimizer.param_groups[0]["lr"],
            "alpha": self.objective.encoder.alpha.tolist(),
            "curriculum": dict(
                zip(self.train.names, self.train.probabilities(state["epoch"]).tolist(), strict=True)
            ),
            "train": summarise(state["sums"], self.config, self.train.names),
            "dev": self.validate(),
        }
        labelled = not {"mask", "cpc"} & set(self.config.objectives)
        score = record["dev"]["loss_total" if labelled else "loss_label_free"]
        record["best"] = state["best"] is None or score < state["best"]["score"]
        if record["best"]:
            state["best"] = {"score": score, "index": len(state["history"])}
            self._keep(record)
        state |= {"history": [*state["history"], record], "epoch": state["epoch"] + 1, "done": 0, "sums": {}}
        for part in ("train", "dev"):
            log.info("epoch %d %s: %s", record["epoch"], part, _show(record[part]))
        if board is not None:
            for name, value in record["dev"].items():
                board.add_scalar(f"dev/{name}", value, record["step"])
            board.flush()
        if self.group.first:
            write_lines(
                self.out / "metrics.jsonl", (json.dumps(one, sort_keys=True) for one in state["history"])
            )
            self._save()
        self.group.wait()

    def _keep(self, record: dict[str, Any]) -> None:
        if not self.group.first:
            return
        encoder = recalibrated(self.objective.encoder, self._recalibration(), self.config.precision)
        extra = {
            "epoch": record["epoch"],
            "seed": self.seed,
            "objectives": self.config.objectives,
            "vocoders": self.train.names,
            "dev": record["dev"],
        }
        save_encoder(self.out, encoder, encoder.config, self.feats, extra)

    def _recalibration(self) -> Iterator[Batch]:
        return self._load(self.train, FIXED, self.train.batches(FIXED)[: self.config.bn_recalibrate])

    def _save_now_and_then(self) -> None:
        if self.group.first and time.monotonic() - self.saved >= 60.0 * self.config.save_minutes:
            self._save()

    def _save(self) -> None:
        self.state["scaler"] = self.scaler.state_dict()
        save_checkpoint(self.last, self.objective, self.optimizer, self.state)
        self.saved = time.monotonic()

    def _board(self) -> AbstractContextManager[SummaryWriter | None]:
        if not self.group.first:
            return nullcontext()
        return SummaryWriter(str(self.out / "tensorboard"), purge_step=self.step + 1)


def learning_rate(step: int, steps: int, config: PretrainConfig) -> float:
    """Return the learning rate of step 0 .. steps - 1: linear warm-up, then constant or half a cosine."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.lr
    done = (step - config.warmup) / max(steps - config.warmup, 1)
    return config.lr * 0.5 * (1.0 + math.cos(math.pi * done))


def accumulate(total: dict[str, float], part: dict[str, float]) -> None:
    """Add the sums `part` to `total`."""
    for name, value in part.items():
        total[name] = total.get(name, 0.0) + value


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
        norm.averaged = 0
    for batch in batches:
        with torch.autocast(batch.mel.device.type, **autocast_options(precision)):
            encoder(batch.mel, batch.lengths)
    for norm in norms:
        norm.averaged = None
    return encoder.eval()


_SHOWN = ("loss_mask", "loss_cpc", "loss_binary", "loss_vocoder")
_SHOWN_SHARES = ("acc_cpc_within", "acc_cpc_across", "acc_binary", "acc_vocoder", "share_vocoded")


def _show(summary: dict[str, float]) -> str:
    """One line of a summary: each loss (level of chance in brackets), each accuracy in percent."""
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


@contextmanager
def _log_file(path: Path, active: bool) -> Iterator[None]:
    """Copy the log into a file while the block runs."""
    if not active:
        yield
        return
    logger = logging.getLogger("masd")
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)  # the file holds every epoch, whatever is shown
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()
