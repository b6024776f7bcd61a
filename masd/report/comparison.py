"""Which runs one page compares: those evaluated on the same trials, but for a few that were not scored."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from masd.report.experiments import Run
from masd.report.trials import Trials

FEW = 0.05  # of the trials, or one: a system that failed on more is not compared on what it left over


def comparable(runs: Sequence[Run], main: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Return the runs that can be compared, and for each of the others a line that says why not.

    The page's trials are those of the run of `main` that was evaluated last: where a corpus was prepared
    anew, the others may be of before. A run on other trials is left out, unless what one of the two lacks are
    few trials that it could not score.
    """
    newest = max(main, key=lambda run: (run.results / "metrics.json").stat().st_mtime_ns)
    first = next(run for run in main if run is newest or not _difference(run, newest))
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
