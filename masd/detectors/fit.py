"""Training a comparison system as a whole: from data folders to a calibrated model folder."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from masd.data.checks import check_apart
from masd.data.folder import DataFolder, read_folder
from masd.detectors.config import NETWORKS, RATE, DetectorConfig, TrainConfig, check_system
from masd.detectors.data import fixed_subset, load_speech
from masd.detectors.detector import LONGEST, Detector, GmmDetector, NetDetector, TokenDetector
from masd.errors import Failures, MasdError
from masd.feats.config import FeatsConfig
from masd.metrics.eer import eer
from masd.stage.devices import deterministic
from masd.stage.files import Mark, digest, input_digest, read_json
from masd.stage.lock import sole
from masd.stage.seeding import derive, generator
from masd.stage.threads import pinned
from masd.svm.calibration import fit_affine, fit_temperature
from masd.svm.posterior import Posterior
from masd.svm.ranges import SAMPLE, wave_ranges
from masd.training.distributed import processes, refuse_several

log = logging.getLogger(__name__)

VERSION = 3  # raise it when the same configuration comes to mean another detector
_HOW = ("device", "workers", "save_minutes")  # keys that change nothing in the result
PARTS = ("wav.scp", "segments", "utt2spk", "utt2lab")


@dataclasses.dataclass
class Job:
    """What is trained on what.

    Attributes:
        system: name of the system.
        train: training set.
        dev: development set, of other speakers: it chooses the epoch, calibrates, sets the threshold.
        out: where to; the model is `out`/model.
        config: all settings.
        ssl: pretraining folder whose encoder gives the tokens.
        seed: root of every random draw.
        allow_pipes: whether commands in wav.scp may run.
        max_fail: share of the utterances, 0 to 1, that may be unusable.
        share_speakers: whether a speaker may be in both sets; recordings never may.
    """

    system: str
    train: DataFolder
    dev: DataFolder
    out: Path
    config: DetectorConfig
    ssl: Path | None = None
    seed: int = 0
    allow_pipes: bool = False
    max_fail: float = 0.01
    share_speakers: bool = False

    def waves(self, folder: DataFolder, utts: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Yield (id, waveform from its first sound on); too many unusable ones are an error at the end."""
        failures = Failures("utterance", self.max_fail)
        for utt in utts:
            try:
                x = load_speech(folder, utt, round(LONGEST * RATE), self.allow_pipes)
            except MasdError as error:
                failures.add(utt, error)
                continue
            yield utt, x
        failures.check(len(utts), folder.path)


def train_detector(job: Job, force: bool = False) -> None:
    """Train a system, or go on with it; see masd.bin.train_detector.

    Raises:
        MasdError: a data folder is unusable, a setting cannot work, sets share speakers or sources, or
            another process trains into `job.out`.
    """
    check_system(job.system)
    if job.system not in NETWORKS:
        refuse_several(job.system)
    for folder in (job.train, job.dev):
        folder.table("utt2lab")
    check_apart(job.train, job.dev, job.share_speakers)
    used = job.config.used(job.system)
    if "train" in used:
        used["train"] = {k: v for k, v in dataclasses.asdict(job.config.train).items() if k not in _HOW}
    given = [
        input_digest(f.path / name)
        for f in (job.train, job.dev)
        for name in PARTS
        if (f.path / name).exists()
    ]
    given += [input_digest(path) for path in job.config.front_end.checkpoints if "front_end" in used]
    ssl = input_digest(job.ssl) if job.ssl and job.system == "tokens" else None
    work = digest("detector", VERSION, job.system, used, given, ssl, job.seed)
    mark = Mark(job.out)
    if not force and mark.fresh(work) and (job.out / "model" / "model.yaml").is_file():
        log.info("%s: trained already; nothing to do", job.out)
        return
    network = job.system in NETWORKS
    with sole(job.out), pinned(job.config.train.threads if network else 1):
        if network:
            _train_network(job, work, mark, force)
        else:
            _fit(job, work, mark)


