"""Fitting MASD's rows: fusion and SVM, temperature (Eq. 10), affine map, development threshold."""

from __future__ import annotations

import dataclasses
import json
import logging
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from masd.data.folder import DataFolder
from masd.errors import Failures, MasdError
from masd.feats.config import HAND_NAMES, FeatsConfig
from masd.feats.dump import open_dump
from masd.metrics.eer import eer, split
from masd.stage.files import input_digest, plain, read_yaml, sha256, write_lines
from masd.svm.config import ROWS, FitConfig, Row
from masd.svm.fit import LabelledSet, Machine, fit_machine
from masd.svm.fusion_training import stratified_rows
from masd.systems.calibration import (
    T_BOUNDS,
    Affine,
    cross_folds,
    fit_affine,
    fit_temperature,
    on_development,
)
from masd.systems.items import Stored
from masd.systems.ranges import range_of, training_ranges
from masd.systems.stored import check_stored, embeddings_encoder, load_inputs
from masd.systems.train import Job, described

log = logging.getLogger(__name__)


def uses(job: Job) -> Any:
    """Return what decides what a row becomes: settings, digests of embeddings, dumps and encoder.

    Raises:
        MasdError: something the row needs is not given, or the embeddings are another encoder's.
    """
    row, used = ROWS[job.system], [job.settings.fit]
    encoder = None if job.ssl is None else sha256(job.ssl / "encoder.safetensors")
    for part, stored in (("train", job.stored_train), ("dev", job.stored_dev)):
        taken = check_stored(stored, job.system, row, f"--{part}-")
        # a dump of a row without f_hand still tells what the training set was like
        used += [path and input_digest(path) for path in (taken.embeddings, stored.dump)]
        if taken.embeddings is None:
            continue
        made_by = embeddings_encoder(taken.embeddings)
        if made_by is not None and encoder is None:
            raise MasdError(f"{taken.embeddings}: made by an encoder; give its folder as --ssl")
        if made_by != encoder:
            raise MasdError(
                f"{taken.embeddings}: not made by the encoder of {job.ssl}; run extract_embeddings again"
            )
    return [*used, encoder]


def fit(job: Job) -> tuple[Machine, FeatsConfig | None, dict[str, Any]]:
    """Read the sets and fit the row; return it, its feature configuration, and what its model states.

    The history of the fusion's training goes to `job.out`/fusion.jsonl.

    Raises:
        MasdError: inputs are missing or unusable.
    """
    row, config = ROWS[job.system], job.settings.fit
    alpha, wanted = _encoder(job, row)
    dump = job.stored_train.dump
    if wanted is not None and dump is not None:  # families are the dump's own matter
        wanted = dataclasses.replace(wanted, families=open_dump(dump).config.families)
    train, kind = _load(job, job.train, job.stored_train, wanted)
    if config.leave_out:
        train = train.rows(_kept(train, config.leave_out))
    feats = wanted or kind
    dev, _ = _load(job, job.dev, job.stored_dev, feats)
    machine, info = fit_row(row, train, dev, config, job.seed, alpha)
    history = machine.trained.history if machine.trained else []
    write_lines(job.out / "fusion.jsonl", (json.dumps(plain(entry)) for entry in history))
    ranges: dict[str, Any] = {}
    if dump is not None:
        ranges = training_ranges(open_dump(dump, feats), train.inputs.utts, train.inputs.hand, job.seed)
    ranges["distance"] = range_of(machine.svm.distance(machine.features.values(dev.inputs)))
    ssl = job.ssl if row.ssl else None
    return (
        machine,
        feats,
        info
        | {
            "ranges": ranges,
            "training": [described(job.train, train.inputs.utts)],
            "development": [described(job.dev, dev.inputs.utts)],
            "ssl": None if ssl is None else {"path": str(ssl), "objectives": _objectives(ssl)},
            "fit": plain(config),
        },
    )


