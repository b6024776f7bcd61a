"""Merge data folders."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run


def merge_data(data: list[Path], out: Path) -> None:
    """Write one data folder that holds the utterances of several; an id that occurs twice is an error.

    Args:
        data: data folders, as [data/a,data/b] or --data+ data/a --data+ data/b.
        out: data folder to write.
    """
    from masd.data.transform import merge

    merged = merge(out, data)
    print(f"{out}: {len(merged.utt2spk)} utterances of {len(data)} folders")


if __name__ == "__main__":
    run(merge_data)
