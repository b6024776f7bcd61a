"""Kaldi's data folder: which recordings there are, who speaks, and what is bona fide.

A folder holds wav.scp, utt2spk, spk2utt, optionally segments, and one table for whatever else is
known of its utterances: utt2lab (`bonafide` | `spoof`), utt2attack (`-` for bona fide), utt2dur
(seconds), utt2source (the recording an utterance was made from) and so on. Every list is sorted
under LC_ALL=C, and all lists of a folder hold the same utterances.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, TypeVar

from masd.errors import MasdError
from masd.stage.tables import as_text, raise_first, scan_table, write_table

LABELS = ("bonafide", "spoof")
T = TypeVar("T")


class Segment(NamedTuple):
    """A part of a recording in seconds; `end` is -1 where the recording's end is meant."""

    recording: str
    start: float
    end: float

    @property
    def possible(self) -> bool:
        """Whether 0 <= start < end, both finite, or end is -1."""
        return 0 <= self.start < math.inf and (self.start < self.end < math.inf or self.end == -1)


@dataclass
class DataFolder:
    """A data folder in memory.

    Attributes:
        path: where it is.
        wav: recording id to file path, or to a command that ends in `|` and writes audio.
        segments: utterance id to segment; empty where every recording is one utterance.
        utt2spk: utterance id to speaker id.
        tables: name to table, of every other `utt2*` list present, and `text` and `spk2gender`.
    """

    path: Path
    wav: dict[str, str]
    segments: dict[str, Segment]
    utt2spk: dict[str, str]
    tables: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def utts(self) -> list[str]:
        """Utterance ids in LC_ALL=C order."""
        return sorted(self.utt2spk)

    def table(self, name: str) -> dict[str, str]:
        """Return the table `name` (`utt2lab`); `MasdError` if this folder has none."""
        if name not in self.tables:
            raise MasdError(f"{self.path}: has no {name}; the stage that needs it cannot go on without")
        return self.tables[name]

    def lab(self, utt: str) -> str:
        """Return `bonafide` or `spoof`; `MasdError` if there is no utt2lab."""
        return self._get("utt2lab", utt)

    def attack(self, utt: str) -> str:
        """Return the attack or vocoder id, `-` for bona fide; `MasdError` if there is no utt2attack."""
        return self._get("utt2attack", utt)

    def spk(self, utt: str) -> str:
        """Return the speaker id."""
        if utt not in self.utt2spk:
            raise MasdError(f"{self.path}: no utterance '{utt}' in utt2spk")
        return self.utt2spk[utt]

    def source(self, utt: str) -> str:
        """Return the id of the source recording (utt2source), the utterance's own where none is given."""
        return self.tables.get("utt2source", {}).get(utt, utt)

    def recording(self, utt: str) -> Segment:
        """Return where an utterance's audio is: its recording, start and end (-1: the end) in seconds."""
        where = self.segments.get(utt, Segment(utt, 0.0, -1.0))
        if where.recording not in self.wav or (self.segments and utt not in self.segments):
            raise MasdError(f"{self.path}: no utterance '{utt}' with audio in wav.scp")
        return where

    def file(self, utt: str) -> str:
        """Return the path of an utterance's recording, or the command that writes it."""
        return self.wav[self.recording(utt).recording]

    def shard(self, job: int, num_jobs: int) -> list[str]:
        """Return the utterances of job number `job`: a contiguous part with its share of the folder's speech.

        Jobs then take about as long as each other. Without utt2dur every part has as many utterances.

        Raises:
            MasdError: `job` is not within 1..num_jobs.
        """
        durations = self.tables.get("utt2dur")
        utts = self.utts
        return shard(utts, job, num_jobs, durations and [float(durations[utt]) for utt in utts])

    def _get(self, name: str, utt: str) -> str:
        table = self.table(name)
        if utt not in table:
            raise MasdError(f"{self.path}/{name}: no utterance '{utt}'")
        return table[utt]


def read_folder(path: str | Path) -> DataFolder:
    """Read a data folder, strictly; whether its audio files exist is `validate`'s to say.

    Raises:
        MasdError: no such folder, a list is missing, unsorted, not UTF-8, with duplicates, blank columns
            or Windows line ends, or the lists disagree; the line names the first problem found.
    """
    folder, problems = scan_folder(path)
    if not problems:
        problems = cross_check(folder) + check_spk2utt(folder)
    raise_first(problems)
    return folder


