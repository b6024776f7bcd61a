"""What the training utterances were like, and in which way a recording is unlike them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from masd.feats.config import HAND_NAMES
from masd.models.bands import mel_centres
from masd.stage.seeding import generator

if TYPE_CHECKING:
    from masd.feats.config import FeatsConfig
    from masd.feats.dump import Dump

# full-band speech has its top bins at -24 to -36 dB, and what leaks there through the Hamming window
# when nothing is above 4 kHz lies at -48 to -56 dB
BANDWIDTH_DB = 44.0
CLIPPED_SHARE, HEAVILY_CLIPPED = 2e-4, 0.01  # a warning; no verdict
# what training knows well: telephone speech ends at half of it; a warning; no verdict
NARROWER, FAR_NARROWER = 0.9, 0.75
FAR = 2.0  # times the distance from the support vectors that any development utterance has: no verdict
WIDE_BAND = 0.8  # of the Nyquist frequency, where a model does not say what it was trained on
SAMPLE = 500

Ranges = Mapping[str, Mapping[str, float]]


def bandwidth(logmel: np.ndarray, config: FeatsConfig) -> float:
    """Return the centre, in Hz, of the highest mel bin whose mean power is within 44 dB of the strongest.

    Speech of full bandwidth reaches the top bins; telephone speech, resampled or not, ends at 4 kHz.

    Args:
        logmel: (T, n_mels), natural log of power.
        config: the front end it was made with.
    """
    power = np.exp(logmel.astype(np.float64)).mean(axis=0)
    within = np.flatnonzero(power >= power.max() * 10.0 ** (-BANDWIDTH_DB / 10.0))
    return float(mel_centres(config.n_mels, config.f_min, config.f_max)[within[-1]])


def training_ranges(
    dump: Dump, utts: Sequence[str], hand: np.ndarray | None, seed: int
) -> dict[str, dict[str, float]]:
    """Return, of a training set, the range of length (s), bandwidth (Hz) and each handcrafted feature.

    Args:
        dump: the features.
        utts: the set's utterances; bandwidth is taken of 500 of them at most.
        hand: (N, 3 or more) handcrafted features, None to leave them out; any after SFI get no range.
        seed: which utterances are taken depends on it.
    """
    config = dump.config
    step = config.hop_length / config.sample_rate
    values = {}
    if config.pad == "none":  # padded log-mels do not tell how long the speech is
        values["seconds"] = np.array([(dump.feats.num_frames(utt) - 1) * step for utt in utts])
    some = generator(seed, "ranges").permutation(len(utts))[:SAMPLE]
    frames = max(1, round(config.classify_seconds / step))
    values["bandwidth"] = np.array(
        [bandwidth(dump.feats.crop(utts[i], 0, frames), config) for i in sorted(some)]
    )
    if hand is not None:
        values |= dict(zip(HAND_NAMES, hand[:, :3].T.astype(np.float64), strict=True))
    return {name: range_of(v) for name, v in values.items()}


def wave_ranges(waves: Sequence[np.ndarray], config: FeatsConfig) -> dict[str, dict[str, float]]:
    """Return the range of length (s) and bandwidth (Hz) of waveforms (N,) of a training set."""
    from masd.feats.logmel import logmel

    mels = [logmel(x / np.abs(x).max(), config) for x in waves]
    seconds = np.array([len(x) / config.sample_rate for x in waves])
    return {
        "seconds": range_of(seconds),
        "bandwidth": range_of(np.array([bandwidth(m, config) for m in mels])),
    }


def range_of(values: np.ndarray) -> dict[str, float]:
    """Return smallest, largest, middle, and the first and last hundredth of values (N,)."""
    low, middle, high = np.percentile(values, [1, 50, 99])
    names = {"min": values.min(), "p1": low, "median": middle, "p99": high, "max": values.max()}
    return {name: round(float(v), 6) for name, v in names.items()}


def far_band(ranges: Ranges, measured: Mapping[str, float], rate: int) -> str:
    """Return why the band of a recording forbids a verdict, or an empty string (see `unlike_training`).

    A model without ranges is taken for one of wide-band speech at its `rate` in Hz.
    """
    known = {"p1": WIDE_BAND * rate / 2, **ranges.get("bandwidth", {})}
    if measured["bandwidth"] >= FAR_NARROWER * known["p1"]:
        return ""
    return _narrow(measured["bandwidth"], known)


def _narrow(value: float, known: Mapping[str, float]) -> str:
    return f"narrow band: nothing above {value:.0f} Hz, training utterances reach {known['p1']:.0f} Hz"


def unknown_sound(ranges: Ranges, measured: Mapping[str, float]) -> str:
    """Return why a recording is too unlike all of training for a verdict, as music is, or an empty string."""
    known, value = ranges.get("distance"), measured.get("distance", 0.0)
    if known is None or value <= FAR * known["max"]:
        return ""
    return f"unlike any speech in training: {value / known['max']:.1f} times as far from it as speech gets"


def unlike_training(ranges: Ranges, measured: Mapping[str, float]) -> list[str]:
    """Return one warning for each way in which what is measured of a recording lies outside `ranges`."""
    lines = []
    for name, value in measured.items():
        known = ranges.get(name)
        if known is None:
            continue
        if name == "seconds" and value < known["p1"]:
            lines.append(f"too short: {value:.2f} s, training utterances last {known['p1']:.2f} s or more")
        elif name == "bandwidth" and value < NARROWER * known["p1"]:
            lines.append(_narrow(value, known))
        elif name in HAND_NAMES and not _near(value, known):
            lines.append(
                f"unusual {name.upper()}: {value:.3f}, training {known['min']:.3f} to {known['max']:.3f}"
            )
    return lines


def _near(value: float, known: Mapping[str, float]) -> bool:
    """Say whether a value lies within a range widened by a tenth of it on either side."""
    slack = 0.1 * (known["max"] - known["min"])
    return known["min"] - slack <= value <= known["max"] + slack
