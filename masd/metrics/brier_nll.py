"""Proper scoring rules of P(fake): Brier score and negative log-likelihood."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from masd.metrics.ece import class_weights
from masd.metrics.eer import labelled, probabilities


def brier(p_fake: ArrayLike, is_fake: ArrayLike, prior: float | None = None) -> float:
    """Return the mean of (P(fake) - y)^2, y = 1 for fakes: 0 at best, 0.25 for always 0.5.

    Args:
        p_fake: P(fake) (N,).
        is_fake: labels (N,), true for fake.
        prior: the share of fakes the set is weighted to; None for the set's own.

    Raises:
        MasdError: no trials, lengths differ, or a probability outside [0, 1].
    """
    p, fake = probabilities(p_fake, is_fake)
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
    z, fake = labelled(log_odds, is_fake, "log-odds of P(fake)")
    return float(class_weights(fake, prior) @ np.logaddexp(0.0, np.where(fake, -z, z)))
