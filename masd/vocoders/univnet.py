"""UnivNet (W. Jang et al., 2021), as transformers.UnivNetModel holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from masd.errors import MasdError
from masd.models.state import read_checkpoint
from masd.vocoders.base import Config
from masd.vocoders.checkpoint import load_strictly, read_config
from masd.vocoders.mel import MelSpec
from masd.vocoders.network import MelNetwork, generators, noise

WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@dataclass
class UnivNetConfig(Config):
    """Configuration of UnivNet.

    Args:
        checkpoint: a folder with config.json and model.safetensors (or pytorch_model.bin).
        sampling_rate: the rate in Hz at which it was trained, which config.json does not say.
    """

    checkpoint: str = ""
    sampling_rate: int = 24000


class UnivNet(MelNetwork[UnivNetConfig]):
    """UnivNet at 24 kHz; the noise that it shapes is random."""

    config_class = UnivNetConfig
    files = ("checkpoint",)
    bounded = True
    least = 4
    published = (
        "huggingface.co/dg845/univnet-dev has config.json and model.safetensors, converted from the c32 "
        "model of github.com/maum-ai/univnet"
    )

    def setup(self) -> None:
        """Read the folder's config.json."""
        folder = Path(self.config.checkpoint)
        self.sample_rate = self.config.sampling_rate
        if not (folder / "config.json").is_file():
            raise MasdError(f"{folder}: no config.json; {self.published}")
        self.hparams = read_config(
            folder / "config.json", ("model_in_channels", "num_mel_bins", "resblock_stride_sizes")
        )
        self.weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
        if self.weights is None:
            raise MasdError(f"{folder}: no {' or '.join(WEIGHTS)}; {self.published}")

    def load(self) -> tuple[MelSpec, Any]:
        """Return the spectrogram and the model."""
        try:
            from transformers import UnivNetConfig as HFConfig
            from transformers import UnivNetModel
        except ImportError as error:
            raise MasdError(f"vocoder {self.name}: pip install transformers ({error})") from None
        try:
            config = HFConfig(**self.hparams)
            model = UnivNetModel(config)
        except (TypeError, ValueError, AssertionError) as error:
            raise MasdError(f"{self.config.checkpoint}/config.json: no UnivNet's ({error})") from None
        hop = int(np.prod(self.hparams["resblock_stride_sizes"]))
        f_max = self.config.sampling_rate / 2
        spec = MelSpec(
            self.sample_rate, 1024, 1024, hop, config.num_mel_bins, 0.0, f_max, magnitude_floor=1e-9
        )
        return spec, load_strictly(model, read_checkpoint(self.weights), self.weights)

    def generate(self, network: nn.Module, mel: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return waveforms (B, N) of mel spectrograms (B, n_mels, T), with noise drawn from `seeds`."""
        drawn = noise((mel.shape[2], network.config.model_in_channels), generators(seeds), mel)
        return network(input_features=mel.transpose(1, 2), noise_sequence=drawn).waveforms
