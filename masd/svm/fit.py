"""Fitting what gives f on labelled inputs: scalers, fusion, SVM."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from masd.errors import MasdError
from masd.feats.config import family_widths
from masd.metrics.eer import eer, split
from masd.svm.config import FitConfig, Row
from masd.svm.features import FeatureMap, Scaler
from masd.svm.fusion_training import TrainedFusion, train_fusion
from masd.svm.inputs import Inputs
from masd.svm.kernel import KernelSvm, fit_svm

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


def fit_machine(
    row: Row,
    train: LabelledSet,
    config: FitConfig,
    seed: int,
    alpha: np.ndarray | None,
    dev: LabelledSet | None = None,
) -> Machine:
    """Fit scalers, fusion and SVM on the whole of `train`; `dev` is only looked at for the log."""
    features = FeatureMap(row, alpha=None if alpha is None or not row.ssl else np.asarray(alpha, np.float32))
    active = config.fusion_standardise if row.fused else config.svm_standardise
    if row.ssl:
        features.ssl = Scaler.of(features.f_ssl(train.inputs), active)
    if row.hand and train.inputs.hand is not None:
        features.hand = Scaler.of(train.inputs.hand, active)
        if config.equal_families:
            features.hand = features.hand.evened(family_widths(config.equal_families))
    trained = None
    if row.fused:

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
