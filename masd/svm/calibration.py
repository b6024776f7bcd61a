"""From decision values to probabilities: one temperature (Eq. 10), and an affine map beside it.

`ScoreMap` does the same to the scores of any system: temperature, Platt, affine, isotonic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from masd.errors import MasdError
from masd.stage.seeding import generator

T_BOUNDS = (0.01, 10.0)
SLOPE_BOUNDS = (1e-3, 1e3)


def cross_entropy(logits: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
    """Return the weighted mean of -[y log P + (1 - y) log(1 - P)] with P = 1 / (1 + exp(-logit))."""
    losses = np.logaddexp(0.0, logits) - target * logits
    return float((weight * losses).sum() / weight.sum())


def fit_temperature(decisions: np.ndarray, is_fake: np.ndarray) -> float:
    """Return T of P(fake) = 1 / (1 + exp(-f / T)) by maximum likelihood within [0.01, 10].

    The likelihood is concave in 1 / T, so the bounded search finds its one maximum.

    Args:
        decisions: (N,) f of held-out utterances.
        is_fake: (N,) booleans.

    Raises:
        MasdError: one class is missing.
    """
    from scipy.optimize import minimize_scalar

    decisions, target = _checked(decisions, is_fake)
    weight = np.ones_like(target)
    bounds = (1.0 / T_BOUNDS[1], 1.0 / T_BOUNDS[0])

    def loss(inverse: float) -> float:
        return cross_entropy(decisions * inverse, target, weight)

    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-9, "maxiter": 1000})
    inverse = min([float(found.x), *bounds], key=loss)
    return float(np.clip(1.0 / inverse, *T_BOUNDS))


@dataclass
class Affine:
    """P(fake) = 1 / (1 + exp(-(a f + b))) at the stated prior; the affine score is -(a f + b).

    Args:
        a: slope, positive, so that the map never turns the polarity round.
        b: offset.
        prior: the P(fake) the map was fitted for.
    """

    a: float
    b: float
    prior: float


def fit_affine(decisions: np.ndarray, is_fake: np.ndarray, prior: float = 0.5) -> Affine:
    """Fit the affine map by maximum likelihood, the classes weighted to `prior`.

    Targets are smoothed to (n + 1) / (n + 2) as in Platt's method, so that separable data give a
    finite slope.

    Args:
        decisions: (N,) f of utterances the model that made f has not seen.
        is_fake: (N,) booleans.
        prior: P(fake) the probabilities shall hold for, strictly between 0 and 1.

    Raises:
        MasdError: one class is missing, or the prior is no probability.
    """
    from scipy.optimize import minimize

    if not 0.0 < prior < 1.0:
        raise MasdError(f"calibration prior {prior:g}: must lie strictly between 0 and 1")
    decisions, target = _checked(decisions, is_fake)
    fakes, reals = target.sum(), (1.0 - target).sum()
    weight = np.where(target == 1.0, prior / fakes, (1.0 - prior) / reals)
    smooth = np.where(target == 1.0, (fakes + 1.0) / (fakes + 2.0), 1.0 / (reals + 2.0))
    spread = float(decisions.std()) or 1.0
    scaled = decisions / spread

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        logits = theta[0] * scaled + theta[1]
        error = weight * (1.0 / (1.0 + np.exp(-np.clip(logits, -700, 700))) - smooth)
        return cross_entropy(logits, smooth, weight), np.array([error @ scaled, error.sum()])

    bounds = [tuple(s * spread for s in SLOPE_BOUNDS), (None, None)]
    start = np.array([np.clip(1.0, *bounds[0]), 0.0])
    options = {"ftol": 1e-14, "gtol": 1e-10, "maxiter": 2000}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return Affine(float(found.x[0] / spread), float(found.x[1]), float(prior))


def _checked(decisions: np.ndarray, is_fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    decisions = np.asarray(decisions, dtype=np.float64)
    target = np.asarray(is_fake, dtype=np.float64)
    if not len(target) or target.min() == target.max():
        raise MasdError("calibration needs both bona fide and spoof utterances held out")
    return decisions, target


@dataclass
class Fold:
    """One fold of cross-fitting: row numbers to fit on and to judge, and what was left out."""

    fit: np.ndarray
    held: np.ndarray
    speakers: list[str]
    attacks: list[str]


def cross_folds(
    speakers: Sequence[str], attacks: Sequence[str], is_fake: np.ndarray, folds: int, seed: int
) -> list[Fold]:
    """Return folds in which neither speaker nor attack of a held-out row was fitted on.

    Speakers and attacks are each dealt into groups; fold k holds out the bona fide and the attacks
    of group k spoken by the speakers of group k, and fits on what shares neither. With one attack
    only, folds are by speaker alone. A fold in which a class is missing on either side is dropped.

    Args:
        speakers: (N) speaker of each row.
        attacks: (N) attack of each row, anything for bona fide.
        is_fake: (N,) booleans.
        folds: how many, at most as many as there are speakers.
        seed: the deal depends on it.

    Returns:
        The folds, empty when there are fewer than two speakers.
    """
    is_fake = np.asarray(is_fake, dtype=bool)
    speaker_of, attack_of = np.asarray(speakers), np.asarray(attacks)
    names = sorted(set(speakers))
    kinds = sorted(set(attack_of[is_fake].tolist()))
    folds = min(folds, len(names))
    if folds < 2:
        return []
    generator(seed, "calibration speakers").shuffle(names)
    generator(seed, "calibration attacks").shuffle(kinds)
    groups = min(folds, len(kinds))
    out = []
    for k in range(folds):
        out_speakers = names[k::folds]
        out_attacks = kinds[k % groups :: groups] if groups > 1 else []
        by_speaker = np.isin(speaker_of, out_speakers)
        by_attack = is_fake & np.isin(attack_of, out_attacks)
        held = by_speaker & (by_attack | ~is_fake) if out_attacks else by_speaker
        fit = ~by_speaker & ~by_attack
        if all(0 < is_fake[rows].sum() < rows.sum() for rows in (held, fit)):
            out.append(
                Fold(np.flatnonzero(fit), np.flatnonzero(held), sorted(out_speakers), sorted(out_attacks))
            )
    return out


METHODS = ("temperature", "platt", "affine", "isotonic")


@dataclass
class ScoreMap:
    """A calibration of scores (higher is more bona fide), fitted on scores of a development set.

    Args:
        method: `temperature`: s / T; `platt`: a s + b at the fitting set's own share of fakes; `affine`: the
            same with the classes weighted to `prior`; `isotonic`: monotone steps (pool adjacent violators).
        prior: the share of fakes that the fitted probabilities are for.
        slope: of the map from scores to log P(bona fide) / P(fake) at `prior`; isotonic has none.
        offset: of that map.
        knots: isotonic: scores in rising order.
        values: isotonic: log P(bona fide) / P(fake) at `prior` of each knot.
    """

    method: str
    prior: float
    slope: float = 1.0
    offset: float = 0.0
    knots: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def log_odds(self, scores: np.ndarray, prior: float | None = None) -> np.ndarray:
        """Return log P(bona fide) / P(fake) where fakes have the share `prior` (the fitted one without).

        Args:
            scores: (N,).
            prior: the prior to move to, strictly between 0 and 1.
        """
        scores = np.asarray(scores, dtype=np.float64)
        if self.method == "isotonic":
            steps = np.searchsorted(np.asarray(self.knots), scores, side="right") - 1
            found = np.asarray(self.values)[np.clip(steps, 0, len(self.values) - 1)]
        else:
            found = self.slope * scores + self.offset
        return found if prior is None else found + _logit(self.prior) - _logit(prior)

    def ratio(self, scores: np.ndarray) -> np.ndarray:
        """Return log-likelihood ratios (N,), bona fide over fake: the log-odds at even priors."""
        return self.log_odds(scores, 0.5)


def _logit(p: float) -> float:
    return float(np.log(p) - np.log1p(-p))


def fit_map(method: str, scores: np.ndarray, is_fake: np.ndarray, prior: float = 0.5) -> ScoreMap:
    """Fit a calibration of scores on a development set or on held-out training data.

    Args:
        method: one of `METHODS`.
        scores: (N,), higher is more bona fide.
        is_fake: (N,) booleans.
        prior: for `affine`, the share of fakes that the classes are weighted to.

    Raises:
        MasdError: an unknown method, or one class missing.
    """
    scores, fake = np.asarray(scores, dtype=np.float64), np.asarray(is_fake, dtype=bool)
    if method not in METHODS:
        raise MasdError(f"calibration {method}: choose one of {', '.join(METHODS)}")
    _checked(scores, fake)
    own = float(fake.mean())
    if method == "temperature":
        return ScoreMap(method, own, 1.0 / fit_temperature(-scores, fake))
    if method == "isotonic":
        return _fit_isotonic(scores, fake)
    fitted = fit_affine(-scores, fake, own if method == "platt" else prior)
    return ScoreMap(method, fitted.prior, fitted.a, -fitted.b)


def _fit_isotonic(scores: np.ndarray, fake: np.ndarray) -> ScoreMap:
    """Pool adjacent violators, with a bona fide trial added below all scores and a fake above.

    The two keep every log-odds finite (N. Bruemmer's and J. du Preez' PAV calibration).
    """
    from sklearn.isotonic import isotonic_regression

    levels, index = np.unique(scores, return_inverse=True)
    real = np.bincount(index, ~fake, minlength=levels.size).astype(np.float64)
    count = np.bincount(index, minlength=levels.size).astype(np.float64)
    real[0] += 1.0
    np.add.at(count, [0, -1], 1.0)  # both on the same level where all scores are equal
    share = isotonic_regression(real / count, sample_weight=count)
    first = np.concatenate([[True], np.diff(share) > 0])
    knots, share = levels[first], np.clip(share[first], 1e-12, 1 - 1e-12)
    values = np.log(share) - np.log1p(-share)
    return ScoreMap("isotonic", float(fake.mean()), knots=knots.tolist(), values=values.tolist())
