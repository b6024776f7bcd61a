"""Starting a program on several processes of this machine, as torchrun does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}


def command(count: int, *program: str) -> list[str]:
    """The command line of torchrun for `count` processes; of one process, without torchrun."""
    run = [sys.executable]
    if count > 1:
        run += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return [*run, *program]


def torchrun(count: int, *program: str, timeout: float = 300) -> subprocess.CompletedProcess:
    """Run `program` (`-m module ...` or a script) on `count` processes and return what it said."""
    return subprocess.run(
        command(count, *program), env=ENVIRONMENT, cwd=ROOT, timeout=timeout, capture_output=True, text=True
    )
