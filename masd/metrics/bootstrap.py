"""Intervals of the EER by resampling groups of trials: source recordings, or speakers.

Spoofed copies of one recording and the recording itself are no independent trials, so whole groups
are drawn with replacement. A draw is a vector of counts over trials sorted once by score; its EER is
read off cumulative counts and equals, to the last digit, `masd.metrics.eer.eer` of the trials so drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from masd.errors import MasdError
from masd.metrics.eer import as_scores
from masd.stage.seeding import generator

BLOCK = 4_000_000  # counts held at once: 32 MB
LEVEL = 0.95  # of every interval


@dataclass(frozen=True)
class Interval:
    """An interval of a statistic.

    Attributes:
        value: of the sample itself.
        lo: lower bound; `hi` is the upper one.
        se: standard error over the draws.
        draws: those used.
        groups: how many are resampled.
        method: `percentile` of the draws; `clopper-pearson` where no draw differs from an EER of 0 or 1.
        effective: for `clopper-pearson`, of how many independent trials the bound is: the groups that hold
            the class that fewer of them hold.
    """

    value: float
    lo: float
    hi: float
    se: float
    draws: int
    groups: int
    method: str = "percentile"
    effective: int | None = None


def bootstrap_eers(
    scores: ArrayLike, is_fake: ArrayLike, groups: ArrayLike, n: int = 1000, seed: int = 0
) -> np.ndarray:
    """Return the EERs of `n` draws of groups, the same draws for every system.

    Args:
        scores: (N,) or (S, N), S systems scored on the same N trials, higher is more bona fide.
        is_fake: (N,) labels, true for fake.
        groups: (N,) group of each trial (any type that sorts).
        n: how many draws.
        seed: of the draws; the same seed and groups give the same draws.

    Returns:
        (n,) or (S, n) EERs, 0 to 1; NaN where a draw holds one class only.

    Raises:
        MasdError: a class is empty, shapes differ, a score is not finite, or there is one group only.
    """
    matrix, fake, index, count = _check(scores, is_fake, groups)
    out = np.empty((len(matrix), n))
    orders = [_order(row, fake) for row in matrix]
    for start, counts in draws_of(count, index.size, n, generator(seed, "bootstrap", count)):
        for system, order in enumerate(orders):
            drawn = counts.take(index[order], axis=1)  # not counts[:, ...], whose rows do not lie together
            out[system, start : start + len(counts)] = _weighted_eers(drawn, fake[order])
    return out[0] if np.ndim(scores) == 1 else out


def _check(
    scores: ArrayLike, is_fake: ArrayLike, groups: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    matrix = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    fake = np.asarray(is_fake, dtype=bool)
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if matrix.ndim != 2 or matrix.shape[1:] != fake.shape or fake.shape != index.shape:
        raise MasdError(
            f"scores {matrix.shape}, labels {fake.shape} and groups {index.shape} differ in length"
        )
    as_scores(matrix[:, ~fake], "bona fide")
    as_scores(matrix[:, fake], "spoofed")
    if len(names) < 2:
        raise MasdError("an interval needs at least two groups to resample; all trials are of one")
    return matrix, fake, index, len(names)


def _order(row: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Sort by score, bona fide first among ties, as `masd.metrics.eer.det` does."""
    return np.lexsort((fake, row))


