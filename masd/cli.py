"""What every entry point shares: argument parsing, logging, one-line errors, the written configuration."""

from __future__ import annotations

import inspect
import logging
import math
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from masd.errors import MasdError, lacking, printable

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser


# How an entry point is called, before its name; masd/__main__.py says another.
program = "python3 -m masd.bin."


@dataclass(frozen=True)
class Command:
    """A function that the command line calls.

    Attributes:
        function: the entry point, or one of its sub-commands, which is called by the function's name.
        output: the name of the argument that says where output goes; empty for none.
        file: whether the output is a file, not a folder.
    """

    function: Callable[..., Any]
    output: str = "out"
    file: bool = False

    @property
    def name(self) -> str:
        """The sub-command, as it is written on the command line."""
        return self.function.__name__.replace("_", "-")


def run(
    function: Callable[..., Any], output: str = "out", argv: list[str] | None = None, file: bool = False
) -> None:
    """Parse the command line into the arguments of `function`, call it, and end the process.

    Arguments are the function's typed parameters (its docstring is the help text); `--config
    file.yaml` reads any of them from a file, later arguments override, unknown keys are errors and
    booleans are written `true` or `false`. One file may serve several entry points: then its
    top-level keys are the entry points' names, and each takes its own section. The resolved
    configuration is written beside the output before the work begins, as `<out>/<entry point>.yaml`
    (`<out>.<entry point>.yaml` where the output is a file); after an error that of the former call is back.
    What is computed is computed on one thread, but for trainings, which have a key `threads`.

    Args:
        function: the entry point.
        output: the name of the argument that says where output goes; empty for none.
        argv: the command line, `sys.argv[1:]` by default.
        file: whether the output is a file, not a folder.
    """
    words = sys.argv[1:] if argv is None else argv
    _guarded(_module(function), lambda name: _call(Command(function, output, file), name, words))


def run_commands(commands: Sequence[Command]) -> None:
    """Call the one of an entry point's sub-commands that the command line names, as `run` calls a function.

    `probe cues --data d` calls `cues(data=d)`. The configuration is written as `<out>/probe_cues.yaml`, and
    in a file that serves several entry points `probe:` has the keys `cues:` and so on.

    Args:
        commands: the sub-commands, in the order in which `--help` lists them.
    """
    words = sys.argv[1:]
    module = _module(commands[0].function)
    found = {command.name: command for command in commands}
    first = words[0] if words else "--help"
    if first in ("-h", "--help"):
        print(_overview(module, commands))
        sys.exit(0 if words else 1)
    if first not in found:
        say(f"{module}: error: no command '{first}'; there are {', '.join(found)}", file=sys.stderr)
        sys.exit(1)
    _guarded(f"{module} {first}", lambda name: _call(found[first], name, words[1:]))


