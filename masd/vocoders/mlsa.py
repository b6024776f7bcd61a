"""Mel-cepstral vocoder: mel-cepstra, pulse or noise excitation, mel log spectrum approximation filter.

Analysis after K. Tokuda, T. Kobayashi, T. Masuko, S. Imai, "Mel-generalized cepstral analysis" (1994), with
gamma = 0. The synthesis filter is H(z) = exp sum_m c_m(n) zt^-m, zt^-1 = (z^-1 - alpha) / (1 - alpha z^-1),
with coefficients that move from sample to sample; its exponential is expanded as a power series, which has
no feedback, where S. Imai's MLSA filter (1983) uses a Pade approximation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from masd.feats.pitch import frames, pitch
from masd.vocoders.base import Adapter, Config
from masd.vocoders.excitation import excitation


@dataclass
class MLSAConfig(Config):
    """Configuration of the mel-cepstral vocoder.

    Args:
        order: of the mel-cepstrum.
        alpha: all-pass coefficient; 0.42 is near the mel scale at 16 kHz.
        window: analysis window in ms (Blackman).
        hop: milliseconds between frames.
    """

    order: int = 24
    alpha: float = 0.42
    window: float = 25.0
    hop: float = 5.0


class MLSA(Adapter[MLSAConfig]):
    """Mel-cepstral analysis and synthesis at 16 kHz; the noise is random."""

    config_class = MLSAConfig

    def synthesise(self, x: np.ndarray, seed: int) -> np.ndarray:
        """Return the re-synthesis of `x` (N,) at 16 kHz, with the excitation's noise drawn from `seed`."""
        c = self.config
        hop = round(c.hop * self.sample_rate / 1000)
        length = round(c.window * self.sample_rate / 1000)
        cepstra = mel_cepstra(periodograms(x, length, hop), c.order, c.alpha)
        source = excitation(pitch(x, self.sample_rate, hop), hop, len(x), self.sample_rate, seed)
        return mlsa_filter(source, cepstra, hop, c.alpha).astype(np.float32)


def periodograms(x: np.ndarray, length: int, hop: int) -> np.ndarray:
    """Return periodograms (T, K) of `x` (N,), scaled so that white noise of unit power has mean 1.

    A floor 80 dB under the loudest bin keeps logarithms of digital silence finite.
    """
    window = np.blackman(length)
    window /= np.sqrt(np.sum(window**2))
    size = 1 << (length - 1).bit_length()
    power = np.abs(np.fft.rfft(frames(x.astype(np.float64), length, hop) * window, size)) ** 2
    return power + 1e-8 * power.max()


def warped_cosines(bins: int, order: int, alpha: float) -> np.ndarray:
    """Return cos(m b(w)) (bins, order + 1), b the phase of the all-pass at frequencies from 0 to pi."""
    w = np.linspace(0, np.pi, bins)
    warped = w + 2 * np.arctan2(alpha * np.sin(w), 1 - alpha * np.cos(w))
    return np.cos(warped[:, None] * np.arange(order + 1))


def mel_cepstra(power: np.ndarray, order: int, alpha: float, steps: int = 5) -> np.ndarray:
    """Return mel-cepstra (T, order + 1) of periodograms (T, K).

    They minimise the unbiased log-spectrum criterion, mean over frequency of I / |H|^2 + log |H|^2, which is
    convex. Newton's method starts at the least-squares fit to log I; no step changes log |H| by more than 1.
    """
    basis = warped_cosines(power.shape[1], order, alpha)
    weight = np.ones(len(basis))
    weight[[0, -1]] = 0.5  # the ends of the frequency axis count half
    ridge = 1e-4 * len(basis) * np.eye(order + 1)
    out = []
    for part in np.array_split(power, max(1, len(power) // 128)):
        c = 0.5 * np.log(part) @ np.linalg.pinv(basis).T
        for _ in range(steps):
            ratio = weight * part / np.exp(2 * c @ basis.T)
            c[:, 0] += 0.5 * np.log(ratio.sum(axis=1) / weight.sum())  # best gain for this shape
            ratio *= (weight.sum() / ratio.sum(axis=1))[:, None]
            gradient = 2 * (weight - ratio) @ basis
            hessian = 4 * np.matmul(basis.T * ratio[:, None, :], basis) + ridge
            step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
            c -= step / np.maximum(1.0, np.abs(step @ basis.T).max(axis=1, keepdims=True))
        out.append(c)
    return np.concatenate(out)


def mlsa_filter(
    source: np.ndarray, cepstra: np.ndarray, hop: int, alpha: float, tolerance: float = 1e-5
) -> np.ndarray:
    """Return `source` (N,) filtered by exp of the mel-cepstral polynomial F, interpolated between frames.

    y = exp(c_0) (1 + F + F F / 2! + F F F / 3! + ...) applied to the source. Each F is a chain of all-pass
    filters tapped by c_m(n), m >= 1. The series ends when a term's largest sample is `tolerance` of the sum's
    (or at 60 terms).
    """
    position = np.minimum(np.arange(len(source)) / hop, len(cepstra) - 1)
    taps = [np.interp(position, np.arange(len(cepstra)), column) for column in cepstra.T]
    total = source.astype(np.float64)
    term = total
    for k in range(1, 61):
        chain, applied = term, np.zeros_like(term)
        for tap in taps[1:]:
            chain = lfilter([-alpha, 1.0], [1.0, -alpha], chain)
            applied += tap * chain
        term = applied / k
        total = total + term
        if np.abs(term).max() <= tolerance * np.abs(total).max():
            break
    return total * np.exp(taps[0])
