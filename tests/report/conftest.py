"""A small corpus on paper: two labels, three attacks, one apart, four speakers, and scores of systems."""

from types import SimpleNamespace

import pytest

from masd.metrics.scores import write_scores
from masd.stage.files import write_yaml
from masd.stage.seeding import generator
from masd.stage.tables import write_table

SHIFT = {"A01": 2.5, "A05": 1.0, "A07": 4.0, "A08": 1.5}
VOCODERS = {"A01": "hifigan", "A05": "world", "A07": "lpc", "A08": "piper"}


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


def make_data(folder, key):
    """Write the lists of a data folder that evaluation reads."""
    for column, name in enumerate(("utt2lab", "utt2attack", "utt2spk", "utt2source")):
        write_table(folder / name, {utt: row[column] for utt, row in key.items()})
    spoofs = {utt: VOCODERS[row[1]] for utt, row in key.items() if row[0] == "spoof"}
    write_table(folder / "utt2vocoder", spoofs)
    return folder


def make_scores(key, quality=1.0, seed=0):
    """Return {utt: score}, the better separated the higher `quality`."""
    rng = generator(seed, "scores", str(quality))
    noise = {source: rng.normal() for source in sorted({row[3] for row in key.values()})}
    return {
        utt: float(1.5 - quality * SHIFT.get(row[1], 0.0) + 0.7 * noise[row[3]] + rng.normal())
        for utt, row in sorted(key.items())
    }


def make_model(folder, threshold=0.1):
    """Write what evaluation reads of a model folder."""
    affine = {"a": 0.9, "b": 0.2, "prior": 0.5}
    content = {"temperature": {"value": 1.7}, "affine": affine, "thresholds": {"dev_eer": threshold}}
    write_yaml(folder / "model.yaml", content)
    return folder


def make_corpus(root):
    """Return a folder with data/, model/ and the score file `scores`, and the helpers that made them."""
    key = make_key()
    make_data(root / "data", key)
    make_model(root / "model")
    write_scores(root / "scores", make_scores(key))
    helpers = {f.__name__: f for f in (make_data, make_key, make_model, make_scores)}
    return SimpleNamespace(root=root, key=key, **helpers)


@pytest.fixture
def corpus(tmp_path):
    return make_corpus(tmp_path)


@pytest.fixture(scope="module")
def shared_corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus"))
