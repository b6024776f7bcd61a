"""Change of the sampling rate, in blocks of one size, so that any part of a result has the same bits."""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import numpy as np

_CHANNELS = 64
_ZEROS, _ROLLOFF, _BETA = 128, 0.974, 14.769656459379492  # zero crossings, cutoff, Kaiser window


class Resampler:
    """Windowed-sinc interpolation of a stream that comes in pieces.

    Kaiser window, 128 zero crossings, flat to 0.95 of the lower Nyquist frequency. Every convolution has the
    same shape (about a second, with margins; zeros outside the recording), so the output does not depend on
    how the stream is cut into pieces or how far it is read. Rates without a small ratio are approximated
    within 1e-6 of the ratio (44056:16000), exact for all common ones.

    Args:
        from_rate: of the input in Hz.
        to_rate: of the output in Hz.

    Attributes:
        block: input samples of one convolution, without its margins.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        ratio = Fraction(from_rate, to_rate).limit_denominator(1000)
        self.orig, self.new = ratio.numerator, ratio.denominator
        self.same = ratio == 1
        group = max(1, _CHANNELS // self.new)
        self.block = self.orig * group * max(1, round(to_rate / self.new / group))
        self._held = np.zeros(0, np.float32)  # begins a margin before the next block
        if not self.same:
            self._kernel, self._margin = _kernel(self.orig, self.new, group)
            self._held = np.zeros(self._margin, np.float32)
            self._stride = self.orig * group
            self._need = self.block + 2 * self._margin
        self._came = self._gave = 0

    def push(self, x: np.ndarray) -> list[np.ndarray]:
        """Take the next samples (n,) and return what can be told by now, float32 blocks."""
        if self.same:
            return [x]
        self._came += len(x)
        self._held = np.concatenate([self._held, x])
        made = []
        while len(self._held) >= self._need:
            made.append(self._next())
        return made

    def finish(self) -> list[np.ndarray]:
        """Return the rest, when no more samples will come."""
        total, made = -(-self._came * self.new // self.orig), []
        while self._gave < total:
            left = total - self._gave
            made.append(self._next()[:left])
        return made

    def _next(self) -> np.ndarray:
        x = np.pad(self._held[: self._need], (0, max(0, self._need - len(self._held))))
        self._held = self._held[self.block :]
        frames = np.lib.stride_tricks.sliding_window_view(x, len(self._kernel))[:: self._stride]
        y = (np.ascontiguousarray(frames) @ self._kernel).reshape(-1)
        self._gave += len(y)
        return y


def resample(x: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Change the sampling rate of x (N,) as `Resampler` does; returns float32 (ceil(N to/from),)."""
    x = np.asarray(x, np.float32)
    if from_rate == to_rate or len(x) == 0:
        return x
    resampler = Resampler(from_rate, to_rate)
    if resampler.same:
        return x
    blocks = resampler.push(x) + resampler.finish()
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


# all that `masd.audio.augment.change_speed` asks for: making one takes longer than using it
@functools.lru_cache(maxsize=32)
def _kernel(orig: int, new: int, group: int) -> tuple[np.ndarray, int]:
    """Return filters (K, group x new), float32, for so many outputs at once, and their reach to either side.

    So many at once, for a product with few columns is slow: 48 to 16 kHz takes a sixth of the time.
    """
    cutoff = min(orig, new) * _ROLLOFF  # in units of which the rates are orig and new
    reach = math.ceil(_ZEROS * orig / cutoff)
    at = np.arange(-reach, reach + orig)[:, None] / orig - np.arange(new) / new
    x = np.clip(at * cutoff, -_ZEROS, _ZEROS)
    window = np.i0(_BETA * np.sqrt(1.0 - np.square(x / _ZEROS))) / np.i0(_BETA)
    one = np.sinc(x) * window * (cutoff / orig)
    many = np.zeros((len(one) + orig * (group - 1), group * new), np.float32)
    for i in range(group):
        many[i * orig : i * orig + len(one), i * new : (i + 1) * new] = one
    return many, reach
