"""Work on a set in shards: the marks they leave, the check that all are there, lists joined of them.

A stage cuts a set into contiguous parts, one a job. Each part, when finished, leaves a mark with the digest
of its inputs; the last call joins the parts, writes the set's own mark and clears the parts' away. While
parts are being made the set has no lists, so that nobody reads half of it. The marks of a set in which
utterances failed stay, with the shards' lists: once a file at fault is mended, its shard alone is made again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masd.errors import Failures, MasdError
from masd.stage.files import Mark, digest, files_in, joint_cost, read_lines, read_text, write_lines
from masd.stage.lock import sole
from masd.stage.tables import write_table

log = logging.getLogger(__name__)

_LEFT_BY_KILL = re.compile(r"\..+\.tmp\d+\S*|\.lock(?:\.\d+)?")


@dataclass(frozen=True)
class Shards:
    """The shards of a set and their marks, `<out>/.done.<job>.json`.

    Args:
        out: the set's folder.
        again: what makes the shards again, for messages: what a recipe's user types, and entry points.
    """

    out: Path
    again: str

    def mark(self, job: int, num_jobs: int) -> Mark:
        """Return the mark of a shard."""
        return Mark(self.out, str(job))

    def read(self, job: int, num_jobs: int) -> dict[str, Any]:
        """Return what a shard's mark says; `MasdError` if there is none, or one of another number."""
        mark = self.mark(job, num_jobs)
        info = mark.read()
        if not info:
            raise MasdError(f"{self.out}: shard {job} of {num_jobs} is not finished; run {self.again} again")
        if info.get("num_jobs", num_jobs) != num_jobs:
            raise MasdError(
                f"{self.out}: shard {job} was one of {info['num_jobs']}, not of {num_jobs}; "
                f"run {self.again} again"
            )
        return info

    def read_all(self, num_jobs: int) -> list[dict[str, Any]]:
        """Return what all marks say; `MasdError` if one is missing."""
        if num_jobs < 1:
            raise MasdError(f"{self.out}: --num-jobs {num_jobs}: there is at least one")
        return [self.read(job, num_jobs) for job in range(1, num_jobs + 1)]

    def check_same(self, infos: Sequence[Mapping[str, Any]], key: str) -> None:
        """Raise `MasdError` if the marks differ in their values of `key`."""
        for job, info in enumerate(infos, 1):
            if info[key] != infos[0][key]:
                raise MasdError(
                    f"{self.out}: shards 1 and {job} differ in input, configuration or device; "
                    f"run {self.again} again for all"
                )

    def judge_again(self, total: int, max_fail: float) -> None:
        """Judge the failures of a finished set by what may fail now (see `judge`)."""
        failures = Failures("utterance", max_fail)
        failures.reasons.update(line.split(maxsplit=1) for line in read_lines(self.out / "failures"))
        self.judge(failures, total)

    def judge(self, failures: Failures, total: int) -> None:
        """Say how many utterances of the set failed, and what becomes of them.

        Raises:
            MasdError: they are more than may fail, or all.
        """
        failed, listed = len(failures.reasons), f"listed in {self.out}/failures"
        mend = f"mend them and run {self.again} again, which tries them"
        failures.check(total, f"{self.out} ({listed})", mend)
        if failed == total:
            raise MasdError(f"{self.out}: not one of {total} utterances could be used")
        if failed:
            log.warning(
                "%s: %d of %d utterances failed and are left out, as --max-fail %g allows; they are %s; once "
                "they are mended, %s tries them again",
                *(self.out, failed, total, failures.max_share, listed, self.again),
            )


def failures_of(infos: Sequence[Mapping[str, Any]], max_fail: float) -> Failures:
    """Return the failures of all shards together."""
    failures = Failures("utterance", max_fail)
    for info in infos:
        failures.reasons.update(info["failures"])
        failures.files.update(info.get("unusable", {}))
    return failures


@dataclass(frozen=True)
class NamedShards(Shards):
    """Shards whose marks lie in `<out>/.jobs` and say in their names of how many they are one.

    So a run in another number of jobs does not overwrite them.
    """

    def mark(self, job: int, num_jobs: int) -> Mark:
        """Return the mark of a shard: `<out>/.jobs/.done.<job>of<num_jobs>.json`."""
        return Mark(self.out / ".jobs", f"{job}of{num_jobs}")

    def remove_others(self, num_jobs: int) -> None:
        """Remove the marks of runs in another number of jobs."""
        for other in (self.out / ".jobs").glob(".done.*.json"):
            if not other.name.endswith(f"of{num_jobs}.json"):
                other.unlink()


