"""Change of the sampling rate, in blocks of one size, so that any part of a result has the same bits."""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

_CHANNELS = 64


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
        import torch
        from torch.nn.functional import conv1d

        x = np.pad(self._held[: self._need], (0, max(0, self._need - len(self._held))))
        self._held = self._held[self.block :]
        with torch.inference_mode():
            y = conv1d(torch.from_numpy(x)[None, None], self._kernel, stride=self._stride)
        y = y[0].T.reshape(-1).numpy()
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
def _kernel(orig: int, new: int, group: int) -> tuple[torch.Tensor, int]:
    """Return torchaudio's filters for `group` x `new` outputs at once, and how far they reach to either side.

    So many at once, for a convolution of few channels is slow: 48 to 16 kHz takes a sixth of the time.
    """
    import torch
    from torchaudio.transforms import Resample

    kind = {"resampling_method": "sinc_interp_kaiser", "beta": 14.769656459379492}
    one = Resample(orig, new, lowpass_filter_width=128, rolloff=0.974, **kind)
    width = one.kernel.shape[-1]
    many = torch.zeros(group, new, 1, width + orig * (group - 1))
    for i in range(group):
        many[i, :, :, i * orig : i * orig + width] = one.kernel
    return many.flatten(0, 1), one.width