def scan_folder(path: str | Path) -> tuple[DataFolder, list[str]]:
    """Read what can be read of a data folder and list what is wrong with each of its lists by itself."""
    path = Path(path)
    folder = DataFolder(path, {}, {}, {})
    if not path.is_dir():
        return folder, [f"{path}: no such data folder"]
    wav, utt2spk = scan_table(path / "wav.scp"), scan_table(path / "utt2spk")
    folder.wav, folder.utt2spk = wav.table, utt2spk.table
    problems = wav.problems + utt2spk.problems
    if (path / "segments").exists():
        lines = scan_table(path / "segments")
        problems += lines.problems
        for utt, line in lines.table.items():
            segment = _segment(line)
            if segment is None:
                problems.append(
                    f"{path}/segments: bad line '{utt} {line}'; it takes <utt> <recording> <start> <end>"
                )
            else:
                folder.segments[utt] = segment
    for name in table_names(path):
        table = scan_table(path / name, blank_values=name == "text")
        folder.tables[name] = table.table
        problems += table.problems
    return folder, problems


def table_names(path: Path) -> list[str]:
    """Return the names of the tables a folder holds beside wav.scp, segments, utt2spk and spk2utt."""
    return (
        sorted(p.name for p in path.iterdir() if _is_table(p.name) and p.is_file()) if path.is_dir() else []
    )


def list_names(path: Path) -> list[str]:
    """Return the names of all lists a data folder holds."""
    fixed = ("wav.scp", "utt2spk", "spk2utt", "segments")
    return sorted([*table_names(path), *(name for name in fixed if (path / name).is_file())])


def _is_table(name: str) -> bool:
    return name in {"text", "spk2gender"} or (
        name != "utt2spk" and re.fullmatch(r"utt2\w+", name) is not None
    )


def _segment(line: str) -> Segment | None:
    fields = line.split()
    try:
        return Segment(fields[0], float(fields[1]), float(fields[2])) if len(fields) == 3 else None
    except ValueError:
        return None


def cross_check(folder: DataFolder) -> list[str]:
    """List every disagreement between the lists of a folder, one line each."""
    path, problems = folder.path, []
    spoken = folder.segments or folder.wav
    origin = "segments" if folder.segments else "wav.scp"
    problems += _same_ids(path, folder.utt2spk, "utt2spk", spoken, origin)
    if folder.segments:
        used = {segment.recording for segment in folder.segments.values()}
        problems += [
            f"{path}/segments: recording '{r}' is not in wav.scp" for r in sorted(used - folder.wav.keys())
        ]
        problems += [
            f"{path}/segments: '{utt} {as_text(s.start)} {as_text(s.end)}': start and end are no seconds"
            for utt, s in folder.segments.items()
            if not s.possible
        ]
        problems += [
            f"{path}/wav.scp: recording '{r}' has no segment" for r in sorted(folder.wav.keys() - used)
        ]
    problems += [f"{path}/utt2spk: the id '{u}' holds a slash" for u in folder.utts if "/" in u]
    speakers = dict.fromkeys(folder.utt2spk.values(), "")
    for name, table in folder.tables.items():
        known = (speakers, "utt2spk as a speaker") if name == "spk2gender" else (folder.utt2spk, "utt2spk")
        problems += _same_ids(path, table, name, *known)
    problems += _check_values(folder)
    return problems


def check_spk2utt(folder: DataFolder) -> list[str]:
    """List what is wrong with the stored spk2utt; having none is no fault here."""
    path = folder.path / "spk2utt"
    if not path.exists():
        return []
    stored = scan_table(path)
    if stored.problems or {s: v.split() for s, v in stored.table.items()} == spk2utt(folder.utt2spk):
        return stored.problems
    return [f"{path}: does not agree with utt2spk; masd.bin.data fix makes it again"]


def _same_ids(path: Path, a: Mapping, a_name: str, b: Mapping, b_name: str) -> list[str]:
    lines = [f"{path}/{a_name}: '{key}' is not in {b_name}" for key in sorted(a.keys() - b.keys())]
    return lines + [f"{path}/{a_name}: lacks '{key}' of {b_name}" for key in sorted(b.keys() - a.keys())]


