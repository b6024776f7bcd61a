"""Classical copy-synthesis with parameters drawn by chance: many unlike vocoders at no cost.

A detector that has met three vocoders may learn these three. Here every call is another one: analysis window,
hop, bands, order, iterations, and how far phases are moved are drawn anew.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.random import Generator

from masd.audio import fit
from masd.errors import MasdError
from masd.stage.files import digest
from masd.vocoders.base import Adapter, Config, rms

RATE = 16000


def wide_copy(x: np.ndarray, kind: str, rng: Generator) -> np.ndarray:
    """Return a re-synthesis of `x` (N,) at 16 kHz, float32 (N,), with the level of `x`.

    Args:
        x: samples, finite and not silent.
        kind: one of `KINDS`.
        rng: where every parameter comes from.

    Raises:
        MasdError: the kind is unknown, `x` is silent, or the result is.
    """
    if kind not in KINDS:
        raise MasdError(f"wide vocoder {kind}: unknown; there are {', '.join(KINDS)}")
    x = np.asarray(x, dtype=np.float32)
    peak = np.abs(x).max(initial=0.0)
    if not 0 < peak < np.inf:
        raise MasdError(f"wide vocoder {kind}: the input must be finite and not silent")
    y = fit(KINDS[kind](x * np.float32(0.95 / peak), rng), len(x))
    if not np.isfinite(y).all() or rms(y) < 1e-6:
        raise MasdError(f"wide vocoder {kind}: no sound came out")
    return (y * (rms(x) / rms(y))).astype(np.float32)


def griffin_lim(x: np.ndarray, rng: Generator) -> np.ndarray:
    """Phase found for the magnitudes, of all bins or as 40 to 120 mel bands give them back."""
    from masd.vocoders import get

    n_fft = int(rng.choice([512, 1024, 2048]))
    config = {
        "source": str(rng.choice(["mel", "mel", "magnitude"])),
        "n_fft": n_fft,
        "hop_length": n_fft // int(rng.choice([4, 5, 8])),
        "n_mels": int(rng.choice([40, 60, 80, 100, 120])) if n_fft > 512 else 40,
        "iterations": int(rng.integers(4, 48)),
        "momentum": float(rng.choice([0.0, 0.5, 0.9, 0.99])),
    }
    return get("griffin_lim", config).synthesise(x, int(rng.integers(1 << 31)))


def lpc(x: np.ndarray, rng: Generator) -> np.ndarray:
    """Linear prediction with pulses or noise, of order 12 to 32."""
    from masd.vocoders import get

    config = {
        "order": int(rng.integers(12, 33)),
        "window": float(rng.uniform(18, 40)),
        "hop": float(rng.choice([4, 5, 8, 10, 12])),
        "preemphasis": float(rng.uniform(0.6, 0.97)),
    }
    return get("lpc", config).synthesise(x, int(rng.integers(1 << 31)))


def world(x: np.ndarray, rng: Generator) -> np.ndarray:
    """WORLD with DIO, frames of 2 to 12 ms, aperiodicity raised or lowered, sometimes a smoothed envelope."""
    from scipy.ndimage import gaussian_filter1d

    from masd.vocoders.world import pyworld

    samples, period = x.astype(np.float64), float(rng.uniform(2, 12))
    coarse, times = pyworld.dio(samples, RATE, frame_period=period)
    f0 = pyworld.stonemask(samples, coarse, times, RATE)
    envelope = pyworld.cheaptrick(samples, f0, times, RATE)
    aperiodicity = pyworld.d4c(samples, f0, times, RATE) ** rng.uniform(0.5, 2.0)
    if rng.random() < 0.5:
        envelope = np.exp(gaussian_filter1d(np.log(envelope), rng.uniform(1, 8), axis=1))
    return pyworld.synthesize(f0, envelope, aperiodicity, RATE, frame_period=period)


def phase_noise(x: np.ndarray, rng: Generator) -> np.ndarray:
    """Magnitudes kept, phases moved by noise, smooth over time or frequency, above some frequency."""
    from scipy.ndimage import gaussian_filter

    size, overlap = int(rng.choice([256, 512, 1024])), int(rng.choice([2, 4, 8]))
    spectrum = _stft(x, size, size // overlap)
    noise = gaussian_filter(rng.standard_normal(spectrum.shape), [rng.uniform(0, 3), rng.uniform(0, 6)])
    noise *= rng.uniform(0.4, 2.5) / noise.std()
    start = int(rng.choice([0.0, 0.0, 0.1, 0.25]) * len(spectrum))
    noise[:start] = 0
    return _istft(spectrum * np.exp(1j * noise), size, size // overlap, len(x))


def mel_magnitude(x: np.ndarray, rng: Generator) -> np.ndarray:
    """The phase kept, magnitudes as 30 to 80 mel bands give them back, as a good mel vocoder does."""
    size = int(rng.choice([512, 1024]))
    hop = size // int(rng.choice([4, 8]))
    spectrum = _stft(x, size, hop)
    mels = int(rng.choice([30, 40])) if size == 512 else int(rng.choice([40, 60, 80]))
    magnitude = np.abs(spectrum)
    coarse = np.maximum(_projection(size, mels) @ magnitude, 1e-7)
    share = rng.uniform(0.5, 1.0)
    new = coarse**share * (magnitude + 1e-9) ** (1 - share)
    jitter = rng.uniform(0, 0.8) * rng.standard_normal(spectrum.shape)
    return _istft(new * np.exp(1j * (np.angle(spectrum) + jitter)), size, hop, len(x))


def upsampling(x: np.ndarray, rng: Generator) -> np.ndarray:
    """The upper band in part from a lower rate through short filters: images, as neural upsampling leaves."""
    from scipy.signal import firwin, lfilter, resample_poly

    factor = int(rng.choice([2, 4, 8]))
    low = np.repeat(resample_poly(x, 1, factor), factor)[: len(x)]  # held samples: images at every multiple
    kernel = rng.uniform(0.2, 1.0, factor)
    images = lfilter(kernel / kernel.sum(), [1.0], low)
    edge = RATE / factor / 2 * rng.uniform(0.7, 1.0)
    high = lfilter(firwin(65, edge, pass_zero=False, fs=RATE), [1.0], np.pad(images, (0, 32)))[32:]
    own = lfilter(firwin(65, edge, fs=RATE), [1.0], np.pad(x, (0, 32)))[32:]
    rest = lfilter(firwin(65, edge, pass_zero=False, fs=RATE), [1.0], np.pad(x, (0, 32)))[32:]
    share = rng.uniform(0.2, 1.0)
    return own + rest * (1 - share) + high * share * rms(rest) / max(rms(high), 1e-9)


def _stft(x: np.ndarray, size: int, hop: int) -> np.ndarray:
    from scipy.signal import stft

    return stft(x, RATE, nperseg=size, noverlap=size - hop)[2]


def _istft(spectrum: np.ndarray, size: int, hop: int, length: int) -> np.ndarray:
    from scipy.signal import istft

    return fit(istft(spectrum, RATE, nperseg=size, noverlap=size - hop)[1], length)


@lru_cache(maxsize=16)
def _projection(size: int, mels: int) -> np.ndarray:
    """Return the projection (bins, bins) of magnitudes through mel bands and back."""
    from masd.vocoders.mel import MelSpec, filters

    bank = filters(MelSpec(RATE, n_fft=size, win_length=size, n_mels=mels)).double().numpy()
    return np.linalg.pinv(bank.T) @ bank.T


KINDS: dict[str, Callable[[np.ndarray, Generator], np.ndarray]] = {
    f.__name__: f for f in (griffin_lim, lpc, world, phase_noise, mel_magnitude, upsampling)
}


class Wide(Adapter[Config]):
    """Another vocoder for each utterance: its kind, and all that can be chosen of it, drawn by chance."""

    config_class = Config

    def load(self) -> None:
        """Find out now whether pyworld is there, not at the first utterance that draws WORLD."""
        importlib.import_module("masd.vocoders.world")

    def digest(self) -> str:
        """Return the digest of what it is made of: other adapters' output changes with their revisions."""
        from masd.vocoders import get

        return digest(super().digest(), get("griffin_lim").digest(), get("lpc").digest())

    def synthesise(self, x: np.ndarray, seed: int) -> np.ndarray:
        """Return the re-synthesis of `x` (N,) at 16 kHz by what `seed` draws."""
        kind, rng = self.draw(seed)
        return wide_copy(x, kind, rng)

    @staticmethod
    def draw(seed: int) -> tuple[str, Generator]:
        """Return the kind that `seed` draws, and the generator that draws the rest."""
        rng = np.random.default_rng(seed)
        return str(rng.choice(list(KINDS))), rng
