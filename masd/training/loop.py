"""A training loop that can be killed at any moment: steps, logs, validation, the best model, exact resuming.

`Loop` is what pretraining (masd.ssl.training) and the networks (masd.systems.network_training) share.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from masd.errors import MasdError
from masd.stage.files import write_lines
from masd.stage.seeding import derive
from masd.training.checkpoint import load_checkpoint, read_state, save_checkpoint
from masd.training.distributed import Processes

log = logging.getLogger(__name__)

LAST = "last.safetensors"  # the checkpoint in a training's folder
_SECONDS_BETWEEN_LINES = 30.0


class LoopConfig(Protocol):
    """The settings that every loop needs."""

    epochs: int
    lr: float
    clip: float
    warmup: int
    schedule: str
    precision: str
    workers: int
    save_minutes: float


class Items(Protocol):
    """A set of training items, read as (epoch, index) so that each draw is that item's own."""

    def __len__(self) -> int:
        """Return the number of items."""
        ...

    def batches(self, epoch: int) -> list[list[int]]:
        """Return the indices of each batch of an epoch."""
        ...

    def announce(self, epoch: int, batches: list[list[int]]) -> Iterator[list[int]]:
        """Yield the batches in turn, each before it is read."""
        ...

    def collate(self, items: list[Any]) -> Any:
        """Stack items to a batch, which has a method `to(device)`."""
        ...


