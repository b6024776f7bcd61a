"""`masd COMMAND ...` or `python3 -m masd COMMAND ...`: every entry point of masd.bin by one name."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

from masd import __version__, cli

BIN = Path(__file__).parent / "bin"


def main() -> None:
    """Call the entry point that the command line names, as `python3 -m masd.bin.<name>` would."""
    prog = "python3 -m masd" if Path(sys.argv[0]).name == "__main__.py" else "masd"
    names = sorted(path.stem for path in BIN.glob("[a-z]*.py"))
    word, *rest = sys.argv[1:] or ["--help"]
    if word in ("-h", "--help"):
        print(_help(prog, names))
        sys.exit(0 if sys.argv[1:] else 1)
    if word == "--version":
        print(f"masd {__version__}")
    elif word not in names:
        cli.say(f"masd: error: no command '{word}'; masd --help lists them", file=sys.stderr)
        sys.exit(1)
    else:
        cli.program = f"{prog} "
        sys.argv[1:] = rest
        runpy.run_module(f"masd.bin.{word}", run_name="__main__", alter_sys=True)


def _help(prog: str, names: list[str]) -> str:
    """Return what there is, with the first line of each module, which is read rather than imported."""
    width = max(map(len, names))
    usage = f"usage: {prog} COMMAND [--help] ...\n       {prog} --version\n\ncommands:"
    return "\n".join([usage, *(f"  {name:<{width}}  {_summary(BIN / f'{name}.py')}" for name in names)])


def _summary(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]


if __name__ == "__main__":
    main()
