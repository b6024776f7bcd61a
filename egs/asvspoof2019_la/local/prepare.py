"""Stage 1: data folders of ASVspoof 2019 LA, and of LibriSpeech where an encoder is pretrained."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import enrolment
import librispeech as libri
from locate import CORPUS, LIBRISPEECH, PROTOCOLS, find, find_verifier

from masd.cli import run
from masd.data.corpus import (
    Findings,
    check_counts,
    check_present,
    choose_each,
    list_audio,
    read_rows,
    unique,
    write_prepared,
)
from masd.errors import MasdError
from masd.stage.files import read_text, read_yaml, write_changed

log = logging.getLogger(__name__)

FORM = "LA_0039 LA_E_2834763 - A11 spoof"


class Trial(NamedTuple):
    """A line of the protocol."""

    spk: str
    utt: str
    attack: str
    lab: str


def prepare(
    corpus: str,
    part: Path,
    out: Path,
    librispeech: str = "",
    pretrain: bool = True,
    zero_shot: bool = False,
    published: Path = Path("conf/published.yaml"),
    strict: bool = True,
) -> None:
    """Write the data folders train, dev, eval, pretrain and pretrain_dev, the ASV scores and enrolment.

    The protocol of the countermeasure decides what belongs to a set. Counts, speakers and files are compared
    with what was published. No audio file is opened.

    Args:
        corpus: the folder LA, or the one it is in.
        part: conf/corpus_<size>.yaml, how much of the corpora is taken.
        out: data/<size>.
        librispeech: the folder LibriSpeech, or the one it is in.
        pretrain: whether LibriSpeech is needed.
        zero_shot: write eval alone.
        published: the published counts.
        strict: stop where the corpora are not as published; else go on with what there is.
    """
    places, counts, amount = find(corpus, librispeech, pretrain), read_yaml(published), read_yaml(part)
    findings = Findings(CORPUS, strict)
    sets = {name: read_protocol(places.protocol(name)) for name in PROTOCOLS}
    files = {name: list_audio(places.audio(name), {".flac"}) for name in sets}
    enrolled = {name: enrolment.read(places, name) for name in enrolment.SETS}
    for name, trials in sets.items():
        check_counts(findings, f"{CORPUS} {name}", count(trials), counts[name])
        utts = [one.utt for one in trials]
        check_present(findings, f"{CORPUS} {name}", utts, files[name], places.audio(name))
        speakers = enrolled.get(name, {})
        enrolment.check(speakers, files[name], name, findings)
        enrolment.explain_extra(places, name, files[name].keys() - set(utts), speakers)
    check_disjoint(findings, sets)
    scores = find_verifier(places, findings)
    verifier = {name: read_verifier(path, findings, counts) for name, path in scores.items()}
    findings.settle()
    genders, pretraining = {}, {}
    if places.librispeech:
        findings = Findings(LIBRISPEECH, strict)
        read = libri.read(places.librispeech, counts["librispeech"], findings)
        genders, pretraining = read.genders, libri.choose(read, amount)
    for name in ["eval"] if zero_shot else sets:
        trials = choose(sets[name], files[name], amount, name)
        write_set(out / name, trials, files[name])
        (out / "asv_scores" / name).unlink(missing_ok=True)  # of a corpus that had them
        if name in verifier:
            write_changed(out / "asv_scores" / name, verifier[name])
        if name in enrolled:
            speakers = {one.spk for one in trials}
            enrolment.write(out / f"enrol_{name}", enrolled[name], files[name], speakers, amount)
    for name, utterances in pretraining.items():
        libri.write(out / name, utterances, genders)


def read_protocol(path: Path) -> list[Trial]:
    """Return the trials of a protocol of the countermeasure.

    Raises:
        MasdError: see `read_rows`; or a line's key and attack are none, or an utterance stands there twice.
    """
    rows = read_rows(path, {5}, FORM)
    unique(path, (row[1] for row in rows))
    for number, (_, _, _, attack, lab) in enumerate(rows, 1):
        if lab not in ("bonafide", "spoof") or (lab == "bonafide") != (attack == "-"):
            raise MasdError(f"{path}:{number}: attack '{attack}' and key '{lab}', not as in '{FORM}'")
    return [Trial(spk, utt, attack, lab) for spk, utt, _, attack, lab in rows]


def count(trials: list[Trial]) -> dict[str, int]:
    """Return the figures that are published of a set."""
    return {
        "bonafide": sum(one.lab == "bonafide" for one in trials),
        "spoof": sum(one.lab == "spoof" for one in trials),
        "speakers": len({one.spk for one in trials}),
        "attacks": len({one.attack for one in trials} - {"-"}),
    }


def read_verifier(path: Path, findings: Findings, counts: dict[str, dict[str, int]]) -> str:
    """Return the text of the speaker verifier's scores, after a count of the kinds of trials in it."""
    rows = read_rows(path, {3}, "A13 spoof 9.194115")
    kinds = Counter(row[1] for row in rows)
    check_counts(findings, str(path), kinds, counts.get(path.name, {}))
    return read_text(path)


def check_disjoint(findings: Findings, sets: dict[str, list[Trial]]) -> None:
    """Record the speakers that stand in more than one set."""
    seen: dict[str, str] = {}
    for name, trials in sets.items():
        for spk in sorted({one.spk for one in trials}):
            if seen.setdefault(spk, name) != name:
                findings.add(f"{CORPUS}: speaker {spk} is in {seen[spk]} and in {name}")


def choose(trials: list[Trial], files: dict[str, str], amount: dict[str, Any], name: str) -> list[Trial]:
    """Return the trials that have a recording, or for a part of the corpus a few of each attack."""
    kept = [one for one in trials if one.utt in files]
    if "per_attack" not in amount:
        return kept
    spoof = [one for one in kept if one.lab == "spoof"]
    bona = [one for one in kept if one.lab == "bonafide"]
    part = choose_each(spoof, lambda one: one.attack, amount["per_attack"], amount["seed"], name)
    return part + choose_each(bona, lambda one: one.lab, amount["bonafide"], amount["seed"], name)


def write_set(path: Path, trials: list[Trial], files: dict[str, str]) -> None:
    """Write the data folder of one set."""
    write_prepared(
        path,
        {one.utt: files[one.utt] for one in trials},
        {one.utt: one.spk for one in trials},
        utt2lab={one.utt: one.lab for one in trials},
        utt2attack={one.utt: one.attack for one in trials},
    )
    figures = ", ".join(f"{number} {what}" for what, number in count(trials).items())
    log.info("%s: %d utterances (%s)", path, len(trials), figures)


if __name__ == "__main__":
    run(prepare)
