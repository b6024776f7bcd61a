"""Data folders made from data folders: repaired, cut down, split, merged."""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from masd.data.checks import missing_audio, speaker_sorted
from masd.data.folder import (
    LABELS,
    DataFolder,
    Segment,
    cross_check,
    list_names,
    read_folder,
    scan_folder,
    shard,
    spk2utt,
    write_folder,
)
from masd.errors import MasdError
from masd.stage.files import read_text
from masd.stage.seeding import generator
from masd.stage.tables import raise_first, scan_table

log = logging.getLogger(__name__)


def fix(path: str | Path) -> list[str]:
    """Repair a data folder in place and return what was done, one line each.

    Lists are sorted, mended in form (line ends, byte order marks, equal duplicates) and spk2utt is
    made again. Utterances are dropped that lack audio, a speaker or a line in any other table, or
    that have lines which contradict each other: which is right is not to be guessed. The lists as they
    were go to `.backup` in the folder. A folder that needs nothing is not touched.

    Raises:
        MasdError: no such folder, wav.scp or utt2spk, or no utterance would be left, or what is wrong
            cannot be repaired; nothing is changed then.
    """
    path = Path(path)
    for name in ("wav.scp", "utt2spk"):
        if not (path / name).is_file():
            raise MasdError(f"{path}/{name}: no such file; without it the folder cannot be repaired")
    folder, lines = scan_folder(path)
    if folder.tables.keys() & {"spk2gender"} and folder.tables["spk2gender"].keys() < set(
        folder.utt2spk.values()
    ):
        del folder.tables["spk2gender"]
        lines.append(f"{path}/spk2gender: lacks speakers; left out")
    dropped = _unfit(folder)
    left = [utt for utt in folder.utts if utt not in dropped]
    if not left:
        why = next(iter(dropped.values()), "its lists hold none")
        raise MasdError(f"{path}: no utterance would be left; nothing was changed (the first: {why})")
    kept = restrict(folder, left)
    raise_first(cross_check(kept))
    lines += [f"dropped utterance '{utt}': {why}" for utt, why in sorted(dropped.items())]
    lines += [
        f"dropped recording '{name}': no utterance needs it"
        for name in sorted(folder.wav.keys() - kept.wav.keys())
    ]
    return _replace(path, kept, lines)


def _unfit(folder: DataFolder) -> dict[str, str]:
    """Return every utterance that cannot stay, with the reason."""
    path, dropped = folder.path, {}
    silent = missing_audio(folder)
    silent |= dict.fromkeys(
        scan_table(path / "wav.scp").conflicts, "several lines in wav.scp contradict each other"
    )
    spoken = folder.segments or {utt: Segment(utt, 0.0, -1.0) for utt in folder.wav}
    for utt, segment in spoken.items():
        if segment.recording not in folder.wav:
            dropped[utt] = f"its recording '{segment.recording}' is not in wav.scp"
        elif segment.recording in silent:
            dropped[utt] = silent[segment.recording]
        elif not segment.possible:
            dropped[utt] = f"its segment, {segment.start:g} to {segment.end:g} s, is none"
    origin = "segments" if folder.segments else "wav.scp"
    tables = {name: table for name, table in folder.tables.items() if name != "spk2gender"}
    lists = {origin: spoken, "utt2spk": folder.utt2spk, **tables}
    for name, table in lists.items():
        known = set().union(*lists.values())
        dropped |= {utt: f"not in {name}" for utt in known - table.keys() if utt not in dropped}
        if name != "wav.scp":
            dropped |= dict.fromkeys(
                scan_table(path / name).conflicts, f"several lines in {name} contradict each other"
            )
    for utt, lab in folder.tables.get("utt2lab", {}).items():
        if lab not in LABELS:
            dropped.setdefault(utt, f"label '{lab}' is neither bonafide nor spoof")
    return dropped


def _replace(path: Path, folder: DataFolder, lines: list[str]) -> list[str]:
    """Put the lists of `folder` in the place of those in `path`, which go to `.backup`, if they differ."""
    new, backup = path / ".fixed", path / ".backup"
    try:
        _write(new, folder)
        before = {name: (path / name).read_bytes() for name in list_names(path)}
        after = {name: (new / name).read_bytes() for name in list_names(new)}
        if before == after:
            return []
        shutil.rmtree(backup, ignore_errors=True)
        backup.mkdir()
        for name, data in before.items():
            (backup / name).write_bytes(data)
        for name in after:
            os.replace(new / name, path / name)
        for name in before.keys() - after.keys():
            (path / name).unlink()
    finally:
        shutil.rmtree(new, ignore_errors=True)
    if before.get("spk2utt") != after["spk2utt"]:
        lines.append(f"{path}/spk2utt: made from utt2spk")
    return lines


