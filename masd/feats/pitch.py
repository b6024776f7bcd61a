"""F0 by autocorrelation."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import median_filter

F0_MIN, F0_MAX = 60.0, 400.0
VOICED = 0.55  # of the window's autocorrelation
LOW_PASS = 1000.0  # Hz: harmonics above tell less of the period than of its irregularity


def frames(x: np.ndarray, length: int, hop: int) -> np.ndarray:
    """Return the frames (1 + N // hop, length) of `x` (N,), centred on multiples of `hop`, zero-padded."""
    padded = np.pad(x, (length // 2, length))
    starts = np.arange(1 + len(x) // hop) * hop
    return padded[starts[:, None] + np.arange(length)]


def pitch(x: np.ndarray, rate: int, hop: int) -> np.ndarray:
    """Return F0 in Hz (1 + N // hop,) of samples `x` (N,), 0 where a frame is unvoiced.

    The lag of the highest peak of the autocorrelation, over that of the window (P. Boersma, 1993), between 60
    and 400 Hz, after a low-pass; a slight preference for short lags avoids sub-octaves. A frame is voiced if
    the peak exceeds `VOICED` and the frame is less than 40 dB under the loudest one.
    """
    length = int(0.040 * rate) // 2 * 2
    window = np.hanning(length)
    cut = frames(x.astype(np.float64), length, hop)
    cut = (cut - cut.mean(axis=1, keepdims=True)) * window
    size = 1 << (2 * length - 1).bit_length()
    low_pass = 1 / (1 + (np.fft.rfftfreq(size, 1 / rate) / LOW_PASS) ** 8)
    correlation = np.fft.irfft(low_pass * np.abs(np.fft.rfft(cut, size)) ** 2)[:, :length]
    of_window = np.fft.irfft(np.abs(np.fft.rfft(window, size)) ** 2)[:length]
    energy = correlation[:, :1]
    low, high = int(rate / F0_MAX), int(rate / F0_MIN)
    lags = np.arange(low - 1, high + 2)
    ratio = correlation[:, lags] / np.maximum(energy, 1e-12) * (of_window[0] / of_window[lags])
    biased = ratio - 0.03 * np.log2(lags / low)
    inner = biased[:, 1:-1]
    peak = (inner >= biased[:, :-2]) & (inner >= biased[:, 2:])
    best = 1 + np.argmax(np.where(peak, inner, -1.0), axis=1)
    row = np.arange(len(best))
    left, top, right = (ratio[row, best + d] for d in (-1, 0, 1))
    curve = left - 2 * top + right
    shift = np.where(curve < -1e-9, 0.5 * (left - right) / np.minimum(curve, -1e-9), 0.0)
    voiced = (top > VOICED) & (energy[:, 0] > 1e-4 * energy.max())
    voiced = median_filter(voiced.astype(np.int8), 5) > 0
    return np.where(voiced, median_filter(rate / (lags[best] + np.clip(shift, -1, 1)), 5), 0.0)
