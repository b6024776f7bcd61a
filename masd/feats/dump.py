"""Feature dumps: both kinds of features of a data folder, in one pass over its audio.

A finished dump folder holds

- `feats.scp`: log-mel spectrograms (T, n_mels); `hand.scp`: vectors [PCS, HFER, SFI];
- `utt2num_frames`: T of each utterance; `failures`: `<utt> <reason>` of those left out;
- `feats.yaml`: the configuration they were made with; `.done.json`: the mark.

While shards are being made it has none of these lists, so that nobody reads half a dump.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masd.audio import load_utterance
from masd.data.archive import Reader, Writer, open_reader
from masd.data.folder import DataFolder, read_folder, shard
from masd.data.tables import read_table, write_table
from masd.errors import Failures, MasdError
from masd.feats.config import FeatsConfig
from masd.files import Mark, digest, input_digest, read_yaml, write_lines, write_yaml

log = logging.getLogger(__name__)

VERSION = 1  # raise it when the same configuration comes to mean other numbers
LISTS = ("feats.scp", "hand.scp", "utt2num_frames", "feats.yaml", "failures")
_SECONDS_BETWEEN_LINES = 10.0
_SHARD_FILE = re.compile(r"(?:feats|hand|utt2num_frames)\.(\d+)(?:\.(?:ark|h5|scp))?")
_SHARD_MARK = re.compile(r"\.done\.(\d+)\.json")
_LEFT_BY_KILL = re.compile(r"\..+\.tmp\d+\S*")


@dataclass
class Dump:
    """A finished dump, open for reading.

    Attributes:
        path: its folder.
        feats: log-mel spectrograms, (T, n_mels) float32 by utterance.
        hand: [PCS, HFER, SFI], (3,) float32 by utterance.
        config: the configuration it was made with.
    """

    path: Path
    feats: Reader
    hand: Reader
    config: FeatsConfig

    @property
    def utts(self) -> list[str]:
        """Utterance ids in LC_ALL=C order."""
        return self.feats.utts


def dump_shard(
    data: str | Path,
    out: str | Path,
    config: FeatsConfig,
    fmt: str = "ark",
    compress: bool = False,
    job: int = 1,
    num_jobs: int = 1,
    allow_pipes: bool = False,
    force: bool = False,
) -> None:
    """Dump the features of one contiguous part of a data folder; skip it if that is done.

    Utterances that cannot be used are recorded, and judged by `finish_dump` over the whole set. The
    values do not depend on `num_jobs`, on threads or on what else the folder holds.

    Raises:
        MasdError: the data folder or the shard number is wrong, or there are pipes and they are not allowed.
    """
    out = Path(out)
    work = digest("feats", VERSION, input_digest(data), config, fmt, compress)
    mark = Mark(out, str(job))
    piece = digest(work, job, num_jobs)
    if not force and (Mark(out).fresh(work) or mark.fresh(piece)):
        log.info("%s: shard %d of %d is there already; nothing to do", out, job, num_jobs)
        return
    folder = read_folder(data)
    _refuse_pipes(folder, allow_pipes)
    utts = shard(folder.utts, job, num_jobs)
    out.mkdir(parents=True, exist_ok=True)
    _withdraw(out)
    mark.clear()
    _remove_leftovers(out, rf"\.(?:feats|hand)\.{job}\.tmp\d+\S*|\.utt2num_frames\.tmp\d+\S*\.{job}")
    failures = Failures("utterance")
    with Writer(out, "feats", job, fmt, compress) as feats, Writer(out, "hand", job, fmt) as hand:
        frames = _dump_utterances(folder, utts, config, (feats, hand), failures, allow_pipes)
    write_lines(out / f"utt2num_frames.{job}", (f"{utt} {count}" for utt, count in frames.items()))
    mark.write(
        piece,
        work=work,
        num_jobs=num_jobs,
        total=len(utts),
        failures=failures.reasons,
        config=config,
        format=fmt,
        compress=compress,
    )


def _refuse_pipes(folder: DataFolder, allow_pipes: bool) -> None:
    pipe = next((name for name, value in folder.wav.items() if value.endswith("|")), None)
    if pipe is not None and not allow_pipes:
        raise MasdError(
            f"{folder.path}/wav.scp: {pipe} is a command; --allow-pipes true runs it if you trust it"
        )


def _dump_utterances(
    folder: DataFolder,
    utts: Sequence[str],
    config: FeatsConfig,
    writers: tuple[Writer, Writer],
    failures: Failures,
    allow_pipes: bool,
) -> dict[str, int]:
    """Write the features of `utts`; return the number of log-mel frames of those that worked."""
    import torch  # here, so that finding a shard done takes no time

    from masd.feats.extract import front_end

    torch.set_num_threads(1)  # the same bits whatever the number of threads, and no fight between jobs
    frames: dict[str, int] = {}
    begin = last = time.monotonic()
    for done, utt in enumerate(utts, 1):
        try:
            x = load_utterance(folder, utt, config.sample_rate, allow_pipes)
            mel, hand = front_end(x, utt, config)
        except MasdError as error:
            failures.add(utt, error)
        else:
            writers[0].write(utt, mel)
            writers[1].write(utt, hand)
            frames[utt] = len(mel)
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES or done == len(utts):
            speed, failed = done / max(now - begin, 1e-9), len(failures.reasons)
            log.info("%d of %d utterances, %d failed, %.1f a second", done, len(utts), failed, speed)
            last = now
    return frames


def finish_dump(out: str | Path, num_jobs: int, max_fail: float = 0.01) -> None:
    """Check that all shards are there, write the set's lists and its mark, and clear away the shards' own.

    Raises:
        MasdError: a shard is missing or made from other inputs, or more than `max_fail` of the
            utterances failed.
    """
    out = Path(out)
    if num_jobs < 1:
        raise MasdError(f"{out}: --num-jobs {num_jobs}: there is at least one")
    if Mark(out).path.is_file():
        _tidy(out, Mark(out).read())
        log.info("%s: finished already", out)
        return
    marks = [_shard_mark(out, job, num_jobs) for job in range(1, num_jobs + 1)]
    first = marks[0]
    for job, info in enumerate(marks, 1):
        if info["work"] != first["work"]:
            raise MasdError(
                f"{out}: shards 1 and {job} differ in input or configuration; run dump_feats again for all"
            )
    failures = Failures("utterance", max_fail)
    for info in marks:
        failures.reasons.update(info["failures"])
    write_lines(out / "failures", failures.lines())
    total = sum(info["total"] for info in marks)
    failures.check(total, f"{out} (listed in {out}/failures; once mended, dump again with --force true)")
    if len(failures.reasons) == total:
        raise MasdError(f"{out}: not one of {total} utterances could be used")
    _write_lists(out, num_jobs, first["config"])
    done = {key: first[key] for key in ("num_jobs", "format", "compress")}
    Mark(out).write(first["work"], total=total, failed=len(failures.reasons), **done)
    _tidy(out, done)
    log.info("%s: %d utterances, %d failed", out, total - len(failures.reasons), len(failures.reasons))


def _shard_mark(out: Path, job: int, num_jobs: int) -> dict[str, Any]:
    mark = Mark(out, str(job))
    if not mark.path.is_file():
        raise MasdError(f"{out}: shard {job} of {num_jobs} is not finished; run dump_feats --job {job} again")
    info = mark.read()
    if info["num_jobs"] != num_jobs:
        raise MasdError(
            f"{out}: shard {job} was one of {info['num_jobs']}, not of {num_jobs}; run dump_feats again"
        )
    return info


def _write_lists(out: Path, num_jobs: int, config: dict[str, Any]) -> None:
    """Join the shards' lists in LC_ALL=C order; feats.scp comes last, since it is what readers look for."""
    for name in ("utt2num_frames", "hand.scp", "feats.scp"):
        stem, dot, suffix = name.partition(".")
        table: dict[str, str] = {}
        for job in range(1, num_jobs + 1):
            path = out / f"{stem}.{job}{dot}{suffix}"
            if path.stat().st_size:  # a shard may be empty
                table |= read_table(path)
        if name == "hand.scp":
            write_yaml(out / "feats.yaml", config)
        write_table(out / name, table)


