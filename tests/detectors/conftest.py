"""A small corpus of tones in noise, on which a detector can be trained in seconds."""

import numpy as np
import pytest
import soundfile

from masd.data.folder import read_folder, write_folder

RATE = 16000


def write_set(folder, speakers, each, seed):
    """A data folder: bona fide speech is a chord that glides, spoofed speech one that does not."""
    rng = np.random.default_rng(seed)
    wav, utt2spk, utt2lab, utt2attack = {}, {}, {}, {}
    (folder / "wav").mkdir(parents=True)
    for speaker in speakers:
        for k in range(each):
            for label in ("bonafide", "spoof"):
                utt = f"{speaker}-{label}{k}"
                t = np.arange(int(rng.uniform(0.5, 0.9) * RATE)) / RATE
                f = rng.uniform(120, 240) * (1 + (0.5 * t if label == "bonafide" else 0))
                phase = 2 * np.pi * np.cumsum(np.broadcast_to(f, t.shape)) / RATE
                x = sum(np.sin(h * phase) / h for h in range(1, 20)) * 0.2
                x += 0.01 * rng.standard_normal(len(t))
                path = folder / "wav" / f"{utt}.wav"
                soundfile.write(path, x, RATE)
                wav[utt], utt2spk[utt], utt2lab[utt] = str(path), speaker, label
                utt2attack[utt] = "-" if label == "bonafide" else "A01"
    write_folder(folder, wav, utt2spk, utt2lab=utt2lab, utt2attack=utt2attack)
    return read_folder(folder)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Folders train (three speakers) and dev (two others)."""
    top = tmp_path_factory.mktemp("detectors")
    return write_set(top / "train", "abc", 4, 0), write_set(top / "dev", "xy", 4, 1)
