#!/usr/bin/env python3
"""Kill work again and again, let it end, and compare what it made with that of work that is let alone.

usage: kill.py [--kills N] [--seed S] [--recipe FOLDER --setup COMMAND] [-- OPTION ...]

Without --recipe it is stages 3 to 7 of a toy corpus, in processes forked from this one. With it, `./run.sh
OPTION ...` in copies of a recipe's folder, which has its data and downloads in it; `--setup` is run once in
each copy. A kill is a SIGKILL of all its processes, at a moment drawn over the time that it takes alone.
After a few kills the work is let end, and every file compared. Exit status 1 if anything differs or fails.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
from toy_stages import lay_out, results, stages  # noqa: E402

Start = Callable[[Path], int]  # starts the work in a folder, returns its process
AT_ONCE = 5  # kills before the work is let end


def forked(work: Callable[[Path], None]) -> Start:
    """Return what starts a function in a process of its own."""

    def start(folder: Path) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            work(folder)
            code = 0
        except BaseException as error:
            with suppress(OSError):  # of a disk that is full for this too
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(code)

    return start


def run_sh(options: list[str]) -> Start:
    """Return what starts a recipe's run.sh."""

    def start(folder: Path) -> int:
        log = open(folder / "kill.log", "ab")  # noqa: SIM115 - the process has it
        return subprocess.Popen(
            ["./run.sh", *options], cwd=folder, stdout=log, stderr=log, start_new_session=True
        ).pid

    return start


def kill(process: int) -> None:
    """SIGKILL a process and all that descend from it, stopped first so that none is missed."""
    family = [process]
    for one in family:  # grows
        try:
            os.kill(one, signal.SIGSTOP)
            for path in Path(f"/proc/{one}/task").glob("*/children"):
                family += map(int, path.read_text().split())
        except OSError:
            continue
    for one in family:
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            continue
    os.waitpid(process, 0)


def ended(process: int) -> bool:
    """Wait for a process's end; return whether it was good."""
    return os.waitpid(process, 0)[1] == 0


def killed_runs(
    start: Start, fresh: Callable[[Path], None], folder: Path, kills: int, seed: int
) -> dict[str, int]:
    """Kill work `kills` times; return counts: kills, runs and files compared, `different`, `blocked`.

    Args:
        start: starts the work.
        fresh: lays out a folder in which it can be started.
        folder: where; removed and made again for each run.
        kills: how many kills.
        seed: of their moments.
    """
    chance, found = random.Random(seed), dict.fromkeys(("kills", "runs", "files", "different", "blocked"), 0)
    fresh(folder)
    begun = time.monotonic()
    if not ended(start(folder)):
        raise SystemExit(f"the work fails where nothing is killed; see {folder}")
    alone, expected = time.monotonic() - begun, results(folder)
    while found["kills"] < kills:
        shutil.rmtree(folder)
        fresh(folder)
        for _ in range(min(AT_ONCE, kills - found["kills"])):
            process = start(folder)
            time.sleep(chance.uniform(0, alone))
            kill(process)
            found["kills"] += 1
        found["runs"] += 1
        found["blocked"] += not ended(start(folder))
        made = results(folder)
        differ = [name for name in made.keys() | expected.keys() if made.get(name) != expected.get(name)]
        found["files"] += len(expected)
        found["different"] += len(differ)
        for name in differ[:5]:
            print(f"differs: {name}", file=sys.stderr)
        print(", ".join(f"{value} {name}" for name, value in found.items()), flush=True)
    return found


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", type=Path)
    parser.add_argument("--setup", default="true")
    parser.add_argument("options", nargs="*")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if told.recipe is None:
            found = killed_runs(forked(stages), lay_out, Path(scratch, "toy"), told.kills, told.seed)
        else:
            for part in ("masd", "utils", "tools"):
                Path(scratch, part).symlink_to(ROOT / part)

            def fresh(folder: Path) -> None:
                shutil.copytree(told.recipe, folder, symlinks=True)
                subprocess.run(told.setup, shell=True, cwd=folder, check=True)

            place = Path(scratch, "egs", told.recipe.resolve().name)
            found = killed_runs(run_sh(told.options), fresh, place, told.kills, told.seed)
    sys.exit(bool(found["different"] or found["blocked"]))


if __name__ == "__main__":
    main()
