"""Table II: systems by seeds, with paired differences on the same trials."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from masd.errors import MasdError
from masd.metrics.bootstrap import Interval, bootstrap_eers, interval
from masd.report.document import Table, percent
from masd.report.evaluation import Bootstrap
from masd.report.experiments import Run
from masd.report.tables import bounds

log = logging.getLogger(__name__)


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
        to_before: difference to the row above on the seeds both have; `to_full` to the full system.
    """

    system: str
    name: str
    reported: float | None
    seeds: list[int | None]
    eers: list[float]
    interval: Interval
    pools: dict[str, float]
    to_before: Interval | None = None
    to_full: Interval | None = None

    @property
    def mean(self) -> float:
        """Mean EER over the seeds."""
        return float(np.mean(self.eers))

    @property
    def sd(self) -> float | None:
        """Standard deviation over the seeds (n - 1); None of one seed."""
        return float(np.std(self.eers, ddof=1)) if len(self.eers) > 1 else None


def ablation_rows(
    runs: Sequence[Run], rows: Sequence[Mapping[str, Any]], bootstrap: Bootstrap, full: str = "full"
) -> list[Row]:
    """Return the table's rows: those the configuration lists, in its order, then other systems.

    Args:
        runs: every evaluated run of one set.
        rows: mappings with `system`, `name`, `eer` (reported, per cent), as in conf/reported.yaml.
        bootstrap: how intervals are drawn; the same draws serve every system.
        full: the system that every other is compared with.

    Raises:
        MasdError: two runs were evaluated on different trials.
    """
    _same_trials(runs)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.system, []).append(run)
    trials = runs[0].trials.pooled
    drawn = {system: _drawn(members, bootstrap) for system, members in groups.items()}
    listed = {str(row["system"]): row for row in rows}
    order = [s for s in listed if s in groups] + [s for s in groups if s not in listed]
    table: list[Row] = []
    for system in order:
        row = _row(system, listed.get(system, {}), groups[system], drawn[system])
        if table:
            row.to_before = _difference(drawn[system], drawn[table[-1].system], trials.source)
        if full in groups and system != full:
            row.to_full = _difference(drawn[system], drawn[full], trials.source)
        table.append(row)
    return table


Drawn = dict[int | None, tuple[float, np.ndarray]]


def _drawn(runs: Sequence[Run], bootstrap: Bootstrap) -> Drawn:
    """Return {seed: (EER, its draws (n,))}; the draws are the same for all systems, so they can be paired."""
    out: Drawn = {}
    for run in runs:
        trials = run.trials.pooled
        draws = bootstrap_eers(trials.scores, trials.fake, trials.source, bootstrap.n, bootstrap.seed)
        out[run.seed] = (run.metrics["pooled"]["eer"], draws)
    return out


def _same_trials(runs: Sequence[Run]) -> None:
    first = runs[0]
    for run in runs[1:]:
        mine, theirs = run.trials, first.trials
        same = mine.utts.shape == theirs.utts.shape and (mine.utts == theirs.utts).all()
        # what is pooled must be the same; which attacks a system has seen is its own affair
        if not (
            same
            and (mine.fake == theirs.fake).all()
            and ((mine.pool == "apart") == (theirs.pool == "apart")).all()
        ):
            raise MasdError(
                f"{run.name} and {first.name} were evaluated on different trials; run stages 6 and 7 of both "
                f"again, or move {run.folder} or {first.folder} away, whichever is not to be on this page"
            )


def _row(system: str, listed: Mapping[str, Any], runs: Sequence[Run], drawn: Drawn) -> Row:
    pools = {
        pool: float(np.mean([run.metrics[pool]["eer"] for run in runs]))
        for pool in ("seen", "unseen", "apart")
        if all(pool in run.metrics for run in runs)
    }
    rates = [rate for rate, _ in drawn.values()]
    mean_draws = np.mean([draws for _, draws in drawn.values()], axis=0)
    return Row(
        system=system,
        name=str(listed.get("name", system)),
        reported=listed.get("eer"),
        seeds=list(drawn),
        eers=rates,
        interval=interval(float(np.mean(rates)), mean_draws, runs[0].trials.pooled.source),
        pools=pools,
    )


def _difference(mine: Drawn, theirs: Drawn, groups: np.ndarray) -> Interval | None:
    """Return EER(mine) - EER(theirs), paired by seed and averaged over the seeds both have."""
    common = [seed for seed in mine if seed in theirs]
    if not common:
        log.warning("two systems of the ablation share no seed; their difference is left out")
        return None
    value = np.mean([mine[seed][0] - theirs[seed][0] for seed in common])
    draws = np.mean([mine[seed][1] - theirs[seed][1] for seed in common], axis=0)
    return interval(float(value), draws, groups)


def _signed(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    return f"{100 * interval.value:+.2f} [{100 * interval.lo:+.2f}, {100 * interval.hi:+.2f}]"


def ablation_table(rows: Sequence[Row], draws: int, reported_on: str) -> Table:
    """Return the rows as a table, in per cent, with the paper's figures and the set these are of."""
    pools = [pool for pool in ("seen", "unseen", "apart") if any(pool in row.pools for row in rows)]
    header = ["system", "seeds", "EER", "sd", "95 %", *pools, "to the row above", "to full", "paper*"]
    cells = []
    for row in rows:
        cells.append(
            [
                f"{row.name} (`{row.system}`)",
                ", ".join("-" if seed is None else str(seed) for seed in row.seeds),
                percent(row.mean),
                percent(row.sd),
                bounds(vars(row.interval)),
                *(percent(row.pools.get(pool)) for pool in pools),
                _signed(row.to_before),
                _signed(row.to_full),
                "-" if row.reported is None else f"{row.reported:.2f}",
            ]
        )
    note = (
        "EER in per cent, mean and standard deviation over seeds; 95 % intervals of that mean and of paired "
        f"differences, {draws} draws of whole source recordings (they cover the choice of "
        "trials, the standard deviation that of seeds). A negative difference: fewer errors than the other. "
        f"*Reported by the paper on {reported_on}."
    )
    return Table(header, cells, note)
