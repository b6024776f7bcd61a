"""The three handcrafted features: phase coherence, high-frequency energy, spectral flux irregularity."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from masd.errors import MasdError
from masd.feats.config import FeatsConfig, classify_samples
from masd.feats.logmel import pad_to_classify, waveform

HANDCRAFTED = ("PCS", "HFER", "SFI")
_SILENT_FLUX = 1e-10
_BLOCK = 16  # frames


def handcrafted(x: np.ndarray | torch.Tensor, config: FeatsConfig) -> np.ndarray:
    """Return f_hand = [PCS, HFER, SFI] of the first `classify_seconds` of a waveform.

    X is its STFT (Hann window of `hand_n_fft`, hop `hand_hop`), phi the phase of X unwrapped along frequency.

    - PCS (Eq. 6), phase coherence score: mean over time and frequency of |phi(t, w + 1) - phi(t, w)|, in
      radians, 0 to pi.
    - HFER (Eq. 7), high-frequency energy ratio: energy strictly above `hfer_cutoff` over all energy, 0 to 1.
    - SFI, spectral flux irregularity: std(SF) / mean(SF), SF_t = sum_f max(0, |X_t(f)| - |X_{t-1}(f)|); 0
      where the mean flux is below 1e-10.

    All three are 0 for digital silence.

    Args:
        x: (N,) samples at `config.sample_rate`, |x| about 1 at most.
        config: front-end configuration.

    Returns:
        (3,) float64.

    Raises:
        MasdError: the waveform is not one-dimensional or has fewer than two frames.
    """
    wave = pad_to_classify(waveform(x)[: classify_samples(config)], config)
    if config.hand_center:
        half = config.hand_n_fft // 2
        wave = torch.nn.functional.pad(wave, (half, half))
    if len(wave) < config.hand_n_fft + config.hand_hop:
        raise MasdError(f"{len(wave)} samples are too few for two frames of {config.hand_n_fft}")
    return _three(wave.double().unfold(0, config.hand_n_fft, config.hand_hop), config)


def _three(frames: torch.Tensor, config: FeatsConfig) -> np.ndarray:
    """PCS, HFER and SFI of frames (T, hand_n_fft).

    In double precision: PCS counts all bins alike, and those far below the strongest have no phase in
    single precision; nor has the flux of a steady sound any meaning there. A block of frames at a time
    stays in the cache, which makes the transform five times as fast.
    """
    bins = config.hand_n_fft // 2 + 1
    steps, energy, flux = 0.0, torch.zeros(bins, dtype=torch.float64), []
    last = torch.zeros(0, bins, dtype=torch.float64)
    for block in frames.split(_BLOCK):
        spectrum = torch.view_as_real(torch.fft.rfft(block * _window(config.hand_n_fft)))
        real, imag = spectrum[..., 0].contiguous(), spectrum[..., 1].contiguous()
        power = real.square().addcmul_(imag, imag)
        steps += _phase_steps(real, imag).sum(dtype=torch.float64).item()
        energy += power.sum(0)
        magnitude = torch.cat([last, power.sqrt_()])
        flux.append((magnitude[1:] - magnitude[:-1]).clamp_(min=0).sum(1))
        last = magnitude[-1:]
    return np.array([steps / (len(frames) * (bins - 1)), _hfer(energy, config), _sfi(torch.cat(flux))])


@lru_cache(maxsize=8)
def _window(length: int) -> torch.Tensor:
    return torch.hann_window(length, dtype=torch.float64)


def _phase_steps(real: torch.Tensor, imag: torch.Tensor) -> torch.Tensor:
    """Return the absolute phase steps (T, F - 1), radians, between neighbouring bins of a spectrum (T, F).

    Unwrapping moves each step by a multiple of 2 pi into [-pi, pi], so the step is the phase of
    X(w + 1) conj(X(w)): one arctangent a bin and no unwrapping.
    """
    a, b, c, d = real[:, 1:], imag[:, 1:], real[:, :-1], imag[:, :-1]
    return torch.atan2((b * c - a * d).float(), (a * c + b * d).float()).abs_()


def _hfer(energy: torch.Tensor, config: FeatsConfig) -> float:
    """Share of the energy by frequency bin (F,) that lies strictly above the cutoff."""
    total = energy.sum().item()
    # bin k lies at k * sample_rate / n_fft
    first = int(config.hfer_cutoff * config.hand_n_fft // config.sample_rate) + 1
    return energy[first:].sum().item() / total if total > 0 else 0.0


def _sfi(flux: torch.Tensor) -> float:
    """Deviation over mean of the rectified spectral flux (T - 1,)."""
    mean = flux.mean().item()
    return flux.std(correction=0).item() / mean if mean >= _SILENT_FLUX else 0.0
