"""Scores of a set by any system, in shards, each kept as it grows.

`<out>/.jobs` holds a mark for each shard with its scores, so that a stopped one goes on from there; the last
call joins them and clears them away, unless utterances failed: those are scored once they are mended.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from masd.data.folder import DataFolder, shard
from masd.errors import Failures, MasdError
from masd.metrics.scores import write_scores
from masd.stage.files import Mark, digest, joint_cost, write_json, write_lines
from masd.stage.lock import sole
from masd.stage.progress import Progress
from masd.stage.shards import NamedShards, failures_of
from masd.systems.base import System
from masd.systems.items import ScoredSet, Stored
from masd.systems.recordings import RecordingSet

log = logging.getLogger(__name__)

SAVE_EVERY = 60.0  # seconds
_AGAIN = "./run.sh --stage 6 (or score and finish scores)"
# of what a shard's mark says
_KEPT = ("scores", "attention", "failures", "unusable", "timing", "parameters", "calibrated")


@dataclass
class Scored:
    """What a system has said of a set's utterances.

    Attributes:
        system: the system.
        scores: {utt: [score, affine score]}.
        attention: {utt: weights of the fusion}, where it has one.
        failures: what could not be scored.
        seconds: processor time in the system, decoding left out; what else the machine does is not in it.
        audio: seconds of audio that were scored.
    """

    system: System
    scores: dict[str, list[float]] = field(default_factory=dict)
    attention: dict[str, list[float]] = field(default_factory=dict)
    failures: Failures = field(default_factory=lambda: Failures("utterance", 1.0))
    seconds: float = 0.0
    audio: float = 0.0


def open_set(
    system: System, folder: DataFolder | None, stored: Stored, allow_pipes: bool = False, batch: int = 8
) -> ScoredSet[Any]:
    """Return a set as a system takes it: by its stored inputs where any are given, else by its recordings.

    Without a data folder it is all that the stored inputs hold; `batch` recordings are decided on at once.

    Raises:
        MasdError: what the system needs is not given.
    """
    if stored:
        return system.stored_set(stored, None if folder is None else folder.utts)
    system.check_hears()
    if folder is None:
        raise MasdError(f"system {system.name} is scored on recordings; give their data folder, --data DIR")
    return RecordingSet(system, folder, allow_pipes, batch)


def score_set(
    system: System,
    found: ScoredSet[Any],
    utts: Sequence[str],
    each: Callable[[Scored], None] = lambda scored: None,
) -> Scored:
    """Return the scores of `utts` of a set; what cannot be scored is recorded.

    `each` is called after each batch with what there is by then.
    """
    result, progress, calibration = Scored(system), Progress(log, len(utts)), system.calibration
    for i in range(0, len(utts), found.batch):
        items: dict[str, Any] = {}
        for utt in utts[i : i + found.batch]:
            try:
                items[utt] = found.read(utt)
            except MasdError as error:
                result.failures.add(utt, error, found.file(utt))
        if items:
            begin = time.process_time()
            decided = found.decide(list(items.values()))
            result.seconds += time.process_time() - begin
            result.audio += sum(map(found.seconds, items.values()))
            both = (calibration.scores(decided.f).tolist(), calibration.affine_scores(decided.f).tolist())
            result.scores.update(zip(items, map(list, zip(*both, strict=True)), strict=True))
            if decided.attention is not None:
                result.attention.update(zip(items, decided.attention.tolist(), strict=True))
        progress(min(i + found.batch, len(utts)), len(result.failures.reasons))
        each(result)
    return result


class ScoreShards:
    """The shards of a set's scores.

    Args:
        out: folder for the set's scores.
        work: digest of what they are made from.
    """

    def __init__(self, out: Path, work: str = "") -> None:
        self.out, self.work = out, work
        self.shards = NamedShards(out, _AGAIN)
        self.unfinished = NamedShards(out / ".jobs" / "unfinished", _AGAIN)

    def done(self) -> bool:
        """Return whether the set's scores are there, made from these inputs."""
        return Mark(self.out).fresh(self.work)

    def score(
        self,
        system: System,
        found: ScoredSet[Any],
        folder: DataFolder | None = None,
        job: int = 1,
        num_jobs: int = 1,
        force: bool = False,
    ) -> None:
        """Score one contiguous part of a set (see `part_of`); utterances that failed before are tried again.

        Raises:
            MasdError: another process scores this part, or there is no such part.
        """
        utts = part_of(found.utts, found.together, folder, job, num_jobs)
        piece = digest(self.work, job, num_jobs)
        mark, partial = self.shards.mark(job, num_jobs), self.unfinished.mark(job, num_jobs)
        with sole(self.out / ".jobs", f"{job}of{num_jobs}"):
            Mark(self.out).clear()
            before = {} if force else _known(mark, piece) or _known(partial, piece)
            left = [utt for utt in utts if utt not in before.get("scores", {})]
            log.info("job %d of %d: %d of %d utterances to be scored", job, num_jobs, len(left), len(utts))
            common = {"work": self.work, "num_jobs": num_jobs, "total": len(utts)}
            if not left:
                mark.write(piece, **common, **(before or {"scores": {}, "failures": {}}))
                return
            mark.clear()
            saved = time.monotonic()

            def save(scored: Scored) -> None:
                nonlocal saved
                if time.monotonic() - saved > SAVE_EVERY:
                    partial.write(piece, **common, **_joined(before, scored))
                    saved = time.monotonic()

            scored = score_set(system, found, left, save)
            mark.write(piece, **common, **_joined(before, scored))
            partial.clear()

    def finish(self, num_jobs: int, max_fail: float, command: str = "") -> None:
        """Write the set's scores from those of its shards, and judge the failures.

        `command` is what was called to get the scores; it is kept in the mark.

        Raises:
            MasdError: a shard is missing or made from other inputs, too many utterances failed, or another
                process joins them.
        """
        mark = Mark(self.out)
        done = mark.read()
        if done and not mark.lost():
            self.shards.judge_again(done["utterances"] + done["failed"], max_fail)
            log.info("%s: finished already", self.out)
            return
        with sole(self.out):
            infos = self.shards.read_all(num_jobs)
            self.shards.check_same(infos, "work")
            failures = failures_of(infos, max_fail)
            write_lines(self.out / "failures", failures.lines())
            self.shards.judge(failures, sum(info["total"] for info in infos))
            count = self._write([info for info in infos if info["scores"]])
            failed = len(failures.reasons)
            # where the shards' own marks stay, they say what each has cost
            cost = {} if failed else joint_cost(infos)
            counts = {"utterances": count, "failed": failed, "command": command}
            names = ("scores", "affine_scores", "attention", "timing.json", "failures")
            outputs = [path for name in names if (path := self.out / name).is_file()]
            mark.write(infos[0]["work"], outputs, **counts, unusable=failures.files, **cost)
            if failed:
                self.shards.remove_others(num_jobs)
            else:
                shutil.rmtree(self.out / ".jobs")
        log.info("%s: %d utterances scored, %d failed", self.out, count, failed)

    def _write(self, infos: list[dict[str, Any]]) -> int:
        """Write the set's files; return how many utterances have scores."""
        for name in ("affine_scores", "attention", "timing.json"):
            (self.out / name).unlink(missing_ok=True)
        pairs = {utt: pair for info in infos for utt, pair in info["scores"].items()}
        seconds, audio = (sum(i["timing"][key] for i in infos) for key in ("seconds", "audio_seconds"))
        if audio:
            timing = {"seconds": seconds, "audio_seconds": audio, "real_time_factor": seconds / audio}
            write_json(self.out / "timing.json", timing | {"parameters": infos[0]["parameters"]})
        if infos[0]["calibrated"]:
            write_scores(self.out / "affine_scores", {utt: affine for utt, (_, affine) in pairs.items()})
        attention = dict(chain.from_iterable(info["attention"].items() for info in infos))
        if attention:
            lines = (f"{utt} {' '.join(f'{w:.6f}' for w in attention[utt])}" for utt in sorted(attention))
            write_lines(self.out / "attention", lines)
        write_scores(self.out / "scores", {utt: score for utt, (score, _) in pairs.items()})
        return len(pairs)


