"""Files that appear whole or not at all, content hashes, and the marks of finished work."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import logging
import math
import os
import resource
import secrets
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from masd.errors import MasdError, look

log = logging.getLogger(__name__)

# a configuration has hundreds of values; a model's ranges and folds thousands
_YAML_CHARACTERS, _YAML_NODES = 16 << 20, 1_000_000
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced to disk and renamed to `path`.

    The temporary name keeps the suffix of `path`, since libraries choose formats by it. Whatever
    is raised inside, `path` is left as it was and the temporary file is removed. An `OSError` names `path`;
    for want of room the folder: the system's own names nothing.
    """
    path = Path(path)
    check_name(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # process ids alone are not unique: jobs on other hosts or in other containers may have the same
    tmp = path.with_name(f".{path.stem}.tmp{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield tmp
        _sync(tmp)
        os.replace(tmp, path)
        _sync(path.parent)
    except OSError as error:
        if error.errno in _NO_ROOM and error.filename is None:
            error.filename = os.fspath(path.parent)
        elif error.filename in (tmp, os.fspath(tmp)):
            error.filename = os.fspath(path)  # the name that somebody asked for
        raise
    finally:
        if tmp.is_dir():
            shutil.rmtree(tmp, ignore_errors=True)
        else:
            tmp.unlink(missing_ok=True)


def check_name(path: Path) -> None:
    """Raise `MasdError` if a file's name, with what `atomic` adds to it, is longer than systems allow."""
    if len(os.fsencode(path.name)) > 255 - 32:
        raise MasdError(
            f"{path.parent}: {path.name[:60]}... is too long for the name of a file; shorten the id"
        )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with atomic(path) as tmp:
        tmp.write_text(text, encoding="utf-8")


def write_changed(path: str | Path, text: str) -> None:
    """Write `text` to `path` as `write_text` does, unless it holds just that: then it keeps its time."""
    path = Path(path)
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write lines, each ended by a line feed, whole or not at all."""
    write_text(path, "".join(f"{line}\n" for line in lines))


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys."""
    write_text(path, json.dumps(plain(value), indent=1, sort_keys=True, allow_nan=False) + "\n")


def write_yaml(path: str | Path, value: Any) -> None:
    """Write `value` as YAML in the order of its keys."""
    write_text(path, yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True))


@contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Turn what goes wrong while a text file is read into one line that names it."""
    try:
        yield
    except UnicodeDecodeError:
        raise MasdError(f"{path}: not UTF-8 text; convert it (iconv -t UTF-8)") from None
    except OSError as error:
        raise MasdError(f"{path}: cannot be read ({error.strerror})") from None


def read_text(path: str | Path) -> str:
    """Return a file's text.

    Raises:
        MasdError: the file is missing, unreadable or not UTF-8.
    """
    with _named(path):
        return Path(path).read_text(encoding="utf-8")


def stream_lines(path: str | Path) -> Iterator[str]:
    """Yield a text file's lines without their line feeds, never the whole of it in memory.

    Raises:
        MasdError: the file is missing, unreadable or not UTF-8.
    """
    with _named(path), open(path, encoding="utf-8") as stream:
        for line in stream:
            yield line.rstrip("\n")


def read_lines(path: str | Path) -> list[str]:
    """Return a list's lines without their line feeds.

    Raises:
        MasdError: the file is missing, unreadable, not UTF-8, or has Windows line ends.
    """
    with _named(path):
        data = Path(path).read_bytes()
        if b"\r" in data:
            number = data.count(b"\n", 0, data.index(b"\r")) + 1
            raise MasdError(
                f"{path}:{number}: Windows line end (carriage return); run dos2unix on it or a copy"
            )
        return data.decode("utf-8").splitlines()


def read_json(path: str | Path) -> Any:
    """Return what a JSON file holds; `MasdError` names the file if it cannot be read."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise MasdError(f"{path}: not valid JSON ({error})") from None


def read_yaml(path: str | Path) -> Any:
    """Return what a YAML file holds (plain values only); `MasdError` names the file if it cannot be read."""
    text = read_text(path)
    try:
        if len(text) > _YAML_CHARACTERS:
            raise ValueError(f"{len(text)} characters are too many")
        _limit_aliases(yaml.compose(text, yaml.SafeLoader))
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        raise MasdError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise MasdError(f"{path}: not valid YAML (nested too deeply)") from None


def _limit_aliases(root: yaml.Node | None) -> None:
    """Raise `ValueError` if aliases make far more of a document than stands in it, or hold themselves."""
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        if isinstance(node, tuple):  # of a mapping
            return size(node[0]) + size(node[1])
        if id(node) not in sizes:
            sizes[id(node)] = _YAML_NODES  # until it is known: what holds itself is endless
            parts = node.value if isinstance(node, yaml.CollectionNode) else ()
            sizes[id(node)] = 1 + sum(map(size, parts))
        return sizes[id(node)]

    if root is not None and size(root) > _YAML_NODES:
        raise ValueError("its aliases make too much of it")


def plain(value: Any) -> Any:
    """Turn dataclasses, paths, tuples and numpy scalars into what JSON and YAML can hold.

    A field whose metadata say `{"omit": True}` is left out while it has its default: a key that is new then
    makes nothing stale that was made without it.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [(f, getattr(value, f.name)) for f in dataclasses.fields(value)]
        return {f.name: plain(v) for f, v in fields if not (f.metadata.get("omit") and v == f.default)}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(v) for v in value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return value.item()
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def config_from(kind: type, values: Any, where: str | Path) -> Any:
    """Return the dataclass `kind` from what `plain` made of one, or of a part of its fields.

    Raises:
        MasdError: a key is unknown, or a value not of its type or not finite; the line begins with `where`.
    """
    values = values if isinstance(values, dict) else {}
    hints = get_type_hints(kind)
    for key, value in values.items():
        if key not in {f.name for f in dataclasses.fields(kind)}:
            raise MasdError(f"{where}: unknown key {key!r} for {kind.__name__}; made by another version?")
        if not _fits(value, hints[key]):
            raise MasdError(f"{where}: {key} is {value!r:.60}, which {kind.__name__} cannot have")
    try:
        return kind(**values)
    except (TypeError, ValueError, OverflowError) as error:
        raise MasdError(f"{where}: not a {kind.__name__} ({error})") from None


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a plain value can be one of a type, as far as plain types and their collections go."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in parts
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin in (list, tuple):
        kinds = parts[:1] * len(value) if isinstance(value, list | tuple) else ()
        return isinstance(value, list | tuple) and all(map(_fits, value, kinds))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return not isinstance(hint, type) or hint not in (bool, str, type(None)) or isinstance(value, hint)


def digest(*values: Any) -> str:
    """Return a hex digest of plain values (configuration, other digests); equal content, equal digest."""
    text = json.dumps(plain(list(values)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def sha256(path: str | Path) -> str:
    """Return the sha256 of a file's content in hex."""
    with _named(path), open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def input_digest(path: str | Path) -> str:
    """Return the digest of a stage's input: a file, a data folder, a dump or a model folder.

    A folder that carries marks of finished work (`.done*.json`) is known by them, else by the
    content of the small files directly in it (lists, yaml, npz), never by its audio.

    Raises:
        MasdError: nothing is there.
    """
    path = Path(path)
    if path.is_file():
        return sha256(path)
    if not path.is_dir():
        raise MasdError(f"{path}: no such file or folder; run the stage that makes it first")
    marks = [(p.name, done) for p in sorted(path.glob(".done*.json")) if (done := _read_mark(p))]
    lists = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    if marks:
        lists = [p for p in lists if p.suffix in {"", ".scp"}]
        return digest([[name, done["digest"]] for name, done in marks], [[p.name, sha256(p)] for p in lists])
    return digest([[p.name, sha256(p)] for p in lists])


def _called() -> str:
    """Return the entry point that this process is, `dump_feats`, or with its sub-command, `finish_dump`."""
    command = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1].replace("-", "").isalpha() else "-"
    return Path(sys.argv[0]).stem + ("" if command.startswith("-") else f"_{command}").replace("-", "_")


