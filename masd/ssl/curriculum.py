"""Which vocoder a copy comes from: easy ones first, hard ones more and more (Eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

EPOCHS = 100
"""Length of the published run, which a shorter or longer one is scaled to."""


def curriculum_epoch(epoch: int, epochs: int, scaled: bool = True) -> float:
    """Return e of Eq. 2 for epoch 0 .. epochs - 1 of a run.

    Scaled, the first epoch is 0 and the last 99, whatever their number; else e is the epoch itself.
    """
    if not scaled:
        return float(epoch)
    return epoch * (EPOCHS - 1) / max(epochs - 1, 1)


def vocoder_probabilities(difficulty: Sequence[float], epoch: float, gamma: float = 0.01) -> np.ndarray:
    """Return P(k | e) = exp(gamma e d_k) / sum_k' exp(gamma e d_k') (Eq. 2), shape (K,).

    Args:
        difficulty: d_k of the vocoders to choose from.
        epoch: e, see `curriculum_epoch`.
        gamma: how fast the hard ones take over.
    """
    logits = gamma * epoch * np.asarray(difficulty, dtype=np.float64)
    weights = np.exp(logits - logits.max(initial=0.0))
    return weights / weights.sum()
