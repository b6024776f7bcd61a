"""What every entry point shares: argument parsing, logging, one-line errors, the written configuration."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from masd.errors import MasdError


def run(function: Callable[..., Any], output: str = "out", argv: list[str] | None = None) -> None:
    """Parse the command line into the arguments of `function`, call it, and end the process.

    Arguments are the function's typed parameters (its docstring is the help text); `--config
    file.yaml` reads any of them from a file, later arguments override, unknown keys are errors and
    booleans are written `true` or `false`. The resolved configuration is written beside the output
    before the work begins, as `<out>/<entry point>.yaml` (`<out>.<entry point>.yaml` where the
    output is a file).

    Args:
        function: the entry point.
        output: the name of the argument that says where output goes; empty for none.
        argv: the command line, `sys.argv[1:]` by default.
    """
    name = Path(sys.modules[function.__module__].__file__ or function.__name__).stem
    setup_logging()
    try:
        config = _parse(function, name, argv)
        arguments = {key: value for key, value in config.items() if key != "config"}
        target = arguments.get(output) if output else None
        if target is not None:
            _write_config(name, arguments, Path(str(target)))
        function(**arguments)
    except MasdError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{name}: interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _parse(function: Callable[..., Any], name: str, argv: list[str] | None) -> dict[str, Any]:
    from jsonargparse import ArgumentParser

    summary = (function.__doc__ or "").split("\n\nArgs:")[0].strip()
    parser = ArgumentParser(prog=f"python3 -m masd.bin.{name}", description=summary)
    parser.add_argument("--config", action="config", help="a YAML file with any of the arguments below")
    parser.add_function_arguments(function, as_group=False)
    parsed = parser.parse_args(argv)
    return dict(vars(parser.instantiate_classes(parsed)))


def _write_config(name: str, arguments: dict[str, Any], target: Path) -> None:
    from masd.files import write_yaml

    path = target.with_name(f"{target.name}.{name}.yaml") if target.suffix or target.is_file() else target / f"{name}.yaml"
    write_yaml(path, arguments)


def setup_logging() -> None:
    """Log to standard error with time and module, as every stage's log shows it."""
    logging.basicConfig(
        level=os.environ.get("MASD_LOGLEVEL", "INFO"),
        format="%(asctime)s %(name)s %(levelname)s: %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        stream=sys.stderr,
        force=True,
    )
