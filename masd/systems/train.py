"""Training any system: from data folders, dumps and embeddings to a calibrated model folder."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from masd import __version__
from masd.data.checks import check_apart
from masd.data.folder import DataFolder, read_folder
from masd.errors import Failures, MasdError
from masd.feats.config import FeatsConfig
from masd.metrics.eer import eer, split
from masd.stage.files import Mark, digest, input_digest
from masd.stage.lock import sole
from masd.stage.threads import pinned
from masd.stage.versions import commit, installed
from masd.systems import system_class
from masd.systems.base import WaveformSystem
from masd.systems.calibration import fit_affine, fit_temperature, on_development
from masd.systems.config import RATE, Settings
from masd.systems.items import Hearing, Stored
from masd.systems.ranges import SAMPLE, wave_ranges
from masd.systems.recordings import fixed_subset, load_speech
from masd.training.distributed import refuse_several

log = logging.getLogger(__name__)

VERSION = 4  # raise it when the same settings and inputs come to give another model
PARTS = ("wav.scp", "segments", "utt2spk", "utt2lab", "utt2attack")
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")
Waves = TypeVar("Waves", bound=WaveformSystem)


@dataclasses.dataclass
class Job:
    """What is trained on what.

    Attributes:
        system: name of the system.
        train: training set.
        dev: development set, of other speakers: it gives threshold and P(fake), and chooses a network's
            epoch.
        out: where to; the model is `out`/model.
        settings: all settings.
        stored_train: stored inputs of the training set, for systems that take them.
        stored_dev: those of the development set.
        ssl: pretraining folder: the embeddings' encoder, or that of tokens.
        seed: root of every random draw.
        allow_pipes: whether commands in wav.scp may run.
        max_fail: share of the utterances, 0 to 1, that may be unusable.
        share_speakers: whether a speaker may be in both sets, where a corpus has too few; recordings never
            may.
        type: `module:Class` of a system of your own.
    """

    system: str
    train: DataFolder
    dev: DataFolder
    out: Path
    settings: Settings = Settings()  # noqa: RUF009 - frozen
    stored_train: Stored = dataclasses.field(default_factory=Stored)
    stored_dev: Stored = dataclasses.field(default_factory=Stored)
    ssl: Path | None = None
    seed: int = 0
    allow_pipes: bool = False
    max_fail: float = 0.01
    share_speakers: bool = False
    type: str = ""

    @classmethod
    def open(cls, system: str, train_data: Path, dev_data: Path, out: Path, **more: Any) -> Job:
        """Return a job with its data folders read; `MasdError` if one is unusable."""
        return cls(system, read_folder(train_data), read_folder(dev_data), Path(out), **more)

    def speech(
        self, folder: DataFolder, utts: Sequence[str], hearing: Hearing
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Yield (id, waveform from its first sound on); too many unusable ones are an error at the end."""
        failures = Failures("utterance", self.max_fail)
        for utt in utts:
            try:
                x = load_speech(folder, utt, hearing, self.allow_pipes)
            except MasdError as error:
                failures.add(utt, error)
                continue
            yield utt, x
        failures.check(len(utts), folder.path)

    def raw_dev(self, system: WaveformSystem) -> dict[str, float]:
        """Return a system's raw scores of the development set."""
        found = self.speech(self.dev, self.dev.utts, system.hearing)
        return {utt: float(system.raw([x], [self.dev.spk(utt)])[0]) for utt, x in found}

    def calibrate(self, system: Waves, raw: Mapping[str, float], started: float | None = None) -> Waves:
        """Calibrate a system on its raw scores of the development set; `started` when its fit was."""
        fake = np.array([self.dev.lab(utt) == "spoof" for utt in raw])
        values = np.array(list(raw.values()))
        offset = eer(*split(values, fake))[1] if system.one_class else 0.0
        system.info["calibration"] = {"offset": offset}
        f = system.decisions(values)
        holdout = {"holdout": "development set"}
        maps = {
            "offset": offset,
            "temperature": {"value": fit_temperature(f, fake), **holdout},
            "affine": {**dataclasses.asdict(fit_affine(f, fake)), **holdout},
        }
        system.info["calibration"], figures = on_development(maps, f, fake)
        system.info |= {
            "ranges": self._ranges(),
            "dev": figures | {"utterances": len(raw)},
            "parameters": system.parameters,
            "training": [described(self.train, self.train.utts)],
            "development": [described(self.dev, list(raw))],
        }
        if started is not None:
            seconds = round(time.monotonic() - started, 1)
            system.info["run"] = {"seconds": seconds, "utterances": len(self.train.utts)}
        return system

    def _ranges(self) -> dict[str, dict[str, float]]:
        """Return the range of length and bandwidth of a part of the training set (`masd.systems.ranges`)."""
        waves, hearing = [], Hearing(4 * RATE)
        for utt in fixed_subset(self.train, SAMPLE, self.seed):
            with contextlib.suppress(MasdError):  # those that cannot be read were counted before
                x = load_speech(self.train, utt, hearing, self.allow_pipes)
                waves.append(x[: hearing.samples])
        return wave_ranges(waves, FeatsConfig())


def train(job: Job, force: bool = False) -> None:
    """Train a system, or go on with it, and write `job.out`/model; do nothing if that is done.

    Raises:
        MasdError: inputs are missing, unusable or do not belong together, a setting cannot work, sets share
            speakers or recordings, or another process trains into `job.out`.
    """
    kind = system_class(job.system, job.type)
    if not kind.several:
        refuse_several(job.system)
    for folder in (job.train, job.dev):
        folder.table("utt2lab")
    uses = kind.uses(job)
    check_apart(job.train, job.dev, job.share_speakers)
    given = [
        [name, input_digest(folder.path / name)]
        for folder in (job.train, job.dev)
        for name in PARTS
        if (folder.path / name).exists()
    ]
    work = digest("train", VERSION, job.system, kind.type, uses, given, job.seed)
    mark, model = Mark(job.out), job.out / "model"
    if not force and mark.fresh(work) and (model / "model.yaml").is_file():
        log.info("%s: trained already; nothing to do", job.out)
        return
    best = [job.out / name for name in ("best.safetensors", "best.json")]  # of a network's epochs
    force = force or any(path in best for path in mark.lost())  # what is gone on with would end without them
    with sole(job.out), pinned(job.settings.network.threads if kind.several else 1):
        if os.environ.get("RANK", "0") == "0":
            mark.clear()
        system = kind.fit(job, work, force)
        if system is None:
            return
        system.info |= {"seed": job.seed, "versions": versions()}
        system.save(model)
        outputs = [path for path in (*best, *model.iterdir()) if path.is_file() and path.name[0] != "."]
        mark.write(work, outputs)
    log.info("%s: written", model)


def described(folder: DataFolder, utts: Sequence[str]) -> dict[str, Any]:
    """Return what model.yaml says of a set: its name and place, counts of what was used of it, its digest."""
    fakes = [utt for utt in utts if folder.lab(utt) == "spoof"]
    return {
        "name": folder.path.name,
        "path": str(folder.path),
        "utterances": len(utts),
        "bonafide": len(utts) - len(fakes),
        "spoof": len(fakes),
        "speakers": len({folder.spk(utt) for utt in utts}),
        "attacks": len({folder.attack(utt) for utt in fakes}),
        "digest": input_digest(folder.path),
    }


def versions() -> dict[str, str]:
    """Return the versions of what takes part, and the commit where there is one."""
    return {"masd": __version__} | installed(PACKAGES) | ({"commit": commit()} if commit() else {})
