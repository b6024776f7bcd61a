"""A toy corpus of feature dumps: speech-like movements, and copies with a mark by each vocoder."""

from __future__ import annotations

import math

import numpy as np

from masd.data.archive import Writer
from masd.feats.config import FeatsConfig
from masd.stage.files import write_yaml
from masd.stage.tables import write_table

FRAMES = (60, 150)


def toy_mel(rng: np.random.Generator, frames: int, speaker: np.ndarray) -> np.ndarray:
    """Slow movements through a few spectral shapes: something to predict and to fill in."""
    shapes = np.sin(np.arange(64)[None, :] * np.array([[0.1], [0.23], [0.4]]) + speaker[:3, None])
    phase = rng.uniform(0, 2 * math.pi, 3)
    weights = np.sin(np.arange(frames)[:, None] * np.array([0.05, 0.09, 0.02]) + phase)
    noise = 0.1 * rng.standard_normal((frames, 64))
    return (-6.0 + 2.0 * weights @ shapes + speaker[3] + noise).astype(np.float32)


def write_dump(folder, feats: dict[str, np.ndarray], config: FeatsConfig) -> None:
    with Writer(folder, "feats") as writer, Writer(folder, "hand") as hand:
        for utt, mel in sorted(feats.items()):
            writer.write(utt, mel)
            hand.write(utt, np.ones(3, np.float32))
    (folder / "feats.1.scp").rename(folder / "feats.scp")
    (folder / "hand.1.scp").rename(folder / "hand.scp")
    write_table(folder / "utt2num_frames", {utt: str(len(mel)) for utt, mel in sorted(feats.items())})
    write_yaml(folder / "feats.yaml", config)


def copy_of(mel: np.ndarray, vocoder: str) -> np.ndarray:
    bins = slice(5, 15) if vocoder == "world" else slice(50, 60)
    out = mel.copy()
    out[:, bins] -= 1.5
    return out


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
