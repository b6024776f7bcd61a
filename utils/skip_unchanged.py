#!/usr/bin/env python3
"""Tell the stages of one run.sh which of their commands have nothing to do.

usage: skip_unchanged.py FOLDER

utils/stages.sh starts it once and asks it before and after every command. On standard input come requests,
each a number N and N fields, all ended by a zero byte: what is asked, and the command's words. On standard
output goes one line for each:

  due WORD ...     "unchanged" if the command ended well before and nothing that counts looks otherwise,
                   else "run"
  ended WORD ...   the command has ended well; it is remembered with the next "settle"
  settle           a part of a stage is complete: remember its commands, as their files look now

What counts is the command's words; the code, the recipe's own and its configuration; every file of what the
words name, and what configurations among these name in turn; what marks say was of no use. Files are known by
size, times and inode. Of folders that the command writes to, what lay there when it ended counts; of those
that it reads, everything. "run" is never wrong, only slower: entry points find by their own marks what there
is to do. What is remembered lies in FOLDER. It is removed before the command runs, and it is not written if
what the command reads looks otherwise at its end.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import site
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import jobs

# Options that say where a command writes; --data is one of them for a command that has no --out.
WRITTEN = {"--out", "--wav-dir", "--downloads", "--report"}
# Folders of which what lies directly in them is read; other commands write below.
FLAT = {"--ssl", "--model"}
# Options that change nothing of what a command makes.
IDLE = {"--force", "--command", "--cmd"}
# A folder with more entries is known by its own look: hundreds of thousands of recordings are not looked at.
MANY_FILES = 10_000
PASSED_OVER = re.compile(r".*\.log|\.(?:lock|fresh|git).*|\..+\.tmp\d+.*|__pycache__|.*\.pyc")

Looks = dict[str, list[int]]


def look(path: str) -> list[int] | None:
    """Return what is seen of a file without reading it, None if it is not there."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def digest(value: object) -> str:
    """Return a hex digest of plain values."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:32]


def files(path: str, deep: bool = True, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[str]:
    """Yield a file, or those below a folder; the folder itself if it has too many."""
    if not os.path.isdir(path):
        if os.path.exists(path):
            yield path
        return
    status = os.stat(path)
    this = (status.st_dev, status.st_ino)
    with os.scandir(path) as found:
        entries = [entry for entry in found if not PASSED_OVER.fullmatch(entry.name)]
    if len(entries) > MANY_FILES:
        yield path
    elif this not in above:  # else a link that leads back to it
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not entry.is_dir():
                yield entry.path
            elif deep:
                yield from files(entry.path, deep, above | {this})


def within(path: str, folders: Iterable[str]) -> bool:
    """Return whether a path is one of these, or below one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def named(path: str) -> Iterator[str]:
    """Yield the files that a configuration names."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for word in re.split(r"[\s'\"{}\[\],]+", Path(path).read_text(encoding="utf-8")):
            if "/" in word and os.path.isfile(word):
                yield word


def unusable(path: str) -> Iterator[str]:
    """Yield the files that a mark says were of no use."""
    yield from jobs.read_json(Path(path)).get("unusable") or ()


class Command:
    """A command's words, and what they say that it reads and writes."""

    def __init__(self, words: list[str]) -> None:
        pairs = list(zip(["", *words], words, strict=False))
        self.forced = ("--force", "true") in pairs
        self.words = [word for option, word in pairs if not {option, word} & IDLE]
        written = WRITTEN if "--out" in words else WRITTEN | {"--data"}
        self.read: dict[str, bool] = {}
        self.written: list[str] = []
        entry = ""
        for option, word in pairs:
            if option.startswith("masd.bin.") or option.endswith(".py"):
                entry = option.removeprefix("masd.bin.")
                if not word.startswith("-"):  # a sub-command, though there be a folder of its name
                    entry += f"_{word.replace('-', '_')}"
                    continue
            for part in filter(None, re.split(r"[=,\[\]]", word)):
                path = os.path.normpath(part)
                if option in written:
                    self.written.append(path)
                elif path not in {".", "..", "/"} and os.path.exists(path):
                    self.read[path] = option not in FLAT
        self.read = {path: deep for path, deep in self.read.items() if path not in self.written}
        # a file is written with others of its name beside it
        self.beside = [f"{os.path.splitext(out)[0]}." for out in self.written if not os.path.isdir(out)]
        # and an entry point's arguments may be written where it reads
        self.arguments = {f"{path}/{entry}.yaml" for path in self.read}

    @property
    def name(self) -> str:
        """Return the name of what is remembered of it."""
        return digest(self.words)

    def own(self, path: str) -> bool:
        """Return whether a file is one that the command writes."""
        return within(path, self.written) or path.startswith(tuple(self.beside)) or path in self.arguments

    def inputs(self) -> str:
        """Return a digest of the looks of all that it reads, without what it writes there."""
        paths = set()
        for word, deep in self.read.items():
            below = within(word, self.written)
            paths |= {path for path in files(word, deep) if below or not self.own(path)}
        paths |= {more for path in paths if path.endswith(".yaml") for more in named(path)}
        return digest([[path, look(path)] for path in sorted(paths)])

    def outputs(self) -> Looks:
        """Return the looks of all that lies where it writes, and of what marks there say was of no use."""
        paths = {path for out in self.written for path in files(out)}
        folders = {os.path.dirname(name) or "." for name in self.beside}
        paths |= {path for folder in folders for path in files(folder, deep=False) if self.own(path)}
        marks = [path for path in paths if os.path.basename(path).startswith(".done")]
        paths |= {path for mark in marks for path in jobs.read_json(Path(mark)).get("unusable") or ()}
        return {path: look(path) or [] for path in sorted(paths)}


