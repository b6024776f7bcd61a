"""Scores of a set by a comparison system in shards, each kept as it grows.

`<out>/.jobs` holds a mark for each shard with its scores, so that a stopped one goes on from there; the last
call joins them and clears them away, unless utterances failed: those are scored once they are mended.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from masd.data.folder import DataFolder
from masd.detectors.detector import AT_ONCE, Detector
from masd.detectors.scoring import Scored, score_folder
from masd.metrics.scores import write_scores
from masd.stage.files import Mark, digest, joint_cost, write_json, write_lines
from masd.stage.lock import sole
from masd.stage.shards import NamedShards, failures_of

log = logging.getLogger(__name__)

SAVE_EVERY = 60.0  # seconds
_AGAIN = "./run.sh --stage 6 (or score_detector and finish scores)"
_KEPT = (
    "scores",
    "failures",
    "unusable",
    "timing",
    "parameters",
    "calibrated",
)  # of what a shard's mark says


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

        Raises:
            MasdError: another process scores this part, or there is no such part.
        """
        utts, piece = folder.shard(job, num_jobs), digest(self.work, job, num_jobs)
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
            system, saved = detector(), time.monotonic()

            def save(scored: Scored) -> None:
                nonlocal saved
                if time.monotonic() - saved > SAVE_EVERY:
                    partial.write(piece, **common, **_joined(before, scored, system))
                    saved = time.monotonic()

            scored = score_folder(system, folder, left, 1.0, allow_pipes, batch, save)
            mark.write(piece, **common, **_joined(before, scored, system))
            partial.clear()

    def finish(self, num_jobs: int, max_fail: float, command: str = "") -> None:
        """Write the set's scores from those of its shards, and judge the failures.

        Args:
            num_jobs: number of shards.
            max_fail: share of the utterances, 0 to 1, that may have failed.
            command: what was called to get the scores; kept in the mark.

        Raises:
            MasdError: a shard is missing or made from other inputs, too many utterances failed, or another
                process joins them.
        """
        mark = Mark(self.out)
        if mark.path.is_file() and (self.out / "scores").is_file():
            done = mark.read()
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
            mark.write(infos[0]["work"], **counts, unusable=failures.files, **cost)
            if failed:
                self.shards.remove_others(num_jobs)
            else:
                shutil.rmtree(self.out / ".jobs")
        log.info("%s: %d utterances, %d failed", self.out, count, failed)

    def _write(self, infos: list[dict[str, Any]]) -> int:
        """Write the set's files; return how many utterances have scores."""
        pairs = {utt: pair for info in infos for utt, pair in info["scores"].items()}
        seconds, audio = (sum(i["timing"][key] for i in infos) for key in ("seconds", "audio_seconds"))
        timing = {"seconds": seconds, "audio_seconds": audio, "real_time_factor": seconds / audio}
        write_json(self.out / "timing.json", timing | {"parameters": infos[0]["parameters"]})
        (self.out / "affine_scores").unlink(missing_ok=True)
        if infos[0]["calibrated"]:
            write_scores(self.out / "affine_scores", {utt: affine for utt, (_, affine) in pairs.items()})
        write_scores(self.out / "scores", {utt: score for utt, (score, _) in pairs.items()})
        return len(pairs)


def _known(mark: Mark, piece: str) -> dict[str, Any]:
    """Return what a shard's mark says of scores from these inputs, empty if it is of others or not there.

    That a file which failed has changed since (`Mark.fresh`) leaves the other utterances' scores as they are.
    """
    found = mark.read() if mark.path.is_file() else {}
    return {key: found[key] for key in _KEPT if key in found} if found.get("digest") == piece else {}


def _joined(before: Mapping[str, Any], scored: Scored, system: Detector) -> dict[str, Any]:
    """Return what a shard's mark says: what was there before and what has been scored since."""
    f = {utt: float(system.decisions(raw)) for utt, raw in scored.raw.items()}
    new = {utt: [float(system.scores(v)), float(system.affine_scores(v))] for utt, v in f.items()}
    timing = {"seconds": scored.seconds, "audio_seconds": scored.audio}
    return {
        "scores": before.get("scores", {}) | new,
        "failures": scored.failures.reasons,
        "unusable": scored.failures.files,
        "timing": {key: before.get("timing", {}).get(key, 0.0) + value for key, value in timing.items()},
        "parameters": system.parameters,
        "calibrated": system.calibrated,
    }
