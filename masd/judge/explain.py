"""What moved a score: Shapley values, which add up to the score less that of a recording of average figures.

A game asks what a recording scores with some of its parts as they are and the training's mean in place of
all others; a part's effect is what it adds, averaged over all orders in which the parts may come. The parts
are the frequency bands, the measures, or stretches of time, of which more than `EXACT` are estimated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import comb

import numpy as np

from masd.errors import MasdError
from masd.feats.config import HAND_NAMES, SIZES, FeatsConfig
from masd.models.bands import EDGES_HZ, NAMES, band_ranges
from masd.stage.seeding import generator
from masd.svm.inputs import Inputs, compact_of
from masd.systems.base import System
from masd.systems.items import Piece
from masd.systems.masd import MasdSystem

MEASURES = tuple(name.upper() for name in HAND_NAMES)
STRETCH = 0.5  # seconds of a stretch, where a single window is judged
EXACT = 6  # stretches whose every set is measured; with more it would be most of ten seconds
ROUNDS = 2
FADE = 160  # samples over which what is left of a recording is joined
MEANINGS = {
    "low": "0 to 1 kHz: pitch, the lowest resonance",
    "mid": "1 to 4 kHz: vowels and most consonants",
    "high": "4 to 8 kHz: hiss, breath, fine detail",
    "other": "figures that are of no one band",
    "embedding": "what the encoder makes of the spectrogram",
    "PCS": "how much phase differs between neighbouring frequencies",
    "HFER": "share of energy in high frequencies",
    "SFI": "how unevenly the spectrum changes over time",
    "covariance": "how power and phase of neighbouring spectrogram cells go together",
    "covariance_loud": "the same where the speech is loud",
    "patch_covariance": "texture of small patches of the spectrogram",
    "tones": "steady tones at rates that vocoders work at",
    "phase_mixed": "how phase steps change over time and frequency",
    "frame_lines": "flutter of the loudness at rates of vocoders' frames",
}

Worth = Callable[[np.ndarray], np.ndarray]  # (n, players) bool, who is there, to scores (n,)


@dataclass
class Effects:
    """What each part does to the score; positive speaks for bona fide.

    Those of one kind add up to `score` less `baseline`.

    Attributes:
        score: of the recording; of several windows the mean.
        baseline: of a recording whose figures and log-mel are all the training's mean.
        bands: {band: effect}; `other` is what knows no band; none where nothing does.
        measures: {measure, family of statistics or `embedding`: effect}.
        windows: (start, end, effect) of each window, or stretch of a single one; seconds.
        error: the standard error of those of `windows`, 0 where they are exact; they add up all the same.
    """

    score: float
    baseline: float
    bands: dict[str, float] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)
    windows: list[tuple[float, float, float]] = field(default_factory=list)
    error: float = 0.0


@dataclass
class Part:
    """What a player of a game stands for.

    Attributes:
        name: in tables.
        cells: (T or 1, M) which cells of the log-mel.
        figures: (D,) which of the handcrafted features.
    """

    name: str
    cells: np.ndarray
    figures: np.ndarray


def shapley(worth: Worth, players: int) -> np.ndarray:
    """Return each player's Shapley value (players,), exactly, by the worth of every set of them."""
    sets = (np.arange(1 << players)[:, None] >> np.arange(players)) & 1 == 1  # row i: the bits of i
    worths, sizes = np.asarray(worth(sets), np.float64), sets.sum(1)
    weights = np.array([1.0 / (players * comb(players - 1, size)) for size in range(players)])
    values = np.empty(players)
    for player in range(players):
        without = np.flatnonzero(~sets[:, player])
        values[player] = weights[sizes[without]] @ (worths[without | 1 << player] - worths[without])
    return values


def estimated(worth: Worth, players: int, rounds: int) -> tuple[np.ndarray, float]:
    """Return estimates of the players' Shapley values (players,), which add up, and their standard error.

    A round takes an order of the players drawn at random, all its rotations, and the reverse of each: so
    every player comes as often at every place, and its 2 `players` orders share their sets.
    """
    orders = np.stack([
        np.roll(drawn, shift)[::way]
        for drawn in (generator(0, "explain", number).permutation(players) for number in range(rounds))
        for shift in range(players)
        for way in (1, -1)
    ])  # fmt: skip
    places = np.argsort(orders, axis=1)
    # row k of an order: its first k players are there
    sets = places[:, None] < np.arange(players + 1)[:, None]
    kinds, rows = np.unique(sets.reshape(-1, players), axis=0, return_inverse=True)
    added = np.diff(worth(kinds)[rows.reshape(len(orders), -1)], axis=1)
    values = np.take_along_axis(added, places, axis=1).reshape(rounds, -1, players).mean(axis=1)
    return values.mean(axis=0), float(np.sqrt(values.var(axis=0, ddof=1).mean() / rounds))


