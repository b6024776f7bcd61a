"""Repair a data folder."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run


def fix_data(data: Path) -> None:
    """Repair a data folder in place and print what was done, a line each.

    Sorts every list, makes spk2utt, and drops utterances that lack audio, a speaker or a line in
    another list. The lists as they were are kept in its folder .backup.

    Args:
        data: data folder.
    """
    from masd.data.transform import fix

    lines = fix(data)
    for line in lines:
        print(line)
    print(f"{data}: {'repaired; the lists as they were are in .backup' if lines else 'nothing to repair'}")


if __name__ == "__main__":
    run(fix_data, output="")