def draws_of(groups: int, trials: int, n: int, rng: np.random.Generator) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first draw, counts (draws, groups)): how often each group is drawn, in blocks of `n` in all.

    A block's counts over all `trials` fit into `BLOCK`.
    """
    block = max(1, BLOCK // trials)
    for start in range(0, n, block):
        rows = min(block, n - start)
        drawn = rng.integers(groups, size=(rows, groups)) + groups * np.arange(rows)[:, None]
        yield start, np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups)


def _weighted_eers(counts: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Return the EER of each row of counts (R, N) over trials sorted by score, labels `fake` (N,).

    With NB, NS trials of each class and b, r of them rejected, FRR - FAR = 0 where b NS + r NB = NB NS.
    The left side grows with every trial (of several equal copies, with every copy), so |FRR - FAR| is
    least at one of the two steps on either side of that crossing.
    """
    spoofed = fake.astype(counts.dtype)
    spoofs = np.einsum("ij,j->i", counts, spoofed)
    bonas = counts.sum(axis=1) - spoofs
    totals = np.where(fake, bonas[:, None], spoofs[:, None])
    totals *= counts
    np.cumsum(totals, axis=1, out=totals)
    goal = bonas * spoofs
    rows = np.arange(len(counts))
    cross = np.array([total.searchsorted(wanted) for total, wanted in zip(totals, goal, strict=True)])
    step = np.maximum(np.where(fake[cross], bonas, spoofs), 1)
    before = totals[rows, cross] - counts[rows, cross] * step
    copies = -((before - goal) // step)  # of the crossing trial, so that the goal is reached
    below = [row[:end] for row, end in zip(counts, cross, strict=True)]
    rejected_spoof = np.array([row @ spoofed[: len(row)] for row in below])
    rejected_bona = np.array([row.sum() for row in below]) - rejected_spoof
    with np.errstate(invalid="ignore", divide="ignore"):
        options = []
        for taken in (copies - 1, copies):
            frr = (rejected_bona + np.where(fake[cross], 0, taken)) / bonas
            far = (spoofs - rejected_spoof - np.where(fake[cross], taken, 0)) / spoofs
            options.append((np.abs(frr - far), (frr + far) / 2))
    value = np.where(options[0][0] <= options[1][0], options[0][1], options[1][1])
    return np.where((bonas > 0) & (spoofs > 0), value, np.nan)


def bootstrap_eer(
    scores: ArrayLike, is_fake: ArrayLike, groups: ArrayLike, n: int = 1000, seed: int = 0
) -> Interval:
    """Return the EER of one system, or the mean EER over S systems (seeds), with its 95 % interval.

    Args:
        scores: (N,), or (S, N) for the mean over S training seeds on the same trials.
        is_fake: (N,) labels, true for fake.
        groups: (N,) what is resampled: source recordings or speakers.
        n: draws.
        seed: of the draws.

    Raises:
        MasdError: see `bootstrap_eers`.
    """
    draws = np.atleast_2d(bootstrap_eers(scores, is_fake, groups, n, seed)).mean(axis=0)
    return eer_interval(plain_eers(scores, is_fake).mean(), draws, is_fake, groups)


def paired_test(
    first: ArrayLike, second: ArrayLike, is_fake: ArrayLike, groups: ArrayLike, n: int = 1000, seed: int = 0
) -> tuple[Interval, float]:
    """Return EER(first) - EER(second) on the same trials with its 95 % interval, and the p of no difference.

    The difference is negative where `first` is better. Both are evaluated on the same draws. With (S, N)
    scores, row s of `first` is paired with row s of `second` (the same seed) and the difference is averaged
    over the rows.

    Two-sided p = 2 min(share of draws at or below 0, share at or above 0), each share (k + 1) / (n + 1), at
    most 1: the least level at which the percentile interval leaves 0 out.

    Raises:
        MasdError: the shapes differ; see also `bootstrap_eers`.
    """
    first, second = np.atleast_2d(first), np.atleast_2d(second)
    if first.shape != second.shape:
        raise MasdError(
            f"paired systems need the same trials and seeds: shapes {first.shape} and {second.shape}"
        )
    draws = bootstrap_eers(np.concatenate([first, second]), is_fake, groups, n, seed)
    difference = (draws[: len(first)] - draws[len(first) :]).mean(axis=0)
    rates = plain_eers(first, is_fake), plain_eers(second, is_fake)
    valid = difference[np.isfinite(difference)]
    tails = [(np.count_nonzero(side) + 1) / (valid.size + 1) for side in (valid <= 0, valid >= 0)]
    found = difference_interval(*rates, difference, is_fake, groups)
    return found, float(min(1.0, 2 * min(tails)))


def plain_eers(scores: ArrayLike, is_fake: ArrayLike) -> np.ndarray:
    """Return the EER of each row of scores on the sample itself (counts of one)."""
    fake = np.asarray(is_fake, dtype=bool)
    values = []
    for row in np.atleast_2d(np.asarray(scores, dtype=np.float64)):
        order = _order(row, fake)
        values.append(_weighted_eers(np.ones((1, fake.size), dtype=np.int64), fake[order])[0])
    return np.array(values)


def eer_interval(value: float, draws: np.ndarray, is_fake: ArrayLike, groups: ArrayLike) -> Interval:
    """Return the interval of an EER (or a mean of several) from its draws (n,), never one of no width.

    Without an error every draw is 0 and the percentile interval is [0, 0], however few the trials. Then it is
    that of Clopper and Pearson for 0 errors of n, [0, 1 - 0.025^(1 / n)]; for an EER of 1 (a constant
    score) its mirror image. Trials of one group are not independent, so n counts groups (source
    recordings, speakers), not trials, and of the class that fewer groups hold, which is the cautious choice.

    Raises:
        MasdError: see `interval`.
    """
    from scipy.stats import beta

    found = interval(value, draws, groups)
    if value not in (0, 1) or found.lo != found.hi:
        return found
    fake, names = np.asarray(is_fake, dtype=bool), np.asarray(groups)
    n = min(len(np.unique(names[fake])), len(np.unique(names[~fake])))
    bound = float(beta.ppf((1 + LEVEL) / 2, 1, n))
    lo, hi = (0.0, bound) if value == 0 else (1 - bound, 1.0)
    return replace(found, lo=lo, hi=hi, method="clopper-pearson", effective=n)


def difference_interval(
    first: ArrayLike, second: ArrayLike, draws: np.ndarray, is_fake: ArrayLike, groups: ArrayLike
) -> Interval:
    """Return the interval of mean(first - second), EERs paired by seed (S,), from its draws (n,).

    Where neither system makes an error, either could make as many as `eer_interval` grants one of them.

    Raises:
        MasdError: see `interval`.
    """
    found = interval(float(np.mean(np.subtract(first, second))), draws, groups)
    if np.any(first) or np.any(second):
        return found
    most = eer_interval(0.0, draws, is_fake, groups)
    return replace(most, lo=-most.hi)


def interval(value: float, draws: np.ndarray, groups: ArrayLike) -> Interval:
    """Return the 95 % percentile interval of a statistic from its draws (n,), NaN ones left out.

    Args:
        value: the statistic of the sample itself.
        draws: the statistic of each draw, e.g. a difference of two rows of `bootstrap_eers`.
        groups: (N,) the group of each trial.

    Raises:
        MasdError: more than half of the draws are NaN.
    """
    valid = draws[np.isfinite(draws)]
    if valid.size < 0.5 * draws.size or valid.size < 2:
        raise MasdError(
            "most draws of groups hold one class only: no interval; resample larger sets or other groups"
        )
    lo, hi = np.quantile(valid, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    count = len(np.unique(np.asarray(groups)))
    return Interval(float(value), float(lo), float(hi), float(valid.std(ddof=1)), int(valid.size), count)
