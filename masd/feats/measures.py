"""PCS, HFER, SFI: phase coherence, high-frequency energy, spectral flux irregularity of a waveform."""

from __future__ import annotations

import threading
from functools import lru_cache

import numpy as np
import torch

from masd.errors import MasdError
from masd.feats.config import FeatsConfig, classify_samples
from masd.feats.logmel import pad_to_classify, waveform

_SILENT_FLUX = 1e-10
_BLOCK = 48  # frames
_kept = threading.local()


def pcs_hfer_sfi(x: np.ndarray | torch.Tensor, config: FeatsConfig) -> np.ndarray:
    """Return [PCS, HFER, SFI] of the first `classify_seconds` of a waveform.

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
    bins, window = config.hand_n_fft // 2 + 1, _window(config.hand_n_fft)
    windowed, spectrum, parts, single, products, magnitude = _buffers(config.hand_n_fft)
    steps, energy, flux = 0.0, torch.zeros(bins, dtype=torch.float64), []
    for block in frames.split(_BLOCK):
        count = len(block)
        torch.mul(block, window, out=windowed[:count])
        torch.fft.rfft(windowed[:count], out=spectrum[:count])
        both = parts[:, :count].copy_(torch.view_as_real(spectrum[:count]).permute(2, 0, 1))
        steps += _phase_steps(single[:, :count].copy_(both), products[:, :count])
        now = magnitude[1 : count + 1]  # row 0 is the last frame of the block before
        torch.mul(both[0], both[0], out=now).addcmul_(both[1], both[1])
        energy += now.sum(0)
        now.sqrt_()
        rise = torch.sub(now, magnitude[:count], out=both[0]).clamp_(min=0).sum(1)
        flux.append(rise if flux else rise[1:])
        magnitude[0] = now[-1]
    return np.array([steps / (len(frames) * (bins - 1)), _hfer(energy, config), _sfi(torch.cat(flux))])


def _buffers(length: int) -> tuple[torch.Tensor, ...]:
    """Return what `_three` works in, this thread's own: getting the memory anew took a fifth of the time.

    Windowed frames, spectrum, its real and imaginary part, those in single precision, two products of
    neighbouring bins, magnitude with the last frame before the block.
    """
    if getattr(_kept, "length", None) != length:
        bins, wide = length // 2 + 1, torch.float64
        with torch.inference_mode(False):  # so that they may be written to in either mode
            _kept.buffers = (
                torch.empty(_BLOCK, length, dtype=wide),
                torch.empty(_BLOCK, bins, dtype=torch.complex128),
                torch.empty(2, _BLOCK, bins, dtype=wide),
                torch.empty(2, _BLOCK, bins),
                torch.empty(2, _BLOCK, bins - 1),
                torch.empty(1 + _BLOCK, bins, dtype=wide),
            )
        _kept.length = length
    return _kept.buffers


@lru_cache(maxsize=8)
def _window(length: int) -> torch.Tensor:
    return torch.hann_window(length, dtype=torch.float64)


def _phase_steps(spectrum: torch.Tensor, products: torch.Tensor) -> float:
    """Return the sum of the absolute phase steps, radians, between neighbouring bins of a spectrum.

    Unwrapping moves each step by a multiple of 2 pi into [-pi, pi], so the step is the phase of
    X(w + 1) conj(X(w)): one arctangent a bin and no unwrapping.

    Args:
        spectrum: (2, T, F) real and imaginary part.
        products: (2, T, F - 1), overwritten.
    """
    (real, imag), (sine, cosine) = spectrum, products
    a, b, c, d = real[:, 1:], imag[:, 1:], real[:, :-1], imag[:, :-1]
    torch.mul(b, c, out=sine).addcmul_(a, d, value=-1)
    torch.mul(a, c, out=cosine).addcmul_(b, d)
    return torch.atan2(sine, cosine, out=sine).abs_().sum(1).double().sum().item()


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
