"""P(fake) from a decision value, fitted on the development set, and the errors of P(fake) >= 0.5 there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

POINTS = 101  # quantiles that a class is kept by


@dataclass
class Posterior:
    """P(fake) = 1 / (1 + exp(-(a f + b + logit(prior) - logit(fitted prior)))).

    Args:
        a: slope, positive.
        b: offset.
        prior: the P(fake) that a and b are for.
        bonafide: evenly spaced quantiles of f on the development set's bona fide speech, empty if not known.
        spoof: the same of its spoofed speech.
        calibrated: whether a and b were fitted at all, as those of released weights are not.
    """

    a: float
    b: float
    prior: float = 0.5
    bonafide: list[float] = dataclasses.field(default_factory=list)
    spoof: list[float] = dataclasses.field(default_factory=list)
    calibrated: bool = True

    @classmethod
    def fit(cls, decisions: np.ndarray, is_fake: np.ndarray) -> Posterior:
        """Return the map fitted on the development set's f (N,), its classes weighted to one half each.

        Raises:
            MasdError: one class is missing.
        """
        from masd.svm.calibration import fit_affine

        found, fake = fit_affine(decisions, is_fake, 0.5), np.asarray(is_fake, bool)
        values, steps = np.asarray(decisions, np.float64), np.linspace(0, 1, POINTS)
        kept = [np.round(np.quantile(values[of], steps), 6).tolist() for of in (~fake, fake)]
        return cls(found.a, found.b, 0.5, *kept)

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Posterior:
        """Return the map of a model.yaml; of one that has none the affine map, fitted on training data."""
        calibrated = bool(info.get("calibrated", True))
        stored = info.get("posterior")
        if stored is None:
            affine = info["affine"]
            a, b, prior = (float(affine[key]) for key in ("a", "b", "prior"))
            return cls(a, b, prior, calibrated=calibrated)
        names = ("a", "b", "prior", "bonafide", "spoof")
        return cls(**{name: stored[name] for name in names}, calibrated=calibrated)

    def described(self) -> dict[str, Any]:
        """Return what model.yaml keeps."""
        values = dataclasses.asdict(self)
        del values["calibrated"]
        return values | {"holdout": "development set"}

    def logit(self, f: float, prior: float = 0.5) -> float:
        """Return log P(fake) / P(bona fide) of f where fakes have the share `prior`."""
        return self.a * f + self.b + _logit(prior) - _logit(self.prior)

    def boundary(self, prior: float = 0.5) -> float:
        """Return the f from which on P(fake) is 0.5 or more."""
        return -self.logit(0.0, prior) / self.a

    def errors(self, prior: float = 0.5) -> tuple[float, float] | None:
        """Return the shares of genuine recordings called fake and of fakes called genuine in development.

        None where its quantiles are not known.
        """
        if not (self.bonafide and self.spoof):
            return None
        limit = self.boundary(prior)
        below = [float(np.interp(limit, q, np.linspace(0, 1, len(q)))) for q in (self.bonafide, self.spoof)]
        return 1.0 - below[0], below[1]


def _logit(p: float) -> float:
    return float(np.log(p) - np.log1p(-p))
