"""Kaldi's tables, `<id> <value>` a line: strict reading, sorted writing.

Order is that of LC_ALL=C, bytes. UTF-8 keeps the order of code points, so Python's own string order
is the same.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from masd.errors import UNPRINTABLE, MasdError
from masd.stage.files import write_changed

_BLANK = re.compile("[ \t]+")
_OFTEN = 20  # values shorter than this many characters are mostly names that many lines share


class Scan(NamedTuple):
    """What could be read of a table: its lines (of lines with one id, the first), in file order; all that
    is wrong, one line each; the ids that have lines which contradict each other."""

    table: dict[str, str]
    problems: list[str]
    conflicts: set[str]


def scan_table(path: str | Path, blank_values: bool = False) -> Scan:
    """Read what can be read of a table and list all that is wrong with it.

    Args:
        path: the table.
        blank_values: whether a line may hold an id alone (Kaldi's `text`).
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        return Scan({}, [f"{path}: cannot be read ({error.strerror})"], set())
    if not data:
        return Scan({}, [f"{path}: empty"], set())
    problems: list[str] = []
    table: dict[str, str] = {}
    conflicts: set[str] = set()
    last, is_sorted = "", True
    for number, line in _decode(path, data, problems):
        key, value = ([*_BLANK.split(line.rstrip(" \t"), 1), ""])[:2]
        key = sys.intern(key)  # the tables of a folder have the same ids,
        if len(value) < _OFTEN:
            value = sys.intern(value)  # and few speakers, labels and attacks
        if not key:
            problems.append(f"{path}:{number}: blank {'first column' if value else 'line'}")
        elif UNPRINTABLE.search(key):
            problems.append(f"{path}:{number}: control characters in the id {key!a}")
        elif not value and not blank_values:
            problems.append(f"{path}:{number}: blank second column after '{key}'")
        elif key in table:
            problems.append(f"{path}:{number}: duplicate id '{key}'")
            if table[key] != value:
                problems[-1] += ", with another value"
                conflicts.add(key)
        else:
            table[key] = value
            if key < last and is_sorted:
                is_sorted = False
                problems.append(f"{path}:{number}: not sorted, '{key}' after '{last}' (LC_ALL=C sort)")
            last = key
    return Scan(table, problems, conflicts)


def _decode(path: str | Path, data: bytes, problems: list[str]) -> Iterator[tuple[int, str]]:
    """Yield numbered lines of text; lines that are not UTF-8 become problems."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.append(f"{path}:1: UTF-16, not UTF-8; convert it (iconv -f UTF-16 -t UTF-8 {path} > NEW)")
        return
    if data.startswith(b"\xef\xbb\xbf"):
        problems.append(f"{path}:1: starts with a byte order mark; save as plain UTF-8")
        data = data[3:]
    if b"\r" in data:
        number = data.count(b"\n", 0, data.index(b"\r")) + 1
        problems.append(f"{path}:{number}: Windows line end (carriage return); run dos2unix")
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.endswith(b"\n"):
        count = data.count(b"\n") + 1
        problems.append(f"{path}:{count}: the last line has no line end; was the file cut short?")
    for number, line in enumerate(io.BytesIO(data), 1):
        line = line.removesuffix(b"\n")
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            shown = line.decode("utf-8", "backslashreplace")
            problems.append(f"{path}:{number}: not UTF-8: {shown} (rename such files and ids)")
            continue
        yield number, text


def read_table(path: str | Path) -> dict[str, str]:
    """Return a table as a dict, in its (sorted) order; whatever follows the id is the value.

    Raises:
        MasdError: the file is missing, empty, not UTF-8, not sorted (LC_ALL=C), or has a duplicate
            id, a blank column or Windows line ends; the line names the first problem.
    """
    scan = scan_table(path)
    raise_first(scan.problems)
    return scan.table


def raise_first(problems: list[str]) -> None:
    """Raise `MasdError` with the first of the problems and the number of the others, if there are any."""
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise MasdError(problems[0] + more)


def write_table(path: str | Path, table: Mapping[str, object], blank_values: bool = False) -> None:
    """Write a table, sorted, whole or not at all. Floats are written to the microsecond.

    A file that holds just this is left alone.

    Raises:
        MasdError: an id is blank or holds white space, a value is blank (unless `blank_values`) or holds
            a line end, or text is not UTF-8 (a file name in another encoding); nothing is written.
    """
    lines = []
    for key in sorted(table):
        value = as_text(table[key])
        problem = _fault(key, value, blank_values)
        if problem:
            raise MasdError(f"{path}: {problem}")
        lines.append(f"{key} {value}".rstrip(" "))
    if not lines:
        raise MasdError(f"{path}: nothing to write; the list is empty")
    write_changed(path, "".join(f"{line}\n" for line in lines))


def as_text(value: object) -> str:
    """Return a value as tables hold it; floats (seconds) to the microsecond, without trailing zeros."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _fault(key: str, value: str, blank_values: bool) -> str:
    shown = key.encode("utf-8", "backslashreplace").decode()
    try:
        f"{key} {value}".encode()
    except UnicodeEncodeError:
        text = f"{key} {value}".encode("utf-8", "backslashreplace").decode()
        return f"'{text}' is not UTF-8; rename the file"
    if not key or key.split() != [key]:
        return f"the id '{shown}' is blank or holds white space"
    if UNPRINTABLE.search(key):
        return f"the id {key!a} holds control characters"
    if not value.strip() and not blank_values:
        return f"'{key}' has no value"
    if "\n" in value or "\r" in value:
        return f"the value of '{key}' holds a line end"
    return ""
