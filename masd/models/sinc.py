"""Fixed band-pass filters on the waveform, the first layer of RawNet2 and AASIST."""

from __future__ import annotations

import numpy as np
import torch


def sinc_filters(count: int, length: int, rate: int = 16000) -> torch.Tensor:
    """Return `count` Hamming-windowed ideal band-passes (count, 1, length'), length' odd.

    Their edges part the mel scale (2595 log10(1 + f / 700)) from 0 to rate / 2 evenly. In the published
    systems they are neither trained nor stored: h(n) = 2 f2/r sinc(2 f2 n/r) - 2 f1/r sinc(2 f1 n/r).
    """
    length += 1 - length % 2
    mel = np.linspace(0.0, 2595 * np.log10(1 + rate / 2 / 700), count + 1)
    edges = 700 * (10 ** (mel / 2595) - 1)
    n = np.arange(length) - (length - 1) / 2
    ideal = 2 * edges[:, None] / rate * np.sinc(2 * edges[:, None] * n / rate)
    bands = np.diff(ideal, axis=0) * np.hamming(length)
    return torch.from_numpy(bands[:, None]).float()
