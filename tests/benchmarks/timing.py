"""Taking times side by side, and the table of what was found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass
class Row:
    """A line of the table: what was measured, of which baseline, and what the project asks of it.

    Args:
        what: what is compared, and with what.
        ours: the measured value with its unit.
        base: the baseline's.
        ratio: how many times better ours is; or the value that `target` bounds.
        target: what is asked for, `>= 3` or `<= 20`; empty for a value that is only reported.
        note: what a reader must know of it.
    """

    what: str
    ours: str
    base: str
    ratio: float
    target: str = ""
    note: str = ""

    @property
    def verdict(self) -> str:
        """`yes` or `NO` as the target is met, `-` without one."""
        if not self.target:
            return "-"
        sign, bound = self.target.split()
        met = self.ratio >= float(bound) if sign == ">=" else self.ratio <= float(bound)
        return "yes" if met else "NO"


def alternate(
    tasks: Mapping[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.process_time
) -> dict[str, tuple[float, float]]:
    """Return {task: (least, median) time} of `repeats` rounds in which each task runs once.

    Round by round, so that what else the machine does meets all alike; processor time, so that waiting for
    a core does not count. A first round is not counted.

    Args:
        tasks: what to time.
        repeats: rounds.
        clock: seconds, of the processor by default.
    """
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(repeats + 1):
        for name, task in tasks.items():
            begin = clock()
            task()
            if number:
                times[name].append(clock() - begin)
    return {name: (min(one), float(np.median(one))) for name, one in times.items()}


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table, with the notes below."""
    lines = [
        "| measured | ours | baseline | ratio or value | asked for | met |",
        "|---|---:|---:|---:|---:|---|",
    ]
    notes = []
    for row in rows:
        mark = ""
        if row.note:
            notes.append(row.note)
            mark = f" [{len(notes)}]"
        cells = [row.what + mark, row.ours, row.base, f"{row.ratio:.3g}", row.target or "-", row.verdict]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"[{i}] {note}" for i, note in enumerate(notes, 1))])
