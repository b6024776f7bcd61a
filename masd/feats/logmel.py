"""Log-mel spectrogram."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torchaudio

from masd.errors import MasdError
from masd.feats.config import FeatsConfig, classify_samples


def logmel(x: np.ndarray | torch.Tensor, config: FeatsConfig) -> torch.Tensor:
    """Return the log-mel spectrogram S of a waveform: ln(mel power + log_floor).

    Frames are centred on multiples of the hop; the signal is reflected at its two ends.

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
    spectrum = torch.stft(
        wave,
        config.n_fft,
        config.hop_length,
        config.win_length,
        window,
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    real, imag = torch.view_as_real(spectrum).unbind(-1)
    power = real.square().addcmul_(imag, imag)
    return torch.matmul(power.t(), mel).add_(config.log_floor).log_()


def waveform(x: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Return `x` as a float32 tensor (N,) without copying where that is possible."""
    wave = torch.as_tensor(x, dtype=torch.float32)
    if wave.ndim != 1:
        raise MasdError(f"a waveform has one dimension, this one has the shape {tuple(wave.shape)}")
    return wave


def pad_to_classify(wave: torch.Tensor, config: FeatsConfig) -> torch.Tensor:
    """Append zeros up to `classify_seconds` if `config.pad` is "zero" (the paper's literal reading)."""
    missing = classify_samples(config) - len(wave)
    if config.pad == "none" or missing <= 0:
        return wave
    return torch.nn.functional.pad(wave, (0, missing))


@lru_cache(maxsize=8)
def _filters(config: FeatsConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the Hamming window (win_length,) and the mel matrix (n_fft // 2 + 1, n_mels)."""
    mel = torchaudio.functional.melscale_fbanks(
        config.n_fft // 2 + 1,
        config.f_min,
        config.f_max,
        config.n_mels,
        config.sample_rate,
        norm=None,
        mel_scale="htk",
    )
    return torch.hamming_window(config.win_length), mel
