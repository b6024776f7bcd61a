"""Check a data folder."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run
from masd.errors import MasdError


def validate_data(data: Path, strict: bool = False, allow_pipes: bool = False) -> None:
    """Print all that is wrong with a data folder, a line each; exit 1 if anything is.

    Args:
        data: data folder.
        strict: decode every utterance too: damaged, silent, empty, NaN, not as long as utt2dur says.
        allow_pipes: with strict, run commands that stand in wav.scp.
    """
    from masd.data.checks import speaker_sorted, validate
    from masd.data.folder import read_folder

    problems = validate(data, strict, allow_pipes)
    for problem in problems:
        print(problem)
    if problems:
        raise MasdError(f"{data}: {len(problems)} problem(s); masd.bin.fix_data repairs what can be repaired")
    folder = read_folder(data)
    print(f"{data}: valid, {len(folder.utt2spk)} utterances, {len(set(folder.utt2spk.values()))} speakers")
    if not speaker_sorted(folder):
        print(f"{data}: note: ids do not sort by speaker, which MASD does not need but Kaldi's own tools do")


if __name__ == "__main__":
    run(validate_data, output="")
