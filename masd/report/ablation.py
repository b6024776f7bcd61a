"""Table II: systems by seeds, with paired differences on the same trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from masd.metrics.bootstrap import Interval, bootstrap_eers, difference_interval, eer_interval
from masd.metrics.eer import eer, split
from masd.report.comparison import common_utts, restricted
from masd.report.document import Table, percent
from masd.report.evaluation import Bootstrap
from masd.report.experiments import Run
from masd.report.tables import bounds, methods
from masd.report.trials import Trials

LEAST_SEEDS = 2  # in common, of two rows that are compared; a claim takes three


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
        to_before: difference to the row above over the seeds both have, None where these are fewer than
            `LEAST_SEEDS`; `to_full` to the full system.
        compared: seeds in common with the row above and with the full system, None where there is none.
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
    compared: tuple[int | None, int | None] = (None, None)

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

    Systems are compared on the trials that all of them have scored.

    Args:
        runs: evaluated runs of one set that can be compared (`comparable`).
        rows: mappings with `system`, `name`, `eer` (reported, per cent), as in conf/reported.yaml.
        bootstrap: how intervals are drawn; the same draws serve every system.
        full: the system that every other is compared with.
    """
    common = common_utts(runs)
    groups: dict[str, dict[int | None, Trials]] = {}
    for run in runs:
        groups.setdefault(run.system, {})[run.seed] = restricted(run.trials, common)
    pooled = restricted(runs[0].trials, common).pooled
    drawn: dict[str, Drawn] = {
        system: {seed: _drawn(trials.pooled, bootstrap) for seed, trials in members.items()}
        for system, members in groups.items()
    }
    listed = {str(row["system"]): row for row in rows}
    order = [s for s in listed if s in groups] + [s for s in groups if s not in listed]
    table: list[Row] = []
    for system in order:
        row = _row(system, listed.get(system, {}), list(groups[system].values()), drawn[system])
        others = [drawn[table[-1].system] if table else None, drawn.get(full) if system != full else None]
        row.to_before, row.to_full = (_difference(drawn[system], other, pooled) for other in others)
        row.compared = (_common(drawn[system], others[0]), _common(drawn[system], others[1]))
        table.append(row)
    return table


Drawn = dict[int | None, tuple[float, np.ndarray]]


def _drawn(trials: Trials, bootstrap: Bootstrap) -> tuple[float, np.ndarray]:
    """Return (EER, its draws (n,)); the draws are the same for all systems, so they can be paired."""
    return _eer(trials), bootstrap_eers(
        trials.scores, trials.fake, trials.source, bootstrap.n, bootstrap.seed
    )


def _eer(trials: Trials) -> float:
    return float(eer(*split(trials.scores, trials.fake))[0])


def _row(system: str, listed: Mapping[str, Any], members: Sequence[Trials], drawn: Drawn) -> Row:
    pools = {
        pool: float(np.mean([_eer(t.against_all_bonafide(t.pool == pool)) for t in members]))
        for pool in ("seen", "unseen", "apart")
        if all((t.pool == pool).any() for t in members)
    }
    rates = [rate for rate, _ in drawn.values()]
    pooled = members[0].pooled
    mean_draws = np.mean([draws for _, draws in drawn.values()], axis=0)
    return Row(
        system=system,
        name=str(listed.get("name", system)),
        reported=listed.get("eer"),
        seeds=list(drawn),
        eers=rates,
        interval=eer_interval(float(np.mean(rates)), mean_draws, pooled.fake, pooled.source),
        pools=pools,
    )


def _common(mine: Drawn, theirs: Drawn | None) -> int | None:
    return None if theirs is None else len(mine.keys() & theirs.keys())


def _difference(mine: Drawn, theirs: Drawn | None, trials: Trials) -> Interval | None:
    """Return EER(mine) - EER(theirs), paired by seed and averaged over the seeds both have, if enough."""
    common = [seed for seed in mine if seed in (theirs or {})]
    if theirs is None or len(common) < LEAST_SEEDS:
        return None
    rates = ([drawn[seed][0] for seed in common] for drawn in (mine, theirs))
    draws = np.mean([mine[seed][1] - theirs[seed][1] for seed in common], axis=0)
    return difference_interval(*rates, draws, trials.fake, trials.source)


def _signed(interval: Interval | None, seeds: int | None) -> str:
    """Return a difference, or why there is none: the interval covers the choice of trials, not of seeds."""
    if interval is None:
        if seeds is None:
            return "-"
        return "one seed: not compared" if seeds else "no common seed: not compared"
    return f"{100 * interval.value:+.2f} [{100 * interval.lo:+.2f}, {100 * interval.hi:+.2f}]"


def ablation_table(rows: Sequence[Row], draws: int, reported_on: str) -> Table:
    """Return the rows as a table, in per cent, with the paper's figures, if any, and the set these are of."""
    paper = any(row.reported is not None for row in rows)
    pools = [pool for pool in ("seen", "unseen", "apart") if any(pool in row.pools for row in rows)]
    header = ["system", "seeds", "EER", "sd", "95 %", *pools, "to the row above", "to full"]
    header += ["paper*"] if paper else []
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
                _signed(row.to_before, row.compared[0]),
                _signed(row.to_full, row.compared[1]),
                *(["-" if row.reported is None else f"{row.reported:.2f}"] if paper else []),
            ]
        )
    found = [one for row in rows for one in (row.interval, row.to_before, row.to_full) if one]
    note = (
        "EER in per cent, mean and standard deviation over seeds; 95 % intervals of that mean and of paired "
        f"differences, {methods(map(vars, found))}, {draws} draws of whole source recordings (they cover the "
        "choice of trials, the standard deviation that of seeds). A negative difference: fewer errors than "
        f"the other. Rows with fewer than {LEAST_SEEDS} seeds in common are not compared: another may turn "
        "the sign."
        f"{f' *Reported by the paper on {reported_on}.' if paper else ''}"
    )
    return Table(header, cells, note)
