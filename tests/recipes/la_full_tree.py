"""ASVspoof 2019 LA and LibriSpeech train-clean-360 at their published counts, of short real clips.

`python3 tests/recipes/la_full_tree.py ROOT CLIPS` cuts recordings of the folder CLIPS into pieces of a second
and lays out ROOT/LA and ROOT/LibriSpeech as hard links to them, with lists of the published numbers of lines:
what a rehearsal of egs/asvspoof2019_la costs in lists, marks and folders is then what the corpora would cost.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from asvspoof2019_tree import SETS

from masd.audio import audio_files, read_audio, write_wav
from masd.stage.files import read_yaml, write_lines

ROOT = Path(__file__).parents[2]
RATE, SECONDS, PIECES = 16000, 1.0, 400
SPEAKERS = {"train": 20, "dev": 20, "eval": 67}  # eval's with those of bona fide speech alone
FIRST_ATTACK = {"train": 1, "dev": 1, "eval": 7}


def pieces(clips: Path, folder: Path) -> Iterator[Path]:
    """Write up to `PIECES` pieces of the recordings in `clips` and yield their paths for ever."""
    cut: list[Path] = []
    length = int(SECONDS * RATE)
    for path in audio_files(clips):
        x, info = read_audio(path)
        for start in range(0, len(x) - length, length) if info.rate == RATE else ():
            if abs(x[start : start + length]).max() > 0.05:
                cut.append(folder / f"{len(cut):04d}.flac")
                write_wav(cut[-1], x[start : start + length], RATE)
        if len(cut) >= PIECES:
            break
    if not cut:
        raise SystemExit(f"{clips}: no recording at {RATE} Hz that is long enough")
    return itertools.cycle(cut)


def lay_out(root: Path, clips: Path) -> None:
    """Write ROOT/LA and ROOT/LibriSpeech with the counts of egs/asvspoof2019_la/conf/published.yaml."""
    published = read_yaml(ROOT / "egs/asvspoof2019_la/conf/published.yaml")
    source = pieces(clips, root / "pieces")
    la = root / "LA"
    for name, (suffix, letter) in SETS.items():
        counts, folder = published[name], la / f"ASVspoof2019_LA_{name}" / "flac"
        folder.mkdir(parents=True)
        kinds = ["-"] * counts["bonafide"]
        attacks = [f"A{FIRST_ATTACK[name] + k:02d}" for k in range(counts["attacks"])]
        kinds += itertools.islice(itertools.cycle(attacks), counts["spoof"])
        lines = []
        for number, attack in enumerate(kinds):
            utt = f"LA_{letter}_{1000001 + 7 * number}"
            spk = f"LA_{ord(letter):02d}{number % SPEAKERS[name]:02d}"
            lines.append(f"{spk} {utt} - {attack} {'bonafide' if attack == '-' else 'spoof'}")
            os.link(next(source), folder / f"{utt}.flac")
        write_lines(la / "ASVspoof2019_LA_cm_protocols" / f"ASVspoof2019.LA.cm.{suffix}.txt", lines)
    for name in ("dev", "eval"):
        file = f"ASVspoof2019.LA.asv.{name}.gi.trl.scores.txt"
        kinds = published.get(file, {"target": 1484, "nontarget": 5768, "spoof": published["dev"]["spoof"]})
        rows = (
            f"{'A07' if kind == 'spoof' else 'bonafide'} {kind} {level + (k % 97) / 20:.4f}"
            for kind, level in (("target", 2.0), ("nontarget", -6.0), ("spoof", -1.0))
            for k in range(kinds[kind])
        )
        write_lines(la / "ASVspoof2019_LA_asv_scores" / file, rows)
    lay_out_librispeech(root / "LibriSpeech", published["librispeech"], source)


def lay_out_librispeech(top: Path, counts: dict[str, int], source: Iterator[Path]) -> None:
    """Write train-clean-360: as many speakers and utterances as published, chapters of 40."""
    each, more = divmod(counts["utterances"], counts["speakers"])
    speakers = []
    for number in range(counts["speakers"]):
        spk = str(14 + 9 * number)
        speakers.append(f"{spk:<4} | {'FM'[number % 2]} | train-clean-360  | 25.03 | Reader {number}")
        for first in range(0, each + (number < more), 40):
            chapter = str(1000 + first)
            folder, lines = top / "train-clean-360" / spk / chapter, []
            folder.mkdir(parents=True)
            for index in range(min(40, each + (number < more) - first)):
                utt = f"{spk}-{chapter}-{index:04d}"
                os.link(next(source), folder / f"{utt}.flac")
                lines.append(f"{utt} TEN WORDS AS MANY AS A SENTENCE OF A BOOK HAS")
            write_lines(folder / f"{spk}-{chapter}.trans.txt", lines)
    write_lines(top / "SPEAKERS.TXT", speakers)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]), Path(sys.argv[2]))
