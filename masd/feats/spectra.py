"""Spectra and bands that families of statistics are made of."""

from __future__ import annotations

import numpy as np

RATE = 16000
TOP = 7400.0  # Hz: recordings may be low-passed here
BANDS = 16  # of equal width from 0 to TOP
EPS = 1e-10


def stft(x: np.ndarray, window: int, hop: int, n_fft: int) -> np.ndarray:
    """Return complex spectra (T, n_fft / 2 + 1) of x (N,), frames wholly inside, phases at window centres."""
    from scipy.fft import rfft

    frames = np.lib.stride_tricks.sliding_window_view(x, window)[::hop] * np.hanning(window).astype(
        np.float32
    )
    half = window // 2
    padded = np.zeros((len(frames), n_fft), np.float32)  # centre first: no linear phase left
    padded[:, : window - half], padded[:, n_fft - half :] = frames[:, half:], frames[:, :half]
    return rfft(padded, axis=1)


def power(spectrum: np.ndarray) -> np.ndarray:
    """Return |X|^2 without a square root."""
    return spectrum.real**2 + spectrum.imag**2


def band_edges(bins: int, bands: int) -> np.ndarray:
    """Return the first bin of each of `bands` equal bands from 0 to `TOP` Hz, and the last one's end."""
    return np.round(np.linspace(0, TOP, bands + 1) / (RATE / 2) * (bins - 1)).astype(int)


def band_means(x: np.ndarray, bands: int = BANDS) -> np.ndarray:
    """Return the mean of x (T, F) over frequency in equal bands, (T, bands)."""
    edges = band_edges(x.shape[1], bands)
    sums = np.add.reduceat(x, edges[:-1], axis=1)
    sums[:, -1] = x[:, edges[-2] : edges[-1]].sum(1)
    return sums / np.diff(edges)