def restrict(folder: DataFolder, utts: Collection[str]) -> DataFolder:
    """Return the part of a folder in memory that concerns `utts`; nothing is written."""
    chosen = set(utts)
    segments = {utt: segment for utt, segment in folder.segments.items() if utt in chosen}
    used = {segment.recording for segment in segments.values()} if folder.segments else chosen
    utt2spk = {utt: spk for utt, spk in folder.utt2spk.items() if utt in chosen}
    speakers = set(utt2spk.values())
    tables = {
        name: {
            key: value
            for key, value in table.items()
            if key in (speakers if name == "spk2gender" else chosen)
        }
        for name, table in folder.tables.items()
    }
    wav = {name: entry for name, entry in folder.wav.items() if name in used}
    return DataFolder(folder.path, wav, segments, utt2spk, tables)


def _write(path: str | Path, folder: DataFolder) -> DataFolder:
    return write_folder(path, folder.wav, folder.utt2spk, folder.segments, **folder.tables)


def subset(src: str | Path, dst: str | Path, utts: Iterable[str]) -> DataFolder:
    """Write the part of data folder `src` that concerns `utts` to `dst`.

    Raises:
        MasdError: `src` is not valid, `utts` is empty or names an utterance it lacks, or `dst` is `src`.
    """
    folder, chosen = read_folder(src), list(utts)
    if not chosen:
        raise MasdError(f"{src}: the subset asked for is empty")
    for utt in chosen:
        if utt not in folder.utt2spk:
            raise MasdError(f"{src}: no utterance '{utt}'")
    keep_apart(dst, [src])
    return _write(dst, restrict(folder, chosen))


def read_ids(path: str | Path) -> list[str]:
    """Return the first column of a list of utterances or speakers; its order is free.

    Raises:
        MasdError: unreadable, empty, not UTF-8, or an id occurs twice.
    """
    lines = read_text(path).split("\n")
    ids = [line.split()[0] for line in lines if line.strip()]
    if not ids:
        raise MasdError(f"{path}: empty")
    twice = next((one for one, count in Counter(ids).items() if count > 1), None)
    if twice is not None:
        raise MasdError(f"{path}: duplicate id '{twice}'")
    return ids


def keep_apart(dst: str | Path, srcs: Iterable[str | Path]) -> None:
    """Raise `MasdError` if the folder to write is one of those that are read."""
    for src in srcs:
        if Path(dst).resolve() == Path(src).resolve():
            raise MasdError(f"{dst}: is the source as well; choose another output folder")


def choose_random(utts: Sequence[str], count: int, seed: int) -> list[str]:
    """Return `count` of the utterances, sorted; the same ones for the same seed and utterances.

    Raises:
        MasdError: there are fewer than `count`.
    """
    if not 0 < count <= len(utts):
        raise MasdError(f"{count} utterances asked for, there are {len(utts)}")
    ordered = sorted(utts)
    picked = generator(seed, "subset").permutation(len(ordered))[:count]
    return sorted(ordered[i] for i in picked)


def choose_per_speaker(folder: DataFolder, count: int, seed: int) -> list[str]:
    """Return at most `count` utterances of each speaker, sorted; a speaker's choice depends on no other's."""
    if count < 1:
        raise MasdError(f"{count} utterances a speaker asked for; at least 1 is needed")
    chosen = []
    for spk, utts in spk2utt(folder.utt2spk).items():
        picked = generator(seed, "subset", spk).permutation(len(utts))[:count]
        chosen += [utts[i] for i in picked]
    return sorted(chosen)


