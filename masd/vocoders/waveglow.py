"""WaveGlow (R. Prenger, R. Valle, B. Catanzaro, 2019): state dicts of NVIDIA's published models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d

from masd.errors import MasdError
from masd.models.state import State, read_checkpoint
from masd.vocoders.base import Config
from masd.vocoders.checkpoint import fold_weight_norm, load_strictly
from masd.vocoders.mel import MelSpec
from masd.vocoders.network import MelNetwork, generators, noise

MEL = MelSpec(22050, center=True)


@dataclass
class WaveGlowConfig(Config):
    """Configuration of WaveGlow.

    Args:
        checkpoint: a file with the model's state dict, by itself or under `state_dict` or `model`; sizes are
            read off it.
        sigma: deviation of the latent noise; NVIDIA's own inference uses 0.6.
    """

    checkpoint: str = ""
    sigma: float = 0.6


class WaveGlow(MelNetwork[WaveGlowConfig]):
    """WaveGlow at 22.05 kHz; the latent is random."""

    config_class = WaveGlowConfig
    files = ("checkpoint",)
    published = (
        "NVIDIA's NGC catalogue, model waveglowpyt_fp32, has nvidia_waveglowpyt_fp32_20190306.pth, a state "
        "dict; waveglow_256channels_universal_v5.pt of github.com/NVIDIA/waveglow is a pickled module, to be "
        "converted"
    )
    sample_rate = MEL.rate

    def load(self) -> tuple[MelSpec, nn.Module]:
        """Return the spectrogram and the model."""
        path = self.config.checkpoint
        state = join_conditions(fold_weight_norm(read_checkpoint(path, ("state_dict", "model"))))
        return MEL, load_strictly(Flow(*sizes(state, path)), state, path)

    def generate(self, network: nn.Module, mel: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return waveforms (B, N) of mel spectrograms (B, n_mels, T), latents drawn from `seeds`."""
        return network(mel, self.config.sigma, generators(seeds))


def join_conditions(state: State) -> State:
    """Return a state dict with one conditioning layer a flow, where older models have one a WaveNet layer."""
    parts: dict[str, list[Tensor]] = {}
    joined: State = {}
    for name in sorted(state, key=lambda name: [int(w) if w.isdigit() else -1 for w in name.split(".")]):
        stem, found, rest = name.partition(".cond_layers.")
        if found:
            parts.setdefault(f"{stem}.cond_layer.{rest.partition('.')[2]}", []).append(state[name])
        else:
            joined[name] = state[name]
    return joined | {name: torch.cat(tensors) for name, tensors in parts.items()}


def sizes(state: State, path: str) -> tuple[int, list[int], int, int, int]:
    """Return mel bands, channels of each flow, WaveNet channels, layers, kernel size, off the shapes."""
    flows = 0
    while f"convinv.{flows}.conv.weight" in state:
        flows += 1
    layers = 0
    while f"WN.0.in_layers.{layers}.weight" in state:
        layers += 1
    if not flows or not layers or "upsample.weight" not in state:
        raise MasdError(
            f"{path}: no WaveGlow: lacks upsample.weight, convinv.0.conv.weight or WN.0.in_layers.0.weight_v"
        )
    inner = state["WN.0.in_layers.0.weight"]
    channels = [state[f"convinv.{k}.conv.weight"].shape[0] for k in range(flows)]
    return state["upsample.weight"].shape[0], channels, inner.shape[1], layers, inner.shape[2]


class Invertible(nn.Module):
    """The 1x1 convolution of a flow, which synthesis inverts."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return W^-1 x for x (B, channels, T)."""
        inverse = torch.linalg.inv(self.conv.weight[:, :, 0].double())
        return inverse.float() @ x


class WaveNet(nn.Module):
    """Gives a flow's shift and log scale by gated dilated convolutions conditioned on the mel spectrogram."""

    def __init__(self, half: int, conditions: int, channels: int, layers: int, kernel: int) -> None:
        super().__init__()
        self.channels = channels
        self.start = nn.Conv1d(half, channels, 1)
        self.end = nn.Conv1d(channels, 2 * half, 1)
        self.cond_layer = nn.Conv1d(conditions, 2 * channels * layers, 1)
        self.in_layers = nn.ModuleList(
            nn.Conv1d(channels, 2 * channels, kernel, dilation=2**i, padding=2**i * (kernel // 2))
            for i in range(layers)
        )
        self.res_skip_layers = nn.ModuleList(
            nn.Conv1d(channels, 2 * channels if i < layers - 1 else channels, 1) for i in range(layers)
        )

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return shift and log scale, (B, half, T) each, for x (B, half, T) and conditions (B, C, T)."""
        x = self.start(x)
        total = torch.zeros_like(x)
        for layer, mix, c in zip(
            self.in_layers, self.res_skip_layers, self.conditions(condition), strict=True
        ):
            tanh, sigmoid = (layer(x) + c).chunk(2, dim=1)
            *residual, skip = mix(torch.tanh(tanh) * torch.sigmoid(sigmoid)).split(self.channels, dim=1)
            total = total + skip
            if residual:
                x = x + residual[0]
        shift, log_scale = self.end(total).chunk(2, dim=1)
        return shift, log_scale

    def conditions(self, condition: Tensor) -> Iterator[Tensor]:
        """Yield what `cond_layer` gives each layer; at once it is 90 MB a second of audio (512 channels)."""
        weights, biases = (p.chunk(len(self.in_layers)) for p in self.cond_layer.parameters())
        for weight, bias in zip(weights, biases, strict=True):
            yield conv1d(condition, weight, bias)


class Flow(nn.Module):
    """The inverse of the normalising flow: log-mel (B, n_mels, T) and noise to waveforms (B, 256 T).

    Args:
        n_mels: mel bands.
        channels: of each flow; what a flow has more than the next one comes in as noise.
        width, layers, kernel: sizes of the WaveNets.
    """

    def __init__(self, n_mels: int, channels: list[int], width: int, layers: int, kernel: int) -> None:
        super().__init__()
        self.group = channels[0]  # samples that are treated as the channels of one step
        self.upsample = nn.ConvTranspose1d(n_mels, n_mels, 1024, stride=256)
        self.convinv = nn.ModuleList(Invertible(c) for c in channels)
        self.WN = nn.ModuleList(WaveNet(c // 2, n_mels * self.group, width, layers, kernel) for c in channels)

    def forward(self, mel: Tensor, sigma: float, latents: Sequence[torch.Generator]) -> Tensor:
        """Return the waveforms for latents of deviation `sigma`, drawn by a CPU generator for each item."""
        spread = self.upsample(mel)[..., : 256 * mel.shape[2]]
        steps = spread.shape[2] // self.group
        # the values of one step's samples are its conditions: band by band, sample by sample
        condition = spread.unflatten(2, (steps, self.group)).permute(0, 1, 3, 2).flatten(1, 2)
        audio = spread.new_empty(len(mel), 0, steps)
        for invert, net in zip(reversed(self.convinv), reversed(self.WN), strict=True):
            new = invert.conv.in_channels - audio.shape[1]
            audio = torch.cat([sigma * noise((new, steps), latents, mel), audio], dim=1)
            fixed, moved = audio.chunk(2, dim=1)
            shift, log_scale = net(fixed, condition)
            audio = invert(torch.cat([fixed, (moved - shift) * torch.exp(-log_scale)], dim=1))
        return audio.transpose(1, 2).flatten(1)
