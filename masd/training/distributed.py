"""What a training process must know about the others that torchrun started, if any."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from masd.errors import MasdError

TIMEOUT = timedelta(
    minutes=30
)  # that a process waits for the others: one may be compiling, or its disk is slow
_LOST = re.compile("gloo|nccl|connection (closed|reset|refused)|by peer", re.IGNORECASE)


class _Sum(torch.autograd.Function):
    """The sum over all processes; with the loss summed over them too, so is the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.detach().clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total


@dataclass(frozen=True)
class Processes:
    """This process among all.

    Args:
        rank: its number, from 0; number 0 writes files and logs.
        world: how many there are.
        device: what it computes on.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def add_up(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over all processes."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values

    def most(self, value: Tensor) -> Tensor:
        """Return the largest `value` of all processes."""
        if self.world > 1:
            distributed.all_reduce(value, distributed.ReduceOp.MAX)
        return value

    def share(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over all processes, to be differentiated; all must call it."""
        return _Sum.apply(values) if self.world > 1 else values

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.world > 1:
            distributed.barrier()

    def rows(self, size: int, parts: int) -> list[list[int]]:
        """Return this process's rows of a batch of `size` items in each of its micro-batches.

        Micro-batch m of all processes together has every `parts`-th item from the m-th, whatever
        their number is; of these a process takes every `world`-th from its rank's.
        """
        return [list(range(size))[m::parts][self.rank :: self.world] for m in range(parts)]


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the process group that torchrun's WORLD_SIZE announces; without it there is one process.

    Args:
        device: `auto`, `cpu` or `cuda`; with `cuda` each process takes the GPU of its LOCAL_RANK.

    Raises:
        MasdError: there is no GPU, or another process of the group was lost, or has not come in `TIMEOUT`.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise MasdError(f"device: {device}: torch sees no GPU; use device: cpu, or a CUDA build of torch")
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if device == "cuda":
        device = f"cuda:{_own_gpu()}"
        torch.cuda.set_device(device)
    if world == 1:
        yield Processes(0, 1, torch.device(device))
        return
    if rank > 0:
        logging.getLogger("masd").setLevel(logging.WARNING)  # one process tells what all do
    place, ended = torch.device(device), False
    own = {"device_id": place} if place.type == "cuda" else {}  # else NCCL guesses the GPU by the rank
    try:
        distributed.init_process_group("nccl" if own else "gloo", timeout=TIMEOUT, **own)
        yield Processes(rank, world, place)
        ended = True
    except RuntimeError as error:  # torch's own distributed errors are RuntimeErrors
        if not isinstance(error, distributed.DistError) and not _LOST.search(str(error)):
            raise
        raise MasdError(
            f"process {rank} of {world} has lost another one ({' '.join(str(error).split())[:160]}); "
            "see the others' lines, then run the same command again: it goes on from the last save"
        ) from None
    finally:
        # after an error NCCL would wait for the others, who may wait for this one; its end ends them
        if distributed.is_initialized() and (ended or not own):
            distributed.destroy_process_group()


def _own_gpu() -> int:
    local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= count:
        raise MasdError(f"device: process {local} of this host has no GPU, torch sees {count}; lower ngpu")
    return local


def refuse_several(what: str) -> None:
    """Raise `MasdError` if torchrun has started more than one process for `what`, which runs in one."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1:
        raise MasdError(f"{what} is fitted in one process, torchrun has started {world}; run it without")
