"""The clips that are public, what is known of them (conf/*.tsv), and who shares what with whom."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from masd.audio import read_audio
from masd.errors import MasdError
from masd.stage.files import read_lines
from masd.stage.seeding import generator

CONF = Path(__file__).resolve().parent.parent / "conf"
NONE = ("-", "?")
RATE, LONGEST = 16000, 4.0  # of a clip: Hz, and the seconds taken from the beginning of what was published


@dataclass(frozen=True)
class Clip:
    """A line of conf/clips.tsv, with its repository's commit and licence and what the rules make of it.

    Attributes:
        family: line of architecture of what made the waveform (conf/families.tsv); `-` for recordings.
        who: the speakers, as all corpora would name them (conf/speakers.tsv); none where unknown.
        pair: shared by a recording and its copies; `-` where there is none.
        sha256: of the samples as 16-bit little-endian integers, 16 kHz, mono, the first 4 s.
    """

    clip: str
    label: str
    generator: str
    kind: str
    neural: str
    base: str
    speaker: str
    language: str
    pair: str
    seconds: float
    source_rate: int
    source_format: str
    repo: str
    path: str
    sha256: str
    commit: str
    licence: str
    family: str
    who: tuple[str, ...]

    @cached_property
    def keys(self) -> frozenset[tuple[str, str]]:
        """What no two sets may share: repository, family, speakers, and the recording that it copies."""
        found = {("repo", self.repo), *(("speaker", name) for name in self.who)}
        if self.family != "-":
            found.add(("family", self.family))
        if self.pair != "-":
            found.add(("pair", self.pair))
        return frozenset(found)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the lines of a table with a header, fields separated by tabs.

    Raises:
        MasdError: a line has another number of fields than the header.
    """
    lines = read_lines(path)
    rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise MasdError(f"{path}:{number}: another number of fields than the {len(row)} of the header")
    return rows


def load_clips() -> list[Clip]:
    """Return all clips, sorted by name.

    Raises:
        MasdError: a generator has no family, or a clip no repository.
    """
    families = [(re.compile(r["generator"]), r["family"]) for r in read_rows(CONF / "families.tsv")]
    speakers = [(re.compile(r["speaker"]), r["who"]) for r in read_rows(CONF / "speakers.tsv")]
    repositories = {row.pop("repo"): row for row in read_rows(CONF / "repositories.tsv")}
    clips = []
    for row in read_rows(CONF / "clips.tsv"):
        if row["repo"] not in repositories:
            raise MasdError(f"{CONF / 'repositories.tsv'}: lacks {row['repo']} of clip {row['clip']}")
        real = row["label"] == "bonafide"
        clips.append(
            Clip(
                **{k: v for k, v in row.items() if k not in ("seconds", "source_rate")},
                seconds=float(row["seconds"]),
                source_rate=int(row["source_rate"]),
                **repositories[row["repo"]],
                family="-" if real else family(row["generator"], families),
                who=who(row["speaker"], speakers),
            )
        )
    return sorted(clips, key=lambda clip: clip.clip)


def family(generator: str, rules: Iterable[tuple[re.Pattern[str], str]]) -> str:
    """Return the family of the first rule whose pattern is in the generator's name.

    Raises:
        MasdError: there is none.
    """
    for pattern, name in rules:
        if pattern.search(generator):
            return name
    raise MasdError(f"conf/families.tsv: no rule for the generator '{generator}'; add a line")


def who(speaker: str, rules: Iterable[tuple[re.Pattern[str], str]]) -> tuple[str, ...]:
    """Return the speakers that a name stands for, by the first rule that matches all of it."""
    if speaker in NONE:
        return ()
    for pattern, names in rules:
        found = pattern.fullmatch(speaker)
        if found:
            return tuple(found.expand(names).split())
    return (speaker,)


def load_protocol() -> tuple[dict[str, str], dict[str, str]]:
    """Return {clip: train, dev, eval or unused} and {clip: fold that tests it, or -}."""
    rows = read_rows(CONF / "protocol.tsv")
    return {r["clip"]: r["set"] for r in rows}, {r["clip"]: r["fold"] for r in rows}


def keys_of(clips: Iterable[Clip]) -> frozenset[tuple[str, str]]:
    """Return what any of the clips has of repositories, families, speakers and recordings."""
    return frozenset().union(*(clip.keys for clip in clips))


def apart(clips: Iterable[Clip], keys: frozenset[tuple[str, str]]) -> list[Clip]:
    """Return the clips that share none of the keys."""
    return [clip for clip in clips if not clip.keys & keys]


def fold_sets(
    clips: list[Clip], sets: dict[str, str], folds: dict[str, str], fold: str
) -> tuple[list[Clip], list[Clip]]:
    """Return the clips that a fold trains on and those that it tests, which share no key.

    A fold trains on every clip that shares nothing with its test clips and nothing with eval.
    """
    test = [clip for clip in clips if folds[clip.clip] == fold]
    held = keys_of(clip for clip in clips if sets[clip.clip] == "eval")
    return apart(clips, held | keys_of(test)), test


def hold_out(clips: list[Clip], seed: int, share: float = 0.1) -> tuple[list[Clip], list[Clip]]:
    """Return training clips, and those of some repositories that have no speaker and no recording of theirs.

    Repositories are drawn until they have the share of each class; passed over are those that are larger than
    the share, or would cost training half as much again as they have. Families may be on both sides.
    """
    rng = generator(seed, "hold out")
    left, held = clips, []
    wanted = {label: share * sum(c.label == label for c in clips) for label in ("bonafide", "spoof")}
    for repo in rng.permutation(sorted({clip.repo for clip in clips})).tolist():
        have = Counter(clip.label for clip in held)
        if all(have[label] >= wanted[label] for label in wanted):
            break
        some = [clip for clip in left if clip.repo == repo]
        rest = apart(left, frozenset(key for key in keys_of(some) if key[0] != "family"))
        if some and len(some) <= share * len(clips) and len(left) - len(rest) <= 1.5 * len(some):
            left, held = rest, held + some
    return left, held


def load_clip(clip: Clip, path: Path) -> np.ndarray:
    """Return the samples of a clip, float32 (N,) at 16 kHz, from a file that may be as published.

    Raises:
        MasdError: it is no audio, or of another length than the clip.
    """
    x = read_audio(path, RATE)[0][: int(LONGEST * RATE)]
    if abs(len(x) / RATE - clip.seconds) > 0.02:
        raise MasdError(f"{path}: {len(x) / RATE:.2f} s long, {clip.clip} has {clip.seconds:.2f} s")
    return x
