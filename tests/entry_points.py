"""The entry points of masd.bin and their sub-commands, for tests of all of them."""

import importlib
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
