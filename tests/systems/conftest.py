"""A small corpus of tones in noise, to train a network on in seconds, and synthetic labelled sets."""

import numpy as np
import pytest
import soundfile
import torch
from labelled_sets import alpha, dev, train  # noqa: F401

from masd.data.folder import read_folder, write_folder
from masd.feats.config import FeatsConfig
from masd.models.encoder import Encoder, EncoderConfig, save_encoder
from masd.systems.recordings import RecordingSet

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


@pytest.fixture(scope="session")
def small_encoder(tmp_path_factory):
    """A pretraining folder whose small encoder has random weights."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    config, feats = EncoderConfig(channels=(8, 8, 8, 8, 8), dim=8), FeatsConfig()
    save_encoder(folder, Encoder(config, feats.n_mels, feats.f_min, feats.f_max), config, feats, {})
    return folder


@pytest.fixture(scope="session")
def raw():
    """A function that returns {utt: raw score} of utterances by a system on waveforms."""

    def of(system, folder, utts=None):
        found = RecordingSet(system, folder)
        pieces = {utt: found.read(utt) for utt in utts or folder.utts}
        scores = system.raw([p.core for p in pieces.values()], [p.speaker for p in pieces.values()])
        return dict(zip(pieces, scores.tolist(), strict=True))

    return of
