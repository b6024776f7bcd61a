"""A training on several processes of this machine: started by torchrun, or forked from the tests."""

from __future__ import annotations

import logging
import multiprocessing
import os
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from masd.cli import setup_logging

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}


def command(count: int, *program: str) -> list[str]:
    """The command line of torchrun for `count` processes that run `program` (`-m module ...`)."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return [*run, *program]


def forked(count: int, work: Callable[[], object], said: Path, double: bool = False) -> None:
    """Do `work` in `count` processes of one group and check that all end well; what they say goes to `said`.

    They are told what torchrun tells its own, and have torch loaded, which takes most of the time. With
    `double` they compute in double precision: in single precision a value that rounds to the other side of
    a ReLU's kink makes two equal computations part after a few steps.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=_rank, args=(r, count, port, work, said, double)) for r in range(count)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(300)
        process.kill()
    assert [process.exitcode for process in ranks] == [0] * count, said.read_text()


def _rank(rank: int, count: int, port: int, work: Callable[[], object], said: Path, double: bool) -> None:
    group = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in group.items()}, MASTER_ADDR="127.0.0.1")
    status = 1
    with open(said, "a", encoding="utf-8", buffering=1) as sys.stderr:
        try:
            logging.getLogger("masd").setLevel(logging.NOTSET)
            setup_logging()
            if double:
                torch.set_default_dtype(torch.float64)
                torch.Tensor.float = torch.Tensor.double
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
    os._exit(status)  # nothing of the tests' own is done at its end
