"""A model folder of what pack made."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run


def unpack(model: Path, out: Path) -> None:
    """Write what `pack` made as a model folder, its files checked against the digests that it states.

    Of a zip file only a model's own files are read, up to 4 GiB together; links, encrypted files, files that
    swell two hundredfold or more, and one name twice are refused. Nothing in a model is run.

    Args:
        model: a zip file, or a folder that was fetched from the hub.
        out: model folder to write, new or empty.
    """
    from masd.systems.packed import unpack as write

    write(model, out)


if __name__ == "__main__":
    run(unpack, output="")
