"""Synthetic voices, where no recordings are carried: voices.py OUT writes OUT/<speaker>/<number>.flac."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "vocoders"))

from vocoder_samples import speech

from masd.audio import write_wav

for spk in range(4):
    for number in range(4):
        x = speech(1.5, 90.0 + 30 * spk, 10 * spk + number)
        write_wav(Path(sys.argv[1]) / f"s{spk}" / f"{number}.flac", x, 16000)
