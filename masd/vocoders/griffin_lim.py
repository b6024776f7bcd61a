"""Griffin-Lim: phase found from a magnitude spectrogram, which may first go through a mel spectrogram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torchaudio.functional import griffinlim

from masd.errors import MasdError
from masd.vocoders.base import Adapter, Config
from masd.vocoders.mel import MelSpec, filters


@dataclass
class GriffinLimConfig(Config):
    """Configuration of Griffin-Lim.

    Args:
        source: `mel` (magnitudes are recovered from n_mels bands by least squares, and lose what the bands
            do not hold) or `magnitude` (only the phase is lost).
        n_fft, hop_length: in samples at 16 kHz.
        n_mels: bands from 0 to 8 kHz.
        iterations: of the fast Griffin-Lim algorithm.
        momentum: 0 for the original algorithm.
    """

    source: str = "mel"
    n_fft: int = 1024
    hop_length: int = 256
    n_mels: int = 80
    iterations: int = 32
    momentum: float = 0.99


class GriffinLim(Adapter[GriffinLimConfig]):
    """Griffin-Lim at 16 kHz from a random initial phase."""

    config_class = GriffinLimConfig

    def setup(self) -> None:
        """Check the kind of spectrogram."""
        if self.config.source not in ("mel", "magnitude"):
            raise MasdError(
                f"vocoder {self.name}: source is {self.config.source!r}, but must be mel or magnitude"
            )

    def load(self) -> tuple[MelSpec, torch.Tensor | None]:
        """Return the spectrogram, and for mel the projection (bins, bins) through the bands and back."""
        c = self.config
        spec = MelSpec(self.sample_rate, c.n_fft, c.n_fft, c.hop_length, c.n_mels, center=True)
        if c.source == "magnitude":
            return spec, None
        bands = filters(spec).double()
        return spec, (torch.linalg.pinv(bands.T) @ bands.T).float()

    @torch.inference_mode()
    def synthesise(self, x: np.ndarray, seed: int) -> np.ndarray:
        """Return the re-synthesis of `x` (N,) at 16 kHz, with initial phases drawn from `seed`."""
        spec, projection = self.model
        magnitude = spec.magnitude(torch.from_numpy(x))
        if projection is not None:
            magnitude = (projection @ magnitude).clamp_min(0.0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            y = griffinlim(
                magnitude,
                window=torch.hann_window(spec.win_length),
                n_fft=spec.n_fft,
                hop_length=spec.hop_length,
                win_length=spec.win_length,
                power=1.0,
                n_iter=self.config.iterations,
                momentum=self.config.momentum,
                length=None,
                rand_init=True,
            )
        return y.numpy()
