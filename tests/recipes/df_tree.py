"""Generated trees of ASVspoof 2021 DF: keys in the published form, and files of those names.

`python3 tests/recipes/df_tree.py DIR` lays out a tree of full size whose audio files are empty, on which the
time of preparation is measured.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable
from pathlib import Path

COUNTS = {"eval": (14869, 519059), "progress": (5768, 53557), "hidden": (1980, 16596)}
CODECS = [
    "nocodec",
    *(f"{quality}_{codec}" for codec in ("mp3", "m4a", "ogg") for quality in ("low", "high")),
    "mp3m4a",
    "oggm4a",
]
VOCODERS = (
    "traditional_vocoder",
    "waveform_concatenation",
    "neural_vocoder_autoregressive",
    "neural_vocoder_nonautoregressive",
    "unknown",
)
SOURCES = {
    "asvspoof": ("LA_00", ("A07", "A14", "A19"), "notrim"),
    "vcc2018": ("VCC2SF", ("HUB-B01", "SPO-N03"), "notrim"),
    "vcc2020": ("VCC2TM", ("Task1-team20", "Task2-team31"), "trim"),
}


def key_lines(
    counts: dict[str, tuple[int, int]], columns: int = 13, codecs: int = 9, seed: int = 0
) -> list[str]:
    """Return lines of trial_metadata.txt with `counts` (bona fide, spoof) of each subset."""
    draw = random.Random(seed)
    conditions = itertools.cycle(itertools.product(VOCODERS, SOURCES, CODECS[:codecs]))
    rows = []
    for subset, numbers in counts.items():
        for label, number in zip(("bonafide", "spoof"), numbers, strict=True):
            for vocoder, source, codec in itertools.islice(conditions, number):
                speaker, attacks, trim = SOURCES[source]
                spoof = label == "spoof"
                attack = draw.choice(attacks) if spoof else "bonafide"
                kind = vocoder if spoof else "bonafide"
                pair = "- - - -" if source == "asvspoof" else "Task1 team01 FF E"
                row = f"{codec} {source} {attack} {label} {trim} {subset} {kind} {pair}"
                rows.append((f"{speaker}{draw.randrange(1, 49):02d}", row))
    draw.shuffle(rows)
    lines = [f"{speaker} DF_E_{2000011 + 4 * i} {row}" for i, (speaker, row) in enumerate(rows)]
    return [" ".join(line.split(" ")[:columns]) for line in lines]


def lay_out(
    root: Path,
    counts: dict[str, tuple[int, int]],
    audio: Callable[[Path, str], None],
    columns: int = 13,
    codecs: int = 9,
    merged: bool = False,
) -> list[str]:
    """Make a tree of generated keys; `audio(path, key line)` makes each file. Returns the key lines."""
    lines = key_lines(counts, columns, codecs)
    keys = root / ("keys/DF/CM" if columns == 13 else "keys/CM") / "trial_metadata.txt"
    keys.parent.mkdir(parents=True)
    keys.write_text("".join(f"{line}\n" for line in lines))
    for index, line in enumerate(lines):
        part = "" if merged else f"ASVspoof2021_DF_eval_part0{4 * index // len(lines)}/"
        folder = root / f"{part}ASVspoof2021_DF_eval" / "flac"
        if index == 0 or 4 * index // len(lines) != 4 * (index - 1) // len(lines):
            folder.mkdir(parents=True, exist_ok=True)
        audio(folder / f"{line.split(' ')[1]}.flac", line)
    return lines


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]), COUNTS, lambda path, _: path.touch())