class Memory:
    """What is remembered of commands, and which have ended well since the last `settle`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.code = look_of_code()
        self.before: dict[str, str] = {}
        self.broken: dict[str, tuple[Looks, Looks]] = {}
        self.ended_well: list[tuple[Command, str]] = []
        kept = [jobs.read_json(path) for path in folder.glob("*.json")]
        self.folders = {out for one in kept for out in one.get("written", ())}

    def due(self, command: Command) -> str:
        """Return whether a command is to be run; forget it if so."""
        path, inputs = self.path(command), command.inputs()
        kept = jobs.read_json(path)
        known = kept and not command.forced and kept["code"] == self.code and kept["inputs"] == inputs
        if known and self.same(command, kept["outputs"]):
            return "unchanged"
        path.unlink(missing_ok=True)
        self.before[command.name] = inputs
        self.broken[command.name] = broken(kept.get("outputs", {})), command.outputs()
        return "run"

    def path(self, command: Command) -> Path:
        """Return the file in which a command is remembered."""
        return self.folder / f"{command.name}.json"

    def same(self, command: Command, outputs: Looks) -> bool:
        """Return whether what a command has written is there; other commands answer for theirs below it."""
        others = [out for out in self.folders if out not in command.written and within(out, command.written)]
        return all(look(path) == (seen or None) for path, seen in outputs.items() if not within(path, others))

    def ended(self, command: Command) -> str:
        """Note that a command has ended well, if what it read is still what it was."""
        before = self.before.pop(command.name, None)
        if before == command.inputs():
            self.ended_well.append((command, before))
        return "noted"

    def settle(self) -> str:
        """Remember what has ended well and has written something where it says."""
        done, self.ended_well = self.ended_well, []
        if not done or look_of_code() != self.code:
            return "settled"
        self.folder.mkdir(parents=True, exist_ok=True)
        for command, inputs in done:
            if all(map(os.path.exists, command.written)):
                outputs = command.outputs()
                lost, former = self.broken[command.name]
                if outputs == former:  # its mark found nothing to do: what is broken is so still
                    outputs |= lost
                kept = {"code": self.code, "written": command.written, "inputs": inputs, "outputs": outputs}
                jobs.write_whole(self.path(command), json.dumps(kept))
        return "settled"


def broken(outputs: Looks) -> Looks:
    """Return the former looks of outputs that are gone or have another size."""
    return {path: seen for path, seen in outputs.items() if seen and (look(path) or [-1])[0] != seen[0]}


def look_of_code() -> str:
    """Return a digest of the look of the code, the recipe's own, its configuration and the environment."""
    utils = Path(__file__).resolve().parent
    folders = [utils, utils.parent / "masd", "conf", "local"]
    paths = [path for folder in folders for path in files(os.fspath(folder))] + site.getsitepackages()
    return digest([sys.executable, sys.version, [[path, look(path)] for path in paths]])


def requests() -> Iterator[list[str]]:
    """Yield the fields of each request."""
    fields: list[str] = []
    rest, count = b"", 0
    while data := os.read(0, 65536):
        *complete, rest = (rest + data).split(b"\0")
        for field in complete:
            if count == 0:
                count = int(field)
                continue
            fields.append(os.fsdecode(field))
            if len(fields) == count:
                yield fields
                fields, count = [], 0


def main() -> None:
    """Answer until there are no more questions."""
    if len(sys.argv) != 2 or sys.argv[1] in {"-h", "--help"}:
        sys.exit(print(__doc__.strip()))
    memory = Memory(Path(sys.argv[1]))
    for what, *words in requests():
        try:
            answer = memory.settle() if what == "settle" else getattr(memory, what)(Command(words))
        except (OSError, KeyError, TypeError):  # a full disk, a file that is not ours
            answer = "run"
        print(answer, flush=True)


if __name__ == "__main__":
    main()
