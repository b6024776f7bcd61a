"""f_hand: PCS, HFER and SFI, then the figures of the families of statistics that a configuration names."""

from __future__ import annotations

import numpy as np

from masd.feats.config import FeatsConfig, classify_samples, hand_size
from masd.feats.logmel import waveform
from masd.feats.pcs_hfer_sfi import pcs_hfer_sfi

_SILENT = 1e-6


def handcrafted(x: np.ndarray, config: FeatsConfig) -> np.ndarray:
    """Return f_hand of the first `classify_seconds` of a waveform: `pcs_hfer_sfi`, then families.

    The families' figures follow in the order of the configuration; all is 0 for digital silence. Of x (N,)
    at `config.sample_rate`, |x| about 1 at most, that is (3,) float64, or (`hand_size(config)`,).

    Raises:
        MasdError: the waveform is not one-dimensional or has fewer than two frames.
    """
    three = pcs_hfer_sfi(x, config)
    return np.concatenate([three, _families(x, config)]) if config.families else three


def _families(x: np.ndarray, config: FeatsConfig) -> np.ndarray:
    """Return the figures of `config.families` (D,); a short signal is repeated to 0.5 s, silence gives 0."""
    from masd.feats.families import describe

    wave = waveform(x)[: classify_samples(config)]
    if np.abs(wave - wave.mean()).max() < _SILENT:
        return np.zeros(hand_size(config) - 3)
    wave = np.tile(wave, -(-config.sample_rate // (2 * len(wave))))
    found = describe(wave, list(config.families))
    return np.concatenate([found[name] for name in config.families]).astype(np.float64)
