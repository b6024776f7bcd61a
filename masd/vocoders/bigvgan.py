"""BigVGAN and BigVGAN-v2 (S. Lee et al., 2023): NVIDIA's published generators and their config.json."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv_transpose1d, pad

from masd.errors import MasdError
from masd.vocoders.hifigan import KEYS, HiFiGAN, Stages, mel_spec, same_conv
from masd.vocoders.mel import MelSpec

TAPS = 12  # of the half-band filters around each activation


class BigVGAN(HiFiGAN):
    """BigVGAN at the rate that its config.json says. Not random."""

    published = (
        "huggingface.co/nvidia/bigvgan_v2_22khz_80band_256x (github.com/NVIDIA/BigVGAN lists others) "
        "has bigvgan_generator.pt and config.json"
    )
    keys = (*KEYS, "activation", "snake_logscale")

    def setup(self) -> None:
        """Read the model's config.json."""
        super().setup()
        if self.hparams["activation"] not in ("snake", "snakebeta"):
            raise MasdError(f"{self.config.config}: activation must be snake or snakebeta")

    def load(self) -> tuple[MelSpec, nn.Module]:
        """Return the spectrogram and the generator."""
        return mel_spec(self.hparams), self.weighted(Generator(self.hparams))

    def generate(self, network: nn.Module, mel: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return the generator's waveforms (B, N) of mel spectrograms (B, n_mels, T)."""
        return network(mel)[:, 0]


def half_band_filter() -> Tensor:
    """Return the low-pass filter (1, 1, 12) at a quarter of the rate: a windowed sinc with unit gain at 0 Hz.

    The window's beta follows Kaiser's rule for 12 taps and a transition of 0.6 of the rate.
    """
    attenuation = 2.285 * (TAPS / 2 - 1) * math.pi * (4 * 0.3) + 7.95
    beta = 0.1102 * (attenuation - 8.7)
    time = torch.arange(TAPS) - (TAPS - 1) / 2
    taps = torch.kaiser_window(TAPS, periodic=False, beta=beta) * torch.sinc(time / 2) / 2
    return (taps / taps.sum()).view(1, 1, TAPS)


class Snake(nn.Module):
    """x + sin^2(a x) / b for each channel; b is `beta` or a; both may be stored as logarithms."""

    def __init__(self, channels: int, h: dict[str, Any]) -> None:
        super().__init__()
        self.log = bool(h["snake_logscale"])
        self.alpha = nn.Parameter(torch.zeros(channels) if self.log else torch.ones(channels))
        self.beta = nn.Parameter(self.alpha.detach().clone()) if h["activation"] == "snakebeta" else None

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, T) for (B, channels, T)."""
        alpha = self.alpha[:, None]
        beta = alpha if self.beta is None else self.beta[:, None]
        if self.log:
            alpha, beta = alpha.exp(), beta.exp()
        return x + torch.sin(alpha * x).square_().mul_(1.0 / (beta + 1e-9))


class Upsample(nn.Module):
    """Twice the rate: zeros between samples, then the half-band filter; ends are repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", half_band_filter())

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, 2 T) for (B, C, T)."""
        channels, margin = x.shape[1], TAPS // 2 - 1
        x = pad(x, (margin, margin), mode="replicate")
        y = 2 * conv_transpose1d(x, self.filter.expand(channels, -1, -1), stride=2, groups=channels)
        cut = 2 * margin + TAPS // 2 - 1
        return y[..., cut:-cut]


class Downsample(nn.Module):
    """Half the rate: the half-band filter, then every second sample; ends are repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.lowpass = nn.Module()
        self.lowpass.register_buffer("filter", half_band_filter())

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, T) for (B, C, 2 T)."""
        channels = x.shape[1]
        x = pad(x, (TAPS // 2 - 1, TAPS // 2), mode="replicate")
        return conv1d(x, self.lowpass.filter.expand(channels, -1, -1), stride=2, groups=channels)


class Activation(nn.Module):
    """Snake at twice the rate, so that what it adds above the Nyquist frequency is filtered off."""

    def __init__(self, channels: int, h: dict[str, Any]) -> None:
        super().__init__()
        self.act = Snake(channels, h)
        self.upsample = Upsample()
        self.downsample = Downsample()

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, T) for (B, channels, T)."""
        return self.downsample(self.act(self.upsample(x)))


class AMPBlock1(nn.Module):
    """Dilated convolutions in pairs, an activation before each, a residual around each pair."""

    def __init__(self, channels: int, kernel: int, dilations: list[int], h: dict[str, Any]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(same_conv(channels, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(same_conv(channels, kernel, 1) for _ in dilations)
        self.activations = nn.ModuleList(Activation(channels, h) for _ in range(2 * len(dilations)))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, T) for (B, channels, T)."""
        before_first, before_second = self.activations[::2], self.activations[1::2]
        for a, first, b, second in zip(before_first, self.convs1, before_second, self.convs2, strict=True):
            x = second(b(first(a(x)))) + x
        return x


class AMPBlock2(nn.Module):
    """Dilated convolutions, an activation before and a residual around each."""

    def __init__(self, channels: int, kernel: int, dilations: list[int], h: dict[str, Any]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(same_conv(channels, kernel, d) for d in dilations)
        self.activations = nn.ModuleList(Activation(channels, h) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, T) for (B, channels, T)."""
        for conv, activation in zip(self.convs, self.activations, strict=True):
            x = conv(activation(x)) + x
        return x


class Generator(Stages):
    """The generator of a config.json `h`, weight norm folded in: mel (B, n_mels, T) to (B, 1, T * hop)."""

    def __init__(self, h: dict[str, Any]) -> None:
        block = AMPBlock1 if str(h["resblock"]) == "1" else AMPBlock2
        super().__init__(h, partial(block, h=h), lambda up: nn.ModuleList([up]))
        self.activation_post = Activation(self.channels, h)
        self.conv_post = nn.Conv1d(self.channels, 1, 7, padding=3, bias=h.get("use_bias_at_final", True))
        self.tanh = h.get("use_tanh_at_final", True)

    def forward(self, mel: Tensor) -> Tensor:
        """Return the waveform of a log-mel spectrogram."""
        x = self.conv_pre(mel)
        for i, (up,) in enumerate(self.ups):
            x = up(x)
            x = sum(block(x) for block in self.blocks(i)) / self.per_stage
        x = self.conv_post(self.activation_post(x))
        return torch.tanh(x) if self.tanh else x.clamp(-1.0, 1.0)
