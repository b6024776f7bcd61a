"""Area under the ROC curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from masd.metrics.bootstrap import LEVEL, draws_of
from masd.metrics.eer import as_scores
from masd.stage.seeding import generator


def auc(bona: ArrayLike, spoof: ArrayLike) -> float:
    """Return P(bona fide score > spoofed score) + P(tie) / 2, over all pairs of trials.

    Args:
        bona: scores of bona fide trials, higher is more bona fide.
        spoof: scores of spoofed trials.

    Raises:
        MasdError: a class is empty or a score is not finite.
    """
    bona, spoof = as_scores(bona, "bona fide"), np.sort(as_scores(spoof, "spoofed"))
    below = np.searchsorted(spoof, bona, side="left") + np.searchsorted(spoof, bona, side="right")
    return float(below.sum() / (2 * bona.size * spoof.size))


def auc_interval(
    scores: ArrayLike, is_fake: ArrayLike, groups: ArrayLike, n: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Return the AUC and its 95 % interval over groups, never narrower than perfect separation allows.

    A percentile interval of a perfect AUC would have no width. A system that never errs on n independent
    groups may still err on a share of 1 - 0.025^(1 / n) of them (Clopper and Pearson), n being
    the groups of the rarer class; so the bounds lie at least that far from 1 and from 0.

    Args:
        scores: (N,), higher is more bona fide.
        is_fake: (N,) labels, true for fake.
        groups: (N,) what is resampled: source recordings or speakers.
        n: draws.
        seed: of the draws.

    Returns:
        AUC, lower and upper bound, each 0 to 1.

    Raises:
        MasdError: a class is empty or a score is not finite.
    """
    scores, fake = np.asarray(scores, dtype=np.float64), np.asarray(is_fake, dtype=bool)
    value = auc(scores[~fake], scores[fake])
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    blocks = draws_of(len(names), fake.size, n, generator(seed, "auc", len(names)))
    draws = np.concatenate([_weighted_aucs(counts[:, index], scores, fake) for _, counts in blocks])
    rarer = min(len(np.unique(index[fake])), len(np.unique(index[~fake])))
    best = ((1 - LEVEL) / 2) ** (1 / rarer)
    lo, hi = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return value, float(min(lo, value, best)), float(max(hi, value, 1 - best))


def _weighted_aucs(weights: np.ndarray, scores: np.ndarray, fake: np.ndarray) -> np.ndarray:
    """Return the AUC of each row of weights (R, N) of the trials; NaN where a class has none."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    bona, spoof = (
        np.add.reduceat(weights[:, order] * mask[order], starts, axis=1).astype(np.float64)
        for mask in (~fake, fake)
    )
    below = np.cumsum(spoof, axis=1) - spoof / 2
    with np.errstate(invalid="ignore"):
        return (bona * below).sum(axis=1) / (bona.sum(axis=1) * spoof.sum(axis=1))
