"""The encoder E: five residual blocks over each frequency band, convolutions shared (Sec. II-A.1, Eq. 1)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from masd.errors import MasdError
from masd.models.bands import band_ranges
from masd.models.config import EncoderConfig
from masd.models.normalization import MaskedBatchNorm2d, frame_mask
from masd.models.state import load_state, read_tensors, write_tensors
from masd.stage.files import config_from, plain, read_yaml, write_yaml

if TYPE_CHECKING:
    from masd.feats.config import FeatsConfig


class _Block(nn.Module):
    """conv3x3 - BN - ReLU - conv3x3 - BN, plus 1x1 conv - BN, ReLU after the sum; `sets` sets of BN."""

    def __init__(
        self, inputs: int, outputs: int, stride: tuple[int, int], sets: int, momentum: float
    ) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm1, self.norm2, self.norm_skip = (
            nn.ModuleList(MaskedBatchNorm2d(outputs, momentum) for _ in range(sets)) for _ in range(3)
        )

    def forward(self, x: Tensor, mask: Tensor | None, which: int) -> Tensor:
        y = F.relu_(self.norm1[which](self.conv1(x), mask))
        y = self.norm2[which](self.conv2(y), mask)
        # Strided here, not in the convolution: oneDNN 3.12 writes out of bounds in the weight gradient
        # of a strided 1x1 convolution of one channel (float32, channels_last).
        x = x[:, :, :: self.stride[0], :: self.stride[1]]
        return F.relu_(y.add_(self.norm_skip[which](self.skip(x), mask)))


class Encoder(nn.Module):
    """Maps a log-mel spectrogram to a sequence of vectors for each frequency band.

    Whatever stands in padded frames has no influence: they are zeroed in the input and after every
    normalisation, and enter no statistics, so an utterance's output does not depend on its batch.

    Args:
        config: the layout.
        n_mels: mel bins of the input.
        f_min: lower edge of the mel filter bank in Hz (says which bins form a band).
        f_max: upper edge in Hz.

    Attributes:
        mel_mean: buffer (n_mels,), subtracted from the input.
        mel_std: buffer (n_mels,), the input is divided by it.
        alpha_logits: (J,), zero at first; alpha = softmax(alpha_logits).
    """

    def __init__(
        self, config: EncoderConfig | None = None, n_mels: int = 64, f_min: float = 0.0, f_max: float = 8000.0
    ) -> None:
        super().__init__()
        self.config = config = config or EncoderConfig()
        self.ranges = band_ranges(config.bands, n_mels, f_min, f_max)
        self.register_buffer("mel_mean", torch.zeros(n_mels))
        self.register_buffer("mel_std", torch.ones(n_mels))
        sets = self.num_bands if config.batch_norm == "per_band" else 1
        strides = list(zip(config.freq_stride, config.time_stride, strict=True))
        inputs = (1, *config.channels[:-1])
        self.blocks = nn.ModuleList(
            _Block(i, o, s, sets, config.bn_momentum)
            for i, o, s in zip(inputs, config.channels, strides, strict=True)
        )
        self.project = nn.Linear(config.channels[-1], config.dim)
        learned = config.fuse_weights == "learned" and self.num_bands > 1
        self.alpha_logits = nn.Parameter(torch.zeros(self.num_bands), requires_grad=learned)

    @property
    def num_bands(self) -> int:
        """J, 3 or 1."""
        return len(self.ranges)

    @property
    def alpha(self) -> Tensor:
        """The weights of the bands (J,), positive, of sum 1."""
        return self.alpha_logits.softmax(0)

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Store each mel bin's mean and deviation (n_mels,); ignored where the config says `raw`."""
        if self.config.normalise == "per_bin":
            self.mel_mean.copy_(mean)
            self.mel_std.copy_(std.clamp_min(1e-3))

    def standardise(self, mel: Tensor) -> Tensor:
        """Return (B, T, n_mels) log-mel with each bin standardised (as it is where the config says `raw`)."""
        return (mel - self.mel_mean) / self.mel_std

    def out_lengths(self, lengths: Tensor) -> Tensor:
        """Return the output frames (B,) for input frames (B,): ceil(n / stride) in every block."""
        for stride in self.config.time_stride:
            lengths = torch.div(lengths + stride - 1, stride, rounding_mode="floor")
        return lengths

    def forward(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode log-mel.

        Args:
            mel: (B, T, n_mels), natural log; anything may stand in padded frames.
            lengths: (B,), valid frames, 1 to T.

        Returns:
            z (B, J, T', D), zero in padded frames, and the valid frames of each item (B,).
        """
        return self.encode(self.standardise(mel), lengths)

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, from an already standardised (B, T, n_mels) input (which may have been masked)."""
        masks = self._masks(lengths, x.shape[1])
        if masks[0] is not None:
            # where, not a product: a padded frame may hold NaN
            x = torch.where(masks[0][:, :, None], x, 0.0)
        layout = _layout(self)
        z = torch.stack(
            [self._band(x[..., a:b], masks, j, layout) for j, (a, b) in enumerate(self.ranges)], 1
        )
        return z, self.out_lengths(lengths)

    def _band(self, x: Tensor, masks: list[Tensor | None], band: int, layout: torch.memory_format) -> Tensor:
        # (B, C, F, T): convolutions are twice as fast with the long axis last
        x = x.transpose(1, 2)[:, None].contiguous(memory_format=layout)
        which = band if self.config.batch_norm == "per_band" else 0
        for block, mask in zip(self.blocks, masks[1:], strict=True):
            x = block(x, mask if mask is None else mask[:, None, None, :].to(_compute_type(x)), which)
        z = self.project(x.mean(2).transpose(1, 2))
        return z if masks[-1] is None else z * masks[-1][:, :, None]

    def _masks(self, lengths: Tensor, frames: int) -> list[Tensor | None]:
        """Boolean masks (B, T_i) for the input and after every block; None where no frame is padded."""
        if bool((lengths == frames).all()):
            return [None] * (len(self.blocks) + 1)
        masks = [frame_mask(lengths, frames)]
        for stride in self.config.time_stride:
            lengths, frames = (lengths + stride - 1) // stride, -(-frames // stride)
            masks.append(frame_mask(lengths, frames))
        return masks

    def fuse(self, z: Tensor) -> Tensor:
        """Return z_fused (B, T', D) = sum_j alpha_j z_j (Eq. 1) of z (B, J, T', D)."""
        return torch.einsum("j,bjtd->btd", self.alpha.to(z.dtype), z)


def _compute_type(x: Tensor) -> torch.dtype:
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def _layout(encoder: Encoder) -> torch.memory_format:
    # A weight of many channels tells in which layout the encoder was put.
    weight = encoder.blocks[0].conv2.weight
    last = weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def save_encoder(
    folder: str | Path,
    encoder: Encoder,
    encoder_config: EncoderConfig,
    feats_config: FeatsConfig,
    extra: dict[str, Any],
) -> None:
    """Write `encoder.safetensors` and `encoder.yaml` (both configurations and `extra`) into `folder`."""
    folder = Path(folder)
    write_yaml(
        folder / "encoder.yaml", {"encoder": encoder_config, "feats": feats_config, "extra": plain(extra)}
    )
    write_tensors(folder / "encoder.safetensors", encoder.state_dict())


def load_encoder(folder: str | Path) -> tuple[Encoder, EncoderConfig, FeatsConfig]:
    """Read what `save_encoder` wrote; the encoder is on the CPU, frozen, in evaluation mode.

    Raises:
        MasdError: a file is missing, a configuration has unknown keys, or the weights do not fit it.
    """
    folder = Path(folder)
    config, feats, extra = read_configs(folder)
    encoder = Encoder(config, feats.n_mels, feats.f_min, feats.f_max)
    # what `half_state` leaves out; a tensor that is there takes its place
    left_out = _norm_constants(encoder) if extra.get("half") else {}
    load_weights(encoder, folder / "encoder.safetensors", left_out)
    return encoder.eval().requires_grad_(False), config, feats


def read_configs(folder: Path) -> tuple[EncoderConfig, FeatsConfig, dict[str, Any]]:
    """Return what `encoder.yaml` says: both configurations, and what else was stored with the encoder.

    Raises:
        MasdError: the file is missing, or a configuration has unknown keys.
    """
    from masd.feats.config import FeatsConfig

    path = folder / "encoder.yaml"
    content = read_yaml(path)
    if not isinstance(content, dict) or not {"encoder", "feats"} <= content.keys():
        raise MasdError(f"{path}: not an encoder's configuration (sections encoder and feats)")
    config, extra = config_from(EncoderConfig, content["encoder"], path), content.get("extra") or {}
    if not isinstance(extra, dict):
        raise MasdError(f"{path}: extra: is no mapping; make the encoder again")
    return config, FeatsConfig.from_dict(content["feats"], path), extra


def half_state(encoder: Encoder) -> dict[str, Tensor]:
    """Return the encoder's weights in half precision, statistics of batch normalisation folded into its maps.

    What that leaves of a normalisation is one scale and one shift a channel (that of the skip connection
    stands in the shift it is added to); the mel statistics stay in single precision.
    """
    state = dict(encoder.state_dict())
    for number, block in enumerate(encoder.blocks):
        for part in ("norm1", "norm2", "norm_skip"):
            for band, norm in enumerate(getattr(block, part)):
                name = f"blocks.{number}.{part}.{band}"
                state[f"{name}.weight"], state[f"{name}.bias"] = norm.folded()
                del state[f"{name}.running_mean"], state[f"{name}.running_var"]
        for band in range(len(block.norm2)):
            skip = state.pop(f"blocks.{number}.norm_skip.{band}.bias")
            state[f"blocks.{number}.norm2.{band}.bias"] += skip
    whole = {name: value for name, value in state.items() if name.startswith("mel_")}
    return {name: value.detach().half() for name, value in state.items()} | whole


def save_half(folder: Path, encoder: Encoder, content: dict[str, Any], int8: bool = False) -> None:
    """Write `half_state` and `content`, that of the encoder's encoder.yaml, as a folder of `load_encoder`.

    With `int8` its matrices and kernels are stored in 8 bits.
    """
    state = half_state(encoder)
    if int8:
        state = {part: value for name, whole in state.items() for part, value in _in_8_bits(name, whole)}
    write_yaml(folder / "encoder.yaml", content | {"extra": (content.get("extra") or {}) | {"half": True}})
    write_tensors(folder / "encoder.safetensors", state)


_SCALE = ".scale"  # after the name of a tensor in 8 bits: what a step is, for each output channel


def _in_8_bits(name: str, value: Tensor) -> list[tuple[str, Tensor]]:
    if value.dim() < 2:
        return [(name, value)]
    value = value.float()
    scale = value.flatten(1).abs().amax(1).clamp_min(1e-12) / 127
    steps = (value / scale.view(-1, *[1] * (value.dim() - 1))).round().to(torch.int8)
    return [(name, steps), (f"{name}{_SCALE}", scale)]


def _from_8_bits(state: dict[str, Tensor]) -> dict[str, Tensor]:
    scales = {name: state.pop(name) for name in list(state) if name.endswith(_SCALE)}
    for name, scale in scales.items():
        steps = state.get(name.removesuffix(_SCALE))
        if steps is None:  # then what it scales is named as missing
            continue
        state[name.removesuffix(_SCALE)] = steps.float() * scale.view(-1, *[1] * (steps.dim() - 1))
    return state


def _norm_constants(encoder: Encoder) -> dict[str, Tensor]:
    """Return statistics and shifts with which the maps that `half_state` stores are all there is."""
    found = {}
    for name, norm in encoder.named_modules():
        if isinstance(norm, MaskedBatchNorm2d):
            zero = torch.zeros_like(norm.running_mean)
            found |= {f"{name}.running_mean": zero, f"{name}.running_var": zero + (1.0 - norm.eps)}
            if ".norm_skip." in name:
                found[f"{name}.bias"] = zero
    return found


def load_weights(module: nn.Module, path: str | Path, left_out: dict[str, Tensor] | None = None) -> None:
    """Load a safetensors file into `module`, strictly; `MasdError` names what does not fit.

    Args:
        module: what takes the weights, in its own precision.
        path: the file.
        left_out: tensors that the file need not hold.
    """
    load_state(module, (left_out or {}) | _from_8_bits(read_tensors(path)), path)
