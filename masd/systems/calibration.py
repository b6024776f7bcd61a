"""From decision values and scores to probabilities, once for all systems.

- `fit_temperature`: T of P(fake) = 1 / (1 + exp(-f / T)) (Eq. 10); `fit_affine`: the affine map beside it;
- `Posterior`: P(fake) as `detect` states it, fitted on the development set, and the label's errors there;
- `Calibration`: all that a model folder keeps of these; `on_development` makes the part a development set
  gives;
- `ScoreMap`: the same for anybody's scores: temperature, Platt, affine, isotonic; `ScoreFusion`: of several
  systems'.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from masd.errors import MasdError
from masd.metrics.ece import ece
from masd.metrics.eer import eer, split
from masd.metrics.scores import p_fake
from masd.stage.seeding import generator

log = logging.getLogger(__name__)

T_BOUNDS = (0.01, 10.0)
SLOPE_BOUNDS = (1e-3, 1e3)
POINTS = 101  # quantiles that a class is kept by
PENALTY = 1e-4  # on a fusion's standardised weights, so that separable sets give finite ones
METHODS = ("temperature", "platt", "affine", "isotonic")


def logit(p: float) -> float:
    """Return log(p / (1 - p)) of a share, strictly between 0 and 1."""
    return float(np.log(p) - np.log1p(-p))


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
    bonafide: list[float] = field(default_factory=list)
    spoof: list[float] = field(default_factory=list)
    calibrated: bool = True

    @classmethod
    def fit(cls, decisions: np.ndarray, is_fake: np.ndarray) -> Posterior:
        """Return the map fitted on the development set's f (N,), its classes weighted to one half each.

        Raises:
            MasdError: one class is missing.
        """
        found, fake = fit_affine(decisions, is_fake, 0.5), np.asarray(is_fake, bool)
        values, steps = np.asarray(decisions, np.float64), np.linspace(0, 1, POINTS)
        kept = [np.round(np.quantile(values[of], steps), 6).tolist() for of in (~fake, fake)]
        return cls(found.a, found.b, 0.5, *kept)

    @classmethod
    def of(cls, stated: Mapping[str, Any]) -> Posterior:
        """Return the map of a model's `calibration`; of released weights, which have none, the affine map."""
        calibrated = bool(stated.get("calibrated", True))
        found = stated.get("posterior") or stated["affine"]
        names = ("a", "b", "prior", "bonafide", "spoof")
        return cls(**{name: found[name] for name in names if name in found}, calibrated=calibrated)

    def described(self) -> dict[str, Any]:
        """Return what model.yaml keeps."""
        values = dataclasses.asdict(self)
        del values["calibrated"]
        return values | {"holdout": "development set"}

    def logit(self, f: float, prior: float = 0.5) -> float:
        """Return log P(fake) / P(bona fide) of f where fakes have the share `prior`."""
        return self.a * f + self.b + logit(prior) - logit(self.prior)

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


@dataclass
class Calibration:
    """What turns a system's f into scores, P(fake) and thresholds, as its model.yaml states it.

    Args:
        stated: `temperature` {value}, `affine` {a, b, prior}, `thresholds` {dev_eer, dev_eer_affine},
            `posterior`, `offset` of raw scores, each with how it was fitted; `calibrated` is false for
            released weights.
    """

    stated: Mapping[str, Any]

    @property
    def calibrated(self) -> bool:
        """Whether temperature and affine map were fitted, as those of released weights are not."""
        return bool(self.stated.get("calibrated", True))

    @property
    def posterior(self) -> Posterior:
        """P(fake) of f, and the label's errors on the development set."""
        return Posterior.of(self.stated)

    def scores(self, f: np.ndarray) -> np.ndarray:
        """Return -f / T (N,): higher is more bona fide, and P(fake) = 1 / (1 + exp(score)) (Eq. 10)."""
        return -np.asarray(f) / float(self.stated["temperature"]["value"])

    def affine_scores(self, f: np.ndarray) -> np.ndarray:
        """Return -(a f + b) (N,), the affinely calibrated score, with the same reading as `scores`."""
        affine = self.stated["affine"]
        return -(float(affine["a"]) * np.asarray(f) + float(affine["b"]))


