"""Fusion of several systems' scores by logistic regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masd.errors import MasdError
from masd.svm.calibration import cross_entropy

PENALTY = 1e-4  # on standardised weights, so that separable sets give finite ones


@dataclass
class ScoreFusion:
    """LLR = sum_s w_s score_s + offset, bona fide over fake.

    Args:
        weights: one a system; a negative one means that the system is worth more turned round.
        offset: b.
        prior: the share of fakes that the classes were weighted to in fitting.
    """

    weights: list[float]
    offset: float
    prior: float

    def ratio(self, scores: np.ndarray) -> np.ndarray:
        """Return fused log-likelihood ratios (N,) of scores (S, N).

        Raises:
            MasdError: S is not the number of systems the fusion was fitted on.
        """
        scores = np.asarray(scores, dtype=np.float64)
        if scores.ndim != 2 or len(scores) != len(self.weights):
            raise MasdError(f"scores of {len(scores)} systems, the fusion takes {len(self.weights)}")
        return np.asarray(self.weights) @ scores + self.offset


def fit_fusion(scores: np.ndarray, is_fake: np.ndarray, prior: float = 0.5) -> ScoreFusion:
    """Fit the fusion by logistic regression, the classes weighted to `prior`.

    Args:
        scores: (S, N) development scores, higher is more bona fide.
        is_fake: (N,) booleans.
        prior: the share of fakes to optimise for, strictly between 0 and 1.

    Raises:
        MasdError: one class is missing, shapes differ, a score is not finite, or the prior is no probability.
    """
    from scipy.optimize import minimize

    matrix, fake = np.atleast_2d(np.asarray(scores, dtype=np.float64)), np.asarray(is_fake, dtype=bool)
    if matrix.ndim != 2 or matrix.shape[1:] != fake.shape or not np.isfinite(matrix).all():
        raise MasdError(f"fusion needs finite scores (S, N) of N labelled trials, not {matrix.shape}")
    if not fake.any() or fake.all():
        raise MasdError("fusion needs both bona fide and spoofed development trials")
    if not 0.0 < prior < 1.0:
        raise MasdError(f"fusion prior {prior:g}: must lie strictly between 0 and 1")
    mean, std = matrix.mean(axis=1), matrix.std(axis=1)
    std[std == 0] = 1.0
    x = ((matrix.T - mean) / std).astype(np.float64)
    target = (~fake).astype(np.float64)
    weight = np.where(fake, prior / fake.sum(), (1 - prior) / (~fake).sum())
    shift = float(np.log1p(-prior) - np.log(prior))  # prior log-odds of bona fide

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        logits = x @ theta[:-1] + theta[-1] + shift
        error = weight * (1.0 / (1.0 + np.exp(-np.clip(logits, -700, 700))) - target)
        gradient = np.concatenate([error @ x + PENALTY * theta[:-1], [error.sum()]])
        return cross_entropy(logits, target, weight) + 0.5 * PENALTY * theta[:-1] @ theta[:-1], gradient

    options = {"ftol": 1e-14, "gtol": 1e-10, "maxiter": 2000}
    found = minimize(loss, np.zeros(len(matrix) + 1), jac=True, method="L-BFGS-B", options=options).x
    weights = found[:-1] / std
    return ScoreFusion(weights.tolist(), float(found[-1] - weights @ mean), float(prior))