def _withdraw(out: Path) -> None:
    """Take back the set-level lists before any shard they name is replaced, the mark first."""
    Mark(out).clear()
    for name in LISTS:
        (out / name).unlink(missing_ok=True)


def _tidy(out: Path, done: dict[str, Any]) -> None:
    """Remove the shards' lists and marks, files of earlier runs with more jobs, and what a kill left."""
    for path in list(out.iterdir()):
        piece = _SHARD_FILE.fullmatch(path.name)
        kept = piece and int(piece[1]) <= done["num_jobs"] and path.suffix == f".{done['format']}"
        if (piece and not kept) or _SHARD_MARK.fullmatch(path.name):
            path.unlink(missing_ok=True)
    _remove_leftovers(out, _LEFT_BY_KILL.pattern)


def _remove_leftovers(out: Path, pattern: str) -> None:
    for path in list(out.iterdir()):
        if re.fullmatch(pattern, path.name):
            with suppress(OSError):
                path.unlink()


def open_dump(path: str | Path, expected: FeatsConfig | None = None) -> Dump:
    """Open a finished dump.

    Args:
        path: the dump folder.
        expected: the configuration it must have been made with; None to take what there is.

    Raises:
        MasdError: the dump is not finished, damaged, or was made with another configuration (the
            message names the first key that differs).
    """
    path = Path(path)
    for name in ("feats.scp", "hand.scp", "feats.yaml"):
        if not (path / name).is_file():
            raise MasdError(
                f"{path}: no finished feature dump ({name} is missing); run dump_feats and finish_dump"
            )
    config = FeatsConfig.from_dict(read_yaml(path / "feats.yaml"), path / "feats.yaml")
    if expected is not None:
        config.check_same(expected, path)
    lengths = _lengths(path / "utt2num_frames")
    feats, hand = open_reader(path / "feats.scp", lengths), open_reader(path / "hand.scp")
    if feats.utts != hand.utts:
        odd = sorted(set(feats.utts) ^ set(hand.utts)) or feats.utts
        raise MasdError(f"{path}: feats.scp and hand.scp list different utterances or orders: {odd[0]}")
    return Dump(path, feats, hand, config)


def _lengths(path: Path) -> dict[str, int]:
    if not path.is_file():
        return {}
    try:
        return {utt: int(count) for utt, count in read_table(path).items()}
    except ValueError:
        raise MasdError(f"{path}: a number of frames is not a number") from None