def _fit(job: Job, work: str, mark: Mark) -> None:
    mark.clear()
    started = time.monotonic()
    detector = _fit_gmm(job) if job.system == "lfcc_gmm" else fit_tokens(job)
    training = {"seconds": round(time.monotonic() - started, 1), "utterances": len(job.train.utts)}
    raw = _dev_scores(job, detector)
    _finish(job, detector, raw, training, mark, work)


def _train_network(job: Job, work: str, mark: Mark, force: bool) -> None:
    import torch

    from masd.detectors.data import Waveforms
    from masd.detectors.networks import Objective, class_weights, network
    from masd.detectors.training import DetectorTrainer, still_falling
    from masd.models.encoder import load_weights
    from masd.training.loop import LAST

    config = planned(job.config.train, len(job.train.utts))
    speakers = sorted({job.train.spk(u) for u in job.train.utts if job.train.lab(u) == "bonafide"})
    train = Waveforms(
        job.train, job.train.utts, config, job.config.augment, speakers, job.seed, job.allow_pipes
    )
    dev_utts = fixed_subset(job.dev, config.dev_utts, job.seed)
    dev = Waveforms(job.dev, dev_utts, config, seed=job.seed, allow_pipes=job.allow_pipes)
    weights = class_weights(train.bonafide, config.class_weights)
    with torch.random.fork_rng():
        torch.manual_seed(derive(job.seed, "init"))
        net = network(job.system, job.config.front_end)
        objective = Objective(net, config, weights, speakers if config.loss == "samo" else ())
    with deterministic(config.deterministic), processes(config.device) as group:
        if group.first:
            mark.clear()
            if force:
                (job.out / LAST).unlink(missing_ok=True)
        group.wait()
        trainer = DetectorTrainer(objective, train, dev, job.out, job.seed, work, group)
        best = trainer.run()
        if not group.first:
            return
    history = trainer.state["history"]
    training = {
        "seconds": round(sum(record["seconds"] for record in history), 1),
        "utterance_steps": config.epochs * train.epoch_utts,
        "epochs": config.epochs,
        "best_epoch": best["epoch"],
        "dev_loss_falling": still_falling(history),
        "dev_utterances": len(dev),
        "precision": config.precision,
        "device": group.device.type,
        "processes": group.world,
        "threads": config.threads,
    }
    load_weights(objective.cpu(), job.out / "best.safetensors")
    raw = {utt: float(v) for utt, v in read_json(job.out / "best.json")["dev_scores"].items()}
    _finish(job, NetDetector(job.system, objective.eval()), raw, training, mark, work)


def planned(config: TrainConfig, utterances: int) -> TrainConfig:
    """Return the settings with `epochs` as the budget says, if there is one: at least one epoch."""
    if not config.budget:
        return config
    epochs = math.ceil(config.budget / config.epoch_size(utterances))
    return dataclasses.replace(config, epochs=max(epochs, 1))


