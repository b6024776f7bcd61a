"""Tables that other people made: any usual encoding, separator and header, or an object a line (JSON).

Kaldi's own tables are read by `masd.stage.tables`, which is strict.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from masd.errors import UNPRINTABLE, MasdError

SEPARATORS = ("\t", ",", ";", "|", None)  # None: white space
# the longer marks first: UTF-32's begins with UTF-16's
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
UTT = (  # what headers call the trial, the surest first: `ID` beside `Path` is the id
    *("trial", "trialid", "trialanon", "utt", "uttid", "utterance", "utteranceid"),
    *("filename", "file", "fileid", "audiofile", "audiofilename", "audio", "id", "audioid", "sampleid"),
    *("name", "wav", "wavid", "wavfile", "wavpath", "audiopath", "filepath", "path"),
)
SPK = ("spk", "spkid", "speaker", "speakerid", "tarspkanon")
LABEL = ("cmlabel", "label", "labels", "key", "class", "target", "truth", "groundtruth")
IS_FAKE = ("isfake", "isspoof", "isspoofed", "isdeepfake")
IS_REAL = ("isreal", "isbonafide", "isgenuine")
_REAL_WORDS = {"bonafide", "real", "genuine", "human", "authentic"}
_FAKE_WORDS = {"spoof", "spoofed", "fake", "deepfake", "synthetic"}
_BITS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


@dataclass(frozen=True)
class Form:
    """What each column of a table is: a role, or the name its header gives it in small letters."""

    columns: tuple[str, ...]
    header: bool


def read_text_of(path: str | Path) -> str:
    """Return a text file with line feeds alone; a byte order mark is skipped, and UTF-16 with one decoded.

    Raises:
        MasdError: the file is missing, or its encoding is not known; the line says how to convert it.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise MasdError(f"{path}: cannot be read ({error.strerror})") from None
    if data.startswith((b"PK\3\4", b"\x1f\x8b")):
        raise MasdError(f"{path}: a spreadsheet or compressed file, not text; save it as CSV, or unpack it")
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data[:1000]:
        guess = "UTF-16BE" if data[:1] == b"\0" else "UTF-16LE"
        raise MasdError(f"{path}: not UTF-8 text; convert it (iconv -f {guess} -t UTF-8 {path} > NEW)")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        asked = "LATIN1" if encoding == "utf-8" else encoding.upper()
        raise MasdError(
            f"{path}: not {encoding.upper()} text; convert it (iconv -f {asked} -t UTF-8 {path} > NEW)"
        ) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def read_sheet(
    path: str | Path, form: Callable[[Sequence[str]], Form | None], expected: str, empty: str = "empty"
) -> tuple[tuple[str, ...], Iterator[tuple[int, list[str]]]]:
    """Return what a table's columns are, and its rows: line number and fields. Blank lines are skipped.

    Args:
        path: columns separated by tabs, commas, semicolons or bars (fields may be quoted) or by white space,
            whichever way the first line has a form; or a JSON object a line.
        form: the form of a first line split into fields, None where they have none.
        expected: what a file of this kind should hold, for messages.
        empty: what is said of a file without lines.

    Raises:
        MasdError: see `read_text_of`; the last line has no end, something is a control character, the first
            line has no form, or another one has other columns.
    """
    text = read_text_of(path)
    if not text.strip():
        raise MasdError(f"{path}: {empty}")
    control = UNPRINTABLE.search(text.replace("\n", "").replace("\t", ""))
    if control:
        number = text.count("\n", 0, text.index(control[0])) + 1
        raise MasdError(f"{path}:{number}: a control character, {control[0]!a}; no id or label has one")
    if text.lstrip().startswith("{"):
        return _objects(path, text, form, expected)
    if not text.endswith("\n"):
        raise MasdError(
            f"{path}: the last line has no line end; cut short? If it is whole, add one: echo >> {path}"
        )
    start = len(text) - len(text.lstrip("\n \t"))
    first = text.count("\n", 0, start) + 1
    lines = text.split("\n")[first - 1 :]
    for separator in SEPARATORS:
        found = form(_fields(lines[0], separator))
        if found is not None:
            rows = _rows(path, lines, separator, first, len(found.columns))
            if found.header:
                next(rows)
            return found.columns, rows
    raise MasdError(f"{path}:{first}: {expected}; the first line is `{_shown(lines[0])}`")


