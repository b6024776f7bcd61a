"""Stage 1: LibriSpeech train-clean-360 as the pretraining set, with speakers' genders and transcripts."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from masd.data.corpus import Findings, check_counts, choose_each, list_audio, write_prepared
from masd.errors import MasdError
from masd.stage.files import read_text
from masd.stage.seeding import generator

log = logging.getLogger(__name__)

SUBSET = "train-clean-360"
FORM = "14 | F | train-clean-360 | 25.03 | Kristin LeMoine"


class Utterance(NamedTuple):
    """A recording with its transcript."""

    utt: str
    spk: str
    path: str
    words: str


class Corpus(NamedTuple):
    """What there is of LibriSpeech."""

    utterances: list[Utterance]
    genders: dict[str, str]


def read(root: Path, published: dict[str, int], findings: Findings) -> Corpus:
    """Return the utterances of speakers that SPEAKERS.TXT knows, and what gender these are of.

    Args:
        root: the folder LibriSpeech.
        published: counts of `utterances` and `speakers`.
        findings: takes what is not as published, and is settled.

    Raises:
        MasdError: these are no files of LibriSpeech's, or not all of them and `findings` is strict.
    """
    genders = read_speakers(root / "SPEAKERS.TXT")
    utterances = list(read_chapters(root / SUBSET, findings))
    speakers = {one.spk for one in utterances}
    counts = {"utterances": len(utterances), "speakers": len(speakers)}
    check_counts(findings, f"LibriSpeech {SUBSET}", counts, published)
    for spk in sorted(speakers - genders.keys()):
        findings.add(f"{root / 'SPEAKERS.TXT'}: has no speaker {spk} of {SUBSET}")
    findings.settle()
    return Corpus([one for one in utterances if one.spk in genders], genders)


def choose(corpus: Corpus, amount: dict[str, Any]) -> dict[str, list[Utterance]]:
    """Return the utterances of `pretrain`, and of `pretrain_dev` with speakers held out of it.

    Args:
        corpus: what there is.
        amount: `held_speakers`, `seed`, and for a part of it `speakers` and `per_speaker`.

    Raises:
        MasdError: there are too few speakers to hold some out.
    """
    speakers = sorted({one.spk for one in corpus.utterances})
    held = amount["held_speakers"]
    if len(speakers) <= held:
        raise MasdError(f"LibriSpeech {SUBSET}: {len(speakers)} speakers, {held} of which should be held out")
    order = generator(amount["seed"], "librispeech speakers").permutation(len(speakers))
    chosen = [speakers[i] for i in order[: amount.get("speakers")]]
    utterances = corpus.utterances
    if "per_speaker" in amount:
        each, seed = amount["per_speaker"], amount["seed"]
        utterances = choose_each(utterances, lambda one: one.spk, each, seed, "pretrain")
    groups = {"pretrain": set(chosen[held:]), "pretrain_dev": set(chosen[:held])}
    return {name: [one for one in utterances if one.spk in group] for name, group in groups.items()}


def write(path: Path, utterances: list[Utterance], genders: dict[str, str]) -> None:
    """Write one data folder, all of it bona fide."""
    write_prepared(
        path,
        {one.utt: one.path for one in utterances},
        {one.utt: one.spk for one in utterances},
        utt2lab={one.utt: "bonafide" for one in utterances},
        utt2attack={one.utt: "-" for one in utterances},
        text={one.utt: one.words for one in utterances},
        spk2gender={one.spk: genders[one.spk] for one in utterances},
    )
    log.info("%s: %d utterances, %d speakers", path, len(utterances), len({one.spk for one in utterances}))


def read_speakers(path: Path) -> dict[str, str]:
    """Return the gender, `f` or `m`, of each speaker of SPEAKERS.TXT.

    Raises:
        MasdError: a line has another form (a name may hold the separator, so only four of them count).
    """
    genders = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.startswith(";") or not line.strip():
            continue
        fields = [field.strip() for field in line.split("|", 4)]
        if len(fields) != 5 or fields[1] not in ("F", "M") or not fields[0].isdigit():
            raise MasdError(f"{path}:{number}: not as in '{FORM}': {line}")
        genders[fields[0]] = fields[1].lower()
    return genders


def read_chapters(root: Path, findings: Findings) -> Iterator[Utterance]:
    """Yield the utterances that have both a recording and a transcript; record the others."""
    for spk in sorted(entry.name for entry in os.scandir(root) if entry.is_dir()):
        for chapter in sorted(entry.name for entry in os.scandir(root / spk) if entry.is_dir()):
            folder = root / spk / chapter
            listed = list_audio(folder, {".flac", ".txt"})  # or each chapter's transcripts were a warning
            files = {utt: path for utt, path in listed.items() if not path.endswith(".txt")}
            words = read_transcript(folder / f"{spk}-{chapter}.trans.txt", findings)
            for utt in sorted(files.keys() ^ words.keys()):
                lacking = "transcript" if utt in files else "recording"
                findings.add(f"{folder}: {utt} has no {lacking}")
            for utt in sorted(files.keys() & words.keys()):
                yield Utterance(utt, spk, files[utt], words[utt])


def read_transcript(path: Path, findings: Findings) -> dict[str, str]:
    """Return utterance to words of a chapter; a missing file is recorded."""
    if not path.is_file():
        findings.add(f"{path}: no such file; it holds lines like '14-208-0000 THE WORDS SPOKEN'")
        return {}
    lines = (line.split(maxsplit=1) for line in read_text(path).splitlines() if line.strip())
    return {line[0]: " ".join(line[1].split()) if len(line) > 1 else "" for line in lines}
