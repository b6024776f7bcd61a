"""Stage 5 on folders: reads the sets, fits a system, writes its model folder."""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from masd import __version__
from masd.data.checks import check_apart
from masd.data.folder import DataFolder, read_folder
from masd.errors import Failures, MasdError
from masd.feats.config import FeatsConfig
from masd.feats.dump import open_dump
from masd.stage.files import Mark, digest, input_digest, plain, read_yaml, sha256, write_lines
from masd.stage.lock import sole
from masd.stage.threads import pinned
from masd.stage.versions import commit
from masd.svm.config import FitConfig, SystemSpec, system_spec
from masd.svm.fit import LabelledSet, dataset_info, fit_system
from masd.svm.inputs import Source, embeddings_encoder, load_inputs
from masd.svm.ranges import training_ranges
from masd.svm.system import System

log = logging.getLogger(__name__)

VERSION = 2  # raise it when the same inputs come to give another model
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")


@dataclass
class Job:
    """What is to be fitted and from where; paths that a system has no use for are None.

    `share_speakers` lets a speaker be in both sets, where a corpus has too few of them; no recording may be.
    """

    system: str
    train_data: Path
    dev_data: Path
    train_embeddings: Path | None = None
    dev_embeddings: Path | None = None
    train_dump: Path | None = None
    dev_dump: Path | None = None
    ssl: Path | None = None
    share_speakers: bool = False

    def digest(self) -> str:
        """Return the digest of all inputs."""
        embeddings, dumps = (self.train_embeddings, self.dev_embeddings), (self.train_dump, self.dev_dump)
        paths = (self.train_data, self.dev_data, *embeddings, *dumps)
        return digest(self.system, *(path and input_digest(path) for path in paths), self.encoder())

    def encoder(self) -> str | None:
        """Return the sha256 of the encoder's weights, None without one."""
        return None if self.ssl is None else sha256(self.ssl / "encoder.safetensors")

    def check(self) -> SystemSpec:
        """Return the system's spec.

        Raises:
            MasdError: something the system needs is not given, or the embeddings are another encoder's.
        """
        spec = system_spec(self.system)
        for part, embeddings, dump in (
            ("train", self.train_embeddings, self.train_dump),
            ("dev", self.dev_embeddings, self.dev_dump),
        ):
            Source(embeddings, dump).check(self.system, spec, f"--{part}-")
            if not spec.ssl or embeddings is None:
                continue
            made_by = embeddings_encoder(embeddings)
            if made_by is not None and self.ssl is None:
                raise MasdError(f"{embeddings}: made by an encoder; give its folder as --ssl")
            if made_by != self.encoder():
                raise MasdError(
                    f"{embeddings}: not made by the encoder of {self.ssl}; run extract_embeddings again"
                )
        return spec


def fit_to_folder(job: Job, out: Path, config: FitConfig, seed: int, max_fail: float, force: bool) -> None:
    """Fit a system and write `out`/model; do nothing if that is done.

    Raises:
        MasdError: inputs are missing or do not belong together, the sets share speakers or recordings, or
            another process fits into `out`.
    """
    spec = job.check()
    folders = read_folder(job.train_data), read_folder(job.dev_data)
    check_apart(*folders, job.share_speakers)
    work = digest("fit", VERSION, job.digest(), config, seed)
    model = out / "model"
    mark = Mark(model)
    if not force and mark.fresh(work) and (model / "model.yaml").is_file():
        log.info("%s: fitted already; nothing to do", model)
        return
    with sole(out), pinned():
        mark.clear()
        system, history = _fit(job, spec, folders, config, seed, max_fail)
        write_lines(out / "fusion.jsonl", (json.dumps(plain(entry)) for entry in history))
        system.save(model, job.ssl if spec.ssl else None)
        mark.write(work)
    log.info("%s: written", model)


def _fit(
    job: Job,
    spec: SystemSpec,
    folders: tuple[DataFolder, DataFolder],
    config: FitConfig,
    seed: int,
    max_fail: float,
) -> tuple[System, list[dict[str, float]]]:
    """Read the sets and fit the system; return it, with what its model states, and the history of fusion."""
    alpha, wanted = _encoder(job, spec)
    if wanted is not None and job.train_dump is not None:  # families are the dump's own matter
        wanted = dataclasses.replace(wanted, families=open_dump(job.train_dump).config.families)
    train, kind = _load(folders[0], Source(job.train_embeddings, job.train_dump), spec, max_fail, wanted)
    if config.leave_out:
        train = train.rows(_kept(train, config.leave_out))
    feats = wanted or kind
    dev, _ = _load(folders[1], Source(job.dev_embeddings, job.dev_dump), spec, max_fail, feats)
    system, history = fit_system(job.system, train, dev, config, seed, alpha)
    ranges: dict[str, Any] = {}
    if job.train_dump is not None:
        ranges = training_ranges(open_dump(job.train_dump, feats), train.inputs.utts, train.inputs.hand, seed)
    system.info |= {
        "ranges": ranges,
        "features": None if feats is None else plain(feats),
        "training": [dataset_info(job.train_data, train, input_digest(job.train_data))],
        "development": [dataset_info(job.dev_data, dev, input_digest(job.dev_data))],
        "ssl": None
        if job.ssl is None
        else {"path": str(job.ssl), "encoder": job.encoder(), "objectives": _objectives(job.ssl)},
        "fit": plain(config),
        "seed": seed,
        "versions": _versions(),
    }
    return system, history


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


def _encoder(job: Job, spec: SystemSpec) -> tuple[np.ndarray | None, FeatsConfig | None]:
    """Return the encoder's band weights (J,) and feature configuration; None of both without one."""
    if job.ssl is None or not spec.ssl:
        return None, None
    from masd.models.encoder import load_encoder

    encoder, _, feats = load_encoder(job.ssl)
    if encoder.num_bands != spec.bands:
        wanted = "single" if spec.bands == 1 else "multi"
        raise MasdError(
            f"{job.ssl}: an encoder of {encoder.num_bands} bands, system {job.system} takes {spec.bands} "
            f"(pretrain with bands {wanted})"
        )
    objectives = _objectives(job.ssl)
    if objectives and ("adv" in objectives) != spec.adversarial:
        log.warning(
            "system %s is the row %s L_adv, but %s was pretrained with %s",
            *(job.system, "with" if spec.adversarial else "without", job.ssl, ", ".join(objectives)),
        )
    return encoder.alpha.detach().numpy().astype(np.float32), feats


def _objectives(ssl: Path) -> list[str]:
    """Return the objectives an encoder was pretrained with, none where that is not stated."""
    return list((read_yaml(ssl / "encoder.yaml").get("extra") or {}).get("objectives") or [])


def _load(
    folder: DataFolder, source: Source, spec: SystemSpec, max_fail: float, feats: FeatsConfig | None
) -> tuple[LabelledSet, FeatsConfig | None]:
    """Read a set; return it and the configuration of its dump, None without one."""
    failures = Failures("utterance", max_fail)
    used = Source(source.embeddings if spec.ssl else None, source.dump if spec.hand else None)
    inputs = load_inputs(used, spec, folder.utts, failures, feats)
    failures.check(len(folder.utts), folder.path)
    kind = open_dump(source.dump, feats).config if source.dump is not None else None
    return LabelledSet.of(inputs, folder), kind


def _versions() -> dict[str, str]:
    """Return the versions of what took part, and the commit where there is one."""
    found = {"masd": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found | ({"commit": commit()} if commit() else {})
