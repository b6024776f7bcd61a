"""A small corpus on paper: two labels, three attacks, one apart, four speakers, and scores of systems."""

from pathlib import Path


import pytest

from masd.data.tables import write_table
from masd.files import write_yaml
from masd.metrics.scores import write_scores
from masd.seeding import generator

SHIFT = {"A01": 2.5, "A05": 1.0, "A07": 4.0, "A08": 1.5}


def make_key(sources=60):
    """Return {utt: (label, attack, speaker, source)}: each recording and its copies through three attacks."""
    key = {}
    for i in range(sources):
        speaker, source = f"s{i % 4}", f"s{i % 4}-{i:03d}"
        key[source] = ("bonafide", "-", speaker, source)
        for attack in ("A01", "A05", "A07"):
            key[f"{attack}-{source}"] = ("spoof", attack, speaker, source)
    for i in range(10):
        key[f"tts-{i:02d}"] = ("spoof", "A08", "tts", f"tts-{i:02d}")
    return key


def make_data(folder: Path, key):
    columns = {"utt2lab": 0, "utt2attack": 1, "utt2spk": 2, "utt2source": 3}
    for name, column in columns.items():
        write_table(folder / name, {utt: row[column] for utt, row in key.items()})
    vocoders = {"A01": "hifigan", "A05": "world", "A07": "lpc", "A08": "piper"}
    spoofs = {utt: vocoders[row[1]] for utt, row in key.items() if row[0] == "spoof"}
    write_table(folder / "utt2vocoder", spoofs)
    return folder


def make_scores(key, quality=1.0, seed=0):
    """Return {utt: score}, the better separated the higher `quality`."""
    rng = generator(seed, "scores", quality)
    noise = {source: rng.normal() for source in sorted({row[3] for row in key.values()})}
    return {
        utt: 1.5 - quality * SHIFT.get(attack, 0.0) + 0.7 * noise[source] + rng.normal()
        for utt, (_, attack, _, source) in sorted(key.items())
    }


def make_model(folder: Path, threshold=0.1):
    content = {
        "temperature": {"value": 1.7},
        "affine": {"a": 0.9, "b": 0.2, "prior": 0.5},
        "thresholds": {"score": threshold},
    }
    write_yaml(folder / "model.yaml", content)
    return folder


@pytest.fixture(scope="session")
def key():
    return make_key()


@pytest.fixture
def corpus(tmp_path, key):
    """Return a folder with data/, model/ and a score file `scores`."""
    make_data(tmp_path / "data", key)
    make_model(tmp_path / "model")
    write_scores(tmp_path / "scores", make_scores(key))
    return tmp_path
