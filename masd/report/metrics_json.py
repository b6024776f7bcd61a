"""What metrics.json holds of one system on one set: error rates with intervals, decisions, calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from masd.errors import MasdError
from masd.metrics.accuracy import accuracy_f1
from masd.metrics.adcf import min_adcf
from masd.metrics.auc import auc
from masd.metrics.bootstrap import Interval, bootstrap_eer
from masd.metrics.brier_nll import brier, nll
from masd.metrics.dcf import DetectionCosts, act_dcf, cllr, cost_at, least_cost, min_dcf
from masd.metrics.ece import ece, reliability
from masd.metrics.eer import eer, split
from masd.metrics.scores import join, p_fake, read_scores
from masd.metrics.tdcf import asv_errors, min_tdcf, read_asv_scores
from masd.report.breakdown import break_down, mean_of_cells
from masd.report.scored_trials import Trials
from masd.stage.files import read_yaml
from masd.svm.selective import coverage_curve
from masd.systems.calibration import METHODS, ScoreMap, fit_map, logit


@dataclass
class Bootstrap:
    """How intervals are drawn: 95 % percentile intervals of `n` draws; `n` 0 for none."""

    n: int = 1000
    seed: int = 0

    def interval(self, trials: Trials, groups: np.ndarray) -> dict[str, Any] | None:
        """Return the EER's interval as a dict, or None where groups are too few to resample."""
        if self.n == 0 or len(set(groups.tolist())) < 2:
            return None
        try:
            result: Interval = bootstrap_eer(trials.scores, trials.fake, groups, self.n, self.seed)
        except MasdError:  # most draws hold one class only
            return None
        return asdict(result)


@dataclass
class ScoreMaps:
    """What turns scores s = -f / T into probabilities, from a model folder.

    Attributes:
        temperature: T.
        threshold: the development set's EER threshold on the scores; None where there was no such set.
        affine: (a, b, prior): P(fake) = 1 / (1 + exp(-(a f + b))) where fakes have the share `prior`.
        affine_scores: {utt: -(a f + b)} made elsewhere, in place of the map.
        fitted: maps fitted on development scores, beside those of the model.
        least_cost: the threshold of least cost on the development set.
    """

    temperature: float | None = None
    threshold: float | None = None
    affine: tuple[float, float, float] | None = None
    affine_scores: dict[str, float] | None = field(default=None, repr=False)
    fitted: list[ScoreMap] = field(default_factory=list)
    least_cost: float | None = None

    @property
    def prior(self) -> float:
        """The share of fakes that the affine map's probabilities are for."""
        return self.affine[2] if self.affine else 0.5

    def affine_ratio(self, trials: Trials) -> np.ndarray | None:
        """Return the affine map's log-likelihood ratios (N,), bona fide over fake; None without a map.

        Raises:
            MasdError: `affine_scores` lacks a trial.
        """
        if self.affine_scores is not None:
            utts = trials.utts.tolist()
            known = {utt: self.affine_scores[utt] for utt in utts if utt in self.affine_scores}
            return join(known, utts, where="affine scores")[1] + logit(self.prior)
        if self.affine is None or self.temperature is None:
            return None
        a, b, _ = self.affine
        return a * trials.scores * self.temperature - b + logit(self.prior)


def read_calibration(model: str | Path | None, affine_scores: str | Path | None = None) -> ScoreMaps:
    """Read temperature, development threshold and affine map from a model folder's model.yaml.

    Args:
        model: model folder; nothing is known of the scores without one.
        affine_scores: affine-calibrated scores of all trials, in place of the model's map.

    Raises:
        MasdError: model.yaml is missing or lacks the temperature.
    """
    result = ScoreMaps(affine_scores=read_scores(affine_scores) if affine_scores else None)
    if model is None:
        return result
    path = Path(model) / "model.yaml"
    content = read_yaml(path)
    try:
        content = content.get("calibration", content)  # a page's proof may keep a model.yaml of format 1
        affine = content.get("affine")
        result.temperature = float(content["temperature"]["value"])
        result.threshold = (content.get("thresholds") or {}).get("dev_eer")
        result.affine = (float(affine["a"]), float(affine["b"]), float(affine["prior"])) if affine else None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MasdError(f"{path}: no usable calibration ({error}); fit the model again") from None
    return result


def fit_on_development(calibration: ScoreMaps, dev: Trials, costs: DetectionCosts) -> None:
    """Add to `calibration` what follows from a development set: maps, and thresholds (EER, least cost)."""
    bona, spoof = split(dev.scores, dev.fake)
    calibration.fitted = [fit_map(method, dev.scores, dev.fake) for method in METHODS]
    calibration.least_cost = least_cost(bona, spoof, costs)[1]
    if calibration.threshold is None:
        calibration.threshold = eer(bona, spoof)[1]


