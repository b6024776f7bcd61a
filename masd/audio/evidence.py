"""Whether there is speech to be judged: how much sounds, and whether it changes as speech does.

Four rules that can be checked by hand, with limits beyond what real and synthetic speech has
(`egs/mini/local/judge_conditions.py` tells how often they apply).
"""

from __future__ import annotations

import numpy as np

from masd.audio.speech import DEPTH, sounding_seconds

MIN_SPEECH = 0.5  # seconds of sound
LOW, HIGH = 100.0, 4000.0  # Hz, the band that is looked at
SPREAD = 7.0  # dB between the 10th and 90th percentile of frames' levels: speech has 20 to 35
FLAT = 0.85  # geometric over arithmetic mean of the mean spectrum: speech has 0.03 to 0.4
TONE = 0.95  # share of the strongest bin and its neighbours: speech has 0.1 to 0.6


def no_speech(x: np.ndarray, rate: int, loud: float) -> str:
    """Return why a stretch cannot be taken for speech, or an empty string.

    Args:
        x: (N,) samples.
        rate: their sampling rate in Hz.
        loud: power of the recording's loudest frames on the same scale (`masd.audio.speech.Level`).
    """
    seconds = sounding_seconds(x, rate, loud)
    if seconds < MIN_SPEECH:
        return f"too little speech: {seconds:.2f} s of sound, at least {MIN_SPEECH:g} s are needed"
    power = _spectra(x, rate)
    level = 10.0 * np.log10(power.sum(axis=1) + 1e-20)
    sounding = level > level.max() - DEPTH
    mean = power[sounding].mean(axis=0) + 1e-20
    top = int(mean.argmax())
    if mean[max(0, top - 1) : top + 2].sum() > TONE * mean.sum():
        return "no speech: a tone"
    if np.exp(np.log(mean).mean()) > FLAT * mean.mean():
        return "no speech: noise, its spectrum is flat"
    low, high = np.percentile(level[sounding], [10, 90])
    if high - low < SPREAD:
        return f"no speech: a steady sound, its level stays within {high - low:.1f} dB"
    return ""


def _spectra(x: np.ndarray, rate: int) -> np.ndarray:
    """Return the power spectra (T, F) between `LOW` and `HIGH` of Hann windows of 32 ms, half overlapping."""
    size = round(0.032 * rate)
    frames = np.lib.stride_tricks.sliding_window_view(x, size)[:: size // 2]
    power = np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) ** 2
    hertz = np.fft.rfftfreq(size, 1.0 / rate)
    return power[:, (hertz >= LOW) & (hertz <= HIGH)].astype(np.float64)
