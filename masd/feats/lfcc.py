"""Linear-frequency cepstral coefficients with deltas, as the ASVspoof baselines compute them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_EPS = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class LfccConfig:
    """How LFCC are computed; the defaults are the 2019 baseline's.

    Args:
        sample_rate: Hz.
        window: Hamming window, samples.
        hop: samples between frames.
        n_fft: points of the Fourier transform.
        filters: triangular filters, evenly spaced, and as many coefficients.
        f_max: upper edge of the filters in Hz [2021 baselines: 4000].
        preemphasis: x_n - preemphasis x_{n-1}.
        energy: put log10 of the frame's energy in place of coefficient 0 [LFCC-LCNN: true].
    """

    sample_rate: int = 16000
    window: int = 320
    hop: int = 160
    n_fft: int = 512
    filters: int = 20
    f_max: float = 8000.0
    preemphasis: float = 0.97
    energy: bool = False

    @property
    def dim(self) -> int:
        """Coefficients of a frame, with first and second differences over +-1 frame."""
        return 3 * self.filters


class Lfcc(nn.Module):
    """LFCC of waveforms: pre-emphasis, power spectrum, triangular filters, log10, orthonormal DCT-II, deltas.

    Frames are centred on multiples of the hop, with zeros beyond the ends.

    Args:
        config: the analysis.
    """

    def __init__(self, config: LfccConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or LfccConfig()
        window = torch.hamming_window(config.window)
        for name, value in (("window", window), ("bank", filter_bank(config)), ("dct", dct(config.filters))):
            self.register_buffer(name, value, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map waveforms (B, N) to (B, 1 + N // hop, dim)."""
        config = self.config
        x = torch.cat([x[:, :1], x[:, 1:] - config.preemphasis * x[:, :-1]], dim=1)
        spectrum = torch.stft(
            x, config.n_fft, config.hop, config.window, self.window, pad_mode="constant", return_complex=True
        )
        power = spectrum.abs().square().transpose(1, 2)
        cepstrum = torch.log10(power @ self.bank + _EPS) @ self.dct
        if config.energy:
            energy = torch.log10(power.sum(2, keepdim=True) / config.n_fft + _EPS)
            cepstrum = torch.cat([energy, cepstrum[:, :, 1:]], dim=2)
        first = delta(cepstrum)
        return torch.cat([cepstrum, first, delta(first)], dim=2)


def filter_bank(config: LfccConfig) -> Tensor:
    """Return triangular filters (n_fft / 2 + 1, filters) with peaks of 1, evenly spaced from 0 to f_max."""
    bins = torch.linspace(0, config.sample_rate / 2, config.n_fft // 2 + 1, dtype=torch.float64)[:, None]
    edges = torch.linspace(0, config.f_max, config.filters + 2, dtype=torch.float64)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rise, fall = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return torch.minimum(rise, fall).clamp_min(0).float()


def dct(size: int) -> Tensor:
    """Return the orthonormal DCT-II as a matrix (size, size), to be multiplied from the right."""
    n = torch.arange(size, dtype=torch.float64)
    matrix = math.sqrt(2 / size) * torch.cos(math.pi / size * (n[:, None] + 0.5) * n)
    matrix[:, 0] /= math.sqrt(2)
    return matrix.float()


def delta(x: Tensor) -> Tensor:
    """Return x_{t+1} - x_{t-1} of (B, T, D), the ends repeated."""
    padded = F.pad(x.transpose(1, 2), (1, 1), mode="replicate").transpose(1, 2)
    return padded[:, 2:] - padded[:, :-2]
