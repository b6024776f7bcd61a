"""Durations from the headers of audio files: the shards of a data folder, and the utt2dur made of them."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.audio.stream import AudioStream
from masd.data.folder import DataFolder, read_folder, shard, write_folder
from masd.data.transform import restrict
from masd.errors import Failures, MasdError
from masd.stage.files import Mark, digest, sha256, write_changed
from masd.stage.progress import Progress

log = logging.getLogger(__name__)


def header_seconds(path: str | Path) -> float:
    """Return the length of an audio file in seconds, as its headers tell it, those of an MP3's frames too.

    Of FLAC, the last sample is read: a FLAC file that was cut short has a header like a whole one. What tells
    no length that can be relied on (Ogg, MP4, streams, ...) is decoded.

    Raises:
        MasdError: missing, empty, not audio, or cut short; the line begins with the path.
    """
    with AudioStream(path) as stream:
        return stream.length()


def duration_shard(data: Path, job: int, num_jobs: int, force: bool = False) -> None:
    """Read the durations of one shard of the recordings of a data folder into `<data>/.utt2dur`.

    A shard that is done for these very lists is kept, but for recordings that could not be read: they may
    have been unpacked again. Those that cannot be read are a line each.

    Raises:
        MasdError: the folder is not valid, or wav.scp holds commands without segments that tell their ends
            (their utt2dur is to be given).
    """
    mark, work = _mark(data, job, num_jobs), _work(data, job, num_jobs)
    found = mark.read() if not force and mark.fresh(work) else {"durations": {}, "failures": {"": ""}}
    if not found["failures"]:
        log.info("job %d of %d: durations of %s are done", job, num_jobs, data)
        return
    mark.clear()
    folder = read_folder(data)
    failures, seconds = Failures("recording"), dict(found["durations"])
    names = shard(sorted(_to_read(folder)), job, num_jobs)
    progress = Progress(log, len(names), "recordings")
    for number, name in enumerate(names):
        progress(number, len(failures.reasons))
        if name in seconds:
            continue
        entry = folder.wav[name]
        if entry.endswith("|"):
            raise MasdError(
                f"{data}/wav.scp: '{name}' is a command, which has no header; give the folder an utt2dur"
            )
        try:
            seconds[name] = header_seconds(entry)
        except MasdError as error:
            failures.add(name, error)
    mark.write(work, durations=seconds, failures=failures.reasons)
    log.info("job %d of %d: %d durations, %d failures", job, num_jobs, len(seconds), len(failures.reasons))


def finish_durations(data: Path, num_jobs: int, max_fail: float = 0.0) -> DataFolder:
    """Write utt2dur from the shards; utterances whose recording cannot be read leave the folder.

    They are listed in `<data>/failures`, `<utt> <reason>`.

    Raises:
        MasdError: a shard is missing or stale, or more than `max_fail` of the utterances cannot be read.
    """
    lengths: dict[str, float] = {}
    broken: dict[str, str] = {}
    for job in range(1, num_jobs + 1):
        mark = _mark(data, job, num_jobs)
        if not mark.fresh(_work(data, job, num_jobs)):
            raise MasdError(
                f"{data}: durations of job {job} of {num_jobs} are not there; run masd.bin.data utt2dur again"
            )
        lengths |= mark.read()["durations"]
        broken |= mark.read()["failures"]
    folder = read_folder(data)
    failures, seconds = Failures("utterance", max_fail), {}
    for utt in folder.utts:
        where = folder.recording(utt)
        if where.recording in broken:
            failures.reasons[utt] = broken[where.recording]
        else:
            seconds[utt] = (lengths[where.recording] if where.end < 0 else where.end) - where.start
    failures.check(len(folder.utts), data)
    if not seconds:
        raise MasdError(f"{data}: no recording can be read; the first: {next(iter(broken.values()))}")
    write_changed(data / "failures", "".join(f"{line}\n" for line in failures.lines()))
    if failures.reasons:
        log.warning(
            "%s: %d of %d utterances leave the set, as their recordings cannot be read; they are listed in "
            "%s/failures; once they are mended, ./run.sh --stage 1 takes them",
            *(data, len(failures.reasons), len(folder.utts), data),
        )
    kept = restrict(folder, seconds)
    return write_folder(data, kept.wav, kept.utt2spk, kept.segments, **{**kept.tables, "utt2dur": seconds})


def _to_read(folder: DataFolder) -> set[str]:
    """Return the recordings whose audio is asked: all but commands whose segments all tell where they end."""
    open_ended = {where.recording for where in folder.segments.values() if where.end < 0}
    piped = {name for name, entry in folder.wav.items() if entry.endswith("|")}
    return folder.wav.keys() - (piped - open_ended if folder.segments else set())


def _mark(data: Path, job: int, num_jobs: int) -> Mark:
    return Mark(data / ".utt2dur", f"{job}of{num_jobs}")


def _work(data: Path, job: int, num_jobs: int) -> str:
    if not (data / "wav.scp").is_file():
        raise MasdError(f"{data}/wav.scp: no such file; prepare the data folder first")
    return digest("utt2dur", 1, sha256(data / "wav.scp"), job, num_jobs)