def fit_row(
    row: Row,
    train: LabelledSet,
    dev: LabelledSet,
    config: FitConfig,
    seed: int,
    alpha: np.ndarray | None = None,
) -> tuple[Machine, dict[str, Any]]:
    """Fit and calibrate one row of Table II.

    A random share of the training set is kept out of fusion and SVM for the temperature (Eq. 10);
    the affine map comes from fold models that saw neither speakers nor attacks they are judged on.
    The development set gives the threshold and the figures, and decides nothing else. `alpha` (J,) are the
    encoder's band weights, None where there is no encoder.

    Returns:
        The machine, and what model.yaml says of it: calibration, figures of the development set.
    """
    held = stratified_rows(train.is_fake, config.calibration_share, seed, "temperature")
    fitted = train.rows(np.setdiff1d(np.arange(len(train)), held))
    log.info("fitting on %d utterances, %d for the temperature", len(fitted), len(held))
    machine = fit_machine(row, fitted, config, seed, alpha, dev)
    calibration = train.rows(held)
    decisions = machine.decision(calibration.inputs)
    maps: dict[str, Any] = {"temperature": temperature(decisions, calibration.is_fake)}
    maps["affine"] = affine(row, train, config, seed, alpha, (decisions, calibration.is_fake))
    stated, figures = on_development(maps, machine.decision(dev.inputs), dev.is_fake, config.prior)
    return machine, {"calibration": stated, "dev": figures | dev.counts()} | describe(machine, fitted, dev)


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
    row: Row,
    train: LabelledSet,
    config: FitConfig,
    seed: int,
    alpha: np.ndarray | None,
    random: tuple[np.ndarray, np.ndarray],
) -> dict[str, Any]:
    """Return the affine map, fitted on the whole training set as `config` says, with how it was held out.

    `random` are decisions and labels of the temperature's utterances, used where nothing better can be.
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
        machine = fit_machine(row, train.rows(fold.fit), config, seed, alpha)
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


def _kept(data: LabelledSet, patterns: tuple[str, ...]) -> np.ndarray:
    """Return the numbers of the utterances that no pattern fits, nor their attacks.

    Raises:
        MasdError: a pattern fits none, or all of a class.
    """
    names = list(zip(data.inputs.utts, data.attacks, strict=True))
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for pair in names for name in pair):
            raise MasdError(f"fit.leave_out: no attack or utterance of the training set is {pattern!r}")
    out = [any(fnmatchcase(name, p) for p in patterns for name in pair) for pair in names]
    kept = np.flatnonzero(~np.array(out))
    if not 0 < data.is_fake[kept].sum() < len(kept):
        raise MasdError(f"fit.leave_out: {', '.join(patterns)}: nothing is left of a class")
    return kept


def _encoder(job: Job, row: Row) -> tuple[np.ndarray | None, FeatsConfig | None]:
    """Return the encoder's band weights (J,) and feature configuration; None of both without one."""
    if job.ssl is None or not row.ssl:
        return None, None
    from masd.models.encoder import load_encoder

    encoder, _, feats = load_encoder(job.ssl)
    if encoder.num_bands != row.bands:
        wanted = "single" if row.bands == 1 else "multi"
        raise MasdError(
            f"{job.ssl}: an encoder of {encoder.num_bands} bands, system {job.system} takes {row.bands} "
            f"(pretrain with bands {wanted})"
        )
    objectives = _objectives(job.ssl)
    if objectives and ("adv" in objectives) != row.adversarial:
        log.warning(
            "system %s is the row %s L_adv, but %s was pretrained with %s",
            *(job.system, "with" if row.adversarial else "without", job.ssl, ", ".join(objectives)),
        )
    return encoder.alpha.detach().numpy().astype(np.float32), feats


def _objectives(ssl: Path) -> list[str]:
    """Return the objectives an encoder was pretrained with, none where that is not stated."""
    return list((read_yaml(ssl / "encoder.yaml").get("extra") or {}).get("objectives") or [])


def _load(
    job: Job, folder: DataFolder, stored: Stored, feats: FeatsConfig | None
) -> tuple[LabelledSet, FeatsConfig | None]:
    """Read a set; return it and the configuration of its dump, None without one."""
    failures = Failures("utterance", job.max_fail)
    inputs = load_inputs(check_stored(stored, job.system, ROWS[job.system]), folder.utts, failures, feats)
    failures.check(len(folder.utts), folder.path)
    kind = open_dump(stored.dump, feats).config if stored.dump is not None else None
    return LabelledSet.of(inputs, folder), kind
