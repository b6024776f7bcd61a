from __future__ import annotations

import numpy as np
import pytest
from toy_corpus import FRAMES, copy_of, toy_mel, write_dump

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


def dumps(root, name: str) -> str:
    return ",".join(f"{v}={root}/{name}_{v}" for v in ("hifigan", "world"))


SMALL = "--encoder.channels=[8,8,8,8,8]", "--encoder.dim=16"


def words(toy) -> list[str]:
    """Command-line words of a tiny pretraining on the toy corpus, without --out."""
    return [
        *("--train", f"{toy}/train", "--dev", f"{toy}/dev"),
        *("--vocoded", dumps(toy, "train"), "--dev_vocoded", dumps(toy, "dev")),
        *SMALL,
        *("--ssl.batch", "8", "--ssl.crop_seconds", "1", "--ssl.lr", "3e-3", "--ssl.cpc_step", "10"),
        *("--ssl.cpc_negatives", "16", "--ssl.epochs", "3", "--ssl.bn_recalibrate", "2"),
    ]


@pytest.fixture()
def arguments(toy):
    """Command-line words of a tiny pretraining on the toy corpus, without --out."""
    return words(toy)
