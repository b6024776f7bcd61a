"""Error rates by condition: codec, vocoder, source, or two or three of them crossed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from masd.data.keys import Key
from masd.errors import MasdError
from masd.report.scored_trials import Trials

CROSS = "*"
ENOUGH = 5  # bona fide trials; with fewer, an EER is hardly more than one of them


def parse_breakdown(words: str) -> list[tuple[str, ...]]:
    """Return the breakdowns named by `codec,vocoder,codec*vocoder`, each a tuple of up to three conditions.

    Raises:
        MasdError: more than three conditions are crossed, or a name is empty.
    """
    out = []
    for word in (part.strip() for part in words.split(",")):
        if not word:
            continue
        names = tuple(name.strip() for name in word.split(CROSS))
        if len(names) > 3 or not all(names):
            raise MasdError(
                f"--breakdown {word}: name one condition, or two or three crossed as in codec*vocoder"
            )
        out.append(names)
    return list(dict.fromkeys(out))


def read_conditions(key: Key, breakdowns: Sequence[tuple[str, ...]], trials: Trials) -> dict[str, np.ndarray]:
    """Return {condition: its value of every trial (N,)}.

    Raises:
        MasdError: the key does not know a condition, or not that of a trial, which is named.
    """
    out = {}
    for name in sorted({name for names in breakdowns for name in names}):
        table = key.condition(name)
        absent = next((utt for utt in trials.utts.tolist() if utt not in table), None)
        if absent is not None:
            raise MasdError(f"{key.name}: {name} lacks trial {absent}; every trial needs a value")
        out[name] = np.array([table[utt] for utt in trials.utts.tolist()])
    return out


def break_down(
    trials: Trials,
    names: Sequence[str],
    values: Mapping[str, np.ndarray],
    rate: Callable[[Trials], dict[str, Any]],
) -> dict[str, Any]:
    """Return the error rates of each value of a condition, or of each combination of values of several.

    Spoofed trials of a value stand against the bona fide ones of the same value, where the condition
    is one that bona fide speech has too (a codec); against all bona fide ones, where no value is
    common to both classes (a vocoder, an attack).

    `values` are {condition: value of each trial (N,)}; `rate` gives a cell's figures, where both classes are.

    Returns:
        `name` (`codec*vocoder`), `matched` (the conditions shared with bona fide speech) and `cells`,
        each of a combination that spoofed trials have, with `values`, `bonafide`, `spoof` and, where both
        classes are present, the figures.
    """
    matched = [n for n in names if np.intersect1d(values[n][trials.fake], values[n][~trials.fake]).size]
    cells = []
    for combination in sorted(set(zip(*(values[n][trials.fake].tolist() for n in names), strict=True))):
        at = dict(zip(names, combination, strict=True))
        spoofed = np.logical_and.reduce([values[n] == v for n, v in at.items()]) & trials.fake
        real = ~trials.fake
        for name in matched:
            real = real & (values[name] == at[name])
        figures = rate(trials.take(spoofed | real)) if real.any() else {}
        counts = {"bonafide": int(real.sum()), "spoof": int(spoofed.sum())}
        cells.append({"values": list(combination), **figures, **counts})
    return {"name": CROSS.join(names), "matched": matched, "cells": cells}


def mean_of_cells(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean EER of the cells with `ENOUGH` bona fide trials or more, and how many these are."""
    eers = [cell["eer"] for cell in cells if "eer" in cell and cell["bonafide"] >= ENOUGH]
    return {"eer": float(np.mean(eers)) if eers else None, "cells": len(eers)}


def crossed(part: Mapping[str, Any]) -> tuple[list[str], list[list[str | float | None]]]:
    """Return header and rows of the EERs of crossed conditions, the values of the last in columns."""
    cells = {tuple(cell["values"]): cell.get("eer") for cell in part["cells"]}
    columns = sorted({values[-1] for values in cells})
    rows = sorted({values[:-1] for values in cells})
    names = part["name"].split(CROSS)
    header = [*(names[:-1] if len(names) > 2 else [f"{names[0]} × {names[1]}"]), *columns]
    return header, [[*row, *(cells.get((*row, column)) for column in columns)] for row in rows]
