"""Proper scoring rules of P(fake): Brier score and negative log-likelihood."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from masd.errors import MasdError
from masd.metrics.ece import class_weights


def brier(p_fake: ArrayLike, is_fake: ArrayLike, prior: float | None = None) -> float:
    """Return the mean of (P(fake) - y)^2, y = 1 for fakes: 0 at best, 0.25 for always 0.5.

    Args:
        p_fake: P(fake) (N,).
        is_fake: labels (N,), true for fake.
        prior: the share of fakes the set is weighted to; None for the set's own.

    Raises:
        MasdError: no trials, lengths differ, or a probability outside [0, 1].
    """
    p, fake = np.asarray(p_fake, dtype=np.float64), np.asarray(is_fake, dtype=bool)
    _same_length(p, fake)
    if not ((p >= 0) & (p <= 1)).all():
        raise MasdError("P(fake) must lie between 0 and 1")
    return float(class_weights(fake, prior) @ (p - fake) ** 2)


def nll(log_odds: ArrayLike, is_fake: ArrayLike, prior: float | None = None) -> float:
    """Return the mean of -log P(the true class), natural log, from log(P(fake) / P(bona fide)).

    Log-odds rather than P(fake) are taken, for P rounds to 1 where its logarithm still matters.

    Args:
        log_odds: (N,), positive for fake; the negated scores of score files.
        is_fake: labels (N,), true for fake.
        prior: the share of fakes the set is weighted to; None for the set's own.

    Raises:
        MasdError: no trials, lengths differ, or a value is NaN.
    """
    z, fake = np.asarray(log_odds, dtype=np.float64), np.asarray(is_fake, dtype=bool)
    _same_length(z, fake)
    if np.isnan(z).any():
        raise MasdError("the log-odds of P(fake) hold NaN")
    return float(class_weights(fake, prior) @ np.logaddexp(0.0, np.where(fake, -z, z)))


def _same_length(values: np.ndarray, fake: np.ndarray) -> None:
    if values.shape != fake.shape or values.ndim != 1 or values.size == 0:
        raise MasdError(f"values {values.shape} and labels {fake.shape} must both be (N,), N > 0")
