"""AASIST and AASIST-L (Jung et al., ICASSP 2022): the released checkpoints load as they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from masd.models.graph import GraphBackEnd
from masd.models.sinc import sinc_filters


@dataclass(frozen=True)
class AasistConfig:
    """The layout of AASIST.

    Args:
        filters: band-pass filters of the first layer.
        first_conv: their length in samples (made odd).
        channels: outputs of the six residual blocks.
        dims: dimensions of the graph nodes.
        pool_ratios: shares of spectral, temporal and heterogeneous nodes kept. The released configurations
            list a fourth that their code does not use.
        temperatures: of spectral, temporal and heterogeneous attention (likewise).
    """

    filters: int = 70
    first_conv: int = 128
    channels: tuple[int, ...] = (32, 32, 64, 64, 64, 64)
    dims: tuple[int, int] = (64, 32)
    pool_ratios: tuple[float, float, float] = (0.5, 0.7, 0.5)
    temperatures: tuple[float, float, float] = (2.0, 2.0, 100.0)


AASIST = AasistConfig()
AASIST_L = AasistConfig(
    channels=(32, 32, 24, 24, 24, 24),
    dims=(24, 32),
    pool_ratios=(0.4, 0.5, 0.7),
    temperatures=(2.0, 2.0, 100.0),
)


class ResidualBlock(nn.Module):
    """conv(2, 3) - BN - SELU - conv(2, 3) beside the identity or a 1 x 3 convolution, then pooling.

    The published block normalises its input (bn1) and then convolves the unnormalised one; bn1 is kept
    for its place in checkpoints, and takes no part.

    Args:
        inputs: channels in.
        outputs: channels out.
        first: whether this is the first block, which has no bn1.
        pool: frames that one output frame covers.
    """

    def __init__(self, inputs: int, outputs: int, first: bool, pool: int = 3) -> None:
        super().__init__()
        self.pool = pool
        if not first:
            self.bn1 = nn.BatchNorm2d(inputs).requires_grad_(False)
        self.conv1 = nn.Conv2d(inputs, outputs, (2, 3), padding=(1, 1))
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, (2, 3), padding=(0, 1))
        if inputs != outputs:
            self.conv_downsample = nn.Conv2d(inputs, outputs, (1, 3), padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, F, T) to (B, C', F, T // pool)."""
        y = self.conv2(F.selu(self.bn2(self.conv1(x)), inplace=True))
        y = y + (self.conv_downsample(x) if hasattr(self, "conv_downsample") else x)
        return F.max_pool2d(y, (1, self.pool)) if self.pool > 1 else y


def encoder(channels: tuple[int, ...], pool: int = 3) -> nn.Sequential:
    """Return the residual blocks, each in a Sequential of its own, as released checkpoints name them."""
    inputs = (1, *channels[:-1])
    pairs = enumerate(zip(inputs, channels, strict=True))
    return nn.Sequential(*(nn.Sequential(ResidualBlock(i, o, k == 0, pool)) for k, (i, o) in pairs))


class Aasist(GraphBackEnd):
    """A waveform's embedding and logits.

    Args:
        config: the layout; AASIST has 297,866 parameters, AASIST_L 85,306.
    """

    def __init__(self, config: AasistConfig = AASIST) -> None:
        channels = config.channels[-1]
        super().__init__(config.filters // 3, channels, config.dims, config.pool_ratios, config.temperatures)
        self.register_buffer("filters", sinc_filters(config.filters, config.first_conv), persistent=False)
        self.first_bn = nn.BatchNorm2d(1)
        # The maps are wide and have few channels: with these innermost a CPU trains 1.8 x as fast.
        self.encoder = encoder(config.channels).to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map 16 kHz waveforms (B, N), N = 64600, to (B, D) and logits (B, 2), [spoof, bona fide]."""
        bands = F.conv1d(x[:, None], self.filters).abs()
        x = F.selu(self.first_bn(F.max_pool2d(bands[:, None], (3, 3))), inplace=True)
        e = self.encoder(x).abs()
        return self.classify(e.amax(3).transpose(1, 2), e.amax(2).transpose(1, 2))
