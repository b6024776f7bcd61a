"""The entry points of masd.bin and their sub-commands, for tests of all of them."""

import contextlib
import importlib
import io
import logging
import runpy
import subprocess
import sys
from functools import cache
from pathlib import Path

from masd.cli import build_parser

ROOT = Path(__file__).parents[1]
ENTRY_POINTS = sorted(path.stem for path in (ROOT / "masd" / "bin").glob("[a-z]*.py"))


@cache
def functions(entry_point):
    """What an entry point calls, by the command's name: "score", or "data validate", "data fix" and so on."""
    module = importlib.import_module(f"masd.bin.{entry_point}")
    if not hasattr(module, "COMMANDS"):
        return {entry_point: getattr(module, entry_point)}
    return {f"{entry_point} {command.name}": command.function for command in module.COMMANDS}


@cache
def parser_of(name):
    """The parser of a command."""
    return build_parser(functions(name.split()[0])[name], name)


def call(name, *words, cwd=ROOT):
    """Do what `python3 -m masd.bin.<name> WORDS` does, in this process: imports take most of the time."""
    out, err, root = io.StringIO(), io.StringIO(), logging.getLogger()
    before, handlers, level = sys.argv, root.handlers[:], root.level
    sys.argv, status = [name, *map(str, words)], 0
    try:
        with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_path(str(ROOT / "masd" / "bin" / f"{name}.py"), run_name="__main__")
    except SystemExit as end:
        status = end.code or 0
    finally:
        sys.argv, root.handlers[:] = before, handlers
        root.setLevel(level)
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())
