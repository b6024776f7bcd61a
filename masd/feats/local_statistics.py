"""Families of second-order statistics: how neighbouring cells of a spectrogram and their phases go together.

What a vocoder gets wrong is small and everywhere: how smooth cells are over time and frequency, how phases
advance, which of these go together. Covariances of such local descriptors say it without a dictionary, and
their logarithms (the log-Euclidean metric of positive matrices) make an ordinary classifier's distances
meaningful. Log power is taken less its mean over time in each bin, so a filter over the recording, which
microphones and pages differ by, changes nothing but the noise's share.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from masd.feats.spectra import EPS, RATE, TOP, band_edges, power, stft

if TYPE_CHECKING:
    from masd.feats.families import Analysis

WINDOWS = (128, 256, 512, 1024, 2048)  # samples; the hop is a quarter
OF_CELLS, OF_PATCHES = (256, 512, 2048), (128, 256, 512, 1024)  # which of them
BANDS = 6  # whose covariances are taken, then averaged in pairs
LOUD = 5.2  # nats below the loudest twentieth, 22.5 dB
RIDGE, FLOOR = 1e-3, 1e-6  # of the mean variance added to all; least eigenvalue over the largest
PATCH = (3, 5)  # frames and bins
# Hz: frame and upsampling rates of vocoders at 16, 22.05 and 24 kHz, whose multiples may stand out as tones
TONES = (
    50.0, 62.5, 75.0, 80.0, 93.75, 86.1328125, 100.0, 125.0, 150.0, 172.265625, 187.5, 200.0, 344.53125,
    375.0, 1378.125, 1500.0, 2756.25, 3000.0, 400.0, 1000.0, 250.0, 500.0, 2000.0,
)  # fmt: skip
REGIONS = ((100, 1000), (1000, 3000), (3000, 5000), (5000, TOP))  # Hz


class Resolution:
    """Spectra of one window length and hop, and the descriptors of their cells.

    Args:
        x: (N,) samples at 16 kHz.
        window: of Hann form, in samples; the hop is a quarter of it.
    """

    def __init__(self, x: np.ndarray, window: int) -> None:
        self.window, self.hop = window, window // 4
        self.spectrum = stft(x, window, self.hop, window)
        self.power = power(self.spectrum)
        self.log_power = np.log(self.power + EPS)

    @cached_property
    def channels(self) -> np.ndarray:
        """(17, T - 3, F - 3) descriptors of each inner cell.

        Log power less the bin's mean, its step over time and over frequency; cosine and sine of the phase's
        advance over time less that of the bin's centre, and of its step over frequency; then log power and
        the phases of the next frame, and of the next bin.
        """
        bins = self.spectrum.shape[1]
        unit = self.spectrum / (np.sqrt(self.power) + 1e-12)
        centre = np.exp(-2j * np.pi * np.arange(bins) * self.hop / (2 * (bins - 1))).astype(np.complex64)
        advance = (unit[1:] * unit[:-1].conj() * centre)[:, :-1]
        delay = (unit[:, 1:] * unit[:, :-1].conj())[1:]
        level = self.log_power[1:, :-1] - self.log_power[1:, :-1].mean(0)
        over_time = np.diff(self.log_power, axis=0)[:, :-1]
        over_frequency = np.diff(self.log_power, axis=1)[1:]
        phases = [advance.real, advance.imag, delay.real, delay.imag]
        cells = [level, over_time, over_frequency, *phases]
        here = [cell[1:-1, 1:-1] for cell in cells]
        later = [cell[2:, 1:-1] for cell in (level, *phases)]
        higher = [cell[1:-1, 2:] for cell in (level, *phases)]
        return np.stack([*here, *later, *higher])

    @cached_property
    def loudness(self) -> np.ndarray:
        """(T - 3,) log energy of the channels' frames."""
        return np.log(self.power[2:-1].sum(1) + EPS)


