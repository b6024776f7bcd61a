"""All figures of one system on one set: error rates with intervals, decisions, calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from masd.errors import MasdError
from masd.files import read_yaml
from masd.metrics.accuracy import accuracy_f1
from masd.metrics.auc import auc
from masd.metrics.bootstrap import Interval, bootstrap_eer
from masd.metrics.dcf import act_dcf, cllr, min_dcf
from masd.metrics.ece import ece, reliability
from masd.metrics.eer import eer, split
from masd.metrics.scores import join, p_fake, read_scores
from masd.metrics.tdcf import asv_errors, min_tdcf, read_asv_scores
from masd.report.breakdown import break_down
from masd.report.trials import Trials
from masd.svm.selective import coverage_curve


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
class Calibration:
    """What turns scores s = -f / T into probabilities, from a model folder.

    Attributes:
        temperature: T.
        threshold: the development set's EER threshold on the scores; None where there was no such set.
        affine: (a, b, prior): P(fake) = 1 / (1 + exp(-(a f + b))) where fakes have the share `prior`.
        affine_scores: {utt: -(a f + b)} made elsewhere, in place of the map.
    """

    temperature: float | None = None
    threshold: float | None = None
    affine: tuple[float, float, float] | None = None
    affine_scores: dict[str, float] | None = field(default=None, repr=False)

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
            return join(known, utts, where="affine scores")[1] + _logit(self.prior)
        if self.affine is None or self.temperature is None:
            return None
        a, b, _ = self.affine
        return a * trials.scores * self.temperature - b + _logit(self.prior)


def _logit(p: float) -> float:
    return float(np.log(p) - np.log1p(-p))


def read_calibration(model: str | Path | None, affine_scores: str | Path | None = None) -> Calibration:
    """Read temperature, development threshold and affine map from a model folder's model.yaml.

    Args:
        model: model folder; nothing is known of the scores without one.
        affine_scores: affine-calibrated scores of all trials, in place of the model's map.

    Raises:
        MasdError: model.yaml is missing or lacks the temperature.
    """
    result = Calibration(affine_scores=read_scores(affine_scores) if affine_scores else None)
    if model is None:
        return result
    path = Path(model) / "model.yaml"
    content = read_yaml(path)
    try:
        affine = content.get("affine")
        result.temperature = float(content["temperature"]["value"])
        result.threshold = (content.get("thresholds") or {}).get("dev_eer")
        result.affine = (float(affine["a"]), float(affine["b"]), float(affine["prior"])) if affine else None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MasdError(f"{path}: no usable calibration ({error}); fit the model again") from None
    return result


def evaluate_trials(
    trials: Trials,
    calibration: Calibration | None = None,
    bootstrap: Bootstrap | None = None,
    prior: float | None = None,
) -> dict[str, Any]:
    """Return every figure of one system on one set, as plain values for metrics.json.

    All rates are shares (0 to 1). Attacks reported apart enter `attacks` and `apart` only.

    Args:
        trials: the joined trials.
        calibration: of the model; without it scores are taken as -f / T with T unknown.
        bootstrap: how intervals are drawn.
        prior: a share of fakes at which ECE is given, beside the set's own and 0.5.
    """
    calibration, bootstrap = calibration or Calibration(), bootstrap or Bootstrap()
    pooled = trials.pooled
    ratio = calibration.affine_ratio(pooled)
    result: dict[str, Any] = {
        "counts": _counts(trials),
        "bootstrap": asdict(bootstrap),
        "pooled": _rate(pooled, bootstrap),
        "attacks": {a: _attack(trials, a, bootstrap) for a in trials.attacks},
        "speakers": _by_value(pooled, lambda t: t.speaker, bootstrap),
        "decisions": _decisions(pooled, calibration, ratio),
        "calibration": _calibrations(pooled, calibration, ratio, prior),
        "coverage": _coverage(pooled),
        "ties": _ties(pooled),
    }
    for pool in ("seen", "unseen", "apart"):
        mask = trials.pool == pool
        if mask.any():
            part = trials.against_all_bonafide(mask)
            result[pool] = {"attacks": part.attacks, **_rate(part, bootstrap)}
    return result


def breakdowns(
    trials: Trials,
    names: Sequence[tuple[str, ...]],
    values: Mapping[str, np.ndarray],
    bootstrap: Bootstrap | None = None,
) -> list[dict[str, Any]]:
    """Return the figures of the pooled trials by each condition or pair of conditions in `names`.

    Args:
        trials: all trials (N,).
        names: see `masd.report.breakdown.parse_breakdown`.
        values: {condition: value of each trial (N,)}.
        bootstrap: how intervals are drawn.
    """
    bootstrap, keep = bootstrap or Bootstrap(), trials.pool != "apart"
    kept = {name: column[keep] for name, column in values.items()}
    return [break_down(trials.pooled, n, kept, lambda part: _rate(part, bootstrap)) for n in names]


def tandem(trials: Trials, asv_scores: str | Path) -> dict[str, float]:
    """Return {form: min t-DCF} of the pooled trials with a speaker verifier's score file, 2019 and 2021."""
    asv = asv_errors(*read_asv_scores(asv_scores))
    bona, spoof = split(trials.pooled.scores, trials.pooled.fake)
    return {form: min_tdcf(bona, spoof, asv, form)[0] for form in ("2019", "2021")}


