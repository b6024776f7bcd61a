"""Linear prediction by the autocorrelation method."""

from __future__ import annotations

import numpy as np


def analyse(cut: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return prediction-error filters (T, order + 1), first coefficient 1, and gains (T,) of frames (T, L).

    The gain is the deviation of the prediction error: a unit-power excitation then gives the frame's power.
    The Levinson-Durbin recursion runs over all frames at once; 1e-9 of the power is added as white noise.
    """
    window = np.hanning(cut.shape[1])
    windowed = cut * window
    spectrum = np.abs(np.fft.rfft(windowed, 1 << (2 * cut.shape[1] - 1).bit_length())) ** 2
    r = np.fft.irfft(spectrum)[:, : order + 1] / np.sum(window**2)
    error = r[:, 0] * (1 + 1e-9) + 1e-12
    a = np.zeros((len(cut), order + 1))
    a[:, 0] = 1.0
    for i in range(1, order + 1):
        k = -np.einsum("tj,tj->t", a[:, :i], r[:, i:0:-1]) / error
        a[:, 1 : i + 1] += k[:, None] * a[:, i - 1 :: -1][:, :i]
        error = error * np.maximum(1 - k**2, 1e-9)
    return a, np.sqrt(error)