def band_parts(config: FeatsConfig, encoder: bool, hand: bool) -> list[Part]:
    """Return the bands: their log-mel cells, and the figures that are about their frequencies.

    Args:
        config: the front end's.
        encoder: whether the system hears log-mel.
        hand: whether it takes figures.
    """
    cells, figures = _nothing(config, hand)
    here = frequencies(config)[: len(figures)]
    edges = (0.0, *EDGES_HZ, np.inf)
    parts = []
    ranges = band_ranges("multi", config.n_mels, config.f_min, config.f_max)
    for number, (band, (first, last)) in enumerate(zip(NAMES["multi"], ranges, strict=True)):
        inside = cells.copy()
        inside[:, first:last] = encoder
        parts.append(Part(band, inside, (here >= edges[number]) & (here < edges[number + 1])))
    parts.append(Part("other", cells, np.isnan(here)))
    return [part for part in parts if part.cells.any() or part.figures.any()]


def measure_parts(config: FeatsConfig, encoder: bool, hand: bool) -> list[Part]:
    """Return the embedding, the measures and the families of statistics; arguments as of `band_parts`."""
    cells, figures = _nothing(config, hand)
    parts = [Part("embedding", ~cells, figures)] if encoder else []
    start = 0
    for name in (*MEASURES, *config.families) if hand else ():
        own = figures.copy()
        own[start : start + SIZES.get(name, 1)] = True
        start += SIZES.get(name, 1)
        parts.append(Part(name, cells, own))
    return parts


def frequencies(config: FeatsConfig) -> np.ndarray:
    """Return the frequency in Hz that each handcrafted feature is about, NaN where it is of none."""
    parts = [np.full(len(MEASURES), np.nan)]
    if config.families:
        from masd.feats.families import frequencies as of_family

        parts += [of_family(name) for name in config.families]
    return np.concatenate(parts)


def _nothing(config: FeatsConfig, hand: bool) -> tuple[np.ndarray, np.ndarray]:
    figures = len(frequencies(config)) if hand else 0
    return np.zeros((1, config.n_mels), bool), np.zeros(figures, bool)


def worth_of(
    system: MasdSystem, mel: np.ndarray, hand: np.ndarray | None, parts: Sequence[Part], affine: bool = False
) -> Worth:
    """Return the game of `parts`: the score with all other cells and figures at the training's mean.

    Args:
        system: the fitted system.
        mel: (T, M) log-mel that the encoder hears; not looked at where there is none.
        hand: (D,) handcrafted features, None where it takes none.
        parts: together all that the system takes.
        affine: the score is that of the affine map, not of the temperature.
    """
    neutral, mean, made = system.neutral_mel(mel), system.hand_neutral, system.calibration
    heard = [number for number, part in enumerate(parts) if part.cells.any()]

    def worth(sets: np.ndarray) -> np.ndarray:
        inputs = Inputs([str(number) for number in range(len(sets))])
        if neutral is not None:
            kinds, rows = np.unique(sets[:, heard], axis=0, return_inverse=True)
            mels = []
            for kind in kinds:
                there = np.zeros((1, 1), bool)
                for number in np.array(heard)[kind]:
                    there = there | parts[number].cells
                mels.append(np.where(there, mel, neutral))
            inputs.compact = compact_of(system.encoder(), mels).rows(rows.reshape(-1))
        if hand is not None and mean is not None:
            figures = sets @ np.stack([part.figures for part in parts])
            inputs.hand = np.where(figures, hand, mean).astype(np.float32)
        f = system.decision(system.values(inputs))
        return np.asarray(made.affine_scores(f) if affine else made.scores(f))

    return worth


def between(worth: Worth, baseline: float, score: float) -> Worth:
    """Return a game whose empty set is worth `baseline`, its whole `score`; `worth` is asked for the rest."""

    def worth_between(sets: np.ndarray) -> np.ndarray:
        worths = np.where(sets.any(1), score, baseline)
        rows = np.flatnonzero(sets.any(1) & ~sets.all(1))
        if len(rows):
            worths[rows] = worth(sets[rows])
        return worths

    return worth_between


