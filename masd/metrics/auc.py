"""Area under the ROC curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from masd.metrics.eer import as_scores


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
