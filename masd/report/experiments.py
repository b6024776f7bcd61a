"""The evaluated systems below exp/<size>, told apart by folder names `<system>_s<seed>`."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from masd.errors import MasdError
from masd.report.trials import Trials, read_excused, read_trials
from masd.stage.files import Mark, read_json, read_yaml

log = logging.getLogger(__name__)


@dataclass
class Run:
    """One evaluated system: one training with one seed on one evaluation set.

    Attributes:
        folder: exp/<size>/<tag>.
        system: the tag without its seed, e.g. `full` or `full_paper_literal`.
        seed: of the training; None if the tag has none.
        results: where metrics.json and trials.tsv of the evaluation set are.
        metrics: metrics.json.
    """

    folder: Path
    system: str
    seed: int | None
    results: Path
    metrics: dict[str, Any]

    @cached_property
    def trials(self) -> Trials:
        """The joined trials of the set."""
        return read_trials(self.results / "trials.tsv")

    @cached_property
    def excused(self) -> dict[str, set[str]]:
        """{list that evaluation was given: the trials it names as failed}; a list that is gone names none."""
        lists = self.metrics.get("inputs", {}).get("request", {}).get("excused", [])
        return {name: read_excused([name] if Path(name).is_file() else []) for name in lists}

    @cached_property
    def command(self) -> str:
        """The command that made the scores, as the scoring stage kept it; empty where it did not."""
        mark = Mark(self.folder / "scores" / self.set)
        return str(mark.read().get("command", "")) if mark.path.is_file() else ""

    @property
    def set(self) -> str:
        """The evaluation set's name."""
        return self.results.name

    @cached_property
    def model(self) -> dict[str, Any]:
        """What model.yaml says of the fitted system; empty for scores made elsewhere."""
        path = self.folder / "model" / "model.yaml"
        return read_yaml(path) if path.is_file() else {}

    @property
    def ours(self) -> bool:
        """Whether a fitted system of this project gave the scores, rather than somebody's score file."""
        return bool(self.model or self.metrics.get("inputs", {}).get("request", {}).get("model"))

    @property
    def paper(self) -> bool:
        """Whether it is the paper's whole system, as `full` or read literally, trained here or zero-shot."""
        return self.ours and self.system.removeprefix("zero_shot_") in ("full", "full_paper_literal")

    @cached_property
    def weights(self) -> int:
        """Bytes of the fitted system's weights, 0 where it is not there."""
        files = (self.folder / "model").glob("*")
        return sum(path.stat().st_size for path in files if path.suffix in (".npz", ".safetensors"))

    @property
    def name(self) -> str:
        """The tag; of a folder evaluated elsewhere, what it was called."""
        return self.system if self.folder == self.results else self.folder.name

    def other_set(self, name: str) -> dict[str, Any] | None:
        """Return the metrics of another set, None if it was not evaluated."""
        path = self.results.parent / name / "metrics.json"
        return read_json(path) if path.is_file() else None


def find_runs(exp: str | Path, name: str = "eval", only: Collection[Path] | None = None) -> list[Run]:
    """Return every system below `exp` that was evaluated on the set `name`, by system and seed.

    What evaluate wrote is looked for in `<exp>/<tag>/results/<name>` and `<exp>/<tag>/scores/<name>`;
    where `only` is given, a metrics.json that is not in it is passed over.

    Raises:
        MasdError: there is none, or a system was evaluated in both places.
    """
    runs: list[Run] = []
    paths = [p for place in ("results", "scores") for p in Path(exp).glob(f"*/{place}/{name}/metrics.json")]
    for path in sorted(paths):
        if only is not None and path not in only:
            log.info("%s: not of the page; passed over", path.parent)
            continue
        folder = path.parents[2]
        if runs and runs[-1].folder == folder:
            raise MasdError(f"{path} and {runs[-1].results} are both of {folder.name}; remove the stale one")
        match = re.fullmatch(r"(.+)_s(\d+)", folder.name)
        system, seed = (match[1], int(match[2])) if match else (folder.name, None)
        runs.append(Run(folder, system, seed, path.parent, read_json(path)))
    if not runs:
        raise MasdError(
            f"{exp}: no system has {name}/metrics.json; run the evaluate entry point on its scores"
        )
    return sorted(runs, key=lambda run: (run.system, -1 if run.seed is None else run.seed))


def runs_of_folders(folders: Mapping[str, Path]) -> list[Run]:
    """Return a run of each {system: folder that evaluate wrote}, wherever it lies; such have no seed."""
    return [Run(path, name, None, path, read_json(path / "metrics.json")) for name, path in folders.items()]


def of_system(runs: list[Run], system: str) -> list[Run]:
    """Return a system's runs; `MasdError` lists the systems there are if it has none."""
    found = [run for run in runs if run.system == system]
    if not found:
        names = ", ".join(dict.fromkeys(run.system for run in runs))
        raise MasdError(f"system {system} has not been evaluated; there are {names}")
    return found
