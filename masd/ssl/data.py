"""What a pretraining step sees: crops of recordings and of their vocoded copies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from masd.data.archive import Reader
from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.feats.dump import open_dump
from masd.ssl.config import PretrainConfig, difficulty_of
from masd.ssl.curriculum import curriculum_epoch, vocoder_probabilities
from masd.ssl.objective import Batch
from masd.stage.seeding import generator

FIXED = -1
"""Epoch number under which items are the same every time, for validation."""


class Crops(Dataset):
    """Crops of a set's utterances, now and then of a vocoded copy instead of the recording (Eq. 2).

    Item (epoch, index) depends on the seed, the epoch and the index alone, in whatever process and
    order it is asked for. An utterance that a vocoder has no copy of leaves that vocoder out of its
    draw; one without any copy stays a recording. Epoch `FIXED` draws all vocoders alike (e = 0).

    Args:
        real: log-mel of the recordings.
        vocoded: log-mel of the copies, ids `<vocoder>-<utt>`, by vocoder in label order; None where the
            set has none by a vocoder that has a label.
        config: ratio, curriculum, crop.
        frames: frames of a crop.
        fill: the log-mel value of digital silence (used where `padding` is `zero`).
        seed: root of all draws.
    """

    def __init__(
        self,
        real: Reader,
        vocoded: Mapping[str, Reader | None],
        config: PretrainConfig,
        frames: int,
        fill: float,
        seed: int = 0,
    ) -> None:
        self.real, self.config, self.frames, self.fill, self.seed = real, config, frames, fill, seed
        self.utts = real.utts
        self.names = list(vocoded)
        self.readers = [vocoded[name] for name in self.names]
        self.difficulty = np.array([difficulty_of(config.difficulty, name) for name in self.names])
        self.copies = _copies(self.utts, self.names, self.readers)
        self.lengths = np.minimum(real.lengths().astype(np.int64), frames)

    def __len__(self) -> int:
        return len(self.utts)

    def probabilities(self, epoch: int) -> np.ndarray:
        """Return P(k | e) of Eq. 2 (K,) in an epoch of this run."""
        e = 0.0
        if epoch != FIXED:
            e = curriculum_epoch(epoch, self.config.epochs, self.config.curriculum == "scaled")
        return vocoder_probabilities(self.difficulty, e, self.config.curriculum_gamma)

    def __getitem__(self, key: tuple[int, int]) -> tuple[np.ndarray, int]:
        """Return item (epoch, index): its crop (at most `frames`, F) and vocoder, -1 for none."""
        rng = generator(self.seed, "item", *key)
        label = self._label(key, rng)
        reader, name = self._source(key[1], label)
        spare = reader.num_frames(name) - self.frames
        start = int(rng.integers(0, spare + 1)) if spare > 0 and self.config.crop == "random" else 0
        return reader.crop(name, start, self.frames), label

    def _label(self, key: tuple[int, int], rng: np.random.Generator) -> int:
        epoch, index = key
        copies = np.flatnonzero(self.copies[index])
        if rng.random() < self.config.vocoded_ratio and len(copies):
            weights = self.probabilities(epoch)[copies]
            return int(rng.choice(copies, p=weights / weights.sum()))
        return -1

    def _source(self, index: int, label: int) -> tuple[Reader, str]:
        utt = self.utts[index]
        return (self.real, utt) if label < 0 else (self.readers[label], f"{self.names[label]}-{utt}")

    def announce(self, epoch: int, batches: Sequence[Sequence[int]]) -> Iterator[Sequence[int]]:
        """Yield the batches; where reading is sequential, have the next buffer's items read ahead."""
        window = self._window
        for number, batch in enumerate(batches):
            if self.config.read == "sequential" and number % window == 0:
                wanted: dict[int, list[str]] = {}
                for index in (index for one in batches[number : number + window] for index in one):
                    label = self._label((epoch, index), generator(self.seed, "item", epoch, index))
                    wanted.setdefault(label, []).append(self._source(index, label)[1])
                for label, utts in wanted.items():
                    (self.real if label < 0 else self.readers[label]).read_ahead(utts)
            yield batch

    @property
    def _window(self) -> int:
        return max(self.config.read_buffer // self.config.batch, 1)

    def collate(self, items: Sequence[tuple[np.ndarray, int]]) -> Batch:
        """Stack crops, padded at the end to the longest (to the full crop where `padding` is `zero`)."""
        counts = [len(mel) for mel, _ in items]
        zero = self.config.padding == "zero"
        longest = self.frames if zero else max(counts)
        mel = np.full((len(items), longest, items[0][0].shape[1]), self.fill, dtype=np.float32)
        for row, (crop, _) in zip(mel, items, strict=True):
            row[: len(crop)] = crop
        lengths = torch.full((len(items),), longest) if zero else torch.tensor(counts)
        return Batch(torch.from_numpy(mel), lengths, torch.tensor([label for _, label in items]))

    def batches(self, epoch: int) -> list[list[int]]:
        """Divide all utterances into batches of nearly equal size, in an order of the epoch's own.

        With `bucket`, utterances are sorted by length within every 16 batches' worth first.
        """
        rng, one_by_one = generator(self.seed, "order", epoch), self.config.read == "sequential"
        order = self._in_runs(rng) if one_by_one else rng.permutation(len(self.utts))
        if self.config.bucket:
            chunk = 16 * self.config.batch
            chunk = min(chunk, self.config.read_buffer) if one_by_one else chunk
            parts = [order[i : i + chunk] for i in range(0, len(order), chunk)]
            order = np.concatenate([part[np.argsort(self.lengths[part], kind="stable")] for part in parts])
        count = math.ceil(len(order) / self.config.batch)
        batches = [part.tolist() for part in np.array_split(order, count)]
        window = self._window if one_by_one else count
        starts = range(0, count, window)
        return [batches[i + k] for i in starts for k in rng.permutation(min(window, count - i))]

    def _in_runs(self, rng: np.random.Generator) -> np.ndarray:
        """Return all positions, runs of neighbours in random order, shuffled within every buffer."""
        run, buffer = self.config.read_run, self.config.read_buffer
        place = self.real.in_order()
        runs = [place[i : i + run] for i in range(0, len(place), run)]
        order = np.concatenate([runs[i] for i in rng.permutation(len(runs))])
        return np.concatenate([rng.permutation(order[i : i + buffer]) for i in range(0, len(order), buffer)])


def _copies(utts: Sequence[str], names: Sequence[str], readers: Sequence[Reader | None]) -> np.ndarray:
    """Whether each utterance has a copy by each vocoder (N, K); a dump with no copy at all is an error."""
    copies = np.zeros((len(utts), len(names)), bool)
    for k, (name, reader) in enumerate(zip(names, readers, strict=True)):
        if reader is None:
            continue
        copies[:, k] = [f"{name}-{utt}" in reader for utt in utts]
        if not copies[:, k].any():
            raise MasdError(
                f"{reader.name}: no copy of any utterance of the set (ids must be {name}-<utterance>)"
            )
    return copies


def open_crops(
    dump: str | Path,
    vocoded: Mapping[str, str | Path],
    config: PretrainConfig,
    seed: int,
    names: Sequence[str] | None = None,
    expected: FeatsConfig | None = None,
) -> tuple[Crops, FeatsConfig]:
    """Open a dump of recordings and the dumps of its copies by vocoder; all must share one configuration.

    `names` are the vocoders in label order, those of `vocoded` sorted by default; `expected` is the feature
    configuration that the dumps must have.

    Raises:
        MasdError: a dump is missing or differs in its feature configuration, or a vocoder is unknown.
    """
    real = open_dump(dump, expected)
    names = sorted(vocoded) if names is None else names
    strangers = sorted(set(vocoded) - set(names))
    if strangers:
        raise MasdError(
            f"{vocoded[strangers[0]]}: the vocoder {strangers[0]} is not among the training set's"
        )
    copies = {n: open_dump(vocoded[n], real.config).feats if n in vocoded else None for n in names}
    feats = real.config
    frames = 1 + round(config.crop_seconds * feats.sample_rate) // feats.hop_length
    return Crops(real.feats, copies, config, frames, math.log(feats.log_floor), seed), feats


def mel_statistics(reader: Reader, most: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each mel bin's mean and deviation (F,) over all frames of at most `most` utterances."""
    utts = list(reader.utts)
    if len(utts) > most:
        utts = [utts[i] for i in sorted(generator(seed, "statistics").choice(len(utts), most, replace=False))]
    count, total, squares = 0, 0.0, 0.0
    for utt in utts:
        mel = reader[utt].astype(np.float64)
        count += len(mel)
        total, squares = total + mel.sum(0), squares + np.square(mel).sum(0)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - np.square(mean), 0.0))
    return torch.from_numpy(mean).float(), torch.from_numpy(std).float()
