"""Scores of a set by a comparison system."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from masd.data.folder import DataFolder
from masd.detectors.config import RATE
from masd.detectors.data import load_speech
from masd.detectors.detector import AT_ONCE, Detector, NetDetector
from masd.errors import Failures, MasdError
from masd.stage.progress import Progress

log = logging.getLogger(__name__)


@dataclass
class Scored:
    """Raw scores of a set.

    Attributes:
        raw: {utt: raw score}, higher for bona fide.
        failures: what could not be scored.
        seconds: processor time in the detector, decoding left out; what else the machine does is not in it.
        audio: seconds of audio that were scored.
    """

    raw: dict[str, float]
    failures: Failures
    seconds: float = 0.0
    audio: float = 0.0


def score_folder(
    detector: Detector,
    folder: DataFolder,
    utts: Sequence[str],
    max_fail: float = 0.01,
    allow_pipes: bool = False,
    batch: int = AT_ONCE,
    each: Callable[[Scored], None] = lambda scored: None,
) -> Scored:
    """Return raw scores of utterances; what cannot be scored is recorded.

    Args:
        detector: the system.
        folder: data folder.
        utts: which of its utterances.
        max_fail: share of the utterances that may fail; judged by the caller (`Failures.check`).
        allow_pipes: whether commands in wav.scp may run.
        batch: how many are scored at once.
        each: called after each batch with what there is by then.
    """
    result, progress = Scored({}, Failures("utterance", max_fail)), Progress(log, len(utts))
    for i in range(0, len(utts), batch):
        waves: dict[str, np.ndarray] = {}
        for utt in utts[i : i + batch]:
            try:
                waves[utt] = load_speech(folder, utt, detector.samples, allow_pipes)
            except MasdError as error:
                result.failures.add(utt, error, folder.file(utt))
        if waves:
            begin = time.process_time()
            names = list(waves)
            raw = detector.raw(list(waves.values()), [folder.spk(utt) for utt in names])
            result.seconds += time.process_time() - begin
            result.audio += sum(map(len, waves.values())) / RATE
            result.raw.update(zip(names, raw.tolist(), strict=True))
        progress(min(i + batch, len(utts)), len(result.failures.reasons))
        each(result)
    return result


def enrol(
    detector: Detector, folder: DataFolder, enrolment: dict[str, list[str]], allow_pipes: bool = False
) -> None:
    """Give SAMO the speakers' attractors: the mean embedding of each one's enrolment recordings.

    Raises:
        MasdError: the system is not SAMO, or an enrolment recording cannot be read.
    """
    from masd.models.one_class import Samo

    if not isinstance(detector, NetDetector) or not isinstance(detector.objective.head, Samo):
        raise MasdError(f"{detector.system}: only samo takes enrolment")
    means = {}
    for speaker, utts in enrolment.items():
        waves = [load_speech(folder, utt, detector.samples, allow_pipes) for utt in utts]
        parts = [detector.embeddings(waves[i : i + AT_ONCE]) for i in range(0, len(waves), AT_ONCE)]
        means[speaker] = sum(part.sum(0) for part in parts) / len(waves)
    detector.enrolled = means
    log.info("%d speakers enrolled from %s", len(means), folder.path)


def read_enrolment(paths: Iterable[str | Path]) -> dict[str, list[str]]:
    """Return {speaker: enrolment utterances} of ASV protocols, lines `LA_0001 LA_E_1,LA_E_2`.

    Raises:
        MasdError: a line has not two columns, or a speaker stands in two lines.
    """
    from masd.stage.files import read_text

    enrolment: dict[str, list[str]] = {}
    for path in paths:
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            fields = line.split()
            if len(fields) != 2:
                raise MasdError(
                    f"{path}:{number}: expected `<speaker> <utt>,<utt>`, found {len(fields)} columns"
                )
            if fields[0] in enrolment:
                raise MasdError(f"{path}:{number}: speaker {fields[0]} is enrolled twice")
            enrolment[fields[0]] = fields[1].split(",")
    return enrolment
