"""What the tests of the paper's recipes share: a copy of a recipe to run, and short recordings to lay out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np

from masd.audio import audio_files, read_audio

ROOT = Path(__file__).parents[2]
OUTPUTS = shutil.ignore_patterns("downloads", "data", "dump", "exp", "__pycache__")


class PaperRecipe:
    """A copy of a recipe in a folder of its own."""

    def __init__(self, folder: Path, name: str):
        self.path = folder / "egs" / name
        folder.mkdir(parents=True, exist_ok=True)
        for part in ("masd", "utils", "tools"):
            if not (folder / part).exists():
                (folder / part).symlink_to(ROOT / part)
        shutil.copytree(ROOT / "egs" / name, self.path, ignore=OUTPUTS)

    def run(self, *options, check=True):
        """Run `run.sh`; a failed run shows its output unless it is what the test looks at."""
        command = ["./run.sh", *map(str, options)]
        done = subprocess.run(command, cwd=self.path, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def page(self, name="RESULTS.md"):
        """Return a page of size tiny, runs of spaces (columns are filled up) as one."""
        return re.sub(" +", " ", (self.path / "exp/tiny" / name).read_text())

    def python(self, *words):
        """Run `python3 ...` as the recipe does, in its folder."""
        script = '. ./path.sh && exec python3 "$@"'
        command = ["bash", "-c", script, "bash", *map(str, words)]
        return subprocess.run(command, cwd=self.path, capture_output=True, text=True)


def clips(kind: str, count: int, seconds: float = 1.5) -> list[np.ndarray]:
    """Return `count` short pieces at 16 kHz, float32 (N,).

    They are cut, at places of their own, from the real recordings (`bonafide`) or their vocoded versions
    (`spoof`) of the folder that WAVEFAKE_SAMPLE names, else they are noise with a moving spectrum.
    """
    sample, length = os.environ.get("WAVEFAKE_SAMPLE"), int(seconds * 16000)
    if sample:
        folder = Path(sample) / ("LJSpeech" if kind == "bonafide" else "generated")
        whole = np.concatenate([read_audio(path)[0] for path in audio_files(folder)])
        starts = np.linspace(0, len(whole) - length, count).astype(int)
        return [whole[start : start + length] for start in starts]
    pieces = []
    for number in range(count):
        draw = np.random.default_rng([number, kind == "spoof"])
        noise = draw.normal(size=length + 31)
        kernel = np.hanning(4 if kind == "spoof" else 8 + number % 24)
        shaped = np.convolve(noise, kernel / np.linalg.norm(kernel), mode="valid")[:length]
        shaped *= 0.55 + 0.45 * np.sin(np.arange(len(shaped)) * 2 * np.pi * 4 / 16000 + number)
        pieces.append((0.3 * shaped / np.abs(shaped).max()).astype(np.float32))
    return pieces
