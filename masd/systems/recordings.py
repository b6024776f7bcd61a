"""Recordings of a data folder as systems hear them, from the first sound on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from masd.audio.speech import speech_of
from masd.data.folder import DataFolder
from masd.data.utterance import load_utterance
from masd.stage.seeding import generator
from masd.systems.items import Decided, Hearing, Piece, ScoredSet

if TYPE_CHECKING:
    from masd.systems.base import System


class RecordingSet(ScoredSet[Piece]):
    """A set by its recordings.

    Args:
        system: what hears and judges them.
        folder: data folder.
        allow_pipes: whether commands in wav.scp may run.
        batch: how many are decided on at once.
    """

    def __init__(self, system: System, folder: DataFolder, allow_pipes: bool = False, batch: int = 8) -> None:
        self.system, self.folder, self.allow_pipes, self.batch = system, folder, allow_pipes, batch
        self.utts = folder.utts

    def read(self, utt: str) -> Piece:
        """Return what is judged of an utterance.

        Raises:
            MasdError: it cannot be read, is silent or too short.
        """
        hearing = self.system.hearing
        x = load_utterance(self.folder, utt, hearing.rate, self.allow_pipes)
        judged = hearing.samples
        kept, level = speech_of(x, utt, hearing.rate, hearing.least, hearing.skip, judged=judged)
        scaled, _ = self.system.levelled(level)
        return Piece(scaled(kept[: judged + hearing.margin]), 0, judged, speaker=self.folder.spk(utt))

    def decide(self, items: Sequence[Piece]) -> Decided:
        """Return what the system says of pieces."""
        return Decided(self.system.decide(items))

    def seconds(self, item: Piece) -> float:
        """Return how much is judged of an item."""
        return len(item.core) / self.system.hearing.rate

    def file(self, utt: str) -> str | Path:
        """Return the file an utterance is read from."""
        return self.folder.file(utt)


def load_speech(folder: DataFolder, utt: str, hearing: Hearing, allow_pipes: bool = False) -> np.ndarray:
    """Return an utterance's waveform (N,) from its first sound on (see `masd.audio.speech`), not scaled.

    Silence at the end of the samples that are judged is cut off.

    Raises:
        MasdError: it cannot be read, is silent or too short.
    """
    x = load_utterance(folder, utt, hearing.rate, allow_pipes)
    return speech_of(x, utt, hearing.rate, hearing.least, hearing.skip, judged=hearing.samples)[0]


def fixed_subset(folder: DataFolder, most: int, seed: int) -> list[str]:
    """Return at most `most` utterances of a folder (0: all), each class in proportion, sorted by id."""
    utts = folder.utts
    if most <= 0 or most >= len(utts):
        return utts
    chosen: list[str] = []
    for label in ("bonafide", "spoof"):
        of_class = [utt for utt in utts if folder.lab(utt) == label]
        count = max(round(most * len(of_class) / len(utts)), min(1, len(of_class)))
        picks = generator(seed, "subset", label).permutation(len(of_class))[:count]
        chosen += [of_class[i] for i in picks]
    return sorted(chosen)