# of weights that somebody released: scores are as they come, the threshold 0
UNCALIBRATED: dict[str, Any] = {
    "temperature": {"value": 1.0},
    "affine": {"a": 1.0, "b": 0.0, "prior": 0.5},
    "thresholds": {"dev_eer": 0.0, "dev_eer_affine": 0.0},
    "calibrated": False,
}


def on_development(
    maps: Mapping[str, Any], f: np.ndarray, is_fake: np.ndarray, prior: float = 0.5
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a whole `calibration`, and figures of the development set, which gives thresholds and P(fake).

    `detect` calls a recording spoof where P(fake) is one half or more; at the thresholds the error rates of
    both kinds are alike.

    `maps` has `temperature` and `affine`, wherever they were fitted, and `offset`; f (N,) are the set's
    decision values; ECE is taken at `prior`.
    """
    made = Calibration(maps)
    scores, mapped = made.scores(f), made.affine_scores(f)
    rate, threshold = eer(*split(scores, is_fake))
    figures: dict[str, Any] = {"eer": rate, "prior": prior}
    for kind, values in {"uncalibrated": -np.asarray(f), "temperature": scores, "affine": mapped}.items():
        figures[f"ece_{kind}"] = ece(p_fake(values), is_fake, prior=prior)
    log.info("dev: EER %.2f %%, ECE %.3f -> %.3f (T) %.3f (affine)", 100 * rate, *list(figures.values())[-3:])
    thresholds = {"dev_eer": threshold, "dev_eer_affine": eer(*split(mapped, is_fake))[1]}
    posterior = Posterior.fit(f, is_fake).described()
    return {**maps, "thresholds": thresholds, "posterior": posterior}, figures


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
        return found if prior is None else found + logit(self.prior) - logit(prior)

    def ratio(self, scores: np.ndarray) -> np.ndarray:
        """Return log-likelihood ratios (N,), bona fide over fake: the log-odds at even priors."""
        return self.log_odds(scores, 0.5)


def fit_map(method: str, scores: np.ndarray, is_fake: np.ndarray, prior: float = 0.5) -> ScoreMap:
    """Fit a calibration of scores (N,), higher for bona fide, by one of `METHODS`.

    For `affine` the classes are weighted to `prior`, the share of fakes.

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
    _checked(matrix[0], fake)
    if not 0.0 < prior < 1.0:
        raise MasdError(f"fusion prior {prior:g}: must lie strictly between 0 and 1")
    mean, std = matrix.mean(axis=1), matrix.std(axis=1)
    std[std == 0] = 1.0
    x = ((matrix.T - mean) / std).astype(np.float64)
    target = (~fake).astype(np.float64)
    weight = np.where(fake, prior / fake.sum(), (1 - prior) / (~fake).sum())
    shift = -logit(prior)  # prior log-odds of bona fide

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        logits = x @ theta[:-1] + theta[-1] + shift
        error = weight * (1.0 / (1.0 + np.exp(-np.clip(logits, -700, 700))) - target)
        gradient = np.concatenate([error @ x + PENALTY * theta[:-1], [error.sum()]])
        return cross_entropy(logits, target, weight) + 0.5 * PENALTY * theta[:-1] @ theta[:-1], gradient

    options = {"ftol": 1e-14, "gtol": 1e-10, "maxiter": 2000}
    found = minimize(loss, np.zeros(len(matrix) + 1), jac=True, method="L-BFGS-B", options=options).x
    weights = found[:-1] / std
    return ScoreFusion(weights.tolist(), float(found[-1] - weights @ mean), float(prior))