def _fit_gmm(job: Job) -> GmmDetector:
    from masd.detectors.detector import gmm_front_end, lfcc_frames
    from masd.detectors.gmm import fit

    config = job.config.gmm
    front_end = gmm_front_end(config)
    mixtures = []
    for label in ("bonafide", "spoof"):
        utts = [utt for utt in job.train.utts if job.train.lab(utt) == label]
        frames = (lfcc_frames(front_end, x) for _, x in job.waves(job.train, utts))
        x = sampled(frames, config.max_frames // max(len(utts), 1), job.seed)
        log.info("%s: %d frames of %d utterances", label, len(x), len(utts))
        mixtures.append(
            fit(
                x,
                config.components,
                config.iterations,
                config.init_frames,
                derive(job.seed, label) % 2**31,
                label,
            )
        )
    return GmmDetector(config, mixtures[0], mixtures[1])


def sampled(parts: Iterator[np.ndarray], most: int, seed: int) -> np.ndarray:
    """Return rows of all parts (T_i, D), at most `most` of each, drawn at random.

    Raises:
        MasdError: there are no parts.
    """
    kept = []
    for number, part in enumerate(parts):
        if len(part) > most:
            rows = generator(seed, "frames", number).choice(len(part), max(most, 1), replace=False)
            part = part[np.sort(rows)]
        kept.append(part)
    if not kept:
        raise MasdError("no training utterance of one of the classes can be used")
    return np.concatenate(kept)


def fit_tokens(job: Job) -> TokenDetector:
    """Return units and unigram model of the training set's bona fide speech, not calibrated.

    Raises:
        MasdError: there is no encoder, or too little speech.
    """
    from masd.detectors.detector import encoder_frames
    from masd.detectors.tokens import as_text, fit_units, to_units, train_unigram
    from masd.models.encoder import load_encoder

    if job.ssl is None:
        raise MasdError("tokens: give the pretrained encoder, --ssl exp/<size>/ssl_<tag>")
    encoder, _, feats = load_encoder(job.ssl)
    config = job.config.tokens
    # bona fide speech alone, for the units too: nothing of the detector has seen a fake
    real = [utt for utt in job.train.utts if job.train.lab(utt) == "bonafide"]
    frames = {utt: encoder_frames(encoder, feats, x) for utt, x in job.waves(job.train, real)}
    pool = sampled(iter(frames.values()), max(config.kmeans_frames // max(len(real), 1), 1), job.seed)
    centroids = fit_units(pool, config.units, derive(job.seed, "units") % 2**31)
    texts = [as_text(to_units(z, centroids), config.collapse) for z in frames.values()]
    total = sum(len(z) for z in frames.values())
    log.info("%d frames of %d utterances, %d units", total, len(texts), sum(len(text) for text in texts))
    return TokenDetector(config, feats, encoder, centroids, train_unigram(texts, config.vocabulary))


def _dev_scores(job: Job, detector: Detector) -> dict[str, float]:
    found = job.waves(job.dev, job.dev.utts)
    return {utt: float(detector.raw([x], [job.dev.spk(utt)])[0]) for utt, x in found}


def _finish(
    job: Job, detector: Detector, raw: dict[str, float], training: dict[str, Any], mark: Mark, work: str
) -> None:
    """Calibrate on the development set's raw scores, write the model folder, leave the mark."""
    fake = np.array([job.dev.lab(utt) == "spoof" for utt in raw])
    values = np.array(list(raw.values()))
    rate, threshold = eer(values[~fake], values[fake])
    detector.info = {"offset": threshold if detector.one_class else 0.0}
    decisions = detector.decisions(values)
    affine = fit_affine(decisions, fake)
    detector.info |= {
        "temperature": {"value": fit_temperature(decisions, fake), "holdout": "development set"},
        "affine": {**dataclasses.asdict(affine), "holdout": "development set"},
        "parameters": detector.parameters,
        "training": training | {"set": job.train.path, "seed": job.seed},
        "dev": {"set": job.dev.path, "utterances": len(raw), "eer": rate},
    }
    scores, other = detector.scores(decisions), detector.affine_scores(decisions)
    detector.info["thresholds"] = {
        "dev_eer": eer(scores[~fake], scores[fake])[1],
        "dev_eer_affine": eer(other[~fake], other[fake])[1],
    }
    detector.info["posterior"] = Posterior.fit(decisions, fake).described()
    detector.info["ranges"] = _ranges(job)
    detector.save(job.out / "model")
    mark.write(work, dev_eer=rate)
    log.info("%s: done; EER of %d development utterances %.2f %%", job.out, len(raw), 100 * rate)


def _ranges(job: Job) -> dict[str, dict[str, float]]:
    """Return the range of length and bandwidth of a part of the training set (`masd.svm.ranges`)."""
    waves = []
    for utt in fixed_subset(job.train, SAMPLE, job.seed):
        with contextlib.suppress(MasdError):  # those that cannot be read were counted before
            waves.append(load_speech(job.train, utt, 4 * RATE, job.allow_pipes)[: 4 * RATE])
    return wave_ranges(waves, FeatsConfig())


def open_job(system: str, train_data: Path, dev_data: Path, out: Path, **settings: Any) -> Job:
    """Return a job with its data folders read; `MasdError` if one is unusable."""
    return Job(check_system(system), read_folder(train_data), read_folder(dev_data), Path(out), **settings)
