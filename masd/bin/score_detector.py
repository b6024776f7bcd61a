"""Stage 6 of the comparison systems: scores of a set."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from masd.cli import run

if TYPE_CHECKING:
    from masd.detectors.detector import Detector

log = logging.getLogger(__name__)


def score_detector(
    data: Path,
    out: Path,
    model: Path | None = None,
    system: str = "",
    checkpoint: Path | None = None,
    enrolment: str = "",
    enrolment_data: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    batch: int = 8,
    allow_pipes: bool = False,
    max_fail: float = 0.01,
    command: str = "",
    job: int = 1,
    num_jobs: int = 1,
    force: bool = False,
) -> None:
    """Score a set, or a part of it, with a trained detector, or with the authors' released weights.

    Writes OUT/scores (-f / T, higher is more bona fide), OUT/affine_scores (-(a f + b)) where the model is
    calibrated, OUT/failures, and OUT/timing.json: processor seconds in the detector, seconds of audio, and
    their ratio (decoding left out). Of several jobs each scores its part, and finish_scores writes these.
    What a stopped call has scored is kept.

    Args:
        data: data folder of the set.
        out: folder for the scores.
        model: model folder that train_detector made.
        system: aasist, aasist_l or rawnet2, with `checkpoint`: scores are differences of logits.
        checkpoint: released weights, in place of a model folder.
        enrolment: ASV protocols that say by what speakers are enrolled (samo), `FILE,FILE`; without them, by
            all that `enrolment_data` has of each.
        enrolment_data: data folder of enrolment recordings; speakers who are not enrolled take the nearest
            attractor of training.
        device: where networks compute; `auto` takes a GPU where there is one.
        batch: how many recordings are scored at once.
        allow_pipes: run commands in wav.scp.
        max_fail: share of the utterances, 0 to 1, that may fail; with several jobs, finish_scores is told.
        command: what was called to get the scores, as finish_scores is told.
        job: which part, from 1.
        num_jobs: number of parts.
        force: score again though it is done.
    """
    from masd.data.folder import read_folder, spk2utt
    from masd.detectors.config import NETWORKS
    from masd.detectors.detector import NetDetector
    from masd.detectors.score_shards import ScoreShards
    from masd.detectors.scoring import enrol, read_enrolment
    from masd.errors import MasdError
    from masd.stage.devices import device_class, device_of
    from masd.stage.files import digest, input_digest, read_yaml

    protocols = [Path(name) for name in enrolment.split(",") if name]
    if protocols and enrolment_data is None:
        raise MasdError("--enrolment: give the folder of its recordings too, --enrolment-data DIR")
    source = input_digest(model / "model.yaml") if model else checkpoint and input_digest(checkpoint)
    lists = [data / name for name in ("wav.scp", "segments", "utt2spk") if (data / name).exists()]
    given = [input_digest(path) for path in (*lists, *protocols, enrolment_data) if path]
    stated = read_yaml(model / "model.yaml") if model else {"system": system}
    kind = stated.get("system") if isinstance(stated, dict) else None  # what is no model is refused below
    where = device_of(device, job) if kind in NETWORKS else "cpu"  # mixtures and tokens stay there
    shards = ScoreShards(out, digest("score_detector", 3, system, source, given, device_class(where)))
    if not force and shards.done():
        log.info("%s: scores are up to date", out)
        return

    def detector() -> Detector:
        opened = open_detector(model, system, checkpoint)
        if isinstance(opened, NetDetector):
            opened.to(where)
        if enrolment_data is not None:
            recordings = read_folder(enrolment_data)
            speakers = read_enrolment(protocols) if protocols else spk2utt(recordings.utt2spk)
            enrol(opened, recordings, speakers, allow_pipes)
        return opened

    shards.score(detector, read_folder(data), job, num_jobs, allow_pipes, batch, force)
    if num_jobs == 1:
        shards.finish(num_jobs, max_fail, command)


def open_detector(model: Path | None, system: str, checkpoint: Path | None) -> Detector:
    """Return the detector of a model folder, or of a system's released weights.

    Raises:
        MasdError: not one of the two is given, or it cannot be read.
    """
    from masd.detectors.detector import load_detector, released_detector
    from masd.errors import MasdError

    if model is not None and not system and checkpoint is None:
        return load_detector(model)
    if model is None and system and checkpoint is not None:
        return released_detector(system, checkpoint)
    raise MasdError("give a model folder, --model DIR, or released weights, --system NAME --checkpoint FILE")


if __name__ == "__main__":
    run(score_detector)
