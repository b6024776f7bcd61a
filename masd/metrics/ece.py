"""Expected calibration error of P(fake), at the set's own prior or a stated one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from masd.errors import MasdError
from masd.metrics.eer import probabilities


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: per bin of P(fake), edges (B + 1,) and three values (B,) (NaN where empty).

    Attributes:
        edges: the bins' edges, equal widths from 0 to 1.
        share: the share of the (weighted) trials in the bin.
        confidence: the mean P(fake) in the bin.
        frequency: the share of fakes among the bin's trials.
    """

    edges: np.ndarray
    share: np.ndarray
    confidence: np.ndarray
    frequency: np.ndarray


def class_weights(is_fake: ArrayLike, prior: float | None = None) -> np.ndarray:
    """Return weights (N,) summing to 1 under which fakes have the share `prior` (None: as they come).

    Raises:
        MasdError: a prior is asked for that is not inside (0, 1), or of one class alone.
    """
    fake = np.asarray(is_fake, dtype=bool)
    if prior is None:
        return np.full(fake.shape, 1 / max(1, fake.size))
    if not 0 < prior < 1:
        raise MasdError(f"the prior of fakes must lie between 0 and 1, not {prior}")
    fakes, bona = int(fake.sum()), int((~fake).sum())
    if not fakes or not bona:
        raise MasdError("a prior can be set only where both bona fide and spoofed trials are present")
    return np.where(fake, prior / fakes, (1 - prior) / bona)


def reliability(
    p_fake: ArrayLike, is_fake: ArrayLike, bins: int = 15, prior: float | None = None
) -> Reliability:
    """Return the reliability diagram of P(fake) (N,) against labels (N,), true for fake.

    Bins are [0, 1/B), [1/B, 2/B), ..., [(B-1)/B, 1].

    Raises:
        MasdError: no trials, lengths differ, or a probability outside [0, 1].
    """
    p, fake = probabilities(p_fake, is_fake)
    weights = class_weights(fake, prior)
    edges = np.arange(bins + 1) / bins
    index = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, bins - 1)
    share, confidence, frequency = (
        np.bincount(index, weights * values, minlength=bins) for values in (1.0, p, fake)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return Reliability(edges, share, confidence / share, frequency / share)


def ece(p_fake: ArrayLike, is_fake: ArrayLike, bins: int = 15, prior: float | None = None) -> float:
    """Return the expected calibration error, sum_b share_b |frequency_b - confidence_b|, 0 to 1.

    Args:
        p_fake: P(fake) (N,).
        is_fake: labels (N,), true for fake.
        bins: how many equal-width bins of P(fake).
        prior: the share of fakes the set is weighted to; None for the set's own.

    Raises:
        MasdError: see `reliability`.
    """
    diagram = reliability(p_fake, is_fake, bins, prior)
    gap = np.abs(diagram.frequency - diagram.confidence)
    return float(np.nansum(diagram.share * gap))
