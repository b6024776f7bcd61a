"""A model folder as one zip file, or as a folder in the Hugging Face hub's layout."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run


def pack(model: Path, out: Path, licence: str = "other", card: Path | None = None) -> None:
    """Pack a model folder to pass it on: `detect --model OUT` and `unpack` take what this makes.

    OUT holds the model's own files, config.json and a model card, README.md, that begins with the hub's
    metadata. The same model gives the same bytes.

    Args:
        model: model folder that train made, e.g. exp/<size>/<tag>/model.
        out: a zip file, if it ends in .zip; else a new folder, as the hub has one a model.
        licence: that of the weights, by an identifier of the hub: mit, cc-by-4.0, ...
        card: the model card in Markdown; without it the model folder's README.md, or a short one of what
            model.yaml says of its training and development sets.
    """
    from masd.systems.packed import pack as write

    write(model, out, licence, card)


if __name__ == "__main__":
    run(pack, output="")
