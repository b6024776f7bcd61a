#!/usr/bin/env python3
"""Run a command, or an array of them, as one array job of Grid Engine, and wait for its end."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import cluster
from cluster import Batch, Scheduler, Silent, State, ask

BUSY = re.compile(r"unable to contact|timeout|can't connect|got no connection|not responding|try again", re.I)
LIMIT = re.compile(r"max_u_jobs|max_jobs|max_aj_tasks|not allowed to submit|limit of", re.I)


class GridEngine(Scheduler):
    """Grid Engine (SGE, Son of Grid Engine, Univa, Altair) through qsub, qstat, qacct and qdel."""

    title = "Grid Engine"
    conf = Path("conf/sge.conf")
    busy, limit = BUSY, LIMIT

    @cache  # noqa: B019  one scheduler lives as long as the process
    def max_tasks(self) -> int:
        """Return max_aj_tasks, Grid Engine's limit on one array."""
        found = re.search(r"^max_aj_tasks\s+(\d+)", ask("qconf", "-sconf").stdout, re.MULTILINE)
        return int(found[1]) or 75000 if found else 75000

    def indices(self, numbers: list[int]) -> list[int]:
        """Return the jobs' own numbers if they are one range from 1 on, which is all that qsub -t takes."""
        whole = numbers[0] >= 1 and numbers == list(range(numbers[0], numbers[-1] + 1))
        return numbers if whole else list(range(1, len(numbers) + 1))

    def submit(self, command: list[str], batch: Batch, at_once: int) -> str:
        """Submit one array job."""
        indices = list(batch.jobs)
        done = ask(
            *command,
            "-terse",
            *("-t", f"{indices[0]}-{indices[-1]}"),
            *(("-tc", str(at_once)) if at_once else ()),
            *("-N", batch.label),
            *("-wd", os.getcwd()),
            *("-S", "/bin/sh"),
            *("-j", "y"),
            *("-o", str(batch.queue_log("$TASK_ID"))),
            str(batch.script("SGE_TASK_ID")),
        )
        return self.accepted(done, r"^(\d+)(?:\.\S+)?$")

    def states(self, arrays: Iterable[str]) -> dict[str, State]:
        """Ask qstat once for all of the user's jobs; it shows none that has ended."""
        done = ask("qstat", "-xml", "-u", getpass.getuser())
        try:
            tree = ElementTree.fromstring(done.stdout)
        except ElementTree.ParseError:
            tree = None
        if done.returncode != 0 or tree is None:
            raise Silent(" ".join(done.stderr.split()) or f"qstat ended with {done.returncode}")
        wanted = set(arrays)
        states = {}
        for entry in tree.iter("job_list"):
            array, state = entry.findtext("JB_job_number", ""), entry.findtext("state", "")
            if array in wanted:
                why = f"state {state}, see qstat -j {array}" if "E" in state else state
                for index in _indices(entry.findtext("tasks", "1")):
                    states[f"{array}_{index}"] = State(True, why, "E" in state)
        return states

    def fate(self, task: str) -> str:
        """Ask the accounting, which learns of an end some seconds late."""
        array, index = task.split("_")
        told = ask("qacct", "-j", array, "-t", index).stdout
        failed = re.findall(r"^failed\s+(.*\S)", told, re.MULTILINE)
        status = re.findall(r"^exit_status\s+(\d+)", told, re.MULTILINE)
        parts = [f"failed {failed[-1]}"] if failed and not failed[-1].startswith("0") else []
        return ", ".join(parts + ([f"exit status {status[-1]}"] if status else []))

    def cancel(self, arrays: Iterable[str]) -> None:
        """Delete with qdel, whole arrays or `<array>_<index>`."""
        for name in sorted(arrays):
            array, _, index = name.partition("_")
            ask("qdel", array, *(("-t", index) if index else ()))


def _indices(text: str) -> Iterator[int]:
    """Yield the numbers of 2, of 3-9:2, and of both with a comma between them."""
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part.strip())
        if match:
            yield from range(int(match[1]), int(match[2] or match[1]) + 1, int(match[3] or 1))


if __name__ == "__main__":
    cluster.launch(GridEngine(), __doc__)
