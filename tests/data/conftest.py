"""A small valid data folder, and one with segments."""

import numpy as np
import pytest

from masd.audio import write_wav
from masd.data.folder import write_folder


def speech_like(seed, seconds=0.5, rate=16000):
    """Return noise (N,), which is all that lists and decoders need."""
    return np.random.default_rng(seed).uniform(-0.3, 0.3, int(seconds * rate)).astype(np.float32)


@pytest.fixture
def data(tmp_path):
    """Three speakers with two to four utterances of 0.5 s, half of them spoof."""
    utts = [f"s{s}-u{i}" for s, n in ((1, 2), (2, 4), (3, 3)) for i in range(n)]
    wav = {}
    for seed, utt in enumerate(utts):
        wav[utt] = tmp_path / "wav" / f"{utt}.wav"
        write_wav(wav[utt], speech_like(seed))
    write_folder(
        tmp_path / "data",
        wav,
        {utt: utt[:2] for utt in utts},
        utt2lab={utt: "spoof" if utt.endswith("1") else "bonafide" for utt in utts},
        utt2attack={utt: "A01" if utt.endswith("1") else "-" for utt in utts},
        utt2dur=dict.fromkeys(utts, 0.5),
        text=dict.fromkeys(utts, "two words"),
        spk2gender={"s1": "f", "s2": "m", "s3": "f"},
    )
    return tmp_path / "data"


@pytest.fixture
def cut(tmp_path):
    """Two recordings with three segments."""
    for number in (1, 2):
        write_wav(tmp_path / f"r{number}.flac", speech_like(number, 2.0))
    write_folder(
        tmp_path / "cut",
        {"r1": tmp_path / "r1.flac", "r2": tmp_path / "r2.flac"},
        {"c1-a": "c1", "c1-b": "c1", "c2-a": "c2"},
        segments={"c1-a": ("r1", 0, 0.75), "c1-b": ("r1", 0.75, 2), "c2-a": ("r2", 0.1, 1.9)},
        utt2dur={"c1-a": 0.75, "c1-b": 1.25, "c2-a": 1.8},
    )
    return tmp_path / "cut"
