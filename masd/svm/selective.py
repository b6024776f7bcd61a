"""Selective prediction: the error rate among the utterances a detector is surest of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from masd.errors import MasdError
from masd.metrics.eer import eer


@dataclass
class CoveragePoint:
    """A point of the coverage curve.

    Args:
        coverage: share of the utterances that are answered, 0 to 1.
        confidence: the least |score| that is answered.
        eer: the equal error rate among the answered, 0 to 1; NaN where a class has none left.
        bonafide: bona fide utterances answered.
        spoof: spoofs answered.
    """

    coverage: float
    confidence: float
    eer: float
    bonafide: int
    spoof: int


def coverage_curve(
    bona: np.ndarray, spoof: np.ndarray, coverages: Sequence[float] | None = None
) -> list[CoveragePoint]:
    """Return the EER among the surest utterances for each coverage.

    An utterance is the surer the farther its score lies from 0; with calibrated scores that is P(fake) = 0.5
    and the order that of max(P, 1 - P). Utterances as sure as the last one admitted are admitted too, so that
    the result does not depend on their order.

    Args:
        bona: scores of bona fide utterances (higher is more bona fide).
        spoof: scores of spoofs.
        coverages: shares in (0, 1]; every 5 % by default.

    Raises:
        MasdError: a class is empty, a score not finite or a coverage out of range.
    """
    bona, spoof = np.asarray(bona, dtype=np.float64), np.asarray(spoof, dtype=np.float64)
    scores = np.concatenate([bona, spoof])
    if not len(bona) or not len(spoof) or not np.isfinite(scores).all():
        raise MasdError("a coverage curve needs finite scores of both bona fide and spoof utterances")
    surest = np.sort(np.abs(scores))[::-1]
    points = []
    for coverage in coverages if coverages is not None else np.arange(5, 101, 5) / 100:
        if not 0.0 < coverage <= 1.0:
            raise MasdError(f"coverage {coverage:g}: must lie above 0 and at most at 1")
        least = float(surest[max(1, round(coverage * len(scores))) - 1])
        b, s = bona[np.abs(bona) >= least], spoof[np.abs(spoof) >= least]
        rate = eer(b, s)[0] if len(b) and len(s) else float("nan")
        points.append(CoveragePoint((len(b) + len(s)) / len(scores), least, rate, len(b), len(s)))
    return points
