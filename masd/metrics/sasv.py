"""Tandem trials of ASVspoof 5, track 2: (claimed speaker, utterance) pairs with up to three scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from masd.data.sheets import Form, read_sheet
from masd.errors import MasdError
from masd.metrics.adcf import min_adcf
from masd.metrics.tdcf import AsvErrors, asv_errors, min_tdcf

KINDS = ("target", "nontarget", "spoof")
SCORES = ("cm-score", "asv-score", "sasv-score")
# the errors of the organisers' verifier, pooled over all conditions, as the evaluation package states them
ASVSPOOF5 = AsvErrors(
    eer=math.nan,
    threshold=math.nan,
    p_miss=0.01880141010575793,
    p_fa=0.01881016557566423,
    p_fa_spoof=0.4607082907604729,
)


@dataclass
class Tandem:
    """N tandem trials: kind of each (N,) and {score's name: (N,)} of those that are given."""

    kind: np.ndarray
    scores: dict[str, np.ndarray]

    def of(self, name: str) -> list[np.ndarray]:
        """Return one score of target, nontarget and spoofed trials."""
        return [self.scores[name][self.kind == kind] for kind in KINDS]


def read_tandem(scores: str | Path, key: str | Path) -> Tandem:
    """Join tandem scores to their key by (spk, filename).

    Raises:
        MasdError: a header that lacks a column, a trial listed twice, missing or extra, a
            label not known, or a score that is not finite; the trial is named.
    """
    kinds = _table(Path(key), ("asv-label",))
    rows = _table(Path(scores), SCORES)
    for there, other, what in ((kinds, rows, "without a score"), (rows, kinds, "not in the key")):
        odd = sorted(there.keys() - other.keys())
        if odd:
            raise MasdError(f"{scores}: {len(odd)} trials {what} ({' '.join(odd[0])})")
    names = sorted(kinds)
    for trial in names:
        if kinds[trial][0] not in KINDS:
            raise MasdError(
                f"{key}: trial {' '.join(trial)} is {kinds[trial][0]}; it must be one of {', '.join(KINDS)}"
            )
    found = {}
    for index, name in enumerate(SCORES):
        if {rows[trial][index] for trial in names} != {"-"}:
            found[name] = np.array([_number(rows[trial][index], trial, scores) for trial in names])
    if "sasv-score" not in found:
        raise MasdError(f"{scores}: has no sasv-score, which the a-DCF is of")
    return Tandem(np.array([kinds[trial][0] for trial in names]), found)


def _table(path: Path, columns: tuple[str, ...]) -> dict[tuple[str, str], list[str]]:
    """Return {(spk, filename): the columns' values} of a table with a header."""
    wanted = ("spk", "filename", *columns)

    def form(fields: Sequence[str]) -> Form | None:
        names = tuple(word.lower().replace("_", "-") for word in fields)
        return Form(names, header=True) if {"spk", "filename"} <= set(names) else None

    names, lines = read_sheet(path, form, f"expected a header with {' '.join(wanted)}")
    absent = [name for name in wanted if name not in names]
    if absent:
        raise MasdError(f"{path}:1: the header names no {absent[0]}; expected {' '.join(wanted)}")
    places = [names.index(name) for name in wanted]
    out: dict[tuple[str, str], list[str]] = {}
    for number, fields in lines:
        speaker, utt, *values = (fields[place] for place in places)
        if (speaker, utt) in out:
            raise MasdError(f"{path}:{number}: trial {speaker} {utt} is listed twice")
        out[speaker, utt] = values
    return out


def _number(value: str, trial: tuple[str, str], path: str | Path) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise MasdError(f"{path}: trial {' '.join(trial)}: {value} is not a finite score")
    return number


def sasv_metrics(tandem: Tandem, verifier: str = "asvspoof5") -> dict[str, Any]:
    """Return a-DCF of the joint score and, where both others are given, min t-DCF of the countermeasure.

    Args:
        tandem: the trials.
        verifier: `asvspoof5` for the organisers' fixed errors, `own` for those of `asv-score`.

    Raises:
        MasdError: a kind of trial is absent, or the verifier is not one of the two.
    """
    if verifier not in ("asvspoof5", "own"):
        raise MasdError(f"--verifier {verifier}: choose asvspoof5 or own")
    value, threshold = min_adcf(*tandem.of("sasv-score"))
    result: dict[str, Any] = {"trials": int(tandem.kind.size), "a_dcf": value, "a_dcf_threshold": threshold}
    if {"cm-score", "asv-score"} <= tandem.scores.keys():
        asv = ASVSPOOF5 if verifier == "asvspoof5" else asv_errors(*tandem.of("asv-score"))
        target, nontarget, spoof = tandem.of("cm-score")
        result["min_tdcf"] = min_tdcf(np.concatenate([target, nontarget]), spoof, asv, "2021")[0]
        result["verifier"] = verifier
    return result
