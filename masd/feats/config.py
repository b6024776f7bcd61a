"""The configuration of the front end, stored with every dump and every model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from masd.errors import MasdError
from masd.stage.files import config_from

HAND_NAMES = ("pcs", "hfer", "sfi")
# figures of each family of `masd.feats.families`
SIZES = {
    "covariance": 1377, "covariance_loud": 1377, "patch_covariance": 1260,
    "tones": 162, "phase_mixed": 64, "frame_lines": 24,
}  # fmt: skip


@dataclass(frozen=True)
class FeatsConfig:
    """How audio becomes features.

    Args:
        sample_rate: sampling rate in Hz; audio of another rate is resampled.
        n_fft: FFT length of the log-mel spectrogram, in samples.
        win_length: Hamming window of the log-mel spectrogram, in samples (25 ms).
        hop_length: hop of the log-mel spectrogram, in samples (10 ms).
        n_mels: number of mel bins (HTK scale).
        f_min: lower edge of the mel filter bank in Hz.
        f_max: upper edge of the mel filter bank in Hz.
        log_floor: added to the mel power before the natural logarithm.
        dither: standard deviation of the Gaussian noise added to peak-normalised audio; 0 for none.
        dither_seed: seed of the dither, which depends on it and on the recording's samples alone.
        min_seconds: shorter utterances are refused.
        max_seconds: the log-mel covers no more than this; null for the whole utterance.
        classify_seconds: what the classifier sees; the handcrafted features use this much from the start.
        pad: "none", or "zero" (the paper's literal reading) to pad shorter audio to `classify_seconds`.
        hand_n_fft: FFT and Hann window of the handcrafted features, in samples.
        hand_hop: hop of the handcrafted features, in samples.
        hand_center: centre frames on multiples of the hop by zero-padding the edges of the signal, as
            librosa does; false keeps to frames that lie wholly inside the signal. Edge frames weigh more in
            short signals: over random crops of real speech, 0.5 to 3 s, SFI correlated with the length by
            0.28 with them and -0.03 without, PCS by -0.11 and -0.06.
        hfer_cutoff: HFER counts energy strictly above this frequency, in Hz.
        skip_silence: what is judged begins and ends with the sound (`masd.audio.speech`); the paper does not
            say.
        families: families of statistics (`masd.feats.families`) that stand after PCS, HFER and SFI among the
            handcrafted features, at a rate of 16 kHz; the paper has none.
    """

    sample_rate: int = 16000
    n_fft: int = 400
    win_length: int = 400
    hop_length: int = 160
    n_mels: int = 64
    f_min: float = 0.0
    f_max: float = 8000.0
    log_floor: float = 1e-9
    dither: float = 1e-5
    dither_seed: int = 0
    min_seconds: float = 0.25
    max_seconds: float | None = None
    classify_seconds: float = 4.0
    pad: Literal["none", "zero"] = "none"
    hand_n_fft: int = 2048
    hand_hop: int = 160
    hand_center: bool = False
    hfer_cutoff: float = 4000.0
    skip_silence: bool = dataclasses.field(default=True, metadata={"omit": True})
    families: tuple[str, ...] = dataclasses.field(default=(), metadata={"omit": True})

    def __post_init__(self) -> None:
        object.__setattr__(self, "families", tuple(self.families))  # YAML gives a list
        nyquist = self.sample_rate / 2
        shortest = math.floor(self.min_seconds * self.sample_rate)
        limit = self.max_seconds if self.max_seconds is not None else math.inf
        rules = {
            # nothing of speech is larger, and what is would take all memory
            "sample_rate": 0 < self.sample_rate <= 768000,
            "win_length": 0 < self.win_length <= self.n_fft <= 1 << 16,
            "hop_length": 0 < self.hop_length <= 1 << 16,
            "n_mels": 0 < self.n_mels <= 4096,
            "f_max": 0 <= self.f_min < self.f_max <= nyquist,
            "log_floor": self.log_floor > 0,
            "dither": self.dither >= 0,
            "pad": self.pad in ("none", "zero"),
            "hand_n_fft": 1 < self.hand_n_fft <= 1 << 16,
            "hand_hop": 0 < self.hand_hop <= 1 << 16,
            "hfer_cutoff": 0 <= self.hfer_cutoff <= nyquist,
            # two frames of the long window (spectral flux needs a difference), and room for reflection
            "min_seconds": shortest >= max(self.hand_n_fft + self.hand_hop, self.n_fft),
            "classify_seconds": self.classify_seconds >= self.min_seconds,
            "max_seconds": limit >= self.min_seconds,
            "families": not self.families
            or (self.sample_rate == 16000 and set(self.families) <= SIZES.keys()),
        }
        for key, holds in rules.items():
            if not holds:
                raise MasdError(
                    f"feats.{key}: {getattr(self, key)!r} is out of range or contradicts other keys"
                )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str | Path = "feats") -> FeatsConfig:
        """Make a configuration from what `plain` made of one; every key must be there and no other.

        Raises:
            MasdError: a key is missing, unknown or out of range; `where` says which file it is in.
        """
        if not isinstance(values, Mapping):
            raise MasdError(f"{where}: not a feature configuration")
        names = [field.name for field in dataclasses.fields(cls)]
        new = {field.name for field in dataclasses.fields(cls) if field.metadata.get("omit")}
        for key in [*names, *values]:
            if key not in values and key not in new:
                raise MasdError(f"{where}: the key {key} is missing")
            if key not in names:
                raise MasdError(f"{where}: unknown key {key}")
        return config_from(cls, values, where)

    def check_same(self, expected: FeatsConfig, where: str | Path, families: bool = True) -> None:
        """Raise `MasdError` naming the first key in which this configuration of `where` is not `expected`.

        Without `families` that key may differ: an encoder takes the log-mel alone.
        """
        for field in dataclasses.fields(self):
            if field.name == "families" and not families:
                continue
            mine, other = getattr(self, field.name), getattr(expected, field.name)
            if mine != other:
                raise MasdError(
                    f"{where}: made with feats.{field.name} {mine}, but {other} is asked for; "
                    "dump the features again with that value or use a model that matches them"
                )


def hand_size(config: FeatsConfig) -> int:
    """Return how many handcrafted features an utterance has: PCS, HFER, SFI and the families' figures."""
    return len(HAND_NAMES) + sum(SIZES[name] for name in config.families)


def check_families(names: Sequence[str]) -> None:
    """Raise `MasdError` that tells the families there are if one of `names` is none."""
    unknown = [name for name in names if name not in SIZES]
    if unknown:
        raise MasdError(f"family {unknown[0]}: unknown; there are {', '.join(SIZES)}")


def family_widths(families: Sequence[str]) -> list[int]:
    """Return how many of an utterance's handcrafted features belong to each family.

    PCS, HFER and SFI, which stand before all, are counted to the first.

    Raises:
        MasdError: a family is unknown.
    """
    check_families(families)
    widths = [SIZES[name] for name in families]
    return [len(HAND_NAMES) + widths[0], *widths[1:]] if widths else []


def classify_frames(config: FeatsConfig) -> int:
    """Return how many log-mel frames cover `classify_seconds` (401 for 4 s at a hop of 10 ms)."""
    return 1 + classify_samples(config) // config.hop_length


def classify_samples(config: FeatsConfig) -> int:
    """Return `classify_seconds` in samples."""
    return round(config.classify_seconds * config.sample_rate)
