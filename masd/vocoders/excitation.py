"""The source of the source-filter vocoders: pulses where speech is voiced, noise elsewhere."""

from __future__ import annotations

import numpy as np


def excitation(f0: np.ndarray, hop: int, length: int, rate: int, seed: int) -> np.ndarray:
    """Return a unit-power excitation (length,): one pulse a period where `f0` > 0, Gaussian noise elsewhere.

    `f0` (T,) in Hz stands at multiples of `hop`. A pulse has the height of the square root of its period in
    samples, and the mean of the pulses is taken off, so that nothing is added at 0 Hz.
    """
    frame = np.minimum((np.arange(length) + hop // 2) // hop, len(f0) - 1)
    known = np.flatnonzero(f0 > 0)
    noise = np.random.default_rng(seed).standard_normal(length)
    if not len(known):
        return noise
    track = np.interp(np.arange(length) / hop, known, f0[known])
    phase = np.cumsum(track / rate)
    pulse = np.diff(np.floor(phase), prepend=0.0) > 0
    height = np.sqrt(rate / track)
    return np.where(f0[frame] > 0, np.where(pulse, height, 0.0) - 1 / height, noise)
