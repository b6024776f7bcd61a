"""The mel spectrograms that mel vocoders are conditioned on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn.functional import pad
from torchaudio.functional import melscale_fbanks


@dataclass(frozen=True)
class MelSpec:
    """How a published vocoder computes its mel spectrogram (Slaney's mel scale and area normalisation).

    Args:
        rate: Hz.
        n_fft, win_length, hop_length: in samples; the window is a periodic Hann window.
        n_mels, f_min, f_max: mel bands, and their range in Hz.
        center: frames centred on multiples of the hop (reflected ends), as librosa does; else the ends
            are reflected by (n_fft - hop) / 2 each, so that N samples give N // hop frames.
        magnitude_floor: is added to the power before the square root.
        log_floor: least mel magnitude before the natural logarithm.
        log10: take the decimal logarithm instead.
    """

    rate: int
    n_fft: int = 1024
    win_length: int = 1024
    hop_length: int = 256
    n_mels: int = 80
    f_min: float = 0.0
    f_max: float = 8000.0
    center: bool = False
    magnitude_floor: float = 0.0
    log_floor: float = 1e-5
    log10: bool = False

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the log-mel magnitude spectrogram (n_mels, T) of samples `x` (N,)."""
        mel = (filters(self).T @ self.magnitude(x)).clamp_min(self.log_floor)
        return mel.log10() if self.log10 else mel.log()

    def magnitude(self, x: torch.Tensor) -> torch.Tensor:
        """Return the magnitude spectrogram (n_fft // 2 + 1, T) of samples `x` (N,)."""
        margin = self.n_fft // 2 if self.center else (self.n_fft - self.hop_length) // 2
        short = max(0, margin + 1 - len(x))  # a reflection needs more samples than it makes
        x = pad(pad(x, (0, short))[None], (margin, margin), mode="reflect")[0]
        window = torch.hann_window(self.win_length)
        spectrum = torch.stft(
            x, self.n_fft, self.hop_length, self.win_length, window, center=False, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return (power + self.magnitude_floor).sqrt()


def lengthen(mel: torch.Tensor, least: int) -> torch.Tensor:
    """Return (n_mels, T), its last frame repeated up to `least` frames: some models reflect their ends."""
    missing = least - mel.shape[1]
    return mel if missing <= 0 else torch.cat([mel, mel[:, -1:].expand(-1, missing)], dim=1)


@lru_cache(maxsize=8)
def filters(spec: MelSpec) -> torch.Tensor:
    """Return the mel filters of `spec`, (n_fft // 2 + 1, n_mels)."""
    return melscale_fbanks(
        spec.n_fft // 2 + 1,
        spec.f_min,
        spec.f_max,
        spec.n_mels,
        spec.rate,
        norm="slaney",
        mel_scale="slaney",
    )
