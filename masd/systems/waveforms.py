"""What a network's training step sees: waveforms of one length, cropped or repeated."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from masd.audio.augment import AugmentConfig, augment
from masd.data.folder import DataFolder
from masd.errors import MasdError
from masd.ssl.data import FIXED
from masd.stage.seeding import generator
from masd.systems.config import RATE, NetworkConfig
from masd.systems.items import Hearing
from masd.systems.recordings import load_speech

log = logging.getLogger(__name__)


@dataclass
class WaveBatch:
    """B utterances.

    Attributes:
        x: (B, N) waveforms at 16 kHz.
        bonafide: (B,) booleans.
        speaker: (B,) positions among the training speakers, -1 for others.
        index: (B,) positions in the set.
    """

    x: Tensor
    bonafide: Tensor
    speaker: Tensor
    index: Tensor

    def to(self, device: torch.device) -> WaveBatch:
        """Return the batch on a device."""
        return WaveBatch(*(part.to(device) for part in (self.x, self.bonafide, self.speaker, self.index)))


Item = tuple[np.ndarray, bool, int, int]


class Waveforms(Dataset):
    """Utterances of a data folder as waveforms of one length.

    Item (epoch, index) depends on the seed, the epoch and the index alone. Epoch `FIXED` takes the
    beginning of each utterance and augments nothing, as at test. An utterance that cannot be read is named
    in the log and left out of its batch.

    Args:
        folder: data folder with utt2lab.
        utts: which of its utterances.
        config: length, crop, batch size, utterances of an epoch.
        augmentation: what is done to training waveforms.
        speakers: names in the order of `WaveBatch.speaker`.
        seed: root of all draws.
        allow_pipes: whether commands in wav.scp may run.
    """

    def __init__(
        self,
        folder: DataFolder,
        utts: Sequence[str],
        config: NetworkConfig,
        augmentation: AugmentConfig | None = None,
        speakers: Sequence[str] = (),
        seed: int = 0,
        allow_pipes: bool = False,
    ) -> None:
        self.folder, self.utts, self.config, self.seed = folder, list(utts), config, seed
        self.augmentation = augmentation or AugmentConfig()
        self.allow_pipes, self.hearing = allow_pipes, Hearing(config.samples)
        self.bonafide = np.array([folder.lab(utt) == "bonafide" for utt in self.utts])
        index = {name: k for k, name in enumerate(speakers)}
        self.speaker = [index.get(folder.spk(utt), -1) for utt in self.utts]

    def __len__(self) -> int:
        return len(self.utts)

    @property
    def epoch_utts(self) -> int:
        """Utterances of an epoch."""
        return self.config.epoch_size(len(self.utts))

    def __getitem__(self, key: tuple[int, int]) -> Item | None:
        """Return item (epoch, index): waveform (N,), bona fide, speaker, index; None if unreadable."""
        epoch, index = key
        try:
            x = load_speech(self.folder, self.utts[index], self.hearing, self.allow_pipes)
        except MasdError as error:
            log.warning("utterance %s is left out: %s", self.utts[index], error)
            return None
        start = 0
        if epoch != FIXED:
            rng = generator(self.seed, "waveform", epoch, index)
            if self.augmentation.active:
                x = augment(x, self.augmentation, rng, RATE)
            spare = len(x) - self.config.samples
            start = int(rng.integers(0, spare + 1)) if spare > 0 and self.config.crop == "random" else 0
        x = fit_length(x[start:], self.config.samples)
        return x, bool(self.bonafide[index]), self.speaker[index], index

    def collate(self, items: Sequence[Item | None]) -> WaveBatch:
        """Stack the items that could be read."""
        there = [item for item in items if item is not None]
        if not there:
            raise MasdError(f"{self.folder.path}: none of {len(items)} utterances of a batch could be read")
        x, bonafide, speaker, index = zip(*there, strict=True)
        return WaveBatch(
            torch.from_numpy(np.stack(x)), torch.tensor(bonafide), torch.tensor(speaker), torch.tensor(index)
        )

    def batches(self, epoch: int) -> list[list[int]]:
        """Divide an epoch's utterances into batches of nearly equal size.

        Epochs take up where the one before ended, in an order drawn anew for every pass over the set;
        `FIXED` is the whole set in order.
        """
        if epoch == FIXED:
            order = np.arange(len(self))
        else:
            size, total = self.epoch_utts, len(self)
            places = np.arange(epoch * size, (epoch + 1) * size)
            numbers = set((places // total).tolist())
            passes = {p: generator(self.seed, "order", p).permutation(total) for p in numbers}
            order = np.array([passes[place // total][place % total] for place in places.tolist()])
        return [part.tolist() for part in np.array_split(order, math.ceil(len(order) / self.config.batch))]

    def announce(self, epoch: int, batches: list[list[int]]) -> Iterator[list[int]]:
        """Yield the batches."""
        yield from batches


def fit_length(x: np.ndarray, samples: int) -> np.ndarray:
    """Return the first `samples` of x (N,), repeated from its start as often as that takes."""
    if len(x) < samples:
        x = np.tile(x, -(-samples // len(x)))
    return np.ascontiguousarray(x[:samples], dtype=np.float32)