def _read_mark(path: Path) -> dict[str, Any]:
    try:
        done = json.loads(path.read_bytes())
        # marks of before they had sums are taken as they are
        whole = "digest" in done and done.pop("sum", None) in (None, digest(done))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
    return done if whole else {}


class Mark:
    """The mark of one finished piece of work: `<folder>/.done[.<name>].json`.

    It holds the digest of the work's inputs and configuration, and what its outputs look like, so that a
    rerun can tell what is missing, damaged or stale. A mark that is damaged itself is none.

    Args:
        folder: where the work's output is.
        name: which piece of the work (a job number, a set), empty for all of it.
    """

    def __init__(self, folder: str | Path, name: str = "") -> None:
        self.path = Path(folder) / (f".done.{name}.json" if name else ".done.json")
        self._start, self._processor = time.monotonic(), used()[0]

    def fresh(self, work_digest: str) -> bool:
        """Return whether this work is finished, and its inputs are the same.

        The digest is of lists and configurations. Of audio, that counts which was of no use (`unusable`, see
        `masd.errors.Failures.files`): the work is not finished once such a file looks otherwise or is there.
        Nor is it where an output is missing or damaged; that is said.
        """
        done = self.read()
        unusable = done.get("unusable", {})
        same = done.get("digest") == work_digest and all(look(path) == unusable[path] for path in unusable)
        return same and not self.lost()

    def read(self) -> dict[str, Any]:
        """Return what `write` stored; nothing if there is no mark, or none that is whole."""
        return _read_mark(self.path)

    def lost(self) -> list[Path]:
        """Return the outputs that are missing or damaged, and warn of them: they are to be made again."""
        seen = self.read().get("outputs", {})
        lost = [path for name in seen if not _same(path := self.path.parent / name, *seen[name])]
        if lost:
            more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
            log.warning("%s: missing or not as it was made%s; it is made again", lost[0], more)
        return lost

    def write(self, work_digest: str, outputs: Iterable[str | Path] = (), **info: Any) -> None:
        """State that the work is finished; call last, when every output is in place.

        `seconds` says how long it took since this object was made, and `cost` what it took of which entry
        point: processor seconds since then, MiB of memory at most; unless `info` knows better.

        Args:
            work_digest: of inputs and configuration.
            outputs: the files that the mark vouches for.
            info: what else it is to say.
        """
        seconds, (processor, memory) = time.monotonic() - self._start, used()
        cost = {"by": _called(), "processor": round(processor - self._processor, 2), "mib": memory}
        seen = {
            os.path.relpath(path, self.path.parent): [*(look(path) or []), sha256(path)] for path in outputs
        }
        done = {"digest": work_digest, "seconds": round(seconds, 1), "cost": cost, "outputs": seen, **info}
        done = json.loads(json.dumps(plain(done)))
        write_json(self.path, {**done, "sum": digest(done)})

    def clear(self) -> None:
        """Remove the mark; call before outputs are replaced."""
        self.path.unlink(missing_ok=True)


