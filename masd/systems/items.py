"""What systems hear, the sets they are scored on, and what they say: plain values that all systems share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from masd.systems.config import RATE, SHORTEST

WINDOW = 4.0  # seconds of a window, for systems that have no length of their own for it

Item = TypeVar("Item")


@dataclass(frozen=True)
class Hearing:
    """What a system hears of a recording.

    Attributes:
        samples: what is judged, from the first sound on.
        window: length of a window, where windows over a whole recording are judged.
        rate: sampling rate in Hz.
        least: seconds that a recording must last.
        skip: whether silence is skipped.
        hop: windows begin at multiples of so many samples.
        margin: samples that the system wants to see on either side of a piece.
    """

    samples: int
    window: int = round(WINDOW * RATE)
    rate: int = RATE
    least: float = SHORTEST
    skip: bool = True
    hop: int = 160
    margin: int = 0


@dataclass
class Piece:
    """A stretch of a recording that is judged, levelled, with what is known before and after it.

    Args:
        x: (before + N + after,) samples.
        before: how many of them come before it.
        samples: N; less is there at the end of a recording.
        window: whether it is one of several windows, rather than all that is judged of its recording.
        speaker: whom it claims to be of; only SAMO with enrolment looks at it.
        start: the sample at which the stretch begins, counted from the first sound on.
    """

    x: np.ndarray
    before: int
    samples: int
    window: bool = False
    speaker: str = ""
    start: int = 0

    @property
    def core(self) -> np.ndarray:
        """The stretch itself (N,)."""
        return self.x[self.before : self.before + self.samples]


@dataclass
class Decided:
    """What a system says of N items: f (N,), positive for fake, and of a fusion the attention (N, n)."""

    f: np.ndarray
    attention: np.ndarray | None = None


class ScoredSet(ABC, Generic[Item]):
    """The items of a set as a system takes them: read one by one, decided on a batch at a time.

    Attributes:
        utts: their ids.
        batch: how many are decided on at once.
        together: shards are made of whole groups of so many, so that no bit depends on the number of jobs.
    """

    utts: list[str]
    batch: int
    together: int = 1

    @abstractmethod
    def read(self, utt: str) -> Item:
        """Return an item; `MasdError` says why it cannot be used."""

    @abstractmethod
    def decide(self, items: Sequence[Item]) -> Decided:
        """Return what the system says of items."""

    def seconds(self, item: Item) -> float:
        """Return how much audio is heard of an item, 0 where none is."""
        return 0.0

    def file(self, utt: str) -> str | Path:
        """Return the file an item is read from, empty where none is to blame."""
        return ""


@dataclass
class Stored:
    """Where a set's stored inputs are, or None: embeddings (Kaldi or HDF5) and a feature dump."""

    embeddings: Path | None = None
    dump: Path | None = None

    def __bool__(self) -> bool:
        return self.embeddings is not None or self.dump is not None