def explain(system: System, piece: Piece, score: float, affine: bool = False) -> Effects:
    """Return what bands and measures do to the score of a piece; time is left to `joined` and `stretched`.

    Args:
        system: the fitted system.
        piece: what was judged.
        score: what it got.
        affine: by the affine map, not by the temperature.

    Raises:
        MasdError: the system is not one of MASD's own.
    """
    if not isinstance(system, MasdSystem) or system.feats is None:
        raise MasdError("--explain true: only MASD's own models can do that")
    from masd.feats.handcrafted import handcrafted

    config, encoder = system.feats, system.features.row.ssl
    mel = system.mel(piece) if encoder else np.zeros((1, config.n_mels), np.float32)
    hand = handcrafted(piece.core, config).astype(np.float32) if system.features.hand is not None else None
    return effects(system, mel, hand, score, affine)


def effects(
    system: MasdSystem,
    mel: np.ndarray,
    hand: np.ndarray | None,
    score: float | None = None,
    affine: bool = False,
) -> Effects:
    """Return what bands and measures do to a score, known or not; arguments as of `worth_of`."""
    config, given = system.feats, (system.features.row.ssl, hand is not None)
    assert config is not None
    games = [parts_of(config, *given) for parts_of in (band_parts, measure_parts)]
    ends = np.stack([np.zeros(len(games[0]), bool), np.ones(len(games[0]), bool)])
    baseline, whole = worth_of(system, mel, hand, games[0], affine)(ends).tolist()
    score = whole if score is None else score
    found = []
    for parts in games:
        worth = between(worth_of(system, mel, hand, parts, affine), baseline, score)
        values = shapley(worth, len(parts)).tolist()
        found.append({part.name: value for part, value in zip(parts, values, strict=True)})
    return Effects(score, baseline, *found)


def joined(several: Sequence[Effects], spans: Sequence[tuple[float, float]]) -> Effects:
    """Return the effects on the mean score of several windows: their means, and each window's own share.

    The score of the whole is the mean of the windows', so a window adds its score less its baseline to it,
    over their number, whatever the others do.

    Args:
        several: of each window.
        spans: (start, end) of each in seconds.
    """

    def mean(values: Iterable[float]) -> float:
        return float(np.mean(list(values)))

    whole = Effects(mean(one.score for one in several), mean(one.baseline for one in several))
    whole.bands = {name: mean(one.bands[name] for one in several) for name in several[0].bands}
    whole.measures = {name: mean(one.measures[name] for one in several) for name in several[0].measures}
    shares = [(one.score - one.baseline) / len(several) for one in several]
    whole.windows = [(*span, share) for span, share in zip(spans, shares, strict=True)]
    return whole


def stretched(system: System, piece: Piece, whole: Effects, start: float, affine: bool = False) -> Effects:
    """Return `whole`, of a recording of one window, with the effects of every `STRETCH` seconds of it.

    Absent stretches are cut out of the recording, and everything is measured on what is left; where all are,
    nothing can be measured, and the score is the baseline.

    Args:
        system: the fitted system.
        piece: the window.
        whole: what `explain` says of it.
        start: its first second in the recording.
        affine: the score is that of the affine map.
    """
    x, rate, made = piece.core, system.hearing.rate, system.calibration
    edges = stretches(len(x), round(STRETCH * rate))

    def cut(sets: np.ndarray) -> np.ndarray:
        cuts = [spliced(x, edges, there) for there in sets]
        f = system.decide([Piece(cut, 0, len(cut), window=True) for cut in cuts])
        return np.asarray(made.affine_scores(f) if affine else made.scores(f))

    worth = between(cut, whole.baseline, whole.score)
    players = len(edges) - 1
    values, whole.error = (
        (shapley(worth, players), 0.0) if players <= EXACT else estimated(worth, players, ROUNDS)
    )
    seconds = [round(start + edge / rate, 3) for edge in edges]
    whole.windows = list(zip(seconds[:-1], seconds[1:], values.tolist(), strict=True))
    return whole


def stretches(samples: int, size: int) -> list[int]:
    """Return where stretches of `size` samples begin and end; the last is up to half as long again."""
    return [*range(0, max(samples - size // 2, 1), size), samples]


def spliced(x: np.ndarray, edges: Sequence[int], there: np.ndarray) -> np.ndarray:
    """Return the stretches of x (N,) that are `there`, faded into each other where others lay between."""
    runs = np.flatnonzero(np.diff([False, *there, False])).reshape(-1, 2)
    parts = [x[edges[first] : edges[last]] for first, last in runs]
    out, ramp = parts[0], np.linspace(0, 1, FADE, dtype=np.float32)
    for part in parts[1:]:
        both = out[-FADE:] * (1 - ramp) + part[:FADE] * ramp
        out = np.concatenate([out[:-FADE], both, part[FADE:]])
    return out
