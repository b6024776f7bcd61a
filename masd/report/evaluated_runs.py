"""The evaluated systems below exp/<size>, folders `<system>_s<seed>`, and which of them can be compared."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

import numpy as np

from masd.errors import MasdError
from masd.report.scored_trials import Trials, read_excused, read_trials
from masd.stage.files import Mark, read_json, read_yaml, sha256

log = logging.getLogger(__name__)

FEW = 0.05  # of the trials, or one: a system that failed on more is not compared on what it left over


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
        lists = self._request.get("excused", [])
        return {name: read_excused([name] if Path(name).is_file() else []) for name in lists}

    @property
    def failed(self) -> str:
        """How many trials the system could not score, and where they are listed; empty for none."""
        counts = self.metrics["counts"]
        failed = counts.get("excused", 0)
        total = failed + sum(counts[kind] for kind in ("bonafide", "spoof", "apart"))
        lists = [name for name, utts in self.excused.items() if utts] or list(self.excused)
        where = f" (listed in {', '.join(f'`{name}`' for name in lists)})"
        return f"{failed} of {total} trials could not be scored by {self.name}{where}." if failed else ""

    @cached_property
    def command(self) -> str:
        """The command that made the scores, as the scoring stage kept it; empty where it did not."""
        return str(Mark(self.folder / "scores" / self.set).read().get("command", ""))

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
    def _request(self) -> dict[str, Any]:
        return self.metrics.get("inputs", {}).get("request", {})

    @property
    def model_digest(self) -> str:
        """The digest of the model.yaml whose model gave the scores; empty for scores made elsewhere."""
        files = self.metrics.get("inputs", {}).get("files", {})
        return str(files.get(f"{self._request.get('model')}/model.yaml", ""))

    @property
    def ours(self) -> bool:
        """Whether a fitted system of this project gave the scores, rather than somebody's score file."""
        return bool(self.model or self._request.get("model"))

    @property
    def paper(self) -> bool:
        """Whether it is the paper's whole system, as `full` or read literally, trained here or zero-shot."""
        return self.ours and self.system.removeprefix("zero_shot_") in ("full", "full_paper_literal")

    @property
    def under_trained(self) -> bool:
        """Whether a comparison system's development loss was still falling when its budget ended."""
        return bool(self.model.get("run", {}).get("dev_loss_falling"))

    @cached_property
    def weights(self) -> int:
        """Bytes of the fitted system's weights, 0 where it is not there."""
        files = (self.folder / "model").glob("*")
        return sum(path.stat().st_size for path in files if path.suffix in (".npz", ".safetensors"))

    @property
    def name(self) -> str:
        """The tag; of a folder evaluated elsewhere, what it was called."""
        return self.system if self.folder == self.results else self.folder.name

    @property
    def current(self) -> bool:
        """Whether every file that it was evaluated from is still what it was then."""
        files = self.metrics.get("inputs", {}).get("files", {})
        return all(Path(name).is_file() and sha256(name) == stated for name, stated in files.items())

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


def runs_of_folders(folders: Iterable[tuple[str, Path]]) -> list[Run]:
    """Return a run of each (system, folder that evaluate wrote), wherever it lies; such have no seed."""
    return [Run(path, name, None, path, read_json(path / "metrics.json")) for name, path in folders]


def of_system(runs: list[Run], system: str) -> list[Run]:
    """Return a system's runs; `MasdError` lists the systems there are if it has none."""
    found = [run for run in runs if run.system == system]
    if not found:
        names = ", ".join(dict.fromkeys(run.system for run in runs))
        raise MasdError(f"system {system} has not been evaluated; there are {names}")
    return found


def comparable(runs: Sequence[Run], main: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Return the runs that can be compared, and for each of the others a line that says why not.

    The page's trials are those of the first run of `main` that is `current` (where a corpus was prepared
    anew, the others may be of before), or of its first run. A run on other trials is left out, unless what
    one of the two lacks are few trials that it could not score.
    """
    first = next((run for run in main if run.current), main[0])
    kept, lines = [], []
    for run in runs:
        why = "" if run is first else _difference(run, first)
        if not why:
            kept.append(run)
            continue
        lines.append(
            f"`{run.name}` is left out, for it was evaluated on other trials: {why}. To compare it, run its "
            f"stages 1 to 7 again with the options of the corpus that {first.name} was run with; to drop it, "
            f"move `{run.folder}` away."
        )
    return kept, lines


def common_utts(runs: Sequence[Run]) -> np.ndarray:
    """Return the ids of the trials that all runs have scored, sorted."""
    return reduce(np.intersect1d, (run.trials.utts for run in runs))


def restricted(trials: Trials, utts: np.ndarray) -> Trials:
    """Return the trials whose ids are in `utts`."""
    return trials.take(np.isin(trials.utts, utts))


def _difference(run: Run, first: Run) -> str:
    """Return why two runs cannot be compared, empty if they can."""
    mine, theirs = run.trials, first.trials
    more, fewer = (np.setdiff1d(*pair) for pair in ((mine.utts, theirs.utts), (theirs.utts, mine.utts)))
    if not (_excused(first, more) and _excused(run, fewer)):
        failed = len(set(fewer.tolist()) & set().union(*run.excused.values()))
        unable = f" ({failed} it could not score)" if failed else ""
        return (
            f"{len(mine.utts) - len(more)} of its {len(mine.utts)} are among the {len(theirs.utts)} of "
            f"{first.name}, of which it lacks {len(fewer)}{unable}"
        )
    common = np.intersect1d(mine.utts, theirs.utts)
    a, b = restricted(mine, common), restricted(theirs, common)
    # which attacks a system has seen is its own affair; what is pooled must be the same
    for what, differ in (
        ("labelled otherwise", a.fake != b.fake),
        ("reported apart in one of the two alone", (a.pool == "apart") != (b.pool == "apart")),
        ("of another source recording", a.source != b.source),
    ):
        if differ.any():
            return f"{int(differ.sum())} of the {len(common)} that {first.name} has too are {what}"
    return ""


def _excused(run: Run, utts: np.ndarray) -> bool:
    """Tell whether a run lacks these trials because it could not score them, and they are few."""
    failed = set().union(*run.excused.values())
    return len(utts) <= max(1, FEW * len(run.trials.utts)) and set(utts.tolist()) <= failed