def _shown(line: str) -> str:
    return line if len(line) <= 60 else f"{line[:60]}..."


def _fields(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    try:
        fields = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:  # longer than any field
        return []
    return [field.strip() for field in fields]


def _rows(
    path: str | Path, lines: Sequence[str], separator: str | None, first: int, width: int
) -> Iterator[tuple[int, list[str]]]:
    blank = ((index, line.split()) for index, line in enumerate(lines))
    for index, fields in blank if separator is None else _separated(path, lines, separator, first):
        if not any(fields):
            continue
        if len(fields) != width and separator == "\t":  # tabs and blanks mixed, or tabs that align
            fields = " ".join(fields).split()
        if len(fields) != width:
            raise MasdError(f"{path}:{first + index}: {len(fields)} columns, {width} in the first line")
        yield first + index, fields


def _separated(
    path: str | Path, lines: Sequence[str], separator: str, first: int
) -> Iterator[tuple[int, list[str]]]:
    """Yield (index of the last line, fields); quoted fields may hold separators and line ends."""
    ended = (line + "\n" for line in lines)
    reader = csv.reader(ended, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for fields in reader:
            yield reader.line_num - 1, [field.strip() for field in fields]
    except csv.Error as error:
        number = first - 1 + reader.line_num
        raise MasdError(f"{path}:{number}: not CSV ({error}); is a quote open?") from None


def _objects(
    path: str | Path, text: str, form: Callable[[Sequence[str]], Form | None], expected: str
) -> tuple[tuple[str, ...], Iterator[tuple[int, list[str]]]]:
    lines = ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())
    rows = [(number, _object(path, number, line)) for number, line in lines]
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    found = form(names)
    if found is None or not found.header:
        raise MasdError(f"{path}: {expected}; its objects have {', '.join(names)}")
    return found.columns, ((number, [_plain(row.get(name)) for name in names]) for number, row in rows)


def _object(path: str | Path, number: int, line: str) -> dict[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise MasdError(f"{path}:{number}: not one whole JSON object a line, as `detect --json` writes")
    return value


def _plain(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def spelling(word: str) -> str:
    """Return a word in small letters without what writers differ in: `Bona-Fide`, `bona_fide` -> bonafide."""
    return re.sub(r"[\W_]+", "", word.lower())


def named_columns(header: Sequence[str], roles: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the columns of a header: for each role the first of its names there, else their own names."""
    spelled = [spelling(word) for word in header]
    columns = [word.strip().lower() for word in header]
    for role, names in roles.items():
        at = next((spelled.index(name) for name in names if name in spelled), None)
        if at is not None:
            columns = ["" if name == role else name for name in columns]
            columns[at] = role
    return tuple(columns)


@lru_cache(1000)
def label_of(word: str, column: str = "label") -> str | None:
    """Return `bonafide` or `spoof` of a word (`real`, `bona-fide`, `fake`, ...), or None for neither.

    In a column `is_fake` or `is_real` 0 and 1 are no and yes; in a `label` they could be either.
    """
    spelled = spelling(word)
    if spelled in _REAL_WORDS or spelled in _FAKE_WORDS:
        return "bonafide" if spelled in _REAL_WORDS else "spoof"
    yes = _BITS.get(word.strip().lower())
    if column == "label" or yes is None:
        return None
    return "spoof" if yes == (column == "is_fake") else "bonafide"


def could_be_label(word: str) -> bool:
    """Tell whether a word is a label, or a 0 or 1 of which nothing says what it means."""
    return label_of(word) is not None or word.strip().lower() in _BITS


def no_label(word: str) -> str:
    """Return what to say of a label that is none."""
    if could_be_label(word):
        return (
            f"has label {word}, and nothing says whether 1 is bona fide or fake; call the column is_fake or "
            "is_real in a header line"
        )
    return f"has label {word}; it must be bonafide or spoof (or real, genuine, human; fake, deepfake)"
