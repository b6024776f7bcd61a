"""Say what moved a recording's score, and draw it: `python3 -m masd.bin.explain FILE|DIR|-`."""

from __future__ import annotations

import sys
from pathlib import Path

from masd.bin.detect import command_line, detect
from masd.cli import run


def explain(
    files: list[str],
    model: Path | None = None,
    json: bool = False,
    windows: bool = True,
    prior: float | None = None,
    plot: Path | None = None,
) -> None:
    """Say of each audio file whether it is fake, and what moved its score: `explain FILE|DIR|- ...`

    It is `detect --explain` by a shorter name; see there for what is read and printed. Effects are Shapley
    values. Those of the bands add up to the score less the baseline, the score of average figures; so do
    those of the measures, and those of the windows, or of half seconds where the recording is one window.

    Args:
        files: files, folders or `-`; written without `--files`, anywhere on the command line.
        model: model folder that train made, or what pack made of one; without it, the model that comes
            with this package.
        json: print a JSON object a file, with `effects`: score, baseline, bands, measures, windows, the
            standard error of the latter, and meanings of the names.
        windows: explain the mean over the whole recording; false: its first seconds alone.
        prior: how probable a fake is before anything is heard; one half where none is given.
        plot: also draw one recording into this PNG file: its spectrogram, P(fake) over time, the effects.

    Raises:
        MasdError: the model cannot be used or explained; or, at the end, some files could not be judged.
    """
    detect(files, model=model, json=json, windows=windows, prior=prior, explain=True, plot=plot)


if __name__ == "__main__":
    run(explain, output="", argv=command_line(sys.argv[1:]))
