"""The encoder's configuration; apart from the encoder, so that argument parsers need not load torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from masd.errors import MasdError

_LARGEST = 4096  # what a damaged file states may be more than there is memory


@dataclass(frozen=True)
class EncoderConfig:
    """What the encoder looks like. The literal reading of the paper stands in brackets.

    Args:
        channels: output channels of the residual blocks.
        freq_stride: stride of each block along frequency.
        time_stride: stride of each block along time, 401 frames -> 101 [2,2,2,2,2: 401 -> 13].
        dim: size D of an output frame.
        bands: `multi` for low, mid and high, `single` for the full band.
        batch_norm: `per_band`: each band has its own statistics and affine map [`shared`].
        normalise: `per_bin`: each mel bin standardised by the pretraining set [`raw`].
        fuse_weights: `learned`: alpha = softmax of learnable scalars [`fixed`: equal weights].
        bn_momentum: weight of a new batch in the running statistics of batch normalisation.
        edge_frames: output frames at either end of an utterance that pooling leaves out, since the
            convolutions see zeros beyond the ends and the mean would tell the length: half the
            receptive field but for one input frame [0].
    """

    channels: tuple[int, ...] = (64, 128, 256, 256, 128)
    freq_stride: tuple[int, ...] = (2, 2, 2, 2, 2)
    time_stride: tuple[int, ...] = (2, 2, 1, 1, 1)
    dim: int = 128
    bands: Literal["multi", "single"] = "multi"
    batch_norm: Literal["per_band", "shared"] = "per_band"
    normalise: Literal["per_bin", "raw"] = "per_bin"
    fuse_weights: Literal["learned", "fixed"] = "learned"
    bn_momentum: float = 0.1
    edge_frames: int = 8

    def __post_init__(self) -> None:
        for key in ("channels", "freq_stride", "time_stride"):
            object.__setattr__(self, key, tuple(int(v) for v in getattr(self, key)))  # YAML gives lists
        if not len(self.channels) == len(self.freq_stride) == len(self.time_stride) > 0:
            raise MasdError(
                "channels, freq_stride and time_stride of the encoder must have one value a block"
            )
        sizes = (*self.channels, *self.freq_stride, *self.time_stride, self.dim, len(self.channels))
        if not all(0 < size <= _LARGEST for size in sizes):
            raise MasdError(f"channels, strides and dim of the encoder must be 1 to {_LARGEST}")
        if not 0 <= self.edge_frames <= _LARGEST:
            raise MasdError(f"edge_frames: {self.edge_frames} must be 0 to {_LARGEST}")

    @property
    def frame_step(self) -> int:
        """Input frames to one output frame."""
        return math.prod(self.time_stride)