def part_of(
    utts: Sequence[str], together: int, folder: DataFolder | None, job: int, num_jobs: int
) -> list[str]:
    """Return a job's utterances: a contiguous part of whole groups, with its share of the folder's speech.

    Groups are of `together` utterances (see `ScoredSet`); jobs are numbered from 1.

    Raises:
        MasdError: there is no such part.
    """
    groups = [list(utts[i : i + together]) for i in range(0, len(utts), together)]
    durations = folder.tables.get("utt2dur") if folder is not None else None
    costs = durations and [sum(float(durations[utt]) for utt in group) for group in groups]
    return list(chain.from_iterable(shard(groups, job, num_jobs, costs)))


def _known(mark: Mark, piece: str) -> dict[str, Any]:
    """Return what a shard's mark says of scores from these inputs, empty if it is of others or not there.

    That a file which failed has changed since (`Mark.fresh`) leaves the other utterances' scores as they are.
    """
    found = mark.read()
    return {key: found[key] for key in _KEPT if key in found} if found.get("digest") == piece else {}


def _joined(before: Mapping[str, Any], scored: Scored) -> dict[str, Any]:
    """Return what a shard's mark says: what was there before and what has been scored since."""
    timing = {"seconds": scored.seconds, "audio_seconds": scored.audio}
    return {
        "scores": before.get("scores", {}) | scored.scores,
        "attention": before.get("attention", {}) | scored.attention,
        "failures": scored.failures.reasons,
        "unusable": scored.failures.files,
        "timing": {key: before.get("timing", {}).get(key, 0.0) + value for key, value in timing.items()},
        "parameters": scored.system.parameters if scored.audio else 0,  # of timing.json
        "calibrated": scored.system.calibration.calibrated,
    }
