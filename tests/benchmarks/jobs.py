"""Feature dumps in two jobs against one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from timing import Row

ROOT = Path(__file__).parents[2]


def rows(data: Path, repeats: int) -> list[Row]:
    """Return the row: elapsed time of dumping `data` through the launcher, jobs of one thread each."""
    taken: dict[int, list[float]] = {1: [], 2: []}
    waits = []
    for _ in range(repeats):
        for jobs, times in taken.items():
            before, begin = os.times(), time.perf_counter()
            with TemporaryDirectory() as folder:
                dump(data, Path(folder), jobs)
            elapsed, after = time.perf_counter() - begin, os.times()
            used = after.children_user + after.children_system - before.children_user - before.children_system
            times.append(elapsed)
            waits.append(elapsed * jobs / used)
    one, two = (min(times) for times in taken.values())
    note = (
        f"Elapsed time of stage 3 with start-up, best of {repeats} alternating rounds. The jobs got "
        f"{100 / np.median(waits):.0f} % of the processor time of their cores; the rest was other work's."
    )
    return [
        Row(
            "feature dumps with nj = 2 against nj = 1",
            f"{two:.1f} s",
            f"{one:.1f} s",
            one / two,
            ">= 1.8",
            note,
        )
    ]


def dump(data: Path, out: Path, jobs: int) -> None:
    """Dump the features of `data` in `jobs` jobs as the recipes do."""
    launcher = [sys.executable, ROOT / "utils" / "run.py", "--num-threads", "1", f"JOB=1:{jobs}"]
    job = [sys.executable, "-m", "masd.bin.dump_feats", "--data", data, "--out", out / "dump"]
    shard = ["--job", "JOB", "--num-jobs", jobs]
    command = [*launcher, out / "log" / "dump.JOB.log", *job, *shard]
    subprocess.run(list(map(str, command)), check=True)
