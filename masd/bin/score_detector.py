"""Stage 6 of the comparison systems: scores of a set."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from masd.cli import run

log = logging.getLogger(__name__)


def score_detector(
    data: Path,
    out: Path,
    model: Path | None = None,
    system: str = "",
    checkpoint: Path | None = None,
    enrolment: str = "",
    enrolment_data: Path | None = None,
    allow_pipes: bool = False,
    max_fail: float = 0.01,
    command: str = "",
    force: bool = False,
) -> None:
    """Score a set with a trained detector, or with the authors' released weights.

    Writes OUT/scores (-f / T, higher is more bona fide), OUT/affine_scores (-(a f + b)) where the model is
    calibrated, OUT/failures, and OUT/timing.json: processor seconds in the detector, seconds of audio, and
    their ratio (decoding left out).

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
        allow_pipes: run commands in wav.scp.
        max_fail: share of the utterances, 0 to 1, that may fail.
        command: what was called to get the scores; kept with them, for the results page.
        force: score again though it is done.
    """
    from masd.data.folder import read_folder, spk2utt
    from masd.detectors.scoring import enrol, read_enrolment, score_folder
    from masd.errors import MasdError
    from masd.files import Mark, digest, input_digest, write_json, write_lines
    from masd.metrics.scores import write_scores

    protocols = [Path(name) for name in enrolment.split(",") if name]
    if protocols and enrolment_data is None:
        raise MasdError("--enrolment: give the folder of its recordings too, --enrolment-data DIR")
    source = input_digest(model / "model.yaml") if model else checkpoint and input_digest(checkpoint)
    lists = [data / name for name in ("wav.scp", "segments", "utt2spk") if (data / name).exists()]
    given = [input_digest(path) for path in (*lists, *protocols, enrolment_data) if path]
    work = digest("score_detector", 1, system, source, given)
    mark = Mark(out)
    if not force and mark.fresh(work) and (out / "scores").is_file():
        log.info("%s: scores are up to date", out)
        return
    detector = open_detector(model, system, checkpoint)
    folder = read_folder(data)
    if enrolment_data is not None:
        recordings = read_folder(enrolment_data)
        speakers = read_enrolment(protocols) if protocols else spk2utt(recordings.utt2spk)
        enrol(detector, recordings, speakers, allow_pipes)
    mark.clear()
    done = score_folder(detector, folder, folder.utts, max_fail, allow_pipes)
    write_lines(out / "failures", done.failures.lines())
    done.failures.check(len(folder.utts), data)
    if not done.raw:
        raise MasdError(f"{data}: no utterance could be scored")
    f = {utt: float(detector.decisions(raw)) for utt, raw in done.raw.items()}
    (out / "affine_scores").unlink(missing_ok=True)
    if model:
        write_scores(out / "affine_scores", {utt: float(detector.affine_scores(v)) for utt, v in f.items()})
    ratio = done.seconds / done.audio
    timing = {"seconds": done.seconds, "audio_seconds": done.audio, "real_time_factor": ratio}
    write_json(out / "timing.json", timing | {"parameters": detector.parameters})
    write_scores(out / "scores", {utt: float(detector.scores(v)) for utt, v in f.items()})
    mark.write(work, utterances=len(f), failed=len(done.failures.reasons), command=command)
    log.info("%s: %d utterances, real-time factor %.3f", out, len(f), ratio)


def open_detector(model: Path | None, system: str, checkpoint: Path | None) -> Any:
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
