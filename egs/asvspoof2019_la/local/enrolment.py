"""Stage 1: enrolment of the speaker verifier, by which SAMO knows the speakers of dev and eval."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from locate import CORPUS, Places

from masd.data.corpus import Findings, choose_each, read_rows, write_prepared

log = logging.getLogger(__name__)

SETS = ("dev", "eval")
FORM = "LA_0001 LA_E_A1234567,LA_E_A2345678"


def read(places: Places, name: str) -> dict[str, str]:
    """Return enrolment recording to speaker of a set; nothing where the ASV protocols are not there."""
    speakers = {}
    for path in (places.enrolment(name, gender) for gender in ("female", "male")):
        if path.is_file():
            for spk, utts in read_rows(path, {2}, FORM):
                speakers |= dict.fromkeys(utts.split(","), spk)
    return speakers


def check(speakers: Mapping[str, str], files: Collection[str], name: str, findings: Findings) -> None:
    """Record how many enrolment recordings are not there."""
    missing = [utt for utt in speakers if utt not in files]
    if missing:
        count = f"{len(missing)} of {len(speakers)}"
        findings.add(f"{CORPUS} {name}: {count} enrolment recordings are not there ({missing[0]})")


def explain_extra(places: Places, name: str, extra: set[str], speakers: Collection[str]) -> None:
    """Say why a folder holds more files than the protocol of the countermeasure lists."""
    if extra:
        log.info(
            "%s: %d files more than the protocol lists, %d of them enrolment of the speaker verifier "
            "(ASVspoof2019_LA_asv_protocols); none of them is a trial",
            places.audio(name),
            len(extra),
            len(extra.intersection(speakers)),
        )


def write(
    path: Path,
    speakers: Mapping[str, str],
    files: Mapping[str, str],
    wanted: Collection[str],
    amount: Mapping[str, Any],
) -> None:
    """Write the data folder of the enrolment of some speakers, if there is any.

    Args:
        path: data/<size>/enrol_<set>.
        speakers: enrolment recording to speaker.
        files: recording to path.
        wanted: the speakers of the set's trials.
        amount: of a part of the corpus, `enrolment`, recordings of each speaker.
    """
    utts = sorted(utt for utt, spk in speakers.items() if utt in files and spk in wanted)
    if "enrolment" in amount:
        utts = choose_each(utts, lambda utt: speakers[utt], amount["enrolment"], amount["seed"], path.name)
    if not utts:
        return
    write_prepared(
        path,
        {utt: files[utt] for utt in utts},
        {utt: speakers[utt] for utt in utts},
        utt2lab=dict.fromkeys(utts, "bonafide"),
        utt2attack=dict.fromkeys(utts, "-"),
    )
    enrolled = {speakers[utt] for utt in utts}
    log.info("%s: %d recordings of %d of %d speakers", path, len(utts), len(enrolled), len(wanted))
