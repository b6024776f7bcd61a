"""What moved a score: every part of a recording is taken away in turn, and the score taken again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from masd.errors import MasdError
from masd.feats.config import HAND_NAMES, SIZES, FeatsConfig, classify_frames
from masd.models.bands import EDGES_HZ, NAMES, band_ranges
from masd.svm.inputs import Inputs, compact_of
from masd.systems.base import System
from masd.systems.items import Piece
from masd.systems.masd import MasdSystem

MEASURES = tuple(name.upper() for name in HAND_NAMES)
STRETCH = 0.5  # seconds of a stretch that is taken away to explain a score
LEAST = 0.5  # seconds that must be left of it


@dataclass
class Effects:
    """What each part does to the score: score with it less score without it; positive speaks for bona fide.

    Attributes:
        score: of the whole recording.
        bands: {band: effect}; none where neither encoder nor families of statistics know bands.
        measures: {handcrafted measure or family of statistics: effect}; none where the system has none.
        windows: (start, end, effect) of each stretch of time, seconds.
    """

    score: float
    bands: dict[str, float] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)
    windows: list[tuple[float, float, float]] = field(default_factory=list)


@dataclass
class Variant:
    """A recording with one part taken away.

    Attributes:
        part: the band's or the measure's name, or the stretch's start and end in seconds.
        mel: (T, M) log-mel.
        hand: handcrafted features, None where the system has none.
    """

    part: str | tuple[float, float]
    mel: np.ndarray
    hand: np.ndarray | None


def without_bands(
    mel: np.ndarray,
    hand: np.ndarray | None,
    config: FeatsConfig,
    neutral: np.ndarray | None,
    neutral_hand: np.ndarray | None,
) -> list[Variant]:
    """Return a variant a band: its log-mel cells and the families' figures of its frequencies at their mean.

    Args:
        mel: (T, M) log-mel.
        hand: handcrafted features, None where the system has none.
        config: the front end's.
        neutral: (M,) training mean of the log-mel, None where the system has no encoder.
        neutral_hand: training mean of the handcrafted features, None where it has none.
    """
    variants = []
    ranges = band_ranges("multi", config.n_mels, config.f_min, config.f_max)
    edges = (0.0, *EDGES_HZ, np.inf)
    for number, (band, (first, last)) in enumerate(zip(NAMES["multi"], ranges, strict=True)):
        changed, without = hand, mel
        if neutral is not None:
            without = mel.copy()
            without[:, first:last] = neutral[first:last]
        if hand is not None and neutral_hand is not None:
            here = frequencies(config)[: len(hand)]
            inside = (here >= edges[number]) & (here < edges[number + 1])
            changed = np.where(inside, neutral_hand, hand)
        if neutral is not None or not np.array_equal(changed, hand):
            variants.append(Variant(band, without, changed))
    return variants


def frequencies(config: FeatsConfig) -> np.ndarray:
    """Return the frequency in Hz that each handcrafted feature is about, NaN where it is of none."""
    parts = [np.full(len(MEASURES), np.nan)]
    if config.families:
        from masd.feats.families import frequencies as of_family

        parts += [of_family(name) for name in config.families]
    return np.concatenate(parts)


def without_measures(
    mel: np.ndarray, hand: np.ndarray, config: FeatsConfig, neutral: np.ndarray
) -> list[Variant]:
    """Return a variant a measure or family of statistics, its figures set to the training mean `neutral`."""
    sizes = dict.fromkeys(MEASURES, 1) | {name: SIZES[name] for name in config.families}
    variants, start = [], 0
    for name, size in sizes.items():
        changed = hand.copy()
        changed[start : start + size] = neutral[start : start + size]
        variants.append(Variant(name, mel, changed))
        start += size
    return variants


def without_stretches(
    mel: np.ndarray, hand: np.ndarray | None, hop: float, window: float, neutral: np.ndarray
) -> list[Variant]:
    """Return a variant for every `window` seconds of log-mel, set to the training mean; `hand` stays."""
    variants, step = [], max(1, round(window / hop))
    for start in range(0, len(mel), step):
        stop = min(start + step, len(mel))
        without = mel.copy()
        without[start:stop] = neutral
        variants.append(Variant((start * hop, stop * hop), without, hand))
    return variants


def effects(system: MasdSystem, whole: Variant, variants: Sequence[Variant], affine: bool = False) -> Effects:
    """Return what the part taken away in each of `variants` does to the score of `whole`.

    Args:
        system: the fitted system.
        whole: the recording.
        variants: the recording without a part.
        affine: the score is that of the affine map, not of the temperature.
    """
    f, made = _decisions(system, [whole, *variants]), system.calibration
    scores = np.asarray(made.affine_scores(f) if affine else made.scores(f))
    found = Effects(float(scores[0]))
    for variant, effect in zip(variants, (scores[0] - scores[1:]).tolist(), strict=True):
        if isinstance(variant.part, tuple):
            found.windows.append((*variant.part, effect))
        else:
            (found.bands if variant.part in NAMES["multi"] else found.measures)[variant.part] = effect
    return found


def _decisions(system: MasdSystem, variants: Sequence[Variant]) -> np.ndarray:
    """Return f (N,) of the variants."""
    inputs = Inputs([str(i) for i in range(len(variants))])
    if system.features.row.ssl:
        inputs.compact = compact_of(system.encoder(), [variant.mel for variant in variants])
    if variants[0].hand is not None:
        inputs.hand = np.stack([variant.hand for variant in variants if variant.hand is not None])
    return system.decision(system.values(inputs))


def explain(system: System, piece: Piece, affine: bool = False) -> Effects:
    """Return what bands, measures and stretches of `STRETCH` seconds do to the score of a first piece.

    A band's log-mel cells, its figures, a measure or a family of statistics are set to the mean of the
    set that the encoder or the SVM was trained on (see `MasdSystem.neutral_mel`); a stretch is cut out of the
    recording, and everything measured on what is left.

    Raises:
        MasdError: the system is not one of MASD's own.
    """
    if not isinstance(system, MasdSystem) or system.feats is None:
        raise MasdError("--explain true: only MASD's own models can do that")
    from masd.feats.handcrafted import handcrafted
    from masd.feats.logmel import logmel

    config, x, hearing = system.feats, piece.x, system.hearing

    def variant(part: str | tuple[float, float], y: np.ndarray) -> Variant:
        mel = logmel(y, config)[: classify_frames(config)]
        uses_hand = system.features.hand is not None
        return Variant(part, mel, handcrafted(y[: hearing.samples], config) if uses_hand else None)

    whole = variant("", x)
    neutral, of_hand = system.neutral_mel(whole.mel), system.hand_neutral
    variants = without_bands(whole.mel, whole.hand, config, neutral, of_hand)
    if of_hand is not None and whole.hand is not None:
        variants += without_measures(whole.mel, whole.hand, config, of_hand)
    size, least = round(STRETCH * hearing.rate), round(LEAST * hearing.rate)
    variants += [
        variant((start / hearing.rate, stop / hearing.rate), cut)
        for start, stop, cut in stretches(x[: hearing.samples], size, least)
    ]
    return effects(system, whole, variants, affine)


def stretches(x: np.ndarray, size: int, least: int, fade: int = 160) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (start, stop, what is left) of x (N,) for every `size` samples, while `least` samples are left.

    The ends are joined by fading one into the other over `fade` samples, so that no edge is heard.
    """
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    for start in range(0, len(x), size):
        stop = min(start + size, len(x))
        left, right = x[:start], x[stop:]
        if len(left) + len(right) < least + fade:
            return
        if len(left) >= fade and len(right) >= fade:
            both = left[-fade:] * (1 - ramp) + right[:fade] * ramp
            yield start, stop, np.concatenate([left[:-fade], both, right[fade:]])
        else:
            yield start, stop, left if len(left) > len(right) else right
