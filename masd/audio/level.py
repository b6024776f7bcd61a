"""Level: what is no usable speech, and the peak normalisation and dither of the front end."""

from __future__ import annotations

import numpy as np

from masd.errors import MasdError
from masd.seeding import generator

# -80 dB of full scale, three steps of a 16-bit file: below it there is nothing to judge.
SILENCE_PEAK = 1e-4


def check_audio(x: np.ndarray, name: str, rate: int = 16000, min_seconds: float = 0.1) -> None:
    """Refuse audio that nothing can be said about.

    Args:
        x: waveform (N,).
        name: the file or utterance, for the message.
        rate: its sampling rate in Hz.
        min_seconds: the shortest length that is accepted.

    Raises:
        MasdError: empty, not finite, shorter than `min_seconds`, or silent (nothing but DC above
            `SILENCE_PEAK`).
    """
    if len(x) == 0:
        raise MasdError(f"{name}: empty, no samples")
    if not np.isfinite(x).all():
        raise MasdError(f"{name}: holds values that are not finite (NaN or infinity)")
    check_length(x, name, rate, min_seconds)
    if is_silent(x):
        raise MasdError(f"{name}: silent")


def check_length(x: np.ndarray, name: str, rate: int, min_seconds: float) -> None:
    """Raise `MasdError` if a waveform (N,) at `rate` Hz is shorter than `min_seconds`."""
    if len(x) < min_seconds * rate:
        raise MasdError(f"{name}: too short: {len(x) / rate:.3f} s, at least {min_seconds:g} s are needed")


def is_silent(x: np.ndarray) -> bool:
    """Return whether a waveform (N,), N > 0, has nothing but DC above `SILENCE_PEAK`."""
    return float(np.abs(x - x.mean()).max()) < SILENCE_PEAK


def normalise(x: np.ndarray, utt: str, dither: float, seed: int = 0) -> np.ndarray:
    """Scale to a peak of 1 and add dither: y_n = x_n / max|x| + dither g_n, g_n ~ N(0, 1).

    The noise belongs to the utterance (and seed), sample by sample from its start, so every stage
    and every run adds the same. Call it with the whole recording, before any crop.

    Args:
        x: waveform (N,) of the whole recording or segment.
        utt: utterance id that seeds the noise.
        dither: standard deviation of the noise, full scale 1; 0 for none.
        seed: the run's seed.

    Returns:
        float32 (N,); the input is left as it is.

    Raises:
        MasdError: every sample is 0, so there is no peak.
    """
    x = np.asarray(x, np.float32)
    peak = float(np.abs(x).max()) if len(x) else 0.0
    if peak == 0.0:
        raise MasdError(f"{utt}: silent")
    y = x / np.float32(peak)
    if dither:
        y += np.float32(dither) * generator(seed, "dither", utt).standard_normal(len(x), dtype=np.float32)
    return y