def evaluate_trials(
    trials: Trials,
    calibration: ScoreMaps | None = None,
    bootstrap: Bootstrap | None = None,
    prior: float | None = None,
    costs: DetectionCosts | None = None,
) -> dict[str, Any]:
    """Return every figure of one system on one set, as plain values for metrics.json.

    All rates are shares (0 to 1). Attacks reported apart enter `attacks` and `apart` only.

    Args:
        trials: the joined trials.
        calibration: of the model; without it scores are taken as -f / T with T unknown.
        bootstrap: how intervals are drawn.
        prior: a share of fakes at which ECE is given, beside the set's own and 0.5.
        costs: the operating point of minDCF, actDCF and the chosen threshold.
    """
    calibration, bootstrap = calibration or ScoreMaps(), bootstrap or Bootstrap()
    costs = costs or DetectionCosts()
    pooled = trials.pooled
    ratio = calibration.affine_ratio(pooled)
    result: dict[str, Any] = {
        "counts": _counts(trials),
        "bootstrap": asdict(bootstrap),
        "costs": asdict(costs),
        "pooled": _rate(pooled, bootstrap, costs),
        "attacks": {a: _attack(trials, a, bootstrap, costs) for a in trials.attacks},
        "speakers": _by_speaker(pooled, bootstrap, costs),
        "decisions": _decisions(pooled, calibration, ratio, costs),
        "calibration": _calibrations(pooled, calibration, ratio, (prior, costs)),
        "coverage": _coverage(pooled),
        "ties": _ties(pooled),
    }
    for pool in ("seen", "unseen", "apart"):
        mask = trials.pool == pool
        if mask.any():
            part = trials.against_all_bonafide(mask)
            result[pool] = {"attacks": part.attacks, **_rate(part, bootstrap, costs)}
    return result


def breakdowns(
    trials: Trials,
    names: Sequence[tuple[str, ...]],
    values: Mapping[str, np.ndarray],
    bootstrap: Bootstrap,
    costs: DetectionCosts,
) -> list[dict[str, Any]]:
    """Return the figures of the pooled trials by each condition or crossing of conditions in `names`.

    `names` are what `masd.report.breakdown.parse_breakdown` returns, `values` {condition: value of each trial
    (N,)}. Of a condition that both classes have (a codec, a page that shows recordings and copies of them)
    there are also `mean`, see `masd.report.breakdown.mean_of_cells`, and `by_value`, the pooled EER's
    interval over draws of the condition's values.
    """
    kept = {name: column[trials.pool != "apart"] for name, column in values.items()}
    out = []
    for each in names:
        part = break_down(trials.pooled, each, kept, lambda some: _rate(some, bootstrap, costs))
        if len(each) == 1 and part["matched"]:
            part["mean"] = mean_of_cells(part["cells"])
            part["by_value"] = bootstrap.interval(trials.pooled, kept[each[0]])
        out.append(part)
    return out


def tandem(trials: Trials, asv_scores: str | Path) -> dict[str, Any]:
    """Return min t-DCF of the pooled trials with a speaker verifier's score file, and the verifier's errors.

    Keys: `2019`, `2021` (the two forms of min t-DCF), `asv` (its EER, threshold, error rates),
    `asv_adcf` (a-DCF of the verifier without a countermeasure).
    """
    kinds = read_asv_scores(asv_scores)
    asv = asv_errors(*kinds)
    bona, spoof = split(trials.pooled.scores, trials.pooled.fake)
    forms: dict[str, Any] = {form: min_tdcf(bona, spoof, asv, form)[0] for form in ("2019", "2021")}
    return {**forms, "asv": asdict(asv), "asv_adcf": min_adcf(*kinds)[0]}


def _counts(trials: Trials) -> dict[str, int]:
    pooled = trials.pooled
    return {
        "bonafide": int((~pooled.fake).sum()),
        "spoof": int(pooled.fake.sum()),
        "apart": int((trials.pool == "apart").sum()),
        "speakers": len(set(pooled.speaker.tolist()) - {""}),
        "sources": len(set(pooled.source.tolist())),
    }


def _rate(trials: Trials, bootstrap: Bootstrap, costs: DetectionCosts) -> dict[str, Any]:
    """Return EER, threshold, intervals by source recording and by speaker, AUC, minDCF and counts."""
    bona, spoof = split(trials.scores, trials.fake)
    value, threshold = eer(bona, spoof)
    return {
        "eer": value,
        "threshold": threshold,
        "by_source": bootstrap.interval(trials, trials.source),
        "by_speaker": bootstrap.interval(trials, trials.speaker) if (trials.speaker != "").all() else None,
        "auc": auc(bona, spoof),
        "min_dcf": min_dcf(bona, spoof, costs),
        "bonafide": int(bona.size),
        "spoof": int(spoof.size),
    }


def _attack(trials: Trials, attack: str, bootstrap: Bootstrap, costs: DetectionCosts) -> dict[str, Any]:
    part = trials.against_all_bonafide(trials.attack == attack)
    return {"pool": str(part.pool[part.fake][0]), **_rate(part, bootstrap, costs)}


def _by_speaker(trials: Trials, bootstrap: Bootstrap, costs: DetectionCosts) -> dict[str, dict[str, Any]]:
    """Return rates of the trials of each speaker who has both classes."""
    parts = {
        name: trials.take(trials.speaker == name) for name in sorted(set(trials.speaker.tolist()) - {""})
    }
    return {
        name: _rate(part, bootstrap, costs)
        for name, part in parts.items()
        if part.fake.any() and not part.fake.all()
    }