def _same(path: Path, size: int, changed: int, content: str) -> bool:
    """Return whether a file is what it was: by its look, or where only its time differs, by its content."""
    now = look(path)
    return now == [size, changed] or (now is not None and now[0] == size and sha256(path) == content)


def files_in(folder: str | Path) -> list[Path]:
    """Return the lists and tables directly in a folder: not the YAML files, which state what was called."""
    found = sorted(Path(folder).iterdir())
    return [path for path in found if path.is_file() and path.name[0] != "." and path.suffix != ".yaml"]


def used() -> tuple[float, int]:
    """Return what this process and its ended children have used: processor seconds, and MiB at most.

    The memory is the largest resident set any one of them ever had.
    """
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    seconds = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    mib = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
    return seconds, max(own.ru_maxrss, children.ru_maxrss) // mib


def joint_cost(marks: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return `seconds` and `cost` of work that was done in pieces, from the pieces' marks."""
    marks = [mark for mark in marks if isinstance(mark.get("cost"), dict)]
    if not marks:
        return {}
    costs = [mark["cost"] for mark in marks]
    return {
        "seconds": round(sum(mark["seconds"] for mark in marks), 1),
        "cost": {
            "by": costs[0]["by"],
            "processor": round(sum(cost["processor"] for cost in costs), 2),
            "mib": max(cost["mib"] for cost in costs),
        },
    }
