"""Scores of a set by a comparison system."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from masd.audio import check_audio, load_utterance
from masd.data.folder import DataFolder
from masd.detectors.config import RATE
from masd.detectors.detector import AT_ONCE, SHORTEST, Detector, NetDetector
from masd.errors import Failures, MasdError
from masd.files import Mark, digest, joint_cost, write_json, write_lines
from masd.metrics.scores import write_scores
from masd.progress import Progress
from masd.shards import NamedShards, failures_of

SAVE_EVERY = 60.0  # seconds
_KEPT = ("scores", "failures", "timing", "parameters", "calibrated")  # of what a shard's mark says

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
                x = load_utterance(folder, utt, RATE, allow_pipes)
                check_audio(x, utt, RATE, SHORTEST)
                waves[utt] = x
            except MasdError as error:
                result.failures.add(utt, error)
        if waves:
            begin = time.process_time()
            names = list(waves)
            raw = detector.raw(list(waves.values()), names, [folder.spk(utt) for utt in names])
            result.seconds += time.process_time() - begin
            result.audio += sum(map(len, waves.values())) / RATE
            result.raw.update(zip(names, raw.tolist(), strict=True))
        progress(min(i + batch, len(utts)), len(result.failures.reasons))
        each(result)
    return result


class ScoreShards:
    """Scores of a set in shards: each is kept as it grows, so that a stopped one goes on from there.

    Args:
        out: folder for the set's scores.
        work: digest of what they are made from.
    """

    def __init__(self, out: Path, work: str = "") -> None:
        self.out, self.work = out, work
        self.shards = NamedShards(out, "score_detector")

    def done(self) -> bool:
        """Return whether the set's scores are there, made from these inputs."""
        return Mark(self.out).fresh(self.work) and (self.out / "scores").is_file()

    def score(
        self,
        detector: Callable[[], Detector],
        folder: DataFolder,
        job: int = 1,
        num_jobs: int = 1,
        allow_pipes: bool = False,
        batch: int = AT_ONCE,
        force: bool = False,
    ) -> None:
        """Score one contiguous part of the folder's utterances; those that failed before are tried again.

        Args:
            detector: opens the system; not called where nothing is left to be scored.
            folder: data folder.
            job: which part, from 1.
            num_jobs: of how many.
            allow_pipes: whether commands in wav.scp may run.
            batch: how many are scored at once.
            force: score again what is scored.
        """
        utts, piece = folder.shard(job, num_jobs), digest(self.work, job, num_jobs)
        mark, partial = (shards.mark(job, num_jobs) for shards in (self.shards, self._partial))
        Mark(self.out).clear()
        before = {"scores": {}, "failures": {}, "timing": {"seconds": 0.0, "audio_seconds": 0.0}}
        for old in (mark, partial):
            if not force and old.fresh(piece):
                before = {key: value for key, value in old.read().items() if key in _KEPT}
                break
        left = [utt for utt in utts if utt not in before["scores"]]
        log.info("%s: shard %d of %d: %d of %d to be scored", self.out, job, num_jobs, len(left), len(utts))
        common = {"work": self.work, "num_jobs": num_jobs, "total": len(utts)}
        if not left:
            mark.write(piece, **common, **before)
            return
        mark.clear()
        system, saved = detector(), time.monotonic()

        def save(scored: Scored) -> None:
            nonlocal saved
            if time.monotonic() - saved > SAVE_EVERY:
                partial.write(piece, **common, **_joined(before, scored, system))
                saved = time.monotonic()

        scored = score_folder(system, folder, left, 1.0, allow_pipes, batch, save)
        mark.write(piece, **common, **_joined(before, scored, system))
        partial.clear()

    @property
    def _partial(self) -> NamedShards:
        return NamedShards(self.out / ".jobs" / "unfinished", "score_detector")

    def finish(self, num_jobs: int, max_fail: float) -> None:
        """Write the set's scores from those of its shards, and judge the failures.

        Raises:
            MasdError: a shard is missing or made from other inputs, or too many utterances failed.
        """
        mark = Mark(self.out)
        if mark.path.is_file() and (self.out / "scores").is_file():
            log.info("%s: finished already", self.out)
            return
        infos = self.shards.read_all(num_jobs)
        self.shards.check_same(infos, "work")
        failures = failures_of(infos, max_fail)
        write_lines(self.out / "failures", failures.lines())
        total = sum(info["total"] for info in infos)
        failures.check(total, f"{self.out} (listed in {self.out}/failures)")
        pairs = {utt: pair for info in infos for utt, pair in info["scores"].items()}
        if not pairs:
            raise MasdError(f"{self.out}: not one of {total} utterances could be scored")
        seconds, audio = (sum(i["timing"][key] for i in infos) for key in ("seconds", "audio_seconds"))
        timing = {"seconds": seconds, "audio_seconds": audio, "real_time_factor": seconds / audio}
        of_system = next(info for info in infos if info["scores"])  # a shard may be empty
        write_json(self.out / "timing.json", timing | {"parameters": of_system["parameters"]})
        (self.out / "affine_scores").unlink(missing_ok=True)
        if of_system["calibrated"]:
            write_scores(self.out / "affine_scores", {utt: affine for utt, (_, affine) in pairs.items()})
        write_scores(self.out / "scores", {utt: score for utt, (score, _) in pairs.items()})
        counts = {"utterances": len(pairs), "failed": len(failures.reasons)}
        mark.write(infos[0]["work"], **counts, **joint_cost(infos))
        shutil.rmtree(self.out / ".jobs")
        log.info("%s: %d utterances, real-time factor %.3f", self.out, len(pairs), seconds / audio)


def _joined(before: Mapping[str, Any], scored: Scored, system: Detector) -> dict[str, Any]:
    """Return what a shard's mark says: what was there before and what has been scored since."""
    f = {utt: float(system.decisions(raw)) for utt, raw in scored.raw.items()}
    new = {utt: [float(system.scores(v)), float(system.affine_scores(v))] for utt, v in f.items()}
    timing = {"seconds": scored.seconds, "audio_seconds": scored.audio}
    return {
        "scores": before["scores"] | new,
        "failures": scored.failures.reasons,
        "timing": {key: before["timing"][key] + value for key, value in timing.items()},
        "parameters": system.parameters,
        "calibrated": system.calibrated,
    }


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
        waves = [load_utterance(folder, utt, RATE, allow_pipes) for utt in utts]
        parts = [detector.embeddings(waves[i : i + AT_ONCE]) for i in range(0, len(waves), AT_ONCE)]
        means[speaker] = sum(part.sum(0) for part in parts) / len(waves)
    detector.enrolled = means
    log.info("%d speakers enrolled from %s", len(means), folder.path)


def read_enrolment(paths: Iterable[str | Path]) -> dict[str, list[str]]:
    """Return {speaker: enrolment utterances} of ASV protocols, lines `LA_0001 LA_E_1,LA_E_2`.

    Raises:
        MasdError: a line has not two columns, or a speaker stands in two lines.
    """
    from masd.files import read_text

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