def listed(text: str) -> list[str]:
    """Return the words of an argument that is a list separated by commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def say(line: str, file: TextIO | None = None) -> None:
    """Print one line: what would end it, or order the terminal about, is escaped."""
    print(printable(line), file=file, flush=True)


def _module(function: Callable[..., Any]) -> str:
    return Path(sys.modules[function.__module__].__file__ or function.__name__).stem


def _overview(module: str, commands: Sequence[Command]) -> str:
    """Return the help text of an entry point that has sub-commands."""
    width = max(len(command.name) for command in commands)
    lines = [f"usage: {_prog(module)} COMMAND [--help] ...", "", "commands:"]
    for command in commands:
        summary = inspect.cleandoc(command.function.__doc__ or "").split("\n\n")[0]
        lines += textwrap.wrap(
            f"{command.name:<{width}}  {summary}",
            100,
            initial_indent="  ",
            subsequent_indent=" " * (width + 4),
        )
    return "\n".join(lines)


def _guarded(name: str, call: Callable[[str], None]) -> None:
    """Call `call` with `name`; what is wrong with files and data is one line, and the end of the process."""
    try:
        call(name)
    except MasdError as error:
        say(f"{name}: error: {error}", file=sys.stderr)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if not lacking(error):
            raise
        print(f"{name}: error: {lacking(error)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{name}: interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:  # a folder that cannot be written, a full disk
        if error.filename is None or error.strerror is None:
            raise
        say(f"{name}: error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(1)


def _call(command: Command, name: str, words: list[str]) -> None:
    from masd.stage.threads import pinned

    setup_logging()
    config = _parse(command.function, name, words)
    arguments = {key: value for key, value in config.items() if key != "config"}
    target = arguments.get(command.output) if command.output else None
    stated = nullcontext() if target is None else _stated(name, arguments, Path(str(target)), command.file)
    with pinned(), stated:
        command.function(**arguments)
    if target is not None:
        _log_cost()


def build_parser(function: Callable[..., Any], name: str) -> ArgumentParser:
    """Return the argument parser of a command; it raises `ArgumentError` rather than exit.

    Args:
        function: what is called.
        name: the entry point, with the sub-command after a blank.
    """
    from jsonargparse import ArgumentParser

    summary = inspect.cleandoc(function.__doc__ or "").split("\n\nArgs:")[0]
    parser = ArgumentParser(prog=_prog(name), description=summary, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="a YAML file with any of the arguments below")
    parser.add_function_arguments(function, as_group=False)
    return parser


def _prog(name: str) -> str:
    script = Path(sys.argv[0])
    module, *command = name.split()
    own = script.stem == module and script.parent.name != "bin"  # a recipe's or a benchmark's
    return " ".join([f"python3 {script}" if own else program + module, *command])


def _parse(function: Callable[..., Any], name: str, words: list[str]) -> dict[str, Any]:
    from jsonargparse import ArgumentError

    parser = build_parser(function, name)
    try:
        words = _own_sections(words, name)
        parsed = parser.parse_args([_with_underscores(word, parser) for word in words])
    except ArgumentError as error:
        said = " ".join(str(error).split()).replace("Expected a <class 'list'>.", 'Write a list, "[A,B]".')
        raise MasdError(f"{said} (--help lists the arguments)") from None
    for key, value in parsed.items():
        for number in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise MasdError(f"--{key} {number}: no finite number")
    return dict(vars(parser.instantiate(parsed)))


def _with_underscores(word: str, parser: ArgumentParser) -> str:
    """Let `--num-jobs` stand for `--num_jobs`, as the recipes' own options are written."""
    option, equals, value = word.partition("=")
    name = "--" + option[2:].replace("-", "_")
    known = option.startswith("--") and name in parser._option_string_actions
    return name + equals + value if known else word


def _own_sections(argv: list[str], name: str) -> list[str]:
    """Replace each `--config FILE` by the part of the file that is meant for this entry point."""
    words: list[str] = []
    for word in argv:
        if word.startswith("--config="):
            words += ["--config", section(word.removeprefix("--config="), name)]
        elif words and words[-1] == "--config":
            words.append(section(word, name))
        else:
            words.append(word)
    return words


def section(path: str, name: str) -> str:
    """Return, as YAML text, what the configuration file `path` says to the entry point or sub-command `name`.

    Raises:
        MasdError: the file is missing or not a mapping, or mixes sections with plain arguments.
    """
    import yaml

    from masd.stage.files import read_yaml

    content = read_yaml(path)
    if not isinstance(content, dict):
        raise MasdError(f"{path}: a configuration is a mapping of arguments to values")
    names = {p.stem for p in (Path(__file__).parent / "bin").glob("*.py")}
    sections = names & content.keys()
    if not sections:
        return yaml.safe_dump(content)
    strangers = sorted(content.keys() - names)
    if strangers:
        raise MasdError(f"{path}: {strangers[0]!r} is not an entry point, as the other top-level keys are")
    for word in name.split():
        content = content.get(word) or {}
    return yaml.safe_dump(content)


@contextmanager
def _stated(name: str, arguments: dict[str, Any], target: Path, file: bool) -> Iterator[None]:
    """Write the configuration beside the output; if the work fails, put back that of the work before it."""
    from masd.stage.files import write_text, write_yaml

    stem = name.replace(" ", "_").replace("-", "_")
    path = target.with_name(f"{target.name}.{stem}.yaml") if file else target / f"{stem}.yaml"
    former = path.read_text(encoding="utf-8") if path.is_file() else None
    write_yaml(path, arguments)
    try:
        yield
    except (MasdError, OSError):
        if former is not None:
            write_text(path, former)
        raise


def _log_cost() -> None:
    """Log what the process took; the results page reads it from the launchers' logs."""
    from masd.stage.files import used

    logging.getLogger(__name__).info("processor time %.1f s, peak memory %d MiB", *used())


def setup_logging() -> None:
    """Log to standard error with time and module, as every stage's log shows it.

    Raises:
        MasdError: the environment's MASD_LOGLEVEL (INFO without it) is no level.
    """
    level = os.environ.get("MASD_LOGLEVEL", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise MasdError(f"MASD_LOGLEVEL={level}: choose DEBUG, INFO, WARNING or ERROR")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(name)s %(levelname)s: %(message)s", "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(level=level, handlers=[handler], force=True)


class _OneLine(logging.Formatter):
    """Messages as `say` prints them; a traceback after one keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))
