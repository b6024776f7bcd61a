"""Detection costs of a countermeasure alone: minDCF, actDCF and Cllr (ASVspoof 5, BOSARIS)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from masd.errors import MasdError
from masd.metrics.eer import as_scores, det


@dataclass(frozen=True)
class DetectionCosts:
    """The operating point: prior of spoofs, cost of a rejected bona fide, cost of an accepted spoof."""

    p_spoof: float = 0.05
    c_miss: float = 1.0
    c_fa: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.p_spoof < 1 or self.c_miss <= 0 or self.c_fa <= 0:
            raise MasdError(
                f"costs {self.c_miss:g} (miss), {self.c_fa:g} (false acceptance) and prior of spoofs "
                f"{self.p_spoof:g}: costs must be above 0 and the prior between 0 and 1"
            )

    @property
    def weights(self) -> tuple[float, float]:
        """(Cmiss (1 - Pspoof), Cfa Pspoof): the weights of P_miss and P_fa."""
        return self.c_miss * (1 - self.p_spoof), self.c_fa * self.p_spoof


def min_dcf(bona: ArrayLike, spoof: ArrayLike, costs: DetectionCosts | None = None) -> float:
    """Return min_s (Cmiss (1 - Pspoof) P_miss(s) + Cfa Pspoof P_fa(s)) / min(Cmiss (1 - Pspoof), Cfa Pspoof).

    Args:
        bona: scores of bona fide trials, higher is more bona fide.
        spoof: scores of spoofed trials.
        costs: the operating point.

    Raises:
        MasdError: a class is empty or a score is not finite.
    """
    return least_cost(bona, spoof, costs)[0]


def least_cost(bona: ArrayLike, spoof: ArrayLike, costs: DetectionCosts | None = None) -> tuple[float, float]:
    """Return (`min_dcf`, the threshold it is reached at); trials at or below the threshold are rejected.

    Raises:
        MasdError: a class is empty or a score is not finite.
    """
    miss, accept = (costs or DetectionCosts()).weights
    frr, far, thresholds = det(bona, spoof)
    values = miss * frr + accept * far
    index = int(np.argmin(values))
    return float(values[index] / min(miss, accept)), float(thresholds[index])


def cost_at(
    bona: ArrayLike, spoof: ArrayLike, threshold: float, costs: DetectionCosts | None = None
) -> float:
    """Return the cost of rejecting what scores at or below `threshold`, normalised like `min_dcf`.

    Raises:
        MasdError: a class is empty or a score is not finite.
    """
    miss, accept = (costs or DetectionCosts()).weights
    bona, spoof = as_scores(bona, "bona fide"), as_scores(spoof, "spoofed")
    cost = miss * (bona <= threshold).mean() + accept * (spoof > threshold).mean()
    return float(cost / min(miss, accept))


def act_dcf(bona: ArrayLike, spoof: ArrayLike, costs: DetectionCosts | None = None) -> float:
    """Return the cost of Bayes' decisions on log-likelihood ratios, normalised like `min_dcf`.

    A trial is rejected when its ratio is below log(Cfa Pspoof / (Cmiss (1 - Pspoof))), as in the
    evaluation package of ASVspoof 5.

    Args:
        bona: natural-log likelihood ratios, bona fide over spoofed, of bona fide trials.
        spoof: the same of spoofed trials.
        costs: the operating point.

    Raises:
        MasdError: a class is empty or a score is not finite.
    """
    miss, accept = (costs or DetectionCosts()).weights
    bona, spoof = as_scores(bona, "bona fide"), as_scores(spoof, "spoofed")
    threshold = np.log(accept / miss)
    cost = miss * (bona < threshold).mean() + accept * (spoof >= threshold).mean()
    return float(cost / min(miss, accept))


def cllr(bona: ArrayLike, spoof: ArrayLike) -> float:
    """Return the cost of log-likelihood ratios in bits, averaged over the classes; 1 for ratios of 1.

    Cllr = (mean log2(1 + exp(-l_bona)) + mean log2(1 + exp(l_spoof))) / 2.

    Args:
        bona: natural-log likelihood ratios, bona fide over spoofed, of bona fide trials.
        spoof: the same of spoofed trials.

    Raises:
        MasdError: a class is empty or a score is not finite.
    """
    bona, spoof = as_scores(bona, "bona fide"), as_scores(spoof, "spoofed")
    return float((np.logaddexp(0, -bona).mean() + np.logaddexp(0, spoof).mean()) / (2 * np.log(2)))
