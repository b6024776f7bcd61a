"""Score files of one or several systems with their labels, for calibration, fusion and comparison."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from masd.data.keys import Key, file_key, folder_key
from masd.errors import MasdError
from masd.metrics.scores import align, join, read_score_file


@dataclass
class Labelled:
    """S systems' scores of the same N trials, sorted by id.

    Attributes:
        utts: (N) ids.
        scores: (S, N), higher is more bona fide.
        fake: (N,) booleans.
        key: of the trials.
    """

    utts: list[str]
    scores: np.ndarray
    fake: np.ndarray
    key: Key


def read_labelled(
    files: Sequence[Path], data: Path | None, key: Path | None, subset: str = "", where: str = ""
) -> Labelled:
    """Join score files to a key by id; every file must have exactly the key's trials.

    Args:
        files: one a system, in any form `read_score_file` knows.
        data: data folder with the labels.
        key: key file, in place of `data`.
        subset: only the trials of this subset.
        where: what the options are called, for messages (`dev-`).

    Raises:
        MasdError: neither or both of `data` and `key`, or a missing, extra or contradicting trial.
    """
    if (data is None) == (key is None):
        raise MasdError(f"give the labels as --{where}data FOLDER or as --{where}key FILE, one of the two")
    if not files:
        raise MasdError(f"--{where}scores names no score file")
    whole = folder_key(data) if data is not None else file_key(key or "")
    known = whole.subset(subset) if subset else whole
    found = [read_joined(path, known, whole.label, paths=whole.tables.get("path")) for path in files]
    utts, rows = found[0][0], [values for _, values in found]
    return Labelled(utts, np.stack(rows), np.array([known.label[utt] == "spoof" for utt in utts]), known)


def read_joined(
    path: str | Path,
    key: Key,
    others: Collection[str] = (),
    excused: Collection[str] = (),
    polarity: str = "bonafide",
    paths: Mapping[str, str] | None = None,
) -> tuple[list[str], np.ndarray]:
    """Return a key's scored trials, sorted, and their scores (N,), higher for bona fide, of a score file.

    Scores of `others` that are no trials are passed over; those of `excused` may be missing; `polarity` is
    the class with the higher scores, where the file does not say. `paths` {id: path} stand for the key's.

    Raises:
        MasdError: a missing or extra trial, or a label beside a score that is not the key's.
    """
    places = paths or key.tables.get("path")
    given = align(read_score_file(path, polarity), {*key.label, *others}, path, places)
    for utt in set(others) - key.label.keys():
        given.scores.pop(utt, None)
    for utt, label in given.labels.items():
        if key.label.get(utt, label) != label:
            raise MasdError(
                f"{path}: trial {utt} is labelled {label}, but {key.label[utt]} in {key.name}; "
                "one of the two is reversed or of another set (or the column holds verdicts: take it out)"
            )
    return join(given.scores, key.label, excused, where=path)


def read_together(files: Sequence[Path]) -> tuple[list[str], np.ndarray]:
    """Return (ids, scores (S, N)) of score files that hold the same trials, without labels.

    Raises:
        MasdError: a file lacks or adds a trial; it is named.
    """
    first = read_score_file(files[0]).scores
    utts, values = join(first, first, where=files[0])
    rows = [values]
    for path in files[1:]:
        given = align(read_score_file(path), first, path)
        rows.append(join(given.scores, first, where=path)[1])
    return utts, np.stack(rows)


def refuse_common(fitted: Sequence[str], applied: Sequence[str], where: str | Path) -> None:
    """Raise `MasdError` if a trial that something was fitted on is among those it shall be applied to."""
    both = sorted(set(fitted) & set(applied))
    if both:
        raise MasdError(
            f"{where}: {len(both)} trials were fitted on ({both[0]}); fit on a development set or on "
            "training data held out, never on what is evaluated"
        )
