"""Score files: `<utt> <score>` a line, higher is more bona fide, joined to keys by id."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from masd.errors import MasdError
from masd.files import read_lines, write_lines


def read_scores(path: str | Path) -> dict[str, float]:
    """Return {utterance id: score} of a score file, in the file's order.

    Any order of lines is accepted, since scores are joined by id (`join`).

    Raises:
        MasdError: the file is missing, empty, not UTF-8 or has CRLF line ends; a line has not two
            columns, an id occurs twice, or a score is not a finite number. The line is named.
    """
    scores: dict[str, float] = {}
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if len(fields) != 2:
            raise MasdError(f"{path}:{number}: expected `<utt> <score>`, found {len(fields)} columns")
        utt, value = fields
        if utt in scores:
            raise MasdError(f"{path}:{number}: trial {utt} occurs twice; a score file has one line a trial")
        scores[utt] = _number(value, f"{path}:{number}: trial {utt}")
    if not scores:
        raise MasdError(f"{path}: holds no scores; run the scoring stage again")
    return scores


@dataclass
class ScoreFile:
    """Scores of trials as a file gives them, and the labels that some forms repeat beside them.

    Attributes:
        scores: {utterance id: score}, in the file's order.
        labels: {utterance id: `bonafide` or `spoof`}; empty where the file has none.
    """

    scores: dict[str, float]
    labels: dict[str, str]


def read_score_file(path: str | Path) -> ScoreFile:
    """Return a score file of this project or of another.

    Forms, known by their columns: `<utt> <score>`; `<utt> <attack> <label> <score>` (ASVspoof 2019, AASIST);
    `<speaker> <utt> <score> <label>` (AASIST on ASVspoof 5); a header line with `filename` and `cm-score`
    (ASVspoof 5). Higher scores are more bona fide in all of them.

    Raises:
        MasdError: as `read_scores`; a form not known, or a label that is neither bonafide nor spoof.
    """
    path = Path(path)
    lines = read_lines(path)
    if not lines:
        raise MasdError(f"{path}: holds no scores; run the scoring stage again")
    form, start = _form(path, lines)
    width, utt_at, score_at, label_at = form
    result = ScoreFile({}, {})
    for number, line in enumerate(lines[start:], start=start + 1):
        fields = line.split()
        if len(fields) != width:
            raise MasdError(f"{path}:{number}: {len(fields)} columns, {width} in the first line of scores")
        utt = fields[utt_at]
        if utt in result.scores:
            raise MasdError(f"{path}:{number}: trial {utt} occurs twice; a score file has one line a trial")
        result.scores[utt] = _number(fields[score_at], f"{path}:{number}: trial {utt}")
        if label_at is not None:
            if fields[label_at] not in ("bonafide", "spoof"):
                raise MasdError(
                    f"{path}:{number}: trial {utt} has label {fields[label_at]}, not bonafide or spoof"
                )
            result.labels[utt] = fields[label_at]
    if not result.scores:
        raise MasdError(f"{path}: a header and no scores")
    return result


def _form(path: Path, lines: list[str]) -> tuple[tuple[int, int, int, int | None], int]:
    """Return (columns, where id, score and label stand) and the number of header lines."""
    words = lines[0].lower().split()
    if "filename" in words and "cm-score" in words:
        return (len(words), words.index("filename"), words.index("cm-score"), None), 1
    if len(words) == 2:
        return (2, 0, 1, None), 0
    if len(words) == 4:
        return ((4, 1, 2, 3) if words[3] in ("bonafide", "spoof") else (4, 0, 3, 2)), 0
    raise MasdError(
        f"{path}:1: expected `<utt> <score>`, `<utt> <attack> <label> <score>` or a header with filename and "
        f"cm-score; found {len(words)} columns"
    )


def _number(value: str, where: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise MasdError(f"{where}: `{value}` is not a number") from None
    if not math.isfinite(number):
        raise MasdError(f"{where}: the score {value} is not finite; score it again or list it as failed")
    return number


def write_scores(path: str | Path, scores: Mapping[str, float]) -> None:
    """Write scores sorted by id (C locale), each with all its digits, whole or not at all.

    Raises:
        MasdError: there is nothing to write or a score is not finite; the trial is named.
    """
    if not scores:
        raise MasdError(f"{path}: no scores to write")
    lines = []
    for utt in sorted(scores, key=str.encode):
        value = float(scores[utt])
        if not math.isfinite(value):
            raise MasdError(f"{path}: the score of trial {utt} is {value}, not finite; nothing was written")
        lines.append(f"{utt} {value!r}")
    write_lines(path, lines)


def join(
    scores: Mapping[str, float],
    keys: Iterable[str],
    excused: Collection[str] = (),
    where: str | Path = "scores",
) -> tuple[list[str], np.ndarray]:
    """Join scores to the trials of a key by id, never by position.

    Args:
        scores: {utterance id: score}.
        keys: the ids of all trials.
        excused: trials that may be without a score (utterances listed as failed).
        where: the score file's name, for messages.

    Returns:
        The scored trials' ids, sorted (C locale), and their scores (N,), float64.

    Raises:
        MasdError: a trial that is not excused has no score, or a score belongs to no trial.
    """
    trials = set(keys)
    missing = trials - scores.keys() - set(excused)
    if missing:
        raise MasdError(f"{where}: {_named(missing)} without a score; score them or list them as failed")
    extra = scores.keys() - trials
    if extra:
        raise MasdError(f"{where}: {_named(extra)} not in the trial list; score this very set")
    utts = sorted(trials & scores.keys(), key=str.encode)
    return utts, np.array([scores[utt] for utt in utts], dtype=np.float64)


def _named(ids: Iterable[str], show: int = 5) -> str:
    names = sorted(ids, key=str.encode)
    rest = f" and {len(names) - show} more" if len(names) > show else ""
    return f"{len(names)} trial{'s' if len(names) > 1 else ''} ({', '.join(names[:show])}{rest})"


def p_fake(scores: np.ndarray) -> np.ndarray:
    """Return P(fake) = 1 / (1 + exp(s)) of calibrated scores s = -f / T (Eq. 10), elementwise."""
    half = np.exp(-np.abs(scores))
    return np.where(np.asarray(scores) > 0, half / (1 + half), 1 / (1 + half))
