"""Feature dumps in two jobs against one."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from timing import Row

from masd.data.transform import merge

ROOT = Path(__file__).parents[2]


def rows(folders: list[Path], repeats: int) -> list[Row]:
    """Return two rows of dumping data folders, merged, through the launcher, jobs of one thread each.

    By the clock, and by the processor time of the slowest job: what the clock would say on free cores.
    """
    clock: dict[int, list[float]] = {1: [], 2: []}
    slowest: dict[int, list[float]] = {1: [], 2: []}
    with TemporaryDirectory() as merged:
        count = len(merge(Path(merged) / "data", folders).utts)
        for _ in range(repeats):
            for jobs in clock:
                begin = time.perf_counter()
                with TemporaryDirectory() as folder:
                    dump(Path(merged) / "data", Path(folder), jobs)
                    elapsed, used = time.perf_counter() - begin, processor(Path(folder))
                clock[jobs].append(elapsed)
                slowest[jobs].append(used)
    share = 100 * min(slowest[1]) / min(clock[1])
    names = ", ".join(folder.name for folder in folders)
    note = (
        f"Stage 3 of {count} utterances ({names}), each job's start-up of some seconds included, best of "
        f"{repeats} alternating rounds. One job alone got {share:.0f} % of a core, so that the clock tells "
        "of the jobs alone only where that is near 100."
    )
    what = "feature dumps with nj = 2 against nj = 1"
    return [
        _row(f"{what}, by the clock", clock, ">= 1.8", note),
        _row(f"{what}, by processor time of the slowest job", slowest, ">= 1.8"),
    ]


def _row(what: str, taken: dict[int, list[float]], target: str, note: str = "") -> Row:
    one, two = min(taken[1]), min(taken[2])
    return Row(what, f"{two:.1f} s", f"{one:.1f} s", one / two, target, note)


def dump(data: Path, out: Path, jobs: int) -> None:
    """Dump the features of `data` in `jobs` jobs as the recipes do."""
    launcher = [sys.executable, ROOT / "utils" / "run.py", "--num-threads", "1", f"JOB=1:{jobs}"]
    job = [sys.executable, "-m", "masd.bin.dump_feats", "--data", data, "--out", out / "dump"]
    shard = ["--job", "JOB", "--num-jobs", jobs]
    command = [*launcher, out / "log" / "dump.JOB.log", *job, *shard]
    subprocess.run(list(map(str, command)), check=True)


def processor(folder: Path) -> float:
    """Return the processor seconds of the slowest job, from the jobs' logs."""
    texts = [path.read_text(encoding="utf-8") for path in (folder / "log").glob("*.log")]
    return max(float(re.findall(r"processor time (\d+\.\d) s", text)[-1]) for text in texts)
