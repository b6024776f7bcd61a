"""What a system is: all that training, scoring, judging and storing know of whatever tells fakes.

A system gives decision values f, positive for fake. With the calibration it carries the score is -f / T,
higher for bona fide speech, and P(fake) follows (`masd.systems.calibration`). MASD's rows and `plus`
(`masd.systems.masd`), networks, mixtures and tokens are systems; one of your own is a class made of `System`,
or of `WaveformSystem`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from masd.audio.speech import Level
from masd.errors import MasdError
from masd.systems.calibration import Calibration
from masd.systems.config import RATE
from masd.systems.folder import forget, write_folder
from masd.systems.items import WINDOW, Hearing, Piece, ScoredSet, Stored
from masd.systems.ranges import bandwidth

if TYPE_CHECKING:
    from masd.systems.train import Job

LONGEST = 30.0  # seconds that systems on whole recordings hear

Filter = Callable[[np.ndarray], np.ndarray]


class System(ABC):
    """A fitted system.

    A subclass gives `uses`, `fit`, `decide`, `parts` and `of`; what it is judged by may be changed by
    `levelled` and `measure`.

    Args:
        name: what it is called in tables and folders.
        info: what model.yaml says of it beside its settings: `calibration`, `ranges`, training sets and
            figures.

    Attributes:
        type: its type in `masd.systems.REGISTRY`, or `module:Class`.
        hearing: what it hears of a recording.
        files: {name: sha256} of its folder's files, once it is stored.
        folder: where it is stored.
    """

    type: ClassVar[str] = ""
    several: ClassVar[bool] = False
    """Whether several processes (torchrun) may fit it together."""
    hearing: Hearing

    def __init__(self, name: str, info: dict[str, Any] | None = None) -> None:
        self.name, self.info = name, info or {}
        self.files: dict[str, str] = {}
        self.folder: Path | None = None
        self.place_kept: Any = None  # of a packed model: what removes the folder once nobody refers to it

    # Made

    @classmethod
    @abstractmethod
    def uses(cls, job: Job) -> Any:
        """Return what decides what `fit` makes beside data folders and seed: settings, digests of inputs.

        Raises:
            MasdError: something the system needs is not given, or things do not belong together.
        """

    @classmethod
    @abstractmethod
    def fit(cls, job: Job, work: str, force: bool = False) -> System | None:
        """Fit and calibrate a system, or go on with one.

        Args:
            job: on what, and how.
            work: digest of all that; what a killed run left with another one is not gone on with.
            force: begin anew.

        Returns:
            The system; None in all processes but the first.
        """

    # Asked

    @abstractmethod
    def decide(self, pieces: Sequence[Piece]) -> np.ndarray:
        """Return f (n,), positive for fake, of pieces of recordings, levelled by `levelled`."""

    def levelled(self, level: Level) -> tuple[Filter, float]:
        """Return what scales consecutive samples as the system wants them, and the loud level after it."""
        return lambda x: x, level.loud

    def measure(self, piece: Piece) -> dict[str, float]:
        """Return what is compared to training (`masd.systems.ranges`) of a piece: length and bandwidth."""
        from masd.feats.config import FeatsConfig
        from masd.feats.logmel import logmel

        config, rate = FeatsConfig(), self.hearing.rate
        scaled = piece.core[: round(WINDOW * rate)] / max(float(np.abs(piece.core).max()), 1e-9)
        return {"seconds": len(piece.core) / rate, "bandwidth": bandwidth(logmel(scaled, config), config)}

    def stored_set(self, stored: Stored, utts: Sequence[str] | None) -> ScoredSet[Any]:
        """Return a set by its stored inputs.

        Args:
            stored: where they are.
            utts: the utterances wanted; None for all there are.

        Raises:
            MasdError: the system takes none, or others than are given.
        """
        raise MasdError(f"system {self.name} hears recordings; it takes neither --embeddings nor --dump")

    def check_hears(self) -> None:  # noqa: B027 - most do
        """Raise `MasdError` if the system takes inputs that cannot be made of a recording."""

    def place(self, device: str) -> None:  # noqa: B027 - those that know how have one
        """Compute on torch's `device` from now on; systems that do not know how stay on the CPU."""

    @property
    def calibration(self) -> Calibration:
        """What turns f into scores and P(fake)."""
        return Calibration(self.info["calibration"])

    @property
    def parameters(self) -> int:
        """Trained numbers."""
        return sum(tensor.size for tensor in self.parts()[1].values())

    # Stored

    @abstractmethod
    def parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what its folder keeps: plain settings, and tensors."""

    @classmethod
    @abstractmethod
    def of(cls, name: str, settings: dict[str, Any], tensors: dict[str, np.ndarray], folder: Path) -> System:
        """Return the system that `parts` described; `MasdError` if they do not fit together."""

    def save(self, folder: str | Path) -> None:
        """Write the model folder; model.yaml, which states the other files' digests, comes last."""
        forget(Path(folder))
        self._write(Path(folder), *self.parts())

    def _write(self, folder: Path, settings: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        head = {"system": self.name, "type": self.type, "settings": settings}
        self.files, self.folder = write_folder(folder, head, self.info, tensors), folder


class WaveformSystem(System):
    """A system on waveforms at 16 kHz; its raw scores are higher for bona fide speech, f = offset - raw.

    Attributes:
        one_class: whether raw scores have no natural zero, so that `offset` is the development set's
            threshold.
    """

    one_class = False
    hearing = Hearing(round(LONGEST * RATE))

    @abstractmethod
    def raw(self, waves: Sequence[np.ndarray], speakers: Sequence[str]) -> np.ndarray:
        """Return raw scores (B,) of recordings.

        Args:
            waves: (N_b,) each, from the first sound on.
            speakers: claimed speakers; only SAMO with enrolment looks at them.
        """

    def decide(self, pieces: Sequence[Piece]) -> np.ndarray:
        """Return f (n,) of pieces."""
        # front ends that scale to the peak need one
        waves = [x if x.any() else np.full_like(x, 1e-8) for x in (piece.core for piece in pieces)]
        return self.decisions(self.raw(waves, [piece.speaker for piece in pieces]))

    def decisions(self, raw: np.ndarray) -> np.ndarray:
        """Return f (N,) of raw scores (N,)."""
        return float(self.info["calibration"].get("offset", 0.0)) - np.asarray(raw, np.float64)
