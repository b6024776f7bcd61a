"""The evaluated systems below exp/<size>, told apart by folder names `<system>_s<seed>`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from masd.errors import MasdError
from masd.files import read_json
from masd.report.trials import Trials, read_trials


@dataclass
class Run:
    """One evaluated system: one training with one seed on one evaluation set.

    Attributes:
        folder: exp/<size>/<tag>.
        system: the tag without its seed, e.g. `full` or `full_paper_literal`.
        seed: of the training; None if the tag has none.
        set: the evaluation set.
        metrics: metrics.json of that set.
    """

    folder: Path
    system: str
    seed: int | None
    set: str
    metrics: dict[str, Any]

    @cached_property
    def trials(self) -> Trials:
        """The joined trials of the set."""
        return read_trials(self.folder / "scores" / self.set / "trials.tsv")

    @property
    def name(self) -> str:
        """The tag."""
        return self.folder.name

    def other_set(self, name: str) -> dict[str, Any] | None:
        """Return the metrics of another set, None if it was not evaluated."""
        path = self.folder / "scores" / name / "metrics.json"
        return read_json(path) if path.is_file() else None


def find_runs(exp: str | Path, name: str = "eval") -> list[Run]:
    """Return every system below `exp` that was evaluated on the set `name`, by system and seed.

    Raises:
        MasdError: there is none.
    """
    runs = []
    for path in sorted(Path(exp).glob(f"*/scores/{name}/metrics.json")):
        folder = path.parents[2]
        match = re.fullmatch(r"(.+)_s(\d+)", folder.name)
        system, seed = (match[1], int(match[2])) if match else (folder.name, None)
        runs.append(Run(folder, system, seed, name, read_json(path)))
    if not runs:
        raise MasdError(
            f"{exp}: no system has {name}/metrics.json; run the evaluate entry point on its scores"
        )
    return sorted(runs, key=lambda run: (run.system, -1 if run.seed is None else run.seed))


def of_system(runs: list[Run], system: str) -> list[Run]:
    """Return a system's runs; `MasdError` lists the systems there are if it has none."""
    found = [run for run in runs if run.system == system]
    if not found:
        names = ", ".join(dict.fromkeys(run.system for run in runs))
        raise MasdError(f"system {system} has not been evaluated; there are {names}")
    return found
