"""Score files: `<utt> <score>` a line, higher is more bona fide, joined to keys by id."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from masd.data.sheets import (
    IS_FAKE,
    IS_REAL,
    LABEL,
    UTT,
    Form,
    could_be_label,
    label_of,
    named_columns,
    no_label,
    read_sheet,
)
from masd.errors import UNPRINTABLE, MasdError
from masd.stage.files import write_lines

log = logging.getLogger(__name__)
_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")  # of audio files; a name may end in `.5`


ROLES = {
    "utt": UTT,
    "score": ("cmscore", "score", "scores", "llr", "logit", "prediction", "pred"),
    "p_fake": (
        *("pfake", "pspoof", "fakeprob", "spoofprob", "probfake", "probspoof", "fakeprobability"),
        *("spoofprobability", "probabilityfake", "probabilityspoof"),
    ),
    "p_real": (
        *("preal", "pbonafide", "realprob", "bonafideprob", "probreal", "probbonafide", "realprobability"),
        *("bonafideprobability", "probabilityreal", "probabilitybonafide"),
    ),
    "fake_score": ("fakescore", "spoofscore"),
    "label": LABEL,
    "is_fake": IS_FAKE,
    "is_real": IS_REAL,
}
EXPECTED = (
    "expected `<utt> <score>`, `<utt> <attack> <label> <score>`, CSV with a header that names file and score "
    "(or p_fake), or what `detect --json` writes"
)
READ_AS = {
    "p_fake": "P(fake) as log-odds of bona fide",
    "p_real": "P(bona fide) as its log-odds",
    "fake_score": "higher for fakes, its sign turned",
    "logits": "[fake, real] logits, as AntiDeepfake writes them, the second less the first",
}


def read_scores(path: str | Path) -> dict[str, float]:
    """Return {utterance id: score} of a score file, in the file's order; see `read_score_file`."""
    return read_score_file(path).scores


@dataclass
class ScoreFile:
    """Scores of trials as a file gives them, and the labels that some forms repeat beside them.

    Attributes:
        scores: {utterance id: score}, in the file's order.
        labels: {utterance id: `bonafide` or `spoof`}; empty where the file has none.
    """

    scores: dict[str, float]
    labels: dict[str, str]


def read_score_file(path: str | Path, polarity: str = "bonafide") -> ScoreFile:
    """Return a score file of this project or of another; scores of what it returns are higher for bona fide.

    Forms, known by their columns: `<utt> <score>`; `<utt> <attack> <label> <score>` (ASVspoof 2019, AASIST);
    `<speaker> <utt> <score> <label>` (AASIST on ASVspoof 5); a table with a header that names trial and
    score, or JSON objects a line (`detect --json`). A column that says to be of fakes (`p_fake`) and
    has no score beside it is turned round, in one line of the log. Order does not matter.

    Args:
        path: the file.
        polarity: the class whose scores are higher in the file, where its columns do not say.

    Raises:
        MasdError: the file is missing, empty or of no form known; an id occurs twice, a score is not a finite
            number, a probability lies outside 0 to 1, or a label says neither bona fide nor fake.
    """
    if polarity not in ("bonafide", "spoof"):
        raise MasdError(f"--polarity {polarity}: say which class has the higher scores, bonafide or spoof")
    path = Path(path)
    columns, lines = read_sheet(path, _form, EXPECTED, "holds no scores; run the scoring stage again")
    kind = next(name for name in ("score", "p_fake", "p_real", "fake_score") if name in columns)
    utt_at, score_at, labelled = columns.index("utt"), columns.index(kind), _truth(columns)
    result, unscored = ScoreFile({}, {}), []
    for number, fields in lines:
        utt, value = fields[utt_at], fields[score_at]
        where = f"{path}:{number}: trial {utt}"
        if not utt or utt in result.scores:
            raise MasdError(
                f"{where} " + ("occurs twice; a score file has one line a trial" if utt else "has no id")
            )
        if not value:
            unscored.append(utt)
            continue
        if not result.scores and kind == "score" and value.startswith("["):
            kind = "logits"
        result.scores[utt] = _value(kind, value, where)
        if labelled:
            _add_label(result, utt, fields[columns.index(labelled)], labelled, where)
    if unscored:
        log.warning("%s: %s without a score: left out", path, _named(unscored))
    if not result.scores:
        raise MasdError(f"{path}: a header and no scores")
    if kind in READ_AS:
        log.info("%s: read as %s", path, READ_AS[kind])
    if polarity == "spoof" and kind == "score":
        result.scores = {utt: -score for utt, score in result.scores.items()}
    return result


def _form(fields: Sequence[str]) -> Form | None:
    """Return the form of a score file that a first line of these fields has."""
    columns = named_columns(fields, ROLES)
    if "utt" in columns and {"score", "p_fake", "p_real", "fake_score"} & set(columns):
        return Form(columns, header=True)
    if len(fields) == 2 and _is_number(fields[1]):
        return Form(("utt", "score"), header=False)
    if len(fields) == 4 and label_of(fields[3]) and _is_number(fields[2]):
        return Form(("", "utt", "score", "label"), header=False)
    if len(fields) == 4 and label_of(fields[2]) and _is_number(fields[3]):
        return Form(("utt", "", "label", "score"), header=False)
    return None


