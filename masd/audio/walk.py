"""Which files of a folder are audio: one walk for `detect` and for all recipes."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

from masd.audio.contents import SUFFIXES
from masd.errors import MasdError

log = logging.getLogger(__name__)

_NOT_ENTERED = {"__MACOSX"}
_SHOWN = 8  # suffixes that the line about left out files names


def audio_files(folder: str | Path, suffixes: Collection[str] = SUFFIXES, deep: bool = True) -> list[Path]:
    """Return what `audio_paths` does, as paths."""
    return [Path(path) for path in audio_paths(folder, suffixes, deep)]


def audio_paths(folder: str | Path, suffixes: Collection[str] = SUFFIXES, deep: bool = True) -> list[str]:
    """Return the audio files of a folder, known by their suffix, in LC_ALL=C order of their paths.

    Linked folders are entered, once each where links make a ring. Names that begin with a dot and `__MACOSX`
    are passed over. All other files that are not taken are counted in one line of the log.

    Args:
        folder: the folder.
        suffixes: those of audio files, in lower case, with their dot.
        deep: whether folders in it are entered.

    Raises:
        MasdError: no such folder, or one cannot be listed. Files whose names are not UTF-8 are returned;
            `read_audio` refuses each.
    """
    if not os.path.isdir(folder):
        raise MasdError(f"{folder}: no such folder")
    found: list[str] = []
    left: Counter[str] = Counter()
    _walk(os.fspath(folder), frozenset(), suffixes, deep, found, left)
    if left:
        most = [f"{suffix or 'without suffix'} {count}" for suffix, count in left.most_common(_SHOWN)]
        more = ", ..." if len(left) > _SHOWN else ""
        count = f"{left.total()} file{'s' if left.total() > 1 else ''}"
        log.warning("%s: %s left out: %s%s", folder, count, ", ".join(most), more)
    return sorted(found, key=os.fsencode)


def _walk(
    folder: str,
    above: frozenset[tuple[int, int]],
    suffixes: Collection[str],
    deep: bool,
    found: list[str],
    left: Counter[str],
) -> None:
    try:
        status = os.stat(folder)
        with os.scandir(folder) as listing:
            entries = [e for e in listing if not e.name.startswith(".") and e.name not in _NOT_ENTERED]
    except OSError as error:
        raise MasdError(f"{folder}: cannot be listed ({error.strerror})") from None
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in entries:
        suffix = os.path.splitext(entry.name)[1].lower()
        if _is(entry.is_dir):
            if deep:
                _walk(entry.path, above | {here}, suffixes, deep, found, left)
        elif suffix in suffixes and (_is(entry.is_file) or entry.is_symlink()):
            found.append(entry.path)
        else:
            left[suffix] += 1


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # a link to itself
        return False
