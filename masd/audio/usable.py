"""What audio is no use to anybody: empty, not finite, too short, silent; and audio brought to a length."""

from __future__ import annotations

import numpy as np

from masd.errors import MasdError

# -80 dB of full scale, three steps of a 16-bit file: below it there is nothing to judge.
SILENCE_PEAK = 1e-4


def check_audio(x: np.ndarray, name: str, rate: int = 16000, min_seconds: float = 0.1) -> None:
    """Refuse a waveform (N,) at `rate` Hz that nothing can be said about; `name` is what messages call it.

    Raises:
        MasdError: empty, not finite, shorter than `min_seconds`, or silent (nothing but DC above
            `SILENCE_PEAK`).
    """
    if len(x) == 0:
        raise MasdError(f"{name}: empty, no samples")
    if not np.isfinite(x).all():
        raise MasdError(f"{name}: holds values that are not finite (NaN or infinity)")
    check_length(x, name, rate, min_seconds)
    if np.abs(x - x.mean()).max() < SILENCE_PEAK:  # but for DC
        raise MasdError(f"{name}: silent")


def check_length(x: np.ndarray, name: str, rate: int, min_seconds: float) -> None:
    """Raise `MasdError` if a waveform (N,) at `rate` Hz is shorter than `min_seconds`."""
    if len(x) < min_seconds * rate:
        raise MasdError(f"{name}: too short: {len(x) / rate:.3f} s, at least {min_seconds:g} s are needed")


def fit(x: np.ndarray, length: int) -> np.ndarray:
    """Return x (N,) cut, or padded with zeros at its end, to `length` samples."""
    return x[:length] if len(x) >= length else np.pad(x, (0, length - len(x)))
