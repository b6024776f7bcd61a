"""MelGAN (K. Kumar et al., 2019): checkpoints of descriptinc/melgan-neurips and of seungwonpark/melgan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from masd.errors import MasdError
from masd.models.state import State, read_checkpoint
from masd.vocoders.base import Config
from masd.vocoders.checkpoint import fold_weight_norm, load_strictly
from masd.vocoders.mel import MelSpec
from masd.vocoders.network import MelNetwork

RATIOS = (8, 8, 2, 2)
DESCRIPT_MEL = MelSpec(22050, f_max=11025.0, log10=True)
# seungwonpark's frames are centred, its generator scales the natural logarithm itself
SEUNGWON_MEL = MelSpec(22050, f_max=8000.0, center=True)


@dataclass
class MelGANConfig(Config):
    """Configuration of MelGAN.

    Args:
        checkpoint: descriptinc's `multi_speaker.pt` or `linda_johnson.pt` (or a `best_netG.pt` of theirs), or
            seungwonpark's `nvidia_tacotron2_LJ11_epoch6400.pt`. Which one it is shows in its names.
    """

    checkpoint: str = ""


class MelGAN(MelNetwork[MelGANConfig]):
    """MelGAN at 22.05 kHz. Not random."""

    config_class = MelGANConfig
    files = ("checkpoint",)
    bounded = True
    least = 4
    published = (
        "github.com/descriptinc/melgan-neurips has models/multi_speaker.pt; github.com/seungwonpark/melgan "
        "has nvidia_tacotron2_LJ11_epoch6400.pt in release v0.3-alpha"
    )
    sample_rate = 22050

    def load(self) -> tuple[MelSpec, nn.Module]:
        """Return the spectrogram and the generator."""
        path = self.config.checkpoint
        state = fold_weight_norm(read_checkpoint(path, ("model_g",)))
        if any(name.startswith("generator.") for name in state):
            return SEUNGWON_MEL, load_strictly(SeungwonGenerator(), state, path)
        return DESCRIPT_MEL, load_strictly(DescriptGenerator(*descript_sizes(state, path)), state, path)

    def generate(self, network: nn.Module, mel: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return the generator's waveforms (B, N) of mel spectrograms (B, n_mels, T)."""
        return network(mel)[:, 0]


def descript_sizes(state: State, path: str) -> tuple[int, int, int]:
    """Return mel bands, base channels and residual blocks a stage, as the first and last layers show them."""
    first, last = (
        state.get("model.1.weight"),
        max((int(k.split(".")[1]) for k in state if k[:6] == "model."), default=0),
    )
    if first is None or first.dim() != 3:
        raise MasdError(
            f"{path}: no MelGAN generator: neither model.1.weight_v (descriptinc) nor generator.1.weight_v "
            "(seungwonpark) is in it"
        )
    # two layers at each end; a stage is an activation, an upsampling and its residual blocks
    return first.shape[1], first.shape[0] // 2 ** len(RATIOS), (last - 4) // len(RATIOS) - 2


class ResidualBlock(nn.Module):
    """descriptinc's block: a shortcut convolution beside a dilated one and a pointwise one."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.block = branch(channels, dilation)
        self.shortcut = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, T) for (B, channels, T)."""
        return self.shortcut(x) + self.block(x)


class ResidualStack(nn.Module):
    """seungwonpark's stack of three such blocks, with its own names."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(branch(channels, 3**i) for i in range(3))
        self.shortcuts = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, T) for (B, channels, T)."""
        for block, shortcut in zip(self.blocks, self.shortcuts, strict=True):
            x = shortcut(x) + block(x)
        return x


def branch(channels: int, dilation: int) -> nn.Sequential:
    """Return a dilated convolution over reflected ends, then a pointwise one, an activation before each."""
    return nn.Sequential(
        nn.LeakyReLU(0.2),
        nn.ReflectionPad1d(dilation),
        nn.Conv1d(channels, channels, 3, dilation=dilation),
        nn.LeakyReLU(0.2),
        nn.Conv1d(channels, channels, 1),
    )


def ends(n_mels: int, first: int, last: int) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the layers before the first and after the last stage."""
    head = [nn.ReflectionPad1d(3), nn.Conv1d(n_mels, first, 7)]
    return head, [nn.LeakyReLU(0.2), nn.ReflectionPad1d(3), nn.Conv1d(last, 1, 7), nn.Tanh()]


def upsampling(channels: int, ratio: int) -> list[nn.Module]:
    """Return an activation and the transposed convolution that halves channels and multiplies length."""
    return [
        nn.LeakyReLU(0.2),
        nn.ConvTranspose1d(channels, channels // 2, 2 * ratio, ratio, padding=ratio // 2),
    ]


class DescriptGenerator(nn.Module):
    """descriptinc's generator: log10 mel (B, n_mels, T) to waveform (B, 1, 256 T)."""

    def __init__(self, n_mels: int, base: int, blocks: int) -> None:
        super().__init__()
        channels = base * 2 ** len(RATIOS)
        head, tail = ends(n_mels, channels, base)
        layers = head
        for ratio in RATIOS:
            layers += upsampling(channels, ratio)
            channels //= 2
            layers += [ResidualBlock(channels, 3**i) for i in range(blocks)]
        self.model = nn.Sequential(*layers, *tail)

    def forward(self, mel: Tensor) -> Tensor:
        """Return the waveform of a mel spectrogram."""
        return self.model(mel)


class SeungwonGenerator(nn.Module):
    """seungwonpark's generator: natural-log mel (B, 80, T) to waveform (B, 1, 256 T)."""

    def __init__(self) -> None:
        super().__init__()
        channels = 512
        head, tail = ends(80, channels, 32)
        layers = head
        for ratio in RATIOS:
            layers += upsampling(channels, ratio)
            channels //= 2
            layers.append(ResidualStack(channels))
        self.generator = nn.Sequential(*layers, *tail)

    def forward(self, mel: Tensor) -> Tensor:
        """Return the waveform of a mel spectrogram."""
        return self.generator((mel + 5.0) / 5.0)
