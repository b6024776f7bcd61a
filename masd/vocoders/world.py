"""WORLD: F0, spectral envelope and aperiodicity, by pyworld."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from masd.errors import MasdError
from masd.vocoders.base import Adapter, Config

try:
    import pyworld
except ImportError as error:
    raise MasdError(
        f"vocoder world: pyworld cannot be imported ({error}); pip install pyworld-prebuilt "
        "(the package pyworld works too, where a compiler is, and needs setuptools<81)"
    ) from None


@dataclass
class WorldConfig(Config):
    """Configuration of WORLD.

    Args:
        f0: `harvest` (fewer voicing errors) or `dio` (with StoneMask refinement; several times faster).
        frame_period: milliseconds between frames.
    """

    f0: str = "harvest"
    frame_period: float = 5.0


class World(Adapter[WorldConfig]):
    """WORLD analysis and synthesis at 16 kHz: F0 by Harvest or DIO, CheapTrick, D4C. Not random."""

    config_class = WorldConfig

    def setup(self) -> None:
        """Check the name of the F0 estimator."""
        if self.config.f0 not in ("harvest", "dio"):
            raise MasdError(f"vocoder {self.name}: f0 is {self.config.f0!r}, but must be harvest or dio")

    def synthesise(self, x: np.ndarray, seed: int) -> np.ndarray:
        """Return the WORLD re-synthesis of `x` (N,) at 16 kHz."""
        rate, period = self.sample_rate, self.config.frame_period
        samples = x.astype(np.float64)
        if self.config.f0 == "harvest":
            f0, times = pyworld.harvest(samples, rate, frame_period=period)
        else:
            coarse, times = pyworld.dio(samples, rate, frame_period=period)
            f0 = pyworld.stonemask(samples, coarse, times, rate)
        envelope = pyworld.cheaptrick(samples, f0, times, rate)
        aperiodicity = pyworld.d4c(samples, f0, times, rate)
        return pyworld.synthesize(f0, envelope, aperiodicity, rate, frame_period=period).astype(np.float32)