def _decisions(
    trials: Trials, calibration: ScoreMaps, ratio: np.ndarray | None, costs: DetectionCosts
) -> list[dict[str, Any]]:
    """Return accuracy, F1 and cost at P(fake) = 0.5 and at the development set's thresholds."""
    named = [("P(fake) = 0.5", trials.scores, 0.0)]
    if ratio is not None:
        name = f"P(fake) = 0.5, affine, prior {calibration.prior:g}"
        named.append((name, ratio - logit(calibration.prior), 0.0))
    if calibration.threshold is not None:
        named.append(("development threshold", trials.scores, calibration.threshold))
    if calibration.least_cost is not None:
        named.append(("least cost on development", trials.scores, calibration.least_cost))
    return [
        {
            "at": name,
            "threshold": threshold,
            "cost": cost_at(*split(scores, trials.fake), threshold, costs),
            **accuracy_f1(-scores, trials.fake, -threshold),
        }
        for name, scores, threshold in named
    ]


Maps = list[tuple[str, Callable[[float | None], np.ndarray]]]


def _maps(trials: Trials, calibration: ScoreMaps, ratio: np.ndarray | None) -> Maps:
    """Return (name, prior -> log-odds of bona fide (N,)) of every calibration; None: as the map has it.

    Maps with an offset give likelihood ratios, so their log-odds are moved to the prior asked for. A
    temperature has no offset: it is taken as it is, whatever the prior.
    """
    scores, maps = trials.scores, []

    def fixed(values: np.ndarray) -> Callable[[float | None], np.ndarray]:
        return lambda prior: values

    def moved(ratios: np.ndarray) -> Callable[[float | None], np.ndarray]:
        return lambda prior: ratios if prior is None else ratios - logit(prior)

    if calibration.temperature is not None:
        maps.append(("none (T = 1)", fixed(scores * calibration.temperature)))
        maps.append((f"temperature (T = {calibration.temperature:.3f})", fixed(scores)))
    else:
        maps.append(("scores as given", fixed(scores)))
    if ratio is not None:
        maps.append(("affine", moved(ratio)))
    for made in calibration.fitted:
        name = f"{made.method}, fitted on development"
        if made.method == "temperature":
            maps.append((f"{name} (T = {1 / made.slope:.3f})", fixed(made.log_odds(scores))))
        else:
            maps.append((name, moved(made.ratio(scores))))
    return maps


def _calibrations(
    trials: Trials, calibration: ScoreMaps, ratio: np.ndarray | None, at: tuple[float | None, DetectionCosts]
) -> list[dict[str, Any]]:
    """Return ECE, Brier score and NLL at each prior, actDCF, Cllr and the reliability diagram, per map."""
    own, (prior, costs) = float(trials.fake.mean()), at
    priors = [("the set's own", own), ("balanced", 0.5), *([("stated", prior)] if prior else [])]
    out = []
    for name, log_odds in _maps(trials, calibration, ratio):
        errors = []
        for label, share in priors:
            z = log_odds(share)
            p = p_fake(z)
            errors.append(
                {
                    "name": label,
                    "prior": share,
                    "ece": ece(p, trials.fake, prior=share),
                    "brier": brier(p, trials.fake, prior=share),
                    "nll": nll(-z, trials.fake, prior=share),
                }
            )
        bona, spoof = split(log_odds(None), trials.fake)
        out.append(
            {
                "name": name,
                "ece": errors,
                "act_dcf": act_dcf(bona, spoof, costs),
                "cllr": cllr(bona, spoof),
                "reliability": _reliability(p_fake(log_odds(own)), trials.fake),
            }
        )
    return out


def _reliability(p: np.ndarray, fake: np.ndarray) -> dict[str, list[float | None]]:
    diagram = reliability(p, fake)
    return {
        name: [float(v) if np.isfinite(v) else None for v in getattr(diagram, name)]
        for name in ("edges", "share", "confidence", "frequency")
    }


def _coverage(trials: Trials) -> list[dict[str, Any]]:
    """Return the EER among the most confident trials, by |f|, for coverages up to 1."""
    points = [asdict(point) for point in coverage_curve(*split(trials.scores, trials.fake))]
    return [point for point in points if np.isfinite(point["eer"])]


def at_coverage(metrics: Mapping[str, Any], share: float) -> dict[str, Any] | None:
    """Return the point of metrics.json's `coverage` at a share of the trials, None if none is near."""
    point = min(metrics["coverage"], key=lambda p: abs(p["coverage"] - share), default=None)
    return point if point is not None and abs(point["coverage"] - share) < 0.03 else None


def _ties(trials: Trials) -> float:
    """Return the share of (bona fide, spoofed) pairs with equal scores; ties count against the system."""
    bona, spoof = split(trials.scores, trials.fake)
    spoof = np.sort(spoof)
    equal = np.searchsorted(spoof, bona, side="right") - np.searchsorted(spoof, bona, side="left")
    return float(equal.sum() / (bona.size * spoof.size))
