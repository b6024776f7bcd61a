"""Verdicts as people and programs read them: lines, a timeline, JSON, CSV."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from masd.errors import MasdError, printable
from masd.judge.explain import MEANINGS, Effects
from masd.judge.verdict import Judge, Verdict, Window

WORDS = {"bonafide": "genuine", "spoof": "fake", "inconclusive": "inconclusive"}
COLOURS = {"bonafide": "32", "spoof": "31;1", "inconclusive": "33"}  # of terminals: green, red, yellow
COLUMNS = (
    "file", "label", "p_fake", "score", "highest_p_fake", "highest_start", "highest_end", "reasons",
    "warnings", "error",
)  # fmt: skip
BAR = 20  # characters of P(fake) 1


def rule(judge: Judge) -> str:
    """Return how the label follows from P(fake), and how often it is wrong on development data."""
    if not judge.posterior.calibrated:
        return "P(fake) is not calibrated; fake where the logit of fake is the larger one"
    text = f"fake from P(fake) 0.5 up, at a prior P(fake) of {judge.prior:g}"
    errors = judge.posterior.errors(judge.prior)
    if errors is None:
        return f"{text}; the model does not say how often that is wrong"
    called, missed = (100 * rate for rate in errors)
    wrong = f"{called:.1f} % of genuine called fake, {missed:.1f} % of fakes genuine"
    return f"{text}; on development data {wrong}"


def line(verdict: Verdict, colour: bool = False) -> str:
    """Return a verdict's line: the label in words, P(fake), score, file, notes."""
    label = f"{WORDS[verdict.label]:<12}"
    if colour:
        label = f"\033[{COLOURS[verdict.label]}m{label}\033[0m"
    notes = list(verdict.warnings)
    if len(verdict.windows) > 1:
        told = f"most suspicious {_seconds(verdict.highest)}"
        if verdict.part:
            told = f"part of it may be fake: {_seconds(verdict.stretch)}, {told}"
        notes.insert(len(verdict.reasons), told)
    more = f"  [{printable('; '.join(notes))}]" if notes else ""
    return f"{label} {verdict.p_fake:>7.4f} {verdict.score:>9.4f}  {printable(verdict.file)}{more}"


def _seconds(window: Window) -> str:
    return f"{window.start:.1f}-{window.end:.1f} s: P(fake) {window.p_fake:.2f}"


def timeline(verdict: Verdict) -> list[str]:
    """Return a line a window: its seconds, P(fake), and a bar of that length."""
    return [
        f"    {w.start:>8.1f} - {w.end:>8.1f} s {w.p_fake:>7.4f}  {'#' * round(BAR * w.p_fake)}".rstrip()
        for w in verdict.windows
    ]


def reasons(effects: Effects | None) -> list[str]:
    """Return lines that say what moved a score, the strongest of each kind first; time in its order."""
    if effects is None:
        return []
    moved = effects.score - effects.baseline
    base = f"{effects.score:+.3f} = {effects.baseline:+.3f}, which average figures have, {moved:+.3f}"
    lines = [f"    score    {base}: what each kind below adds up to; above 0 speaks for genuine"]
    for kind, found in (("band", effects.bands), ("measure", effects.measures)):
        for name, effect in sorted(found.items(), key=lambda item: -abs(item[1])):
            lines.append(f"    {kind:<8} {effect:>+8.3f}  {name:<16}  {MEANINGS[name]}")
    parts = [f"{start:.1f}-{stop:.1f} {effect:+.3f}" for start, stop, effect in effects.windows]
    error = [f"+-{effects.error:.3f} each:"] if effects.error else []
    return [*lines, f"    {'seconds':<8} " + "  ".join(error + parts)]


def described(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as a JSON object; the effects only where they were asked for."""
    values = dataclasses.asdict(verdict)
    values |= {name: dataclasses.asdict(getattr(verdict, name)) for name in ("highest", "stretch")}
    if verdict.effects is None:
        del values["effects"]
    else:
        names = (*verdict.effects.bands, *verdict.effects.measures)
        values["effects"]["meanings"] = {name: MEANINGS[name] for name in names}
    return values


def summary(counts: Mapping[str, int], failed: int) -> str:
    """Return one line on many files.

    Args:
        counts: how many have each label.
        failed: how many could not be judged.
    """
    parts = [f"{counts.get(label, 0)} {word}" for label, word in WORDS.items()]
    parts += [f"{failed} not judged"] if failed else []
    return f"# {sum(counts.values()) + failed} files: {', '.join(parts)}"


def check_table(path: Path) -> None:
    """Raise `MasdError` if a file is there that is no table of verdicts, but a recording, for instance."""
    head = ",".join(COLUMNS).encode()
    if path.is_file() and path.stat().st_size:
        with open(path, "rb") as file:
            if file.read(len(head)) != head:
                raise MasdError(f"--csv {path}: is there and is no table of verdicts; give another name")


class Table:
    """A CSV file of verdicts, a row a file as they come, with `COLUMNS` as its head."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._rows = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        self._rows.writeheader()

    def add(self, verdict: Verdict) -> None:
        """Write a verdict's row."""
        top = verdict.highest
        self._write(
            file=verdict.file,
            label=verdict.label,
            p_fake=f"{verdict.p_fake:.6f}",
            score=f"{verdict.score:.6f}",
            highest_p_fake=f"{top.p_fake:.6f}",
            highest_start=f"{top.start:.3f}",
            highest_end=f"{top.end:.3f}",
            reasons="; ".join(verdict.reasons),
            warnings="; ".join(verdict.warnings),
        )

    def failed(self, file: str, error: str) -> None:
        """Write the row of a file that could not be judged."""
        self._write(file=file, error=error)

    def _write(self, **row: str) -> None:
        self._rows.writerow(row)
        self._file.flush()
