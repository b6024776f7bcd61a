"""Log-mel spectrogram."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from masd.errors import MasdError
from masd.feats.config import FeatsConfig, classify_samples

_BLOCK = 256  # frames


def logmel(x: np.ndarray, config: FeatsConfig) -> np.ndarray:
    """Return the log-mel spectrogram S of a waveform: ln(mel power + log_floor).

    Frames are centred on multiples of the hop; the signal is reflected at its two ends. Spectra are taken in
    double precision.

    Args:
        x: (N,) samples at `config.sample_rate`, |x| about 1 at most.
        config: front-end configuration; `max_seconds` and `pad` are applied here.

    Returns:
        (T, n_mels) float32, T = 1 + N // hop_length.

    Raises:
        MasdError: the waveform is not one-dimensional or shorter than half a window.
    """
    wave = waveform(x)
    if config.max_seconds is not None:
        wave = wave[: round(config.max_seconds * config.sample_rate)]
    wave = pad_to_classify(wave, config)
    if len(wave) <= config.n_fft // 2:
        raise MasdError(f"{len(wave)} samples are too few for a log-mel frame of {config.n_fft}")
    window, mel = _filters(config)
    frames = frames_of(np.pad(wave, config.n_fft // 2, mode="reflect"), config.n_fft, config.hop_length)
    made = np.empty((len(frames), config.n_mels), np.float32)
    for start in range(0, len(frames), _BLOCK):
        spectrum = np.fft.rfft(frames[start : start + _BLOCK] * window, axis=1)
        power = (np.square(spectrum.real) + np.square(spectrum.imag)) @ mel
        made[start : start + _BLOCK] = np.log(power + config.log_floor)
    return made


def waveform(x: np.ndarray) -> np.ndarray:
    """Return `x` as float32 (N,) without copying where that is possible."""
    wave = np.asarray(x, np.float32)
    if wave.ndim != 1:
        raise MasdError(f"a waveform has one dimension, this one has the shape {wave.shape}")
    return wave


def pad_to_classify(wave: np.ndarray, config: FeatsConfig) -> np.ndarray:
    """Append zeros up to `classify_seconds` if `config.pad` is "zero" (the paper's literal reading)."""
    missing = classify_samples(config) - len(wave)
    return wave if config.pad == "none" or missing <= 0 else np.pad(wave, (0, missing))


def frames_of(wave: np.ndarray, length: int, hop: int) -> np.ndarray:
    """Return a view (T, length) of the frames that lie wholly inside a waveform (N,)."""
    return np.lib.stride_tricks.sliding_window_view(wave, length)[::hop]


@lru_cache(maxsize=8)
def _filters(config: FeatsConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return the periodic Hamming window (n_fft,), centred, and the HTK mel filters (n_fft // 2 + 1, n_mels).

    A filter is a triangle over Hz of height 1 between the centres of its neighbours.
    """
    window = 0.54 - 0.46 * np.cos(2.0 * np.pi * np.arange(config.win_length) / config.win_length)
    left = (config.n_fft - config.win_length) // 2
    window = np.pad(window, (left, config.n_fft - config.win_length - left))
    low, high = 2595.0 * np.log10(1.0 + np.array([config.f_min, config.f_max]) / 700.0)
    edges = 700.0 * (10.0 ** (np.linspace(low, high, config.n_mels + 2) / 2595.0) - 1.0)
    hertz = np.arange(config.n_fft // 2 + 1)[:, None] * (config.sample_rate / config.n_fft)
    rise = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return window, np.maximum(np.minimum(rise, fall), 0.0)
