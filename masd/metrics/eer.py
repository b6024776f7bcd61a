"""Equal error rate and detection-error trade-off as the ASVspoof challenges define them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from masd.errors import MasdError


def as_scores(values: ArrayLike, name: str) -> np.ndarray:
    """Return one class's scores as float64 (N,); `MasdError` if there are none or one is not finite."""
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    if array.size == 0:
        raise MasdError(f"no {name} trials: an error rate needs both bona fide and spoofed ones")
    if not np.isfinite(array).all():
        raise MasdError(f"{name} scores hold NaN or infinite values; error rates need finite scores")
    return array


def det(bona: ArrayLike, spoof: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the error rates at every threshold.

    A trial is rejected (called fake) when its score is at or below the threshold. The sort is stable
    with bona fide trials first, as in the official scripts: where scores tie across the classes, the
    bona fide ones are rejected first, so ties count against the system (a constant score has an EER
    of 1, not of 0.5).

    Args:
        bona: scores of bona fide trials (NB,), higher is more bona fide.
        spoof: scores of spoofed trials (NS,).

    Returns:
        FRR (N + 1,), the share of bona fide trials rejected; FAR (N + 1,), the share of spoofed
        trials accepted; thresholds (N + 1,), the first 0.001 below the lowest score; N = NB + NS.

    Raises:
        MasdError: a class is empty or a score is not finite.
    """
    bona, spoof = as_scores(bona, "bona fide"), as_scores(spoof, "spoofed")
    scores = np.concatenate([bona, spoof])
    order = np.argsort(scores, kind="mergesort")
    rejected_bona = np.concatenate([[0], np.cumsum(order < bona.size)])
    rejected_spoof = np.arange(scores.size + 1) - rejected_bona
    thresholds = np.concatenate([[scores[order[0]] - 0.001], scores[order]])
    return rejected_bona / bona.size, (spoof.size - rejected_spoof) / spoof.size, thresholds


def eer(bona: ArrayLike, spoof: ArrayLike) -> tuple[float, float]:
    """Return the equal error rate (0 to 1) and its threshold, as the official scripts compute them.

    EER = (FRR + FAR) / 2 at the first threshold where |FRR - FAR| is least, without interpolation.

    Args:
        bona: scores of bona fide trials, higher is more bona fide.
        spoof: scores of spoofed trials.

    Raises:
        MasdError: a class is empty or a score is not finite.
    """
    frr, far, thresholds = det(bona, spoof)
    index = int(np.argmin(np.abs(frr - far)))
    return float((frr[index] + far[index]) / 2), float(thresholds[index])


def split(scores: ArrayLike, is_fake: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return (bona fide scores, spoofed scores) of scores (N,) with labels (N,), true for fake."""
    scores, fake = np.asarray(scores, dtype=np.float64), np.asarray(is_fake, dtype=bool)
    return scores[~fake], scores[fake]


def labelled(values: ArrayLike, is_fake: ArrayLike, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return values (N,) as float64 and their labels (N,), true for fake.

    Raises:
        MasdError: lengths differ, there are none, or a value is NaN; `name` says what they are.
    """
    array, fake = np.asarray(values, dtype=np.float64), np.asarray(is_fake, dtype=bool)
    if array.shape != fake.shape or array.ndim != 1 or array.size == 0:
        raise MasdError(f"{name} {array.shape} and labels {fake.shape} must both be (N,), N > 0")
    if np.isnan(array).any():
        raise MasdError(f"{name} hold NaN")
    return array, fake


def probabilities(p_fake: ArrayLike, is_fake: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return P(fake) (N,) and labels as `labelled` does; `MasdError` too if one lies outside [0, 1]."""
    p, fake = labelled(p_fake, is_fake, "values of P(fake)")
    if not ((p >= 0) & (p <= 1)).all():
        raise MasdError("P(fake) must lie between 0 and 1")
    return p, fake
