"""Vocoders that are networks from mel spectrograms to waveforms, on the CPU or in batches on a GPU."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from masd.stage.devices import device_class, repeatable
from masd.stage.files import digest
from masd.vocoders.base import Adapter, C
from masd.vocoders.mel import MelSpec, lengthen


class MelNetwork(Adapter[C]):
    """A network from log-mel spectrograms to waveforms; subclasses give `load` and `generate`.

    On a GPU waveforms with equally many frames are a batch, so that none is padded: a copy is what it is
    alone, but for rounding. Convolutions are then in TF32 where the GPU has it, by algorithms that give the
    same bits every time; copies made so have another digest than the CPU's.

    Class attributes:
        least: frames that the network takes at least; the last one is repeated.
    """

    network = True
    least: ClassVar[int] = 1

    def place(self, device: str) -> None:
        """Compute on torch's `device` from now on: `cpu`, `cuda:0`, ..."""
        self.device = device
        self.__dict__.pop("model", None)

    @abstractmethod
    def load(self) -> tuple[MelSpec, nn.Module]:
        """Return the spectrogram and the network, on the CPU."""

    @abstractmethod
    def generate(self, network: nn.Module, mel: Tensor, seeds: Sequence[int]) -> Tensor:
        """Return waveforms (B, N) of log-mel spectrograms (B, n_mels, T); what is random is by item."""

    @cached_property
    def model(self) -> tuple[MelSpec, nn.Module]:
        """The spectrogram, and the network on its device."""
        spec, network = self.load()
        return spec, network.to(self.device)

    def digest(self) -> str:
        """Return the digest of what copies depend on beside the input; of a GPU it says so."""
        own = super().digest()
        return own if self.device == "cpu" else digest(own, device_class(self.device, "tf32"))

    def synthesise(self, x: np.ndarray, seed: int) -> np.ndarray:
        """Return the network's waveform for the mel spectrogram of `x` (N,)."""
        return self.synthesise_all([x], [seed])[0]

    @torch.inference_mode()
    def synthesise_all(self, waves: Sequence[np.ndarray], seeds: Sequence[int]) -> list[np.ndarray]:
        """Return the networks' waveforms, those with equally many frames computed together."""
        spec, network = self.model
        mels = [lengthen(spec(torch.from_numpy(x)), self.least) for x in waves]
        alike: dict[int, list[int]] = {}
        for number, mel in enumerate(mels):
            alike.setdefault(mel.shape[1], []).append(number)
        made: dict[int, np.ndarray] = {}
        with repeatable(tf32=True):
            for numbers in alike.values():
                batch = torch.stack([mels[k] for k in numbers]).to(self.device)
                out = self.generate(network, batch, [seeds[k] for k in numbers])
                made.update(zip(numbers, out.cpu().numpy(), strict=True))
        return [made[k] for k in range(len(waves))]


def noise(shape: Sequence[int], generators: Sequence[torch.Generator], like: Tensor) -> Tensor:
    """Return normal noise (B, *shape) on the device of `like`, each item's by its own CPU generator."""
    return torch.stack([torch.randn(*shape, generator=one) for one in generators]).to(like.device)


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """Return a CPU generator for each seed: the noise is the same on any device, in any batch."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]
