"""Linear-prediction vocoder with a pulse or noise excitation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from masd.feats.lpc import analyse
from masd.feats.pitch import frames, pitch
from masd.vocoders.base import Adapter, Config
from masd.vocoders.excitation import excitation


@dataclass
class LPCConfig(Config):
    """Configuration of the LPC vocoder.

    Args:
        order: number of predictor coefficients.
        window: analysis window in ms (Hann).
        hop: milliseconds between frames.
        preemphasis: coefficient of the first-order filter before analysis, undone after synthesis.
    """

    order: int = 20
    window: float = 25.0
    hop: float = 10.0
    preemphasis: float = 0.9


class LPC(Adapter[LPCConfig]):
    """LPC analysis (autocorrelation method) and synthesis at 16 kHz; the noise is random."""

    config_class = LPCConfig

    def synthesise(self, x: np.ndarray, seed: int) -> np.ndarray:
        """Return the re-synthesis of `x` (N,) at 16 kHz, with the excitation's noise drawn from `seed`."""
        c = self.config
        hop = round(c.hop * self.sample_rate / 1000)
        length = round(c.window * self.sample_rate / 1000)
        flat = lfilter([1.0, -c.preemphasis], [1.0], x.astype(np.float64))
        predictors, gains = analyse(frames(flat, length, hop), c.order)
        source = excitation(pitch(x, self.sample_rate, hop), hop, len(x), self.sample_rate, seed)
        y = overlap_add(source, predictors, gains, hop)
        return lfilter([1.0], [1.0, -c.preemphasis], y).astype(np.float32)


def overlap_add(source: np.ndarray, predictors: np.ndarray, gains: np.ndarray, hop: int) -> np.ndarray:
    """Return `source` (N,) filtered by gain / A(z) of the frame nearest in time, cross-faded over one hop.

    Frame t stands at sample t * hop; its Hann-weighted piece of the source is filtered, and rings for five
    hops more.
    """
    fade = np.hanning(2 * hop + 1)[:-1]
    tail = 5 * hop
    padded = np.pad(source, (hop, 2 * hop))
    y = np.zeros(len(padded) + len(predictors) * hop + tail)
    for t, (a, gain) in enumerate(zip(predictors, gains, strict=True)):
        piece = padded[t * hop : t * hop + 2 * hop] * (fade * gain)
        y[t * hop : t * hop + 2 * hop + tail] += lfilter([1.0], a, np.pad(piece, (0, tail)))
    return y[hop : hop + len(source)]
