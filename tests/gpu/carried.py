"""Data folders of carried recordings, AUDIO/<speaker>/*: carried.py AUDIO OUT writes OUT/{train,dev}."""

import sys
from pathlib import Path

from masd.audio import audio_files
from masd.data.folder import write_folder

audio, out = map(Path, sys.argv[1:])
speakers = sorted(path.name for path in audio.iterdir() if path.is_dir())
if len(speakers) < 2:
    sys.exit(f"carried.py: error: {audio}: recordings of two speakers at least are needed, in a folder each")
held = set(speakers[::10])
for name, chosen in (("train", set(speakers) - held), ("dev", held)):
    paths = {spk: audio_files(audio / spk) for spk in sorted(chosen)}
    wav = {f"{spk}-{path.stem}": path.resolve() for spk, found in paths.items() for path in found}
    spk = {f"{spk}-{path.stem}": spk for spk, found in paths.items() for path in found}
    write_folder(out / name, wav, spk, utt2lab=dict.fromkeys(wav, "bonafide"))
