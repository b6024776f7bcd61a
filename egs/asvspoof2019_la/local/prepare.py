"""Stage 1: data folders of ASVspoof 2019 LA, and of LibriSpeech where an encoder is pretrained."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import librispeech as libri
from locate import CORPUS, LIBRISPEECH, PROTOCOLS, Places, find

from masd.cli import run
from masd.data.corpus import (
    Findings,
    check_counts,
    check_present,
    choose_each,
    list_audio,
    read_rows,
    unique,
)
from masd.data.folder import write_folder
from masd.errors import MasdError
from masd.files import read_text, read_yaml, write_text

log = logging.getLogger(__name__)

FORM = "LA_0039 LA_E_2834763 - A11 spoof"
ENROLMENT_FORM = "LA_0001 LA_E_A1234567,LA_E_A2345678"


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
    published: Path = Path("conf/published.yaml"),
    strict: bool = True,
) -> None:
    """Write the data folders train, dev, eval, pretrain and pretrain_dev, and the ASV scores.

    The protocol of the countermeasure decides what belongs to a set. Counts, speakers and files are compared
    with what was published. No audio file is opened.

    Args:
        corpus: the folder LA, or the one it is in.
        part: conf/corpus_<size>.yaml, how much of the corpora is taken.
        out: data/<size>.
        librispeech: the folder LibriSpeech, or the one it is in.
        pretrain: whether LibriSpeech is needed.
        published: the published counts.
        strict: stop where the corpora are not as published; else go on with what there is.
    """
    places, counts, amount = find(corpus, librispeech, pretrain), read_yaml(published), read_yaml(part)
    findings = Findings(CORPUS, strict)
    sets = {name: read_protocol(places.protocol(name)) for name in PROTOCOLS}
    for name, trials in sets.items():
        check_counts(findings, f"{CORPUS} {name}", count(trials), counts[name])
    check_disjoint(findings, sets)
    findings.settle()
    for name, trials in sets.items():
        prepare_set(places, name, trials, amount, findings, out)
        if name != "train":
            write_text(out / "asv_scores" / name, read_text(places.asv_scores(name)))
    findings.settle()
    if places.librispeech:
        findings = Findings(LIBRISPEECH, strict)
        libri.prepare(places.librispeech, amount, counts["librispeech"], findings, out)


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


def check_disjoint(findings: Findings, sets: dict[str, list[Trial]]) -> None:
    """Record the speakers that stand in more than one set."""
    seen: dict[str, str] = {}
    for name, trials in sets.items():
        for spk in sorted({one.spk for one in trials}):
            if seen.setdefault(spk, name) != name:
                findings.add(f"{CORPUS}: speaker {spk} is in {seen[spk]} and in {name}")


def prepare_set(
    places: Places, name: str, trials: list[Trial], amount: dict[str, Any], findings: Findings, out: Path
) -> None:
    """Write the data folder of one set; the extra files of its folder are explained in the log."""
    files = list_audio(places.audio(name), {".flac"})
    utts = set(
        check_present(findings, f"{CORPUS} {name}", (t.utt for t in trials), files, places.audio(name))
    )
    findings.settle()
    explain_extra(places, name, set(files) - {one.utt for one in trials})
    kept = [one for one in trials if one.utt in utts]
    if "per_attack" in amount:
        spoof = [one for one in kept if one.lab == "spoof"]
        bona = [one for one in kept if one.lab == "bonafide"]
        kept = choose_each(spoof, lambda t: t.attack, amount["per_attack"], amount["seed"], name)
        kept += choose_each(bona, lambda t: t.lab, amount["bonafide"], amount["seed"], name)
    write_folder(
        out / name,
        {one.utt: files[one.utt] for one in kept},
        {one.utt: one.spk for one in kept},
        utt2lab={one.utt: one.lab for one in kept},
        utt2attack={one.utt: one.attack for one in kept},
    )
    log.info("%s: %d utterances, %s", out / name, len(kept), count(kept))


def explain_extra(places: Places, name: str, extra: set[str]) -> None:
    """Say why a folder holds more files than the protocol lists: enrolment of the speaker verifier."""
    if not extra:
        return
    enrolment: set[str] = set()
    for path in (places.enrolment(name, gender) for gender in ("female", "male")):
        if path.is_file():
            enrolment |= {utt for row in read_rows(path, {2}, ENROLMENT_FORM) for utt in row[1].split(",")}
    log.info(
        "%s: %d files more than the protocol lists, %d of them enrolment of the speaker verifier "
        "(ASVspoof2019_LA_asv_protocols); none of them is used",
        places.audio(name),
        len(extra),
        len(extra & enrolment),
    )


if __name__ == "__main__":
    run(prepare)
