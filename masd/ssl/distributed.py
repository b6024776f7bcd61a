"""What a training process must know about the others that torchrun started, if any."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from masd.errors import MasdError


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

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the process group that torchrun's WORLD_SIZE announces; without it there is one process.

    Args:
        device: `auto`, `cpu` or `cuda`; with `cuda` each process takes the GPU of its LOCAL_RANK.

    Raises:
        MasdError: there is no GPU.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise MasdError(f"device: {device}: torch sees no GPU; use device: cpu, or a CUDA build of torch")
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    if world == 1:
        yield Processes(0, 1, torch.device(device))
        return
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Processes(rank, world, torch.device(device))
    finally:
        distributed.destroy_process_group()
