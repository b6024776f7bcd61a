"""Table II: systems by seeds, with paired differences on the same trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from masd.metrics.bootstrap import Interval, bootstrap_eers, difference_interval, eer_interval
from masd.metrics.eer import eer, split
from masd.report.evaluated_runs import Run, common_utts, restricted
from masd.report.metrics_json import Bootstrap
from masd.report.scored_trials import Trials

LEAST_SEEDS = 2  # in common, of two rows that are compared; a claim takes three


@dataclass
class Difference:
    """A row's EER less another's over the `seeds` both have; no `interval` where these are too few.

    The interval covers the choice of trials, not of seeds.
    """

    seeds: int
    interval: Interval | None

    def __str__(self) -> str:
        if self.interval is None:
            return f"{'one' if self.seeds else 'no common'} seed: not compared"
        value, lo, hi = (100 * share for share in (self.interval.value, self.interval.lo, self.interval.hi))
        return f"{value:+.2f} [{lo:+.2f}, {hi:+.2f}]"


@dataclass
class Row:
    """One system over its seeds; rates are shares (0 to 1).

    Attributes:
        system: its name in the experiment folder.
        name: what the table calls it.
        reported: the paper's EER in per cent, None if it gives none.
        seeds: the seeds evaluated.
        eers: one EER a seed.
        interval: of the mean over seeds, resampling source recordings.
        pools: mean EER over seeds of the seen, unseen and apart attacks.
        to_before: difference to the row above, None of the first; `to_full` to the full system.
    """

    system: str
    name: str
    reported: float | None
    seeds: list[int | None]
    eers: list[float]
    interval: Interval
    pools: dict[str, float]
    to_before: Difference | None = None
    to_full: Difference | None = None

    @property
    def mean(self) -> float:
        """Mean EER over the seeds."""
        return float(np.mean(self.eers))

    @property
    def sd(self) -> float | None:
        """Standard deviation over the seeds (n - 1); None of one seed."""
        return float(np.std(self.eers, ddof=1)) if len(self.eers) > 1 else None


def table_rows(runs: Sequence[Run], listed: Sequence[Mapping[str, Any]], bootstrap: Bootstrap) -> list[Row]:
    """Return the table's rows: those the configuration lists, in its order, then other systems.

    Systems are compared with `full`, on the trials that all of them have scored.

    Args:
        runs: evaluated runs of one set that can be compared (`comparable`).
        listed: mappings with `system`, `name`, `eer` (reported, per cent), as in conf/reported.yaml.
        bootstrap: how intervals are drawn; the same draws serve every system.
    """
    common = common_utts(runs)
    members: dict[str, dict[int | None, Trials]] = {}
    for run in runs:
        members.setdefault(run.system, {})[run.seed] = restricted(run.trials, common)
    drawn = {
        system: {seed: _drawn(trials.pooled, bootstrap) for seed, trials in seeds.items()}
        for system, seeds in members.items()
    }
    pooled = restricted(runs[0].trials, common).pooled
    known = {str(row["system"]): row for row in listed}
    rows: list[Row] = []
    for system in [*(s for s in known if s in members), *(s for s in members if s not in known)]:
        row = _row(system, known.get(system, {}), list(members[system].values()), drawn[system])
        if rows:
            row.to_before = _difference(drawn[system], drawn[rows[-1].system], pooled)
        if "full" in drawn and system != "full":
            row.to_full = _difference(drawn[system], drawn["full"], pooled)
        rows.append(row)
    return rows


Drawn = dict[int | None, tuple[float, np.ndarray]]


def _drawn(trials: Trials, bootstrap: Bootstrap) -> tuple[float, np.ndarray]:
    """Return (EER, its draws (n,)); the draws are the same for all systems, so they can be paired."""
    draws = bootstrap_eers(trials.scores, trials.fake, trials.source, bootstrap.n, bootstrap.seed)
    return _eer(trials), draws


def _eer(trials: Trials) -> float:
    return float(eer(*split(trials.scores, trials.fake))[0])


def _row(system: str, listed: Mapping[str, Any], members: Sequence[Trials], drawn: Drawn) -> Row:
    rates = [rate for rate, _ in drawn.values()]
    draws = np.mean([draws for _, draws in drawn.values()], axis=0)
    pooled = members[0].pooled
    return Row(
        system=system,
        name=str(listed.get("name", system)),
        reported=listed.get("eer"),
        seeds=list(drawn),
        eers=rates,
        interval=eer_interval(float(np.mean(rates)), draws, pooled.fake, pooled.source),
        pools={
            pool: float(np.mean([_eer(t.against_all_bonafide(t.pool == pool)) for t in members]))
            for pool in ("seen", "unseen", "apart")
            if all((t.pool == pool).any() for t in members)
        },
    )


def _difference(mine: Drawn, theirs: Drawn, trials: Trials) -> Difference:
    """Return EER(mine) - EER(theirs), paired by seed and averaged over the seeds both have, if enough."""
    common = [seed for seed in mine if seed in theirs]
    if len(common) < LEAST_SEEDS:
        return Difference(len(common), None)
    rates = ([drawn[seed][0] for seed in common] for drawn in (mine, theirs))
    draws = np.mean([mine[seed][1] - theirs[seed][1] for seed in common], axis=0)
    return Difference(len(common), difference_interval(*rates, draws, trials.fake, trials.source))