class Loop(ABC):
    """Trains a module; `run` does all that is left to do of it.

    Every random draw comes from (seed, epoch, index) or (seed, step), never from a stream that is
    carried along, so a run that is killed and started again takes the same steps.

    Args:
        module: called with (batch, generator), returns the loss and sums to be added up; on its device.
        optimizer: of its parameters; Adam or AdamW.
        train: training items.
        config: the settings.
        out: output folder.
        seed: root of all draws.
        work: digest of inputs and configuration; a checkpoint with another one is not continued.
        group: this process among all.
    """

    unused = False  # whether some parameters may get no gradient

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        train: Items,
        config: LoopConfig,
        out: Path,
        seed: int,
        work: str,
        group: Processes,
    ) -> None:
        self.module, self.optimizer, self.train, self.settings = module, optimizer, train, config
        self.out, self.seed, self.work, self.group = out, seed, work, group
        self.scaler = torch.amp.GradScaler(group.device.type, enabled=config.precision == "fp16")
        self.parts: int = getattr(config, "accumulate", 1)
        batches = train.batches(0)
        self.steps = len(batches)
        if min(map(len, batches)) < group.world * self.parts:
            times = f" in each of {self.parts} micro-batches" if self.parts > 1 else ""
            raise MasdError(f"batch: too small to give each of {group.world} processes an item{times}")
        self.state: dict[str, Any] = {
            "work": work, "epoch": 0, "done": 0, "best": None, "sums": {}, "history": [], "scaler": {},
            "precision": config.precision,
        }  # fmt: skip
        self.saved = time.monotonic()

    @abstractmethod
    def begin(self) -> None:
        """Do what a new run needs before its first step."""

    @abstractmethod
    def describe(self) -> str:
        """Return one line on the model and the data."""

    @abstractmethod
    def summarise(self, sums: dict[str, float]) -> dict[str, float]:
        """Return losses and accuracies from sums; `loss_total` and `grad_norm` must be among them."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Return losses and accuracies on the held-out items."""

    @abstractmethod
    def criterion(self, dev: dict[str, float]) -> float | list[float]:
        """Return what the best epoch has least of; lists are compared in order."""

    @abstractmethod
    def keep(self, record: dict[str, Any]) -> None:
        """Store the model, the best so far; called by every process."""

    def before_epoch(self) -> None:  # noqa: B027 - a hook
        """Prepare an epoch; what this changes must be in the module's state, which checkpoints hold."""

    def before_step(self) -> None:  # noqa: B027 - a hook
        """Prepare an optimiser step."""

    def micro_batches(self, batch: Any, size: int) -> list[Any]:
        """Divide this process's share of a step of `size` items as `Processes.rows` says."""
        return [batch]

    def draws(self) -> torch.Generator:
        """Return the generator of a step's draws, a process's own."""
        return self.generator("step", self.step, self.group.rank)

    def extra(self) -> dict[str, Any]:
        """Return what else an epoch's record says."""
        return {}

    def show(self, summary: dict[str, float]) -> str:
        """Return one line of a summary for the log."""
        return ", ".join(f"{name} {value:.4g}" for name, value in summary.items())

    @property
    def last(self) -> Path:
        """The checkpoint file."""
        return self.out / LAST

    @property
    def step(self) -> int:
        """Optimiser steps taken."""
        return self.state["epoch"] * self.steps + self.state["done"]

    def run(self) -> dict[str, Any]:
        """Train to the end, from the checkpoint if there is one; return the best epoch's record."""
        self._restore()
        model = self.module
        if self.group.world > 1:
            model = nn.parallel.DistributedDataParallel(self.module, find_unused_parameters=self.unused)
        with _log_file(self.out / "train.log", self.group.first), self._board() as board:
            place = f"from epoch {self.state['epoch'] + 1}, step {self.step}"
            where = f"{self.group.device} x {self.group.world}"
            log.info("%s; %d steps an epoch on %s; %s", self.describe(), self.steps, where, place)
            while self.state["epoch"] < self.settings.epochs:
                self._epoch(model, board)
        return self.state["history"][self.state["best"]["index"]]

    def _restore(self) -> None:
        """Go on from the checkpoint if it is this very run's, else begin."""
        if self.last.is_file():
            state = read_state(self.last)
            if state.get("work") == self.work:
                load_checkpoint(self.last, self.module, self.optimizer, self.group.device)
                self.scaler.load_state_dict(state["scaler"])
                self.state |= state
                return
            log.warning("%s: of a run with other inputs or settings; starting anew", self.last)
        self.begin()
        self.group.wait()  # nobody may look for the old files any more
        if self.group.first:
            shutil.rmtree(self.out / "tensorboard", ignore_errors=True)
            for name in ("train.log", "metrics.jsonl"):
                (self.out / name).unlink(missing_ok=True)

    def _epoch(self, model: nn.Module, board: SummaryWriter | None) -> None:
        epoch, begin = self.state["epoch"], time.monotonic()
        batches = self.train.batches(epoch)[self.state["done"] :]
        if self.state["done"] == 0:
            self.before_epoch()
        model.train()
        line = begin
        mine = [self._mine(batch) for batch in batches]
        for whole, batch in zip(batches, self.load(self.train, epoch, mine), strict=True):
            summary = self._step(model, self.micro_batches(batch, len(whole)))
            if board is not None:
                for name, value in summary.items():
                    board.add_scalar(f"train/{name}", value, self.step)
            if time.monotonic() - line > _SECONDS_BETWEEN_LINES:
                line = time.monotonic()
                done = f"{self.state['done']}/{self.steps}"
                log.info("epoch %d step %s: %s", epoch + 1, done, self.show(summary))
            if self.state["done"] < self.steps:
                self._save_now_and_then()
        self._end_epoch(board, time.monotonic() - begin)

    def _mine(self, batch: list[int]) -> list[int]:
        return [batch[row] for part in self.group.rows(len(batch), self.parts) for row in part]

    def load(self, items: Any, epoch: int, batches: list[list[int]]) -> Iterator[Any]:
        """Yield batches of a set on the device, item (epoch, index) by its own draws.

        Raises:
            MasdError: an item cannot be read or put into a batch, or a worker that reads was killed.
        """
        loader = DataLoader(
            items,
            batch_sampler=_Keys(items, epoch, batches),
            collate_fn=items.collate,
            num_workers=self.settings.workers,
            pin_memory=self.group.device.type == "cuda",
            generator=torch.Generator(),  # the loader would draw from the global one
        )
        try:
            for batch in loader:
                yield batch.to(self.group.device)
        except MasdError as error:  # a worker's has its traceback before it
            raise MasdError(str(error).rstrip().rpartition("MasdError: ")[2]) from None
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise MasdError(
                f"{self.out}: a batch could not be read ({reason[-1][:200]}); mend that (where a worker was "
                f"killed, give fewer workers or more memory), and the training goes on from {LAST}"
            ) from None

    def generator(self, *names: str | int) -> torch.Generator:
        """Return a torch generator on the device for the named stream."""
        return torch.Generator(self.group.device).manual_seed(derive(self.seed, *names))

    def _gradients(self, model: nn.Module, batches: list[Any]) -> dict[str, Tensor]:
        """Add up the gradients of a step's micro-batches over all processes; return their sums."""
        total: dict[str, Tensor] = {}
        for number, batch in enumerate(batches, 1):
            one_more = self.group.world > 1 and number < len(batches)
            with model.no_sync() if one_more else nullcontext():
                loss, sums = model(batch, self.draws())
                if self.group.world > 1:
                    loss = loss * self.group.world  # gradients are averaged, losses are shares of a sum
                self.scaler.scale(loss).backward()
            total = {name: value + total[name] if total else value for name, value in sums.items()}
        return total

    def _step(self, model: nn.Module, batches: list[Any]) -> dict[str, float]:
        """Take one optimiser step; return its losses, accuracies, gradient norm and learning rate."""
        config = self.settings
        rate = learning_rate(self.step, self.steps * config.epochs, config)
        for settings in self.optimizer.param_groups:
            settings["lr"] = settings.get("scale", 1.0) * rate
        self.before_step()
        sums = self._gradients(model, batches)
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
        summary = self.summarise(numbers)
        overflow = not math.isfinite(numbers["sum/grad_norm"])
        if not math.isfinite(summary["loss_total"]) or (overflow and not self.scaler.is_enabled()):
            raise MasdError(
                f"{self.out}: loss {summary['loss_total']:.4g}, gradient {summary['grad_norm']:.4g} at step "
                f"{self.step + 1}; lower lr or clip, or use precision: float32 ({LAST} precedes it)"
            )
        if not overflow:  # the scaler skips a step that overflows in fp16
            accumulate(self.state["sums"], numbers)
        self.state["done"] += 1
        return summary | {"lr": self.optimizer.param_groups[0]["lr"]}

    def _collect(self, sums: dict[str, Tensor]) -> dict[str, float]:
        """Add up a step's sums over all processes, in one transfer."""
        values = self.group.add_up(torch.stack([value.double() for value in sums.values()]))
        return dict(zip(sums, values.tolist(), strict=True))

    def _end_epoch(self, board: SummaryWriter | None, seconds: float) -> None:
        """Validate, keep the model if it is the best, write the epoch's record and the checkpoint."""
        state = self.state
        record: dict[str, Any] = {
            "epoch": state["epoch"] + 1,
            "step": self.step,
            "seconds": round(seconds, 1),
            "lr": self.optimizer.param_groups[0]["lr"],
            **self.extra(),
            "train": self.summarise(state["sums"]),
            "dev": self.validate(),
        }
        score = self.criterion(record["dev"])
        if not all(map(math.isfinite, score if isinstance(score, list) else [score])):
            raise MasdError(
                f"{self.out}: the development set's loss is {score} after epoch {record['epoch']}; use "
                f"precision: float32 (the training goes on from {LAST}, which precedes it)"
            )
        record["best"] = state["best"] is None or score < state["best"]["score"]
        if record["best"]:
            state["best"] = {"score": score, "index": len(state["history"])}
            self.keep(record)
        state |= {"history": [*state["history"], record], "epoch": state["epoch"] + 1, "done": 0, "sums": {}}
        for part in ("train", "dev"):
            log.info("epoch %d %s: %s", record["epoch"], part, self.show(record[part]))
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

    def _save_now_and_then(self) -> None:
        if self.group.first and time.monotonic() - self.saved >= 60.0 * self.settings.save_minutes:
            self._save()

    def _save(self) -> None:
        self.state["scaler"] = self.scaler.state_dict()
        save_checkpoint(self.last, self.module, self.optimizer, self.state)
        self.saved = time.monotonic()

    def _board(self) -> AbstractContextManager[SummaryWriter | None]:
        if not self.group.first:
            return nullcontext()
        return SummaryWriter(str(self.out / "tensorboard"), purge_step=self.step + 1)


class _Keys:
    """The items of batches as (epoch, index), each batch when the loader comes to it."""

    def __init__(self, items: Items, epoch: int, batches: list[list[int]]) -> None:
        self.items, self.epoch, self.batches = items, epoch, batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in self.items.announce(self.epoch, self.batches):
            yield [(self.epoch, index) for index in batch]


def learning_rate(step: int, steps: int, config: LoopConfig) -> float:
    """Return the learning rate of step 0 .. steps - 1: linear warm-up, then constant or half a cosine.

    The cosine ends at `lr_min` where the configuration has one, else at 0.
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.lr
    done = (step - config.warmup) / max(steps - config.warmup, 1)
    low = getattr(config, "lr_min", 0.0)
    return low + (config.lr - low) * 0.5 * (1.0 + math.cos(math.pi * done))


def accumulate(total: dict[str, float], part: dict[str, float]) -> None:
    """Add the sums `part` to `total`."""
    for name, value in part.items():
        total[name] = total.get(name, 0.0) + value


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