def _check_values(folder: DataFolder) -> list[str]:
    labels = folder.tables.get("utt2lab", {})
    where = folder.path
    problems = [
        f"{where}/utt2lab: '{utt} {lab}': a label is bonafide or spoof"
        for utt, lab in labels.items()
        if lab not in LABELS
    ]
    for name, table in {"utt2spk": folder.utt2spk, **folder.tables}.items():
        if name not in {"text", "utt2lab"}:
            wide = (
                f"{where}/{name}: '{k} {v}' has more than two columns"
                for k, v in table.items()
                if " " in v or "\t" in v
            )
            problems += wide
    for utt, attack in folder.tables.get("utt2attack", {}).items():
        lab = labels.get(utt)
        if lab == "bonafide" and attack != "-":
            problems.append(f"{where}/utt2attack: '{utt} {attack}': a bona fide utterance has attack -")
        if lab == "spoof" and attack == "-":
            problems.append(f"{where}/utt2attack: '{utt}' is spoof and has no attack id")
    for utt, value in folder.tables.get("utt2dur", {}).items():
        try:
            good = 0 < float(value) < math.inf
        except ValueError:
            good = False
        if not good:
            problems.append(f"{where}/utt2dur: '{utt} {value}': a duration is a number of seconds above 0")
    return problems


def spk2utt(utt2spk: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the sorted utterances of each speaker, speakers sorted."""
    speakers: dict[str, list[str]] = {spk: [] for spk in sorted(set(utt2spk.values()))}
    for utt in sorted(utt2spk):
        speakers[utt2spk[utt]].append(utt)
    return speakers


def write_folder(
    path: str | Path,
    wav: Mapping[str, str | Path],
    utt2spk: Mapping[str, str],
    segments: Mapping[str, Segment] | None = None,
    **tables: Mapping[str, object],
) -> DataFolder:
    """Write a data folder: every list sorted, each whole or not at all, spk2utt made from utt2spk.

    Lists of an earlier folder in the same place that are not given now are removed. Paths are written
    as given: relative ones are relative to where stages run, as in Kaldi.

    Args:
        path: the folder, made if need be.
        wav: recording id to path (or `command |`); ids are utterances unless segments are given.
        utt2spk: utterance id to speaker id.
        segments: utterance id to (recording, start, end) in seconds, if recordings hold several.
        tables: other tables by name: `utt2lab={...}, utt2attack={...}, utt2dur={...}` (seconds).

    Raises:
        MasdError: the lists disagree, a label or duration is none, or an id or value cannot be written.
    """
    path = Path(path)
    given = {name: {k: as_text(v) for k, v in table.items()} for name, table in tables.items()}
    cut = {utt: Segment(s[0], float(s[1]), float(s[2])) for utt, s in (segments or {}).items()}
    folder = DataFolder(path, {k: str(v) for k, v in wav.items()}, cut, dict(utt2spk), given)
    for name in given:
        if not _is_table(name):
            raise MasdError(f"{path}: '{name}' is no table of a data folder; names start with utt2")
    raise_first(cross_check(folder))
    lists: dict[str, Mapping[str, object]] = {"utt2spk": folder.utt2spk, **given, "wav.scp": folder.wav}
    lists["spk2utt"] = {spk: " ".join(utts) for spk, utts in spk2utt(folder.utt2spk).items()}
    if cut:
        lists["segments"] = {u: f"{s.recording} {as_text(s.start)} {as_text(s.end)}" for u, s in cut.items()}
    for name, table in lists.items():
        write_table(path / name, table, blank_values=name == "text")
    for name in set(list_names(path)) - lists.keys():
        (path / name).unlink()
    return folder


def shard(
    items: Sequence[T] | Iterable[T], job: int, num_jobs: int, costs: Sequence[float] | None = None
) -> list[T]:
    """Return the contiguous part of `items` that job number `job` (from 1) of `num_jobs` does.

    Parts differ by one item at most, their order joined is `items`, and a part may be empty. With `costs`,
    what each item takes, above 0, parts cost the same, but for half of an item at each end.

    Raises:
        MasdError: `job` is not within 1..num_jobs.
    """
    items = list(items)
    if not 1 <= job <= num_jobs:
        raise MasdError(f"job {job} of {num_jobs}: a job number lies between 1 and --num-jobs")
    if costs is None:
        return items[len(items) * (job - 1) // num_jobs : len(items) * job // num_jobs]
    sums = list(accumulate(costs))
    middles = [upto - cost / 2 for upto, cost in zip(sums, costs, strict=True)]
    first, last = (bisect_left(middles, (sums[-1] if sums else 0) * n / num_jobs) for n in (job - 1, job))
    return items[first:last]
