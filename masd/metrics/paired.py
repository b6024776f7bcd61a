"""McNemar's exact test between two systems' decisions on the same trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from masd.errors import MasdError


@dataclass(frozen=True)
class McNemar:
    """Trials that one system alone judges rightly, and the two-sided p of that or a greater imbalance."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> McNemar:
    """Return McNemar's exact test: are the trials that one system alone judges rightly as many for both?

    It takes trials to be independent; where several share a source recording, the bootstrap of
    `masd.metrics.bootstrap.paired_test` is to be trusted first.

    Args:
        first_right: (N,) whether the first system's decision on each trial is right.
        second_right: (N,) the same of the second system.

    Raises:
        MasdError: the lengths differ or there are no trials.
    """
    from scipy.stats import binomtest

    first, second = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    if first.shape != second.shape or first.ndim != 1 or first.size == 0:
        raise MasdError(f"decisions {first.shape} and {second.shape} must be of the same trials")
    b, c = int((first & ~second).sum()), int((~first & second).sum())
    return McNemar(b, c, float(binomtest(b, b + c, 0.5).pvalue) if b + c else 1.0)
