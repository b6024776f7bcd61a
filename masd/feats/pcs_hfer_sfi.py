"""PCS, HFER, SFI: phase coherence, high-frequency energy, spectral flux irregularity of a waveform."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from masd.errors import MasdError
from masd.feats.config import FeatsConfig, classify_samples
from masd.feats.logmel import frames_of, pad_to_classify, waveform

_SILENT_FLUX = 1e-10
_BLOCK = 48  # frames


def pcs_hfer_sfi(x: np.ndarray, config: FeatsConfig) -> np.ndarray:
    """Return [PCS, HFER, SFI] of the first `classify_seconds` of a waveform.

    X is its STFT (Hann window of `hand_n_fft`, hop `hand_hop`), phi the phase of X unwrapped along frequency.

    - PCS (Eq. 6), phase coherence score: mean over time and frequency of |phi(t, w + 1) - phi(t, w)|, in
      radians, 0 to pi.
    - HFER (Eq. 7), high-frequency energy ratio: energy strictly above `hfer_cutoff` over all energy, 0 to 1.
    - SFI, spectral flux irregularity: std(SF) / mean(SF), SF_t = sum_f max(0, |X_t(f)| - |X_{t-1}(f)|); 0
      where the mean flux is below 1e-10.

    All three are 0 for digital silence. Of x (N,) at `config.sample_rate`, |x| about 1 at most, (3,) float64.

    Raises:
        MasdError: the waveform is not one-dimensional or has fewer than two frames.
    """
    wave = pad_to_classify(waveform(x)[: classify_samples(config)], config)
    if config.hand_center:
        wave = np.pad(wave, config.hand_n_fft // 2)
    if len(wave) < config.hand_n_fft + config.hand_hop:
        raise MasdError(f"{len(wave)} samples are too few for two frames of {config.hand_n_fft}")
    return _three(frames_of(wave, config.hand_n_fft, config.hand_hop), config)


def _three(frames: np.ndarray, config: FeatsConfig) -> np.ndarray:
    """PCS, HFER and SFI of frames (T, hand_n_fft).

    In double precision: PCS counts all bins alike, and those far below the strongest have no phase in
    single precision; nor has the flux of a steady sound any meaning there. A block of frames at a time
    stays in the cache.
    """
    bins, window = config.hand_n_fft // 2 + 1, _window(config.hand_n_fft)
    last, steps, energy, flux = np.empty((0, bins)), 0.0, np.zeros(bins), []
    for start in range(0, len(frames), _BLOCK):
        spectrum = np.fft.rfft(frames[start : start + _BLOCK] * window, axis=1)
        steps += _phase_steps(spectrum.astype(np.complex64))
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        energy += power.sum(axis=0)
        magnitude = np.concatenate([last, np.sqrt(power)])
        flux.append(np.maximum(np.diff(magnitude, axis=0), 0.0).sum(axis=1))
        last = magnitude[-1:]
    return np.array([steps / (len(frames) * (bins - 1)), _hfer(energy, config), _sfi(np.concatenate(flux))])


@lru_cache(maxsize=8)
def _window(length: int) -> np.ndarray:
    """Return the periodic Hann window (length,)."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)


def _phase_steps(spectrum: np.ndarray) -> float:
    """Return the sum of the absolute phase steps, radians, between neighbouring bins of a spectrum (T, F).

    Unwrapping moves each step by a multiple of 2 pi into [-pi, pi], so the step is the phase of
    X(w + 1) conj(X(w)): one arctangent a bin and no unwrapping.
    """
    a, b, c, d = spectrum.real[:, 1:], spectrum.imag[:, 1:], spectrum.real[:, :-1], spectrum.imag[:, :-1]
    with np.errstate(over="ignore", invalid="ignore"):  # `features` refuses what is not finite
        return float(np.abs(np.arctan2(b * c - a * d, a * c + b * d)).sum(dtype=np.float64))


def _hfer(energy: np.ndarray, config: FeatsConfig) -> float:
    """Share of the energy by frequency bin (F,) that lies strictly above the cutoff."""
    total = float(energy.sum())
    # bin k lies at k * sample_rate / n_fft
    first = int(config.hfer_cutoff * config.hand_n_fft // config.sample_rate) + 1
    return float(energy[first:].sum()) / total if total > 0 else 0.0


def _sfi(flux: np.ndarray) -> float:
    """Deviation over mean of the rectified spectral flux (T - 1,)."""
    mean = float(flux.mean())
    return float(flux.std()) / mean if mean >= _SILENT_FLUX else 0.0
