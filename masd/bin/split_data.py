"""Split a data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from masd.cli import run


def split_data(
    data: Path, num_parts: int, out: Path | None = None, by: Literal["utterance", "speaker"] = "utterance"
) -> None:
    """Split a data folder into folders 1, 2, ... that together hold the same utterances.

    Args:
        data: data folder.
        num_parts: how many parts.
        out: folder that gets them; split<num_parts> in the data folder by default, as in Kaldi.
        by: utterance for parts of equal size, speaker to keep each speaker in one part.
    """
    from masd.data.transform import split

    for path in split(data, f"{out or data / f'split{num_parts}'}/", num_parts, by):
        print(path)


if __name__ == "__main__":
    run(split_data)
