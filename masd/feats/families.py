"""Families of utterance statistics: where in a recording might synthesis show?

Each family maps a waveform to a fixed number of figures, whatever its length, and stands for one way in
which generators that nobody trained on give themselves away (docs/evidence.md). Level, polarity and length
enter none of them; a waveform is brought to an RMS of 1 first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from masd.errors import MasdError
from masd.feats.config import SIZES, check_families
from masd.feats.local_statistics import BANDS as COVARIANCE_BANDS
from masd.feats.local_statistics import (
    WINDOWS,
    Resolution,
    covariance,
    covariance_loud,
    patch_covariance,
    tones,
)
from masd.feats.spectra import BANDS, EPS, RATE, TOP, band_means, power, stft

VERSION = 2  # raise it when a family comes to give other figures
HOP = 160
FRAME_RATES = (50.0, 62.5, 80.0, 86.1328125, 93.75, 100.0, 125.0, 172.265625, 187.5, 200.0)

Family = Callable[["Analysis"], np.ndarray]


def describe(x: np.ndarray, names: list[str] | None = None) -> dict[str, np.ndarray]:
    """Return the figures of each family (D,), float32, of a waveform.

    Args:
        x: (N,) samples at 16 kHz, any level, at least 0.5 s.
        names: families, all of `FAMILIES` by default.

    Raises:
        MasdError: a family is unknown, or the waveform too short, silent or not finite.
    """
    check_families(names or [])
    analysis = Analysis(x)
    values = {name: FAMILIES[name](analysis) for name in names or FAMILIES}
    return {
        name: np.nan_to_num(value, posinf=0, neginf=0).astype(np.float32) for name, value in values.items()
    }


class Analysis:
    """What the families share about one waveform: each computed once.

    Args:
        x: (N,) samples at 16 kHz.
    """

    def __init__(self, x: np.ndarray) -> None:
        x = np.asarray(x, dtype=np.float64)
        x = x - x.mean() if len(x) else x
        level = np.sqrt(np.mean(x**2)) if len(x) else 0.0
        if len(x) < RATE // 2 or not np.isfinite(x).all() or level < 1e-7:
            raise MasdError("statistics need at least 0.5 s of finite, non-silent samples at 16 kHz")
        self.x = (x / level).astype(np.float32)

    @cached_property
    def spectrum(self) -> np.ndarray:
        """(T, 257) complex spectra: 25 ms Hann windows every 10 ms, 512 points."""
        return stft(self.x, 400, HOP, 512)

    @cached_property
    def short(self) -> np.ndarray:
        """(T, 65) complex spectra: 8 ms Hann windows every millisecond."""
        return stft(self.x, 128, 16, 128)

    @cached_property
    def loud(self) -> np.ndarray:
        """(T,) whether a 10 ms frame is within 15 dB of the loudest twentieth."""
        energy = np.log(power(self.spectrum).sum(1) + EPS)
        return energy > np.quantile(energy, 0.95) - 15 * np.log(10) / 10

    @cached_property
    def resolutions(self) -> list[Resolution]:
        """Spectra at five resolutions, 8 to 128 ms, and what is local in them."""
        return [Resolution(self.x, window) for window in WINDOWS]


def _phase(steps: np.ndarray, weights: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Circular statistics of products of spectra (T, F) in 16 bands over kept frames (64).

    Mean |angle|, mean cosine, mean cosine weighted with the magnitude, and deviation over time of the mean
    cosine.
    """
    size = np.abs(steps) + 1e-12
    cosine, angle = steps.real / size, np.abs(np.angle(steps))
    keep = keep[: len(steps)] if keep[: len(steps)].any() else np.ones(len(steps), bool)
    per_frame = band_means(cosine)[keep]
    weighted = band_means(cosine * weights)[keep].sum(0) / (band_means(weights)[keep].sum(0) + EPS)
    return np.concatenate([band_means(angle)[keep].mean(0), per_frame.mean(0), weighted, per_frame.std(0)])


def phase_mixed(a: Analysis) -> np.ndarray:
    """Change of the phase step from bin to bin between frames: the mixed derivative of phase (64)."""
    s = a.spectrum
    steps = s[:, 1:] * s[:, :-1].conj()
    return _phase(steps[1:] * steps[:-1].conj(), np.abs(s[1:, 1:]), a.loud)


def frame_lines(a: Analysis) -> np.ndarray:
    """Lines in the spectrum of band envelopes at frame rates that vocoders use: height over the surroundings.

    Log of the power at each rate of `FRAME_RATES` over the median within 6 Hz, for low and high bands, and
    the two highest rates of each half (24).
    """
    level = np.log(band_means(power(a.short), 8) + EPS)
    level = level - level.mean(0)
    size = 1 << (len(level) - 1).bit_length() + 1
    spectrum = np.abs(np.fft.rfft(level * np.hanning(len(level))[:, None], size, axis=0)) ** 2
    step = 1000 / size
    rows = []
    for half in (spectrum[:, :4].sum(1), spectrum[:, 4:].sum(1)):
        heights = []
        for rate in FRAME_RATES:
            at = round(rate / step)
            wide, narrow = int(6 / step), max(1, int(0.15 / step))
            around = half[at - wide : at + wide + 1]
            heights.append(
                np.log(half[at - narrow : at + narrow + 1].max() / (np.median(around) + EPS) + EPS)
            )
        rows.append(np.concatenate([heights, np.sort(heights)[-2:]]))
    return np.concatenate(rows)


FAMILIES: dict[str, Family] = {
    f.__name__: f for f in (covariance, covariance_loud, patch_covariance, tones, phase_mixed, frame_lines)
}


def frequencies(name: str) -> np.ndarray:
    """Return the frequency in Hz that each figure of a family is about (D,), NaN where it is of none."""
    if name == "phase_mixed":
        return np.tile((np.arange(BANDS) + 0.5) * TOP / BANDS, 4)
    if name.endswith(("covariance", "_loud")):  # windows, each with pairs of bands
        bands = (np.arange(COVARIANCE_BANDS // 2) + 0.5) * TOP / (COVARIANCE_BANDS // 2)
        windows = 4 if name == "patch_covariance" else 3
        return np.tile(np.repeat(bands, SIZES[name] // (windows * len(bands))), windows)
    return np.full(SIZES[name], np.nan)