@dataclass(frozen=True)
class ArchiveShards(Shards):
    """Shards that are archives: `<name>.<job>.ark` or `.h5`, and `<name>.<job>.scp`.

    Args:
        archives: their names.
        tables: other lists of a shard, `<name>.<job>`.
        lists: the set's own files, withdrawn before a shard is made, in that order. `<name>.scp` and `.crc`,
            where and how each archive's utterances are, are joined of the shards'.
        kept: what the set's mark takes over from its shards'; `num_jobs` and `format` are among it.
    """

    archives: tuple[str, ...]
    lists: tuple[str, ...]
    kept: tuple[str, ...] = ("num_jobs", "format")
    tables: tuple[str, ...] = ()

    def done(self, work: str, job: int, num_jobs: int) -> bool:
        """Return whether a shard, or the set, has been made from the inputs of the digest `work`."""
        piece = digest(work, job, num_jobs)
        if not (Mark(self.out).fresh(work) or self.mark(job, num_jobs).fresh(piece)):
            return False
        log.info("%s: shard %d of %d is there already; nothing to do", self.out, job, num_jobs)
        return True

    def begin(self, job: int, num_jobs: int) -> Mark:
        """Prepare the folder for a shard: take back what names it, remove what a kill left of it."""
        mark = self.mark(job, num_jobs)
        self.out.mkdir(parents=True, exist_ok=True)
        Mark(self.out).clear()  # first: a set without lists is not finished
        for name in self.lists:
            (self.out / name).unlink(missing_ok=True)
        mark.clear()
        archives, tables = "|".join(self.archives), "|".join(self.tables) or "(?!)"
        remove_leftovers(self.out, rf"\.(?:{archives})\.{job}\.tmp\d+\S*|\.(?:{tables})\.tmp\d+\S*\.{job}")
        return mark

    def end(
        self, mark: Mark, work: str, job: int, num_jobs: int, total: int, failures: Failures, **info: Any
    ) -> None:
        """Write a shard's mark: all of its files are in place."""
        piece = digest(work, job, num_jobs)
        common = {"work": work, "num_jobs": num_jobs, "total": total}
        outputs = [path for path in files_in(self.out) if self._of_shard(path.name) == job]
        mark.write(piece, outputs, **common, failures=failures.reasons, unusable=failures.files, **info)

    def finish(self, num_jobs: int, max_fail: float, write_lists: Callable[[dict[str, Any]], None]) -> None:
        """Check that all shards are there, let the set's lists be written, write its mark, clear up.

        `write_lists` writes the set's lists, given what the first shard's mark says; up to the share
        `max_fail` of the utterances may have failed.

        Raises:
            MasdError: a shard is missing or made from other inputs, or too many utterances failed.
        """
        done = Mark(self.out).read()
        if done and not Mark(self.out).lost():
            self.tidy(done)
            self.judge_again(done["total"], max_fail)
            log.info("%s: finished already", self.out)
            return
        with sole(self.out):
            infos = self.read_all(num_jobs)
            self.check_same(infos, "work")
            failures, total = failures_of(infos, max_fail), sum(info["total"] for info in infos)
            write_lines(self.out / "failures", failures.lines())
            self.judge(failures, total)
            for name in self.archives:
                self.join(f"{name}.crc", num_jobs)
            write_lists(infos[0])
            failed = len(failures.reasons)
            done = {key: infos[0][key] for key in self.kept} | {"total": total, "failed": failed}
            # where the shards' own marks stay, they say what each has cost
            cost = {} if failed else joint_cost(infos)
            archives = [
                f"{name}.{job}.{done['format']}" for name in self.archives for job in range(1, num_jobs + 1)
            ]
            outputs = [self.out / name for name in (*self.lists, *archives)]
            Mark(self.out).write(infos[0]["work"], outputs, unusable=failures.files, **done, **cost)
            self.tidy(done)
        log.info("%s: %d utterances, %d failed", self.out, total - failed, failed)

    def join(self, name: str, num_jobs: int) -> None:
        """Write the list `name` of the set from those of its shards, in LC_ALL=C order."""
        stem, dot, suffix = name.partition(".")
        table: dict[str, str] = {}
        for job in range(1, num_jobs + 1):
            path = self.out / f"{stem}.{job}{dot}{suffix}"
            # a shard's list may be empty, and in the order of its batches
            table.update(line.split(maxsplit=1) for line in read_text(path).splitlines())
        write_table(self.out / name, table)

    def tidy(self, done: Mapping[str, Any]) -> None:
        """Remove files of earlier runs with more jobs, what a kill left, and the shards' lists and marks.

        Those stay where utterances failed, so that a shard can be made again by itself.
        """
        stay = {f".{done['format']}", *((".scp", ".crc", ".json", "") if done["failed"] else ())}
        for path in list(self.out.iterdir()):
            job = self._of_shard(path.name)
            suffix = "" if path.suffix == f".{job}" else path.suffix
            if job and not (job <= done["num_jobs"] and suffix in stay):
                path.unlink(missing_ok=True)
        remove_leftovers(self.out, _LEFT_BY_KILL.pattern)

    def _of_shard(self, name: str) -> int:
        """Return which shard a file is of, 0 for none."""
        names = "|".join((*self.archives, *self.tables))
        found = re.fullmatch(rf"(?:(?:{names})|\.done)\.(\d+)(\.(?:ark|h5|scp|crc|json))?", name)
        return int(found[1]) if found else 0


def remove_leftovers(out: Path, pattern: str) -> None:
    """Remove the files of a folder whose whole name matches `pattern`."""
    for path in list(out.iterdir()):
        if re.fullmatch(pattern, path.name):
            with suppress(OSError):
                path.unlink()