def _truth(columns: Sequence[str]) -> str | None:
    """Return the column of true labels; what stands beside a P(fake) is a verdict."""
    if "p_fake" in columns or "p_real" in columns:
        return None
    return next((name for name in ("label", "is_fake", "is_real") if name in columns), None)


def _add_label(result: ScoreFile, utt: str, word: str, column: str, where: str) -> None:
    found = label_of(word, column)
    if found:
        result.labels[utt] = found
    elif not could_be_label(word):  # a 0 or 1 that could mean either checks nothing
        raise MasdError(f"{where} {no_label(word)}")


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _value(kind: str, value: str, where: str) -> float:
    """Return the score that a value of a column stands for, higher for bona fide."""
    if kind == "logits":
        pair = value.strip("[]").replace(",", " ").split()
        if len(pair) != 2:
            raise MasdError(f"{where}: `{value}` is not a pair of logits [fake, real]")
        return _number(pair[1], where) - _number(pair[0], where)
    number = _number(value, where)
    if kind == "score":
        return number
    if kind == "fake_score":
        return -number
    if not 0 <= number <= 1:
        raise MasdError(f"{where}: a probability of {value}; a score has a column `score`")
    odds = -log_odds(number)
    return odds if kind == "p_fake" else -odds


def _number(value: str, where: str) -> float:
    try:
        number = float(value)
    except ValueError:
        comma = "; write decimals with a point" if "," in value else ""
        raise MasdError(f"{where}: `{value}` is not a number{comma}") from None
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
        if utt.split() != [utt] or UNPRINTABLE.search(utt):
            raise MasdError(f"{path}: trial `{utt}` is blank or holds white space or control characters")
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
    extra = scores.keys() - trials
    if missing:
        mend = "score them or list them as failed"
        if extra:
            theirs, mine = min(extra), min(missing)
            mend += f"; {len(extra)} others have one: are ids meant alike? Key: `{mine}`, scores: `{theirs}`"
        raise MasdError(f"{where}: {_named(missing)} without a score; {mend}")
    if extra:
        raise MasdError(f"{where}: {_named(extra)} not in the trial list; score this very set")
    utts = sorted(trials & scores.keys(), key=str.encode)
    return utts, np.array([scores[utt] for utt in utts], dtype=np.float64)


def align(
    given: ScoreFile, known: Collection[str], where: str | Path, paths: Mapping[str, str] | None = None
) -> ScoreFile:
    """Return scores under the ids of a key, where those differ in folder and suffix: `/data/0.wav`, `0`.

    Ids that are the same in both come first. Where fewer than one in ten are, names without suffix are
    compared, with as few of their last folders as make them unique on both sides; that is logged. Else,
    and of names that the key lacks, ids stay as they are.

    Args:
        given: the scores.
        known: the key's ids.
        where: the score file's name, for the log.
        paths: {id: path} of the key, compared where none of its ids fits.
    """
    if 10 * len(given.scores.keys() & set(known)) > len(given.scores):
        return given
    for names in ({utt: utt for utt in known}, paths or {}):
        to = _renamed(given.scores, names)
        utt = next((utt for utt in to if to[utt] != utt), None)
        if utt is not None:
            log.info(
                "%s: ids joined by name without folder and suffix, such as `%s` to `%s`", where, utt, to[utt]
            )
            return ScoreFile(
                *({to[utt]: x for utt, x in part.items()} for part in (given.scores, given.labels))
            )
    return given


def _renamed(utts: Collection[str], names: Mapping[str, str]) -> dict[str, str]:
    """Return {utterance: the id whose name is its own, or itself}; empty where names are not unique."""
    for depth in range(1, 9):
        mine = {_short(utt, depth): utt for utt in utts}
        theirs = {_short(name, depth): utt for utt, name in names.items()}
        if len(mine) == len(utts) and len(theirs) == len(names):
            return {utt: theirs.get(short, utt) for short, utt in mine.items()}
    return {}


def _short(name: str, depth: int) -> str:
    """Return the last `depth` parts of a path, without suffix."""
    return "/".join(re.split(r"[/\\]+", _SUFFIX.sub("", name))[-depth:])


def _named(ids: Iterable[str]) -> str:
    names = sorted(ids, key=str.encode)
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{len(names)} trial{'s' if len(names) > 1 else ''} ({', '.join(names[:5])}{rest})"


def log_odds(p: float) -> float:
    """Return log p / (1 - p); of 0 and 1, which have none, those of the numbers next to them."""
    p = min(max(p, 1e-300), 1 - 2**-53)
    return math.log(p) - math.log1p(-p)


def p_fake(scores: np.ndarray) -> np.ndarray:
    """Return P(fake) = 1 / (1 + exp(s)) of calibrated scores s = -f / T (Eq. 10), elementwise."""
    half = np.exp(-np.abs(scores))
    return np.where(np.asarray(scores) > 0, half / (1 + half), 1 / (1 + half))
