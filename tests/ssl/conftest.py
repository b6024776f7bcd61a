from __future__ import annotations

import numpy as np
import pytest
from toy_corpus import FRAMES, copy_of, toy_mel, words, write_dump

from masd.feats.config import FeatsConfig


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """Dumps of a toy corpus: train and dev recordings of different speakers, copies by two vocoders."""
    root = tmp_path_factory.mktemp("toy")
    rng = np.random.default_rng(5)
    for name, count in (("train", 24), ("dev", 8)):
        real = {}
        for i in range(count):
            speaker = np.random.default_rng([i % 4, name == "dev"]).uniform(-1, 1, 4)
            real[f"{name}{i:02d}"] = toy_mel(rng, int(rng.integers(*FRAMES)), speaker)
        write_dump(root / name, real, FeatsConfig())
        for vocoder in ("hifigan", "world"):
            # HiFi-GAN lacks a copy of the first utterance
            copies = {
                f"{vocoder}-{u}": copy_of(m, vocoder)
                for u, m in real.items()
                if vocoder == "world" or not u.endswith("00")
            }
            write_dump(root / f"{name}_{vocoder}", copies, FeatsConfig())
    return root


@pytest.fixture()
def arguments(toy):
    """Command-line words of a tiny pretraining on the toy corpus, without --out."""
    return words(toy)