def split(src: str | Path, dst_prefix: str | Path, n: int, by: str = "utterance") -> list[Path]:
    """Write `n` data folders `<dst_prefix>1`, `<dst_prefix>2`, ... that together are `src`.

    End `dst_prefix` with a slash for folders 1..n inside it. `by` is `utterance` for contiguous parts of
    equal size, or `speaker` to keep each speaker in one part (most utterances first, to the part with
    fewest).

    Raises:
        MasdError: `src` is not valid, or has fewer utterances (speakers) than parts.
    """
    folder = read_folder(src)
    if by == "speaker":
        parts = _speaker_parts(spk2utt(folder.utt2spk), n)
    elif by == "utterance":
        parts = [shard(folder.utts, job, n) for job in range(1, n + 1)]
    else:
        raise MasdError(f"a folder is split by utterance or by speaker, not by '{by}'")
    if n < 1 or not all(parts):
        raise MasdError(f"{src}: cannot be split into {n} parts by {by}: too few {by}s")
    paths = [Path(f"{dst_prefix}{number}") for number in range(1, n + 1)]
    for path, utts in zip(paths, parts, strict=True):
        keep_apart(path, [src])
        _write(path, restrict(folder, utts))
    return paths


def _speaker_parts(speakers: dict[str, list[str]], n: int) -> list[list[str]]:
    parts: list[list[str]] = [[] for _ in range(n)]
    for spk in sorted(speakers, key=lambda spk: (-len(speakers[spk]), spk)):
        if parts:
            min(parts, key=len).extend(speakers[spk])
    return parts


def prefix_speakers(src: str | Path, dst: str | Path) -> DataFolder:
    """Write data folder `src` to `dst` with ids `<spk>-<utt>`, in whose order speakers are in order too.

    Kaldi's own tools want that; a corpus's own ids, by which its keys and scores go, often do not have it.
    Recordings keep their ids where there are segments.

    Raises:
        MasdError: `src` is not valid or is `dst`, or speaker ids sort otherwise with a hyphen after them.
    """
    folder = read_folder(src)
    keep_apart(dst, [src])
    new = {utt: f"{spk}-{utt}" for utt, spk in folder.utt2spk.items()}
    tables = {
        name: table if name == "spk2gender" else {new[utt]: value for utt, value in table.items()}
        for name, table in folder.tables.items()
    }
    wav = folder.wav if folder.segments else {new[utt]: entry for utt, entry in folder.wav.items()}
    segments = {new[utt]: one for utt, one in folder.segments.items()}
    utt2spk = {new[utt]: spk for utt, spk in folder.utt2spk.items()}
    made = DataFolder(Path(dst), dict(wav), segments, utt2spk, tables)
    if not speaker_sorted(made):
        raise MasdError(f"{src}: speaker ids do not sort alike with a hyphen after them; rename the speakers")
    return _write(dst, made)


def merge(dst: str | Path, srcs: Sequence[str | Path]) -> DataFolder:
    """Write one data folder that holds all utterances of `srcs`.

    A table that only some of the sources have is left out, with a line in the log. Recordings may
    occur in several sources if they are the same.

    Raises:
        MasdError: a source is not valid, an utterance occurs twice, one recording or speaker id has
            different entries, or a source without segments lacks utt2dur where others have segments.
    """
    folders = [read_folder(src) for src in srcs]
    if not folders:
        raise MasdError(f"{dst}: no data folders to merge")
    keep_apart(dst, srcs)
    merged = DataFolder(Path(dst), {}, {}, {})
    with_segments = any(folder.segments for folder in folders)
    for folder in folders:
        _add(merged.utt2spk, folder.utt2spk, folder.path, "utterance", same_is_fine=False)
        _add(merged.wav, folder.wav, folder.path, "recording", same_is_fine=with_segments)
        if with_segments:
            merged.segments |= folder.segments or _whole_recordings(folder)
    for name in sorted(set().union(*(folder.tables for folder in folders))):
        lacking = [str(folder.path) for folder in folders if name not in folder.tables]
        if lacking:
            log.warning("%s is left out of %s: %s has none", name, dst, ", ".join(lacking))
            continue
        merged.tables[name] = {}
        for folder in folders:
            _add(
                merged.tables[name],
                folder.tables[name],
                folder.path,
                f"{name} of",
                same_is_fine=name == "spk2gender",
            )
    return _write(dst, merged)


def _add(into: dict[str, str], new: dict[str, str], path: Path, what: str, same_is_fine: bool) -> None:
    for key, value in new.items():
        if key in into and not (same_is_fine and into[key] == value):
            raise MasdError(
                f"{path}: {what} '{key}' is in another of the folders too; ids must be unique to merge"
            )
    into.update(new)


def _whole_recordings(folder: DataFolder) -> dict[str, Segment]:
    if "utt2dur" not in folder.tables:
        raise MasdError(f"{folder.path}: needs utt2dur to be merged with a folder that has segments")
    return {utt: Segment(utt, 0.0, float(seconds)) for utt, seconds in folder.tables["utt2dur"].items()}
