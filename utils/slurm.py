#!/usr/bin/env python3
"""Run a command, or an array of them, as one job array of Slurm, and wait for its end."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import cluster
from cluster import Batch, Scheduler, Silent, State, ask

ACTIVE = {
    "PENDING",
    "RUNNING",
    "CONFIGURING",
    "COMPLETING",
    "SUSPENDED",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "RESIZING",
    "RESV_DEL_HOLD",
    "SIGNALING",
    "SPECIAL_EXIT",
    "STAGE_OUT",
    "STOPPED",
}
# Reasons of a pending job that waiting does not mend.
HOPELESS = re.compile(
    r"launch failed requeued held|BadConstraints|DependencyNeverSatisfied|InvalidAccount|InvalidQOS"
    r"|PartitionNodeLimit|PartitionTimeLimit|JobHoldMaxRequeue"
)
BUSY = re.compile(
    r"timed out|temporarily|Unable to contact|try again|Connection refused|not responding", re.I
)
LIMIT = re.compile(r"submit limit|MaxSubmit|violates accounting/QOS policy|Job limit|too many", re.I)


class Slurm(Scheduler):
    """Slurm through sbatch, squeue, scontrol, scancel, and sacct where there is accounting."""

    title = "Slurm"
    conf = Path("conf/slurm.conf")
    busy, limit = BUSY, LIMIT

    @cache  # noqa: B019  one scheduler lives as long as the process
    def max_tasks(self) -> int:
        """Return MaxArraySize less one: the greatest index, and a number of tasks that one array may have."""
        found = re.search(
            r"^MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config").stdout, re.MULTILINE
        )
        return max(1, int(found[1]) - 1) if found else 1000

    def indices(self, numbers: list[int]) -> list[int]:
        """Return the jobs' own numbers, or 1, 2, ... if one is greater than an index may be."""
        return numbers if max(numbers) <= self.max_tasks() else list(range(1, len(numbers) + 1))

    def submit(self, command: list[str], batch: Batch, at_once: int) -> str:
        """Submit one job array."""
        log = str(batch.queue_log("MASD_INDEX")).replace("%", "%%").replace("MASD_INDEX", "%a")
        done = ask(
            *command,
            "--parsable",
            f"--array={_ranges(list(batch.jobs))}" + (f"%{at_once}" if at_once else ""),
            f"--job-name={batch.label}",
            f"--chdir={os.getcwd()}",
            f"--output={log}",
            "--open-mode=append",
            str(batch.script("SLURM_ARRAY_TASK_ID")),
        )
        return self.accepted(done, r"^(\d+)(?:;.*)?$")

    def states(self, arrays: Iterable[str]) -> dict[str, State]:
        """Ask squeue once for all arrays."""
        done = ask(
            "squeue",
            "--noheader",
            "--array",
            "--states=all",
            "--format=%F_%K|%T|%r",
            "--jobs=" + ",".join(sorted(arrays)),
        )
        if done.returncode != 0:
            if "Invalid job id" in done.stderr:  # all of them ended so long ago that they are forgotten
                return {}
            raise Silent(" ".join(done.stderr.split()) or f"squeue ended with {done.returncode}")
        states = {}
        for line in done.stdout.splitlines():
            if line.count("|") >= 2:
                task, state, reason = line.strip().split("|", 2)
                hopeless = state not in {"RUNNING", "COMPLETING"} and bool(HOPELESS.search(reason))
                text = f"{state}, {reason}" if hopeless else state
                states[task] = State(state in ACTIVE, text, hopeless and state in ACTIVE)
        return states

    def fate(self, task: str) -> str:
        """Ask scontrol, which knows jobs for minutes after their end, then the accounting if there is one."""
        shown = ask("scontrol", "--oneliner", "show", "job", task).stdout
        state, code = re.search(r"JobState=(\w+)", shown), re.search(r"ExitCode=(\d+):(\d+)", shown)
        if state and code and state[1] not in ACTIVE:
            return _fate(state[1], code[1], code[2])
        told = ask(
            "sacct", "--noheader", "--parsable2", "--allocations", "--format=State,ExitCode", "--jobs", task
        )
        match = re.search(r"^([A-Z_]+)[^|]*\|(\d+):(\d+)", told.stdout, re.MULTILINE)
        return _fate(*match.groups()) if told.returncode == 0 and match else ""

    def cancel(self, arrays: Iterable[str]) -> None:
        """Cancel with scancel."""
        ask("scancel", "--quiet", *sorted(arrays))


def _fate(state: str, code: str, number: str) -> str:
    how = f", signal {number}" if number != "0" else f", exit status {code}" if code != "0" else ""
    return state + how


def _ranges(numbers: list[int]) -> str:
    """Return [1, 2, 3, 7] as 1-3,7."""
    parts: list[list[int]] = []
    for value in numbers:
        if parts and value == parts[-1][1] + 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in parts)


if __name__ == "__main__":
    cluster.launch(Slurm(), __doc__)
