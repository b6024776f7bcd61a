"""What every vocoder adapter shares: rates, length, level, seeds, configuration and digest."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from masd.audio import fit, resample
from masd.errors import MasdError
from masd.stage.files import digest, sha256
from masd.stage.seeding import derive

PEAK = 0.95  # the level vocoders are given their input at; the output has the input's own level again
FULL_SCALE, MAX_CLIPPED = 0.999, 0.001
SILENT = 0.01  # an output more than 40 dB under its input is not a copy of it


@dataclasses.dataclass
class Config:
    """Configuration common to all vocoders.

    Args:
        seed: of the vocoder's randomness; each utterance derives its own stream from it.
    """

    seed: int = 0


C = TypeVar("C", bound=Config)


class Adapter(ABC, Generic[C]):
    """A copy-synthesiser; subclasses give `synthesise`, and `load` if they have weights.

    Class attributes:
        config_class: the dataclass of the configuration.
        files: names of the configuration fields that are paths; they enter the digest by content.
        revision: raised when the output of an adapter changes, so that older copies are stale.
        published: where the files are to be had, for messages.
        bounded: whether full scale is all the vocoder can give (tanh), so that it may clip.
        sample_rate: the vocoder's own rate in Hz (set on the instance if a checkpoint decides it).
        network: whether it can be placed on a GPU (`masd.vocoders.network.MelNetwork`).
        device: where it computes.
    """

    config_class: ClassVar[type[Config]] = Config
    files: ClassVar[tuple[str, ...]] = ()
    published: ClassVar[str] = ""
    bounded: ClassVar[bool] = False
    revision: ClassVar[int] = 1
    sample_rate: int = 16000
    network: ClassVar[bool] = False
    device: str = "cpu"

    def __init__(self, name: str, config: C) -> None:
        self.name = name
        self.config = config
        for field in self.files:
            value = str(getattr(config, field) or "")
            if not value:
                raise MasdError(f"vocoder {name}: no {field} given; {self.published}")
            if not Path(value).exists():
                raise MasdError(f"vocoder {name}: {field} {value} does not exist; {self.published}")
        self.setup()

    @classmethod
    def make_config(cls, name: str, values: Mapping[str, Any]) -> Any:
        """Make the adapter's configuration; `MasdError` for an unknown key or a value of another type."""
        fields = {f.name: f for f in dataclasses.fields(cls.config_class)}
        for key, value in values.items():
            if key not in fields:
                raise MasdError(f"vocoder {name}: unknown key {key!r}; it has {', '.join(sorted(fields))}")
            default = fields[key].default
            wanted = (int, float) if isinstance(default, float) else type(default)
            if not isinstance(value, wanted) or (isinstance(value, bool) and not isinstance(default, bool)):
                raise MasdError(f"vocoder {name}: {key} is {value!r}, but must be like {default!r}")
        return cls.config_class(**values)

    def setup(self) -> None:
        """Check the configuration and read small files, e.g. those that decide `sample_rate`."""

    def load(self) -> Any:
        """Return the model that `synthesise` finds in `self.model`; called once, when first needed."""
        return None

    def place(self, device: str) -> None:
        """Compute on torch's `device` from now on; signal processing stays on the CPU."""

    @abstractmethod
    def synthesise(self, x: np.ndarray, seed: int) -> np.ndarray:
        """Return the copy of `x` (N,), float32 at `sample_rate`, peak 0.95: about N samples, any level."""

    @cached_property
    def model(self) -> Any:
        """What `load` returns."""
        return self.load()

    def prepare(self) -> None:
        """Load the model now; `MasdError` if its weights are not what the adapter needs."""
        _ = self.model

    def digest(self) -> str:
        """Return the digest of what copies depend on beside the input: name, configuration, weight files."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        values = dataclasses.asdict(self.config)
        for field in self.files:
            values[field] = content(Path(values[field]))
        return digest(self.name, type(self).__name__, self.revision, values)

    def __call__(self, x: np.ndarray, rate: int = 16000, utt: str = "") -> np.ndarray:
        """Return the re-synthesis of a waveform.

        Args:
            x: float samples (N,).
            rate: their rate in Hz.
            utt: the utterance id; random streams are derived from (seed, name, utt).

        Returns:
            float32 (N,), RMS equal to that of `x`. Peaks may exceed 1.

        Raises:
            MasdError: `x` is empty, silent or not finite; the output is silent (more than 40 dB under the
                input), not finite or clipped (more than 0.1 % of it at full scale), or there is none.
        """
        (copy,) = self.copies([(x, utt)], rate)
        if isinstance(copy, MasdError):
            raise copy
        return copy

    def copies(
        self, items: Sequence[tuple[np.ndarray, str]], rate: int = 16000
    ) -> list[np.ndarray | MasdError]:
        """Return the re-synthesis of each (waveform, utterance id), or why there is none; see `__call__`."""
        found: list[np.ndarray | MasdError] = [self._unusable(x, utt) for x, utt in items]
        usable = [k for k, error in enumerate(found) if error is None]
        given = [_at_peak(items[k][0]) for k in usable]
        waves = [resample(x, rate, self.sample_rate) for x in given]
        seeds = [derive(self.config.seed, self.name, items[k][1]) for k in usable]
        for k, x, y in zip(usable, given, self._outputs(waves, seeds), strict=True):
            found[k] = self._copy(items[k][0], x, y, rate, items[k][1])
        return found

    def synthesise_all(self, waves: Sequence[np.ndarray], seeds: Sequence[int]) -> list[np.ndarray]:
        """Return what `synthesise` does of each; those that compute in batches have their own."""
        return [self.synthesise(x, seed) for x, seed in zip(waves, seeds, strict=True)]

    def _unusable(self, x: np.ndarray, utt: str) -> MasdError | None:
        x = np.asarray(x, dtype=np.float32)
        if x.ndim == 1 and len(x) and np.isfinite(x).all() and x.any():
            return None
        return MasdError(f"{self._what(utt)}: the input must be one finite, non-silent channel")

    def _outputs(self, waves: list[np.ndarray], seeds: list[int]) -> list[np.ndarray | Exception]:
        """Return the model's output of each; one that cannot be had, or no memory, ends no other's."""
        try:
            return list(self.synthesise_all(waves, seeds))
        except (RuntimeError, ValueError) as error:  # what torch, numpy and the vocoders' libraries raise
            if len(waves) == 1:
                return [error]
        return [self._outputs([x], [seed])[0] for x, seed in zip(waves, seeds, strict=True)]

    def _copy(
        self, source: np.ndarray, x: np.ndarray, y: np.ndarray | Exception, rate: int, utt: str
    ) -> np.ndarray | MasdError:
        """Bring an output to the length and level of its source, or say why it is no copy."""
        what = self._what(utt)
        if isinstance(y, Exception):
            return MasdError(f"{what}: no output ({' '.join(str(y).split())[:200]})")
        if not len(y) or not np.isfinite(y).all():
            return MasdError(f"{what}: the output has samples that are not finite numbers, or none")
        if self.bounded and np.mean(np.abs(y) > FULL_SCALE) > MAX_CLIPPED:
            return MasdError(
                f"{what}: the output is clipped, more than {MAX_CLIPPED:.1%} of it at full scale"
            )
        y = fit(resample(y, self.sample_rate, rate), len(x))
        if rms(y) < SILENT * rms(x):
            return MasdError(f"{what}: the output is silent")
        return (y * (rms(np.asarray(source, dtype=np.float32)) / rms(y))).astype(np.float32)

    def _what(self, utt: str) -> str:
        return f"vocoder {self.name}, utterance {utt or '(unnamed)'}"


def _at_peak(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, dtype=np.float32)
    return x * np.float32(PEAK / np.abs(x).max())


def content(path: Path) -> str:
    """Return a digest of a file's content, or of all files in a folder."""
    if path.is_dir():
        return digest([[str(p.relative_to(path)), sha256(p)] for p in sorted(path.rglob("*")) if p.is_file()])
    return sha256(path)


def rms(x: np.ndarray) -> float:
    """Return the root mean square of a signal, 0 if it is empty."""
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) if len(x) else 0.0
