"""Fitting a system: fusion, SVM, temperature, affine map, development threshold."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from masd.errors import MasdError
from masd.feats.config import HAND_NAMES
from masd.metrics.ece import ece
from masd.metrics.eer import eer, split
from masd.metrics.scores import p_fake
from masd.svm.calibration import T_BOUNDS, Affine, cross_folds, fit_affine, fit_temperature
from masd.svm.config import FitConfig, SystemSpec, system_spec
from masd.svm.fusion_training import TrainedFusion, stratified_rows, train_fusion
from masd.svm.inputs import Inputs
from masd.svm.kernel import KernelSvm, fit_svm
from masd.svm.posterior import Posterior
from masd.svm.system import FeatureMap, Scaler, System

if TYPE_CHECKING:
    from masd.data.folder import DataFolder

log = logging.getLogger(__name__)


@dataclass
class LabelledSet:
    """A set's inputs with what the data folder says of them.

    Args:
        inputs: N utterances.
        is_fake: (N,) booleans.
        speakers: (N) speaker ids.
        attacks: (N) attack ids, `-` for bona fide.
    """

    inputs: Inputs
    is_fake: np.ndarray
    speakers: list[str]
    attacks: list[str]

    def __len__(self) -> int:
        return len(self.inputs)

    @classmethod
    def of(cls, inputs: Inputs, folder: DataFolder) -> LabelledSet:
        """Join inputs with a data folder by id.

        Raises:
            MasdError: the folder has no labels, or one class is missing.
        """
        utts = inputs.utts
        is_fake = np.array([folder.lab(utt) == "spoof" for utt in utts])
        if is_fake.all() or not is_fake.any():
            raise MasdError(
                f"{folder.path}: only {'spoof' if is_fake.all() else 'bona fide'} utterances; both are needed"
            )
        table = folder.tables.get("utt2attack", {})
        attacks = [table.get(utt, "spoof" if fake else "-") for utt, fake in zip(utts, is_fake, strict=True)]
        return cls(inputs, is_fake, [folder.spk(utt) for utt in utts], attacks)

    def rows(self, index: np.ndarray) -> LabelledSet:
        """Return the utterances numbered by `index`."""
        speakers, attacks = ([table[i] for i in index] for table in (self.speakers, self.attacks))
        return LabelledSet(self.inputs.rows(index), self.is_fake[index], speakers, attacks)

    def counts(self) -> dict[str, int]:
        """Return how many utterances, of each class, speakers and attacks there are."""
        fakes = int(self.is_fake.sum())
        attacks = len({a for a, fake in zip(self.attacks, self.is_fake, strict=True) if fake})
        return {
            "utterances": len(self),
            "bonafide": len(self) - fakes,
            "spoof": fakes,
            "speakers": len(set(self.speakers)),
            "attacks": attacks,
        }


@dataclass
class Machine:
    """A feature map and the SVM on top, not calibrated."""

    features: FeatureMap
    svm: KernelSvm
    trained: TrainedFusion | None = None

    def decision(self, inputs: Inputs) -> np.ndarray:
        """Return f (N,), positive for fake."""
        return self.svm.decision(self.features.values(inputs))

    def eer(self, data: LabelledSet) -> float:
        """Return the EER (0 to 1) on a set."""
        return eer(*split(-self.decision(data.inputs), data.is_fake))[0]


def fit_system(
    name: str,
    train: LabelledSet,
    dev: LabelledSet,
    config: FitConfig,
    seed: int,
    alpha: np.ndarray | None = None,
) -> tuple[System, list[dict[str, float]]]:
    """Fit and calibrate one row of Table II.

    A random share of the training set is kept out of fusion and SVM for the temperature (Eq. 10);
    the affine map comes from fold models that saw neither speakers nor attacks they are judged on.
    The development set gives the threshold and the figures in `info`, and decides nothing else.

    Args:
        name: the system.
        train: the training set.
        dev: the development set.
        config: every choice.
        seed: of everything random.
        alpha: (J,) the encoder's band weights; None where there is no encoder.

    Returns:
        The system and the history of fusion training, empty where there was none.
    """
    spec = system_spec(name)
    held = stratified_rows(train.is_fake, config.calibration_share, seed, "temperature")
    fitted = train.rows(np.setdiff1d(np.arange(len(train)), held))
    log.info("%s: fitting on %d utterances, %d for the temperature", name, len(fitted), len(held))
    machine = fit_machine(spec, fitted, config, seed, alpha, dev)
    calibration = train.rows(held)
    decisions = machine.decision(calibration.inputs)
    info: dict[str, Any] = {"temperature": temperature(decisions, calibration.is_fake)}
    info["affine"] = affine(spec, train, config, seed, alpha, (decisions, calibration.is_fake))
    system = System(name, machine.features, machine.svm, info)
    info |= develop(system, dev, config.prior)
    info |= describe(machine, fitted, dev)
    return system, machine.trained.history if machine.trained else []


def fit_machine(
    spec: SystemSpec,
    train: LabelledSet,
    config: FitConfig,
    seed: int,
    alpha: np.ndarray | None,
    dev: LabelledSet | None = None,
) -> Machine:
    """Fit scalers, fusion and SVM on the whole of `train`; `dev` is only looked at for the log."""
    features = FeatureMap(
        spec, alpha=None if alpha is None or not spec.ssl else np.asarray(alpha, np.float32)
    )
    active = config.fusion_standardise if spec.fused else config.svm_standardise
    if spec.ssl:
        features.ssl = Scaler.of(features.f_ssl(train.inputs), active)
    if spec.hand and train.inputs.hand is not None:
        features.hand = Scaler.of(train.inputs.hand, active)
    trained = None
    if spec.fused:

        def watch(_: int, mapped: FeatureMap) -> dict[str, float]:
            return {} if dev is None else {"svm_dev_eer": _with_svm(mapped, train, config).eer(dev)}

        watched = None if dev is None else watch
        trained = train_fusion(features, train.inputs, train.is_fake, train.speakers, config, seed, watched)
        features = trained.features
    machine = _with_svm(features, train, config)
    machine.trained = trained
    return machine


def _with_svm(features: FeatureMap, train: LabelledSet, config: FitConfig) -> Machine:
    values = features.values(train.inputs)
    weights = slack_weights(train, config.class_weight)
    svm = fit_svm(values, train.is_fake, config.c, config.gamma, weights, config.gamma_scale)
    log.info(
        "SVM: %d of %d utterances are support vectors, gamma %.4g", len(svm.dual), len(values), svm.gamma
    )
    return Machine(features, svm)


def slack_weights(data: LabelledSet, kind: Literal["balanced", "attack", "none"]) -> np.ndarray | None:
    """Return what each utterance's slack weighs (N,), of mean 1; None where the classes weigh alike.

    `attack`: and within spoofed speech every attack weighs alike; `none`: every utterance.
    """
    if kind != "attack":
        return None if kind == "balanced" else np.ones(len(data))
    attacks = np.array(data.attacks)
    attacks[~data.is_fake] = "-"
    names, counts = np.unique(attacks[data.is_fake], return_counts=True)
    share = dict(zip(names, 1 / (2 * len(names) * counts), strict=True))
    share["-"] = 1 / (2 * (~data.is_fake).sum())
    return len(data) * np.array([share[attack] for attack in attacks])


def temperature(decisions: np.ndarray, is_fake: np.ndarray) -> dict[str, Any]:
    """Return T (Eq. 10) with the prior and the number of utterances it was fitted on."""
    value = fit_temperature(decisions, is_fake)
    bound = bool(value <= T_BOUNDS[0] * 1.001 or value >= T_BOUNDS[1] * 0.999)
    if bound:
        log.warning("the temperature is at its bound, %g: the held-out utterances do not determine it", value)
    return {
        "value": value,
        "at_bound": bound,
        "prior": float(np.mean(is_fake)),
        "utterances": len(is_fake),
        "holdout": "random",
    }


def affine(
    spec: SystemSpec,
    train: LabelledSet,
    config: FitConfig,
    seed: int,
    alpha: np.ndarray | None,
    random: tuple[np.ndarray, np.ndarray],
) -> dict[str, Any]:
    """Return the affine map with how it was held out.

    Args:
        spec: the system.
        train: the whole training set.
        config: `affine_holdout`, `affine_folds` and `prior` say how.
        seed: of the folds and the fold models.
        alpha: the encoder's band weights.
        random: decisions and labels of the temperature's utterances, used where nothing better can be.
    """
    folds = []
    if config.affine_holdout == "cross":
        folds = cross_folds(train.speakers, train.attacks, train.is_fake, config.affine_folds, seed)
        if not folds:
            log.warning(
                "too few speakers to cross-fit the affine map; it is fitted on the temperature's utterances"
            )
    if not folds:
        found = fit_affine(*random, config.prior)
        return _affine_info(found, "random", len(random[0]))
    decisions, labels = [], []
    for number, fold in enumerate(folds, 1):
        machine = fit_machine(spec, train.rows(fold.fit), config, seed, alpha)
        held = train.rows(fold.held)
        decisions.append(machine.decision(held.inputs))
        labels.append(held.is_fake)
        log.info(
            "fold %d of %d: without speakers %s and attacks %s: EER %.2f %% of %d",
            *(number, len(folds), ",".join(fold.speakers), ",".join(fold.attacks) or "none"),
            *(100 * eer(*split(-decisions[-1], held.is_fake))[0], len(held)),
        )
    found = fit_affine(np.concatenate(decisions), np.concatenate(labels), config.prior)
    how = "speaker and attack" if all(fold.attacks for fold in folds) else "speaker"
    left_out = [{"speakers": fold.speakers, "attacks": fold.attacks} for fold in folds]
    return _affine_info(found, how, sum(map(len, labels))) | {"folds": left_out}


def _affine_info(found: Affine, holdout: str, utterances: int) -> dict[str, Any]:
    return dataclasses.asdict(found) | {"holdout": holdout, "utterances": utterances}


def develop(system: System, dev: LabelledSet, prior: float) -> dict[str, Any]:
    """Return what comes of the development set: P(fake), thresholds of both scores, what was measured on it.

    `detect` calls a recording spoof where P(fake) is one half or more; at the thresholds the error rates of
    both kinds are alike.
    """
    f = system.decision(system.values(dev.inputs))
    scores, mapped = system.scores(f), system.affine_scores(f)
    rate, threshold = eer(*split(scores, dev.is_fake))
    errors = {"uncalibrated": -f, "temperature": scores, "affine": mapped}
    figures: dict[str, Any] = {"eer": rate, "prior": prior, **dev.counts()}
    for kind, values in errors.items():
        figures[f"ece_{kind}"] = ece(p_fake(values), dev.is_fake, prior=prior)
    log.info("dev: EER %.2f %%, ECE %.3f -> %.3f (T) %.3f (affine)", 100 * rate, *list(figures.values())[-3:])
    return {
        "thresholds": {"dev_eer": threshold, "dev_eer_affine": eer(*split(mapped, dev.is_fake))[1]},
        "posterior": Posterior.fit(f, dev.is_fake).described(),
        "dev": figures,
    }


def describe(machine: Machine, fitted: LabelledSet, dev: LabelledSet) -> dict[str, Any]:
    """Return what is worth knowing of a fitted machine: the SVM's size, alpha, attention, the head alone."""
    features, trained = machine.features, machine.trained
    info: dict[str, Any] = {
        "svm": {
            "fitted_on": len(fitted),
            "support_vectors": len(machine.svm.dual),
            "dimensions": machine.svm.support.shape[1],
            "gamma": machine.svm.gamma,
        },
        "alpha": None if features.alpha is None else [float(a) for a in features.alpha],
    }
    if features.hand is not None and fitted.inputs.hand is not None and not features.hand.mean.any():
        info["hand_mean"] = [float(mean) for mean in fitted.inputs.hand.mean(axis=0)]
    weights = features.attention(dev.inputs)
    if trained is None or weights is None:
        return info
    names = ("all",) if weights.shape[1] == 1 else (*HAND_NAMES, "tokens")[: weights.shape[1]]
    means = {
        label: weights[dev.is_fake == flag].mean(axis=0)
        for label, flag in (("bonafide", False), ("spoof", True))
    }
    info["attention"] = {"tokens": list(names), **{k: [float(w) for w in v] for k, v in means.items()}}
    head = trained.head_eer(dev.inputs, dev.is_fake)
    log.info(
        "fusion: epoch %d of %d kept; its head alone: dev EER %.2f %%",
        trained.best_epoch,
        len(trained.history),
        100 * head,
    )
    info["fusion_training"] = {
        "epochs": len(trained.history),
        "kept": trained.best_epoch,
        "held_speakers": trained.held_speakers,
        "head_dev_eer": head,
        "parameters": sum(p.numel() for p in features.fusion.parameters()) if features.fusion else 0,
        **{k: v for k, v in trained.history[trained.best_epoch - 1].items() if k != "epoch"},
    }
    return info


def dataset_info(path: str | Path, data: LabelledSet, digest: str) -> dict[str, Any]:
    """Return the line of `model.yaml` about one set: name, place, counts and content."""
    return {"name": Path(path).name, "path": str(path), **data.counts(), "digest": digest}