def log_covariances(channels: np.ndarray) -> np.ndarray:
    """Return matrix logarithms of the covariances over cells (C, T, F), in three bands, (3 C (C + 1) / 2,).

    A band's is the mean of those of its halves. Upper triangles, off the diagonal times the root of 2, so
    that Euclidean distances between vectors are those between the matrices.
    """
    size = len(channels)
    edges = band_edges(channels.shape[2], BANDS)
    matrices = np.empty((BANDS, size, size))
    for band in range(BANDS):
        cells = channels[:, :, edges[band] : edges[band + 1]].reshape(size, -1)
        mean = cells.mean(1)
        matrices[band] = cells @ cells.T / cells.shape[1] - np.outer(mean, mean)
    spread = np.trace(matrices, axis1=1, axis2=2) / size
    values, vectors = np.linalg.eigh(matrices + (RIDGE * spread + EPS)[:, None, None] * np.eye(size))
    logs = np.log(np.maximum(values, FLOOR * values[:, -1:]))
    logarithms = (vectors * logs[:, None]) @ vectors.transpose(0, 2, 1)
    logarithms = (logarithms[::2] + logarithms[1::2]) / 2
    rows, columns = np.triu_indices(size)
    return (logarithms[:, rows, columns] * np.where(rows == columns, 1, np.sqrt(2))).ravel()


def covariance(a: Analysis) -> np.ndarray:
    """Log covariances of 17 local descriptors of power and phase, windows of 16, 32 and 128 ms (1377)."""
    return np.concatenate([log_covariances(r.channels) for r in _chosen(a, OF_CELLS)])


def covariance_loud(a: Analysis) -> np.ndarray:
    """The same over frames within 22.5 dB of the loudest twentieth (1377)."""
    rows = []
    for r in _chosen(a, OF_CELLS):
        loud = r.loudness > np.quantile(r.loudness, 0.95) - LOUD
        rows.append(log_covariances(r.channels[:, loud]))
    return np.concatenate(rows)


def patch_covariance(a: Analysis) -> np.ndarray:
    """Log covariances of log power in patches of 3 frames and 5 bins, windows of 8 to 64 ms (1260).

    A patch is taken less its mean; its middle, which the others then determine, is left out.
    """
    rows = []
    for r in _chosen(a, OF_PATCHES):
        view = np.lib.stride_tricks.sliding_window_view(r.log_power, PATCH)
        cells = np.stack([view[:, :, i, j] for i in range(PATCH[0]) for j in range(PATCH[1])])
        rows.append(log_covariances(np.delete(cells, len(cells) // 2, axis=0) - cells.mean(0)))
    return np.concatenate(rows)


def _chosen(a: Analysis, windows: tuple[int, ...]) -> list[Resolution]:
    return [r for r in a.resolutions if r.window in windows]


def tones(a: Analysis) -> np.ndarray:
    """Steady tones at multiples of vocoders' rates: of the median and the lowest tenth of log spectra (162).

    Height over the running median in bins of 4 Hz: mean over a rate's multiples, mean above 3 kHz, highest;
    then of all bins of four regions: highest, deviation, mean square.
    """
    from scipy.ndimage import median_filter

    log_power = np.log(power(stft(a.x, 4096, 1024, 4096)) + EPS)
    hertz = np.arange(log_power.shape[1]) * RATE / 4096
    rows = []
    for line in (np.median(log_power, axis=0), np.quantile(log_power, 0.1, axis=0)):
        height = np.clip(line - median_filter(line, 31), -3, 6)
        widened = np.maximum(np.maximum(height[1:-1], height[:-2]), height[2:])  # bins 1 to the last but one
        for rate in TONES:
            at = np.round(np.arange(1, int(TOP / rate) + 1) * rate / RATE * 4096).astype(int)
            peaks = widened[at - 1]
            rows += [peaks.mean(), peaks[hertz[at] > 3000].mean(), peaks.max()]
        for low, high in REGIONS:
            region = height[(hertz >= low) & (hertz < high)]
            rows += [region.max(), region.std(), np.mean(np.maximum(region, 0) ** 2)]
    return np.array(rows)
