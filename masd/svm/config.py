"""What each row of Table II puts into the SVM, and every choice of fitting as a key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from masd.errors import MasdError


@dataclass(frozen=True)
class Row:
    """What goes into the SVM of a row of Table II, or of `plus`.

    Args:
        ssl: f_SSL is used.
        hand: f_hand is used.
        fused: the SVM takes f_fused (Eq. 8), else f_SSL and f_hand side by side.
        bands: how many bands the encoder has; 0 where there is none.
        adversarial: the encoder's pretraining includes L_adv.
    """

    ssl: bool
    hand: bool
    fused: bool
    bands: int
    adversarial: bool = False


ROWS: dict[str, Row] = {
    "handcrafted": Row(ssl=False, hand=True, fused=False, bands=0),
    "ssl_single": Row(ssl=True, hand=False, fused=False, bands=1),
    "ssl_multi": Row(ssl=True, hand=False, fused=False, bands=3),
    "concat": Row(ssl=True, hand=True, fused=False, bands=3),
    "attention": Row(ssl=True, hand=True, fused=True, bands=3),
    "full": Row(ssl=True, hand=True, fused=True, bands=3, adversarial=True),
    # not of the paper: families of statistics and copies by random vocoders (docs/evidence.md)
    "plus": Row(ssl=False, hand=True, fused=False, bands=0),
    "plus_encoder": Row(ssl=True, hand=True, fused=False, bands=3),
}


@dataclass(frozen=True)
class FitConfig:
    """How fusion, SVM and calibration are fitted. The literal reading of the paper stands in brackets.

    Args:
        tokens: handcrafted tokens the fusion attends over, `three` [`one`].
        d_k: dimension of queries, keys and values.
        d_fused: dimension of f_fused.
        dropout: on the attention weights.
        fusion_standardise: f_SSL and f_hand standardised by the training set before fusion [false].
        optimizer: `adamw` [`sgd`].
        lr: learning rate.
        weight_decay: of AdamW, on the fusion's weights.
        batch_size: utterances a step.
        epochs: at most.
        patience: epochs without a lower held-out loss before training stops, the best epoch being
            kept; 0 trains all epochs and keeps the last [0].
        held_speakers: share of the training utterances, by whole speakers, that decides the stop.
        class_balanced: the loss weighs bona fide and spoof alike [false].
        alpha: the bands' weights are fine-tuned with the fusion, `finetune`, or left as they are in
            the encoder, `fixed` [`fixed`].
        svm_every: also fit an SVM every so many epochs and log its dev EER; 0 never [5].
        c: the SVM's C.
        gamma: kernel width, or `mean_distance` for 1 / mean squared distance between inputs [0.01].
        gamma_scale: `mean_distance` times this.
        equal_families: the dump's families, in its order, each of which then weighs as much as any other in
            the SVM's distances, however many figures it has; empty: every figure weighs alike.
        class_weight: of the SVM's slack: `balanced`: both classes alike; `attack`: and within spoofed speech
            every attack alike; `none`.
        leave_out: what is not trained on: patterns of attacks or utterances, e.g. `A0[12]` or `raw-*`.
        svm_standardise: f_SSL and f_hand standardised where they go into the SVM unfused [false].
        calibration_share: share of the training utterances kept out of the fit for the temperature.
        affine_holdout: `cross`: the affine map is fitted on training data held out by speaker and
            by attack, through fold models; `random`: on the temperature's utterances [`random`].
        affine_folds: number of fold models.
        prior: P(fake) that the affine map's probabilities are for.
    """

    tokens: Literal["three", "one"] = "three"
    d_k: int = 64
    d_fused: int = 256
    dropout: float = 0.1
    fusion_standardise: bool = True
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.01
    batch_size: int = 64
    epochs: int = 50
    patience: int = 8
    held_speakers: float = 0.2
    class_balanced: bool = True
    alpha: Literal["finetune", "fixed"] = "finetune"
    svm_every: int = 0
    c: float = 10.0
    gamma: Literal["mean_distance"] | float = "mean_distance"
    gamma_scale: float = 1.0
    equal_families: tuple[str, ...] = field(default=(), metadata={"omit": True})
    class_weight: Literal["balanced", "attack", "none"] = "balanced"
    leave_out: tuple[str, ...] = ()
    svm_standardise: bool = True
    calibration_share: float = 0.2
    affine_holdout: Literal["cross", "random"] = "cross"
    affine_folds: int = 4
    prior: float = 0.5

    def __post_init__(self) -> None:
        inside = {
            "held_speakers": self.held_speakers,
            "calibration_share": self.calibration_share,
            "prior": self.prior,
        }
        for key, value in inside.items():
            if not 0.0 < value < 1.0:
                raise MasdError(f"fit.{key}: {value:g} must lie strictly between 0 and 1")
        positive = {"lr": self.lr, "batch_size": self.batch_size, "epochs": self.epochs, "c": self.c}
        positive["gamma_scale"] = self.gamma_scale
        if self.gamma != "mean_distance":
            positive["gamma"] = float(self.gamma)
        for key, value in positive.items():
            if not value > 0:
                raise MasdError(f"fit.{key}: {value:g} must be above 0")
