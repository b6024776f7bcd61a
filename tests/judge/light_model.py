"""A small model of statistics alone, as the packaged one is, and the toy speech it is fitted on."""

from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from masd.audio import write_wav
from masd.bin.train import train
from masd.data.folder import write_folder
from masd.feats.config import FeatsConfig
from masd.feats.dump import dump_shard, finish_dump
from masd.stage.seeding import generator
from masd.svm.config import FitConfig

RATE = 16000
FAMILIES = ("patch_covariance", "tones", "phase_mixed", "frame_lines")


def speech(name: str, seconds: float, fake: bool = False, voice: int = 0, rate: int = RATE) -> np.ndarray:
    """Return (N,) harmonics with syllables over falling noise; a fake's noise has but a few levels."""
    rng = generator(0, name)
    t = np.arange(int(seconds * rate)) / rate
    syllables = np.clip(np.sin(2 * np.pi * 3 * t + rng.uniform(0, 6)) + 0.4, 0, None)
    tone = sum(np.sin(2 * np.pi * (100 + 30 * voice) * k * t + rng.uniform(0, 6)) / k for k in range(1, 30))
    noise = lfilter([1.0], [1.0, -0.6], rng.normal(size=len(t))) * rng.uniform(0.2, 0.6)
    x = (tone + (np.round(2 * noise) / 2 if fake else noise)) * syllables
    return (0.5 * x / np.abs(x).max()).astype(np.float32)


def fit_light(root: Path, families: tuple[str, ...] = FAMILIES) -> Path:
    """Fit a model on toy speech below `root` and return its folder."""
    places = {}
    for name, voices in (("train", range(4)), ("dev", range(4, 6))):
        tables: dict[str, dict] = {"wav": {}, "utt2spk": {}, "utt2lab": {}, "utt2attack": {}}
        for voice in voices:
            for i in range(10):
                utt, fake = f"v{voice}-{i:02d}", i % 2 == 1
                write_wav(root / "wav" / f"{utt}.wav", speech(utt, 1.5 + 0.3 * i, fake, voice))
                row = (root / "wav" / f"{utt}.wav", f"v{voice}", "spoof" if fake else "bonafide",
                       f"A{i % 4}" if fake else "-")  # fmt: skip
                for table, value in zip(tables.values(), row, strict=True):
                    table[utt] = value
        write_folder(root / "data" / name, **tables)
        dump_shard(root / "data" / name, root / "dump" / name, FeatsConfig(families=families))
        finish_dump(root / "dump" / name, 1)
        places |= {f"{name}_{kind}": root / kind / name for kind in ("data", "dump")}
    train("plus", **places, out=root, fit=FitConfig(equal_families=families, affine_folds=2))
    return root / "model"