def _counts(trials: Trials) -> dict[str, int]:
    pooled = trials.pooled
    return {
        "bonafide": int((~pooled.fake).sum()),
        "spoof": int(pooled.fake.sum()),
        "apart": int((trials.pool == "apart").sum()),
        "speakers": len(set(pooled.speaker.tolist()) - {""}),
        "sources": len(set(pooled.source.tolist())),
    }


def _rate(trials: Trials, bootstrap: Bootstrap) -> dict[str, Any]:
    """Return EER, threshold, intervals by source recording and by speaker, AUC, minDCF and counts."""
    bona, spoof = split(trials.scores, trials.fake)
    value, threshold = eer(bona, spoof)
    return {
        "eer": value,
        "threshold": threshold,
        "by_source": bootstrap.interval(trials, trials.source),
        "by_speaker": bootstrap.interval(trials, trials.speaker) if (trials.speaker != "").all() else None,
        "auc": auc(bona, spoof),
        "min_dcf": min_dcf(bona, spoof),
        "bonafide": int(bona.size),
        "spoof": int(spoof.size),
    }


def _attack(trials: Trials, attack: str, bootstrap: Bootstrap) -> dict[str, Any]:
    part = trials.against_all_bonafide(trials.attack == attack)
    return {"pool": str(part.pool[part.fake][0]), **_rate(part, bootstrap)}


def _by_value(
    trials: Trials, value: Callable[[Trials], np.ndarray], bootstrap: Bootstrap
) -> dict[str, dict[str, Any]]:
    """Return rates of the trials of each value (speaker, codec) that has both classes."""
    values = value(trials)
    out = {}
    for name in sorted(set(values.tolist()) - {""}):
        part = trials.take(values == name)
        if part.fake.any() and not part.fake.all():
            out[name] = _rate(part, bootstrap)
    return out


def _decisions(trials: Trials, calibration: Calibration, ratio: np.ndarray | None) -> list[dict[str, Any]]:
    """Return accuracy and F1 at P(fake) = 0.5 and at the development threshold."""
    named = [("P(fake) = 0.5", trials.scores, 0.0)]
    if ratio is not None:
        name = f"P(fake) = 0.5, affine, prior {calibration.prior:g}"
        named.append((name, ratio - _logit(calibration.prior), 0.0))
    if calibration.threshold is not None:
        named.append(("development threshold", trials.scores, calibration.threshold))
    return [
        {"at": name, "threshold": threshold, **accuracy_f1(-scores, trials.fake, -threshold)}
        for name, scores, threshold in named
    ]


def _calibrations(
    trials: Trials, calibration: Calibration, ratio: np.ndarray | None, prior: float | None
) -> list[dict[str, Any]]:
    """Return ECE at each prior, actDCF, Cllr and the reliability diagram, per calibration.

    The affine map gives likelihood ratios, so its P(fake) is computed for the very prior at which the
    set is weighted. A temperature has no prior: its P(fake) is taken as it is.
    """
    own = float(trials.fake.mean())
    priors = [("the set's own", own), ("balanced", 0.5), *([("stated", prior)] if prior else [])]
    maps: list[tuple[str, np.ndarray, bool]] = []
    if calibration.temperature is not None:
        maps.append(("none (T = 1)", trials.scores * calibration.temperature, False))
        maps.append((f"temperature (T = {calibration.temperature:.3f})", trials.scores, False))
    else:
        maps.append(("scores as given", trials.scores, False))
    if ratio is not None:
        maps.append(("affine", ratio, True))
    out = []
    for name, scores, shifts in maps:
        bona, spoof = split(scores, trials.fake)
        errors = []
        for label, share in priors:
            p = p_fake(scores - _logit(share) if shifts else scores)
            errors.append({"name": label, "prior": share, "ece": ece(p, trials.fake, prior=share)})
        shown = p_fake(scores - _logit(own) if shifts else scores)
        out.append(
            {
                "name": name,
                "ece": errors,
                "act_dcf": act_dcf(bona, spoof),
                "cllr": cllr(bona, spoof),
                "reliability": _reliability(shown, trials.fake),
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


def _ties(trials: Trials) -> float:
    """Return the share of (bona fide, spoofed) pairs with equal scores; ties count against the system."""
    bona, spoof = split(trials.scores, trials.fake)
    spoof = np.sort(spoof)
    equal = np.searchsorted(spoof, bona, side="right") - np.searchsorted(spoof, bona, side="left")
    return float(equal.sum() / (bona.size * spoof.size))
