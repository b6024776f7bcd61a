"""RawNet2 for anti-spoofing (Tak et al., ICASSP 2021), as the ASVspoof 2021 baseline releases it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from masd.models.sinc import sinc_filters


@dataclass(frozen=True)
class RawNet2Config:
    """The layout of RawNet2.

    Args:
        filters: band-pass filters of the first layer.
        first_conv: their length in samples (made odd).
        channels: outputs of the six residual blocks.
        gru: hidden units of the GRU.
        gru_layers: its layers.
        dim: dimension of the embedding.
    """

    filters: int = 20
    first_conv: int = 1024
    channels: tuple[int, ...] = (20, 20, 128, 128, 128, 128)
    gru: int = 1024
    gru_layers: int = 3
    dim: int = 1024


class _Block(nn.Module):
    """conv - BN - LeakyReLU(0.3) - conv beside the identity or a 1x1 convolution, max pooling by 3.

    As in the released code the first convolution takes the input before bn1, which is kept for its
    place in checkpoints and takes no part.
    """

    def __init__(self, inputs: int, outputs: int, first: bool) -> None:
        super().__init__()
        if not first:
            self.bn1 = nn.BatchNorm1d(inputs).requires_grad_(False)
        self.conv1 = nn.Conv1d(inputs, outputs, 3, padding=1)
        self.bn2 = nn.BatchNorm1d(outputs)
        self.conv2 = nn.Conv1d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.conv_downsample = nn.Conv1d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.leaky_relu(self.bn2(self.conv1(x)), 0.3, inplace=True))
        return F.max_pool1d(y + (self.conv_downsample(x) if hasattr(self, "conv_downsample") else x), 3)


class RawNet2(nn.Module):
    """A waveform's embedding and logits; the released checkpoints load as they are.

    Filter-wise feature map scaling after each block: x s + s with s = sigmoid(W mean_t x + b).

    Args:
        config: the layout.
    """

    def __init__(self, config: RawNet2Config | None = None) -> None:
        super().__init__()
        config = config or RawNet2Config()
        filters = sinc_filters(config.filters, config.first_conv)
        self.register_buffer("filters", filters, persistent=False)
        self.first_bn = nn.BatchNorm1d(config.filters)
        inputs = (config.filters, *config.channels[:-1])
        for k, (i, o) in enumerate(zip(inputs, config.channels, strict=True)):
            self.add_module(f"block{k}", nn.Sequential(_Block(i, o, first=k == 0)))
            self.add_module(f"fc_attention{k}", nn.Sequential(nn.Linear(o, o)))
        self.blocks = len(inputs)
        self.bn_before_gru = nn.BatchNorm1d(config.channels[-1])
        self.gru = nn.GRU(config.channels[-1], config.gru, config.gru_layers, batch_first=True)
        self.fc1_gru = nn.Linear(config.gru, config.dim)
        self.fc2_gru = nn.Linear(config.dim, 2)

    @property
    def dim(self) -> int:
        """Dimension of the embedding."""
        return self.fc1_gru.out_features

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map 16 kHz waveforms (B, N), published N = 64600, to (B, D) and logits (B, 2) [spoof, bona fide].

        The released model ends in a log-softmax, whose difference is that of these logits.
        """
        x = F.max_pool1d(F.conv1d(x[:, None], self.filters).abs(), 3)
        x = F.selu(self.first_bn(x), inplace=True)
        for k in range(self.blocks):
            x = self.get_submodule(f"block{k}")(x)
            scale = self.get_submodule(f"fc_attention{k}")(x.mean(2)).sigmoid()[:, :, None]
            x = x * scale + scale
        x = F.selu(self.bn_before_gru(x), inplace=True).transpose(1, 2)
        embedding = self.fc1_gru(self.gru(x)[0][:, -1])
        return embedding, self.fc2_gru(embedding)
