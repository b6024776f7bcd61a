"""What a fitted system looks at: attention, band weights, its inputs projected, one utterance explained."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from masd.errors import Failures, MasdError
from masd.judge.explain import MEASURES
from masd.report.evaluated_runs import Run
from masd.report.scored_trials import Trials
from masd.stage.files import read_text, read_yaml
from masd.stage.seeding import generator

if TYPE_CHECKING:
    from masd.judge.explain import Effects
    from masd.systems.masd import MasdSystem

log = logging.getLogger(__name__)

POINTS = 1500  # utterances of a projection at most
STRETCH = 1.0  # seconds of log-mel whose effect is told


def attention_by_attack(run: Run) -> dict[str, np.ndarray]:
    """Return {`bona fide` or attack: mean attention over PCS, HFER, SFI (3,)} of a fused system, else {}.

    The weights are what the scoring stage wrote beside the scores of the evaluation set and of sets
    reported apart.

    Raises:
        MasdError: a line of an attention file is malformed.
    """
    weights: dict[str, list[float]] = {}
    for path in sorted((run.folder / "scores").glob("*/attention")):
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            utt, *values = line.split()
            try:
                weights[utt] = [float(v) for v in values]
            except ValueError:
                raise MasdError(f"{path}:{number}: not `<utt> <pcs> <hfer> <sfi>`: {line}") from None
    trials = run.trials
    known = np.array([len(weights.get(utt, ())) == len(MEASURES) for utt in trials.utts.tolist()])
    groups = np.where(trials.fake, trials.attack, "bona fide")
    out = {}
    for name in ["bona fide", *trials.attacks]:
        rows = [weights[utt] for utt in trials.utts[known & (groups == name)].tolist()]
        if rows:
            out[name] = np.mean(rows, axis=0)
    return out


def band_weights(runs: Sequence[Run]) -> dict[str, np.ndarray]:
    """Return {system: its bands' weights (J,), low to high, averaged over seeds} of systems with bands."""
    found: dict[str, list[Any]] = {}
    for run in runs:
        alpha = run.model.get("alpha") or []
        if len(alpha) > 1:
            found.setdefault(run.system, []).append(alpha)
    return {
        system: np.mean(rows, axis=0) for system, rows in found.items() if len({len(r) for r in rows}) == 1
    }


@dataclass
class Scored:
    """The scoring stage's inputs of a run: the system, and where its inputs lie."""

    system: MasdSystem
    embeddings: Path | None
    dump: Path | None


def scored_with(run: Run) -> Scored:
    """Return what the run's scores were made with, from scores/<set>/score.yaml.

    Raises:
        MasdError: the scores were made elsewhere, or model or inputs are gone.
    """
    from masd.judge.export import masd_system

    stated = read_yaml(run.folder / "scores" / run.set / "score.yaml")
    paths = [Path(stated[name]) if stated.get(name) else None for name in ("embeddings", "dump")]
    for path in paths:
        if path is not None and not path.exists():
            raise MasdError(f"{path}: gone")
    return Scored(masd_system(Path(stated["model"])), *paths)


@dataclass
class Projection:
    """Principal components of the SVM's inputs: points (N, 2), kind of each (N,), variance shares (2,)."""

    points: np.ndarray
    kinds: np.ndarray
    shares: np.ndarray


def projection(run: Run, limit: int = POINTS) -> Projection:
    """Return the first two principal components of what the SVM takes, of at most `limit` utterances.

    Raises:
        MasdError: the inputs are gone or have fewer than two dimensions.
    """
    from masd.systems.items import Stored
    from masd.systems.stored import check_stored, load_inputs

    made = scored_with(run)
    trials = _sample(run.trials.pooled, limit)
    stored = check_stored(Stored(made.embeddings, made.dump), made.system.name, made.system.features.row)
    inputs = load_inputs(stored, trials.utts.tolist(), Failures("utterance", 1.0))
    x = made.system.values(inputs).astype(np.float64)
    if x.shape[1] < 2 or len(x) < 3:
        raise MasdError("too few dimensions or utterances to project")
    x -= x.mean(axis=0)
    _, singular, axes = np.linalg.svd(x, full_matrices=False)
    # a component's sign is arbitrary: the greatest coefficient is made positive
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    kinds = dict(zip(trials.utts.tolist(), np.where(trials.fake, trials.attack, "bona fide"), strict=True))
    return Projection(
        x @ axes[:2].T, np.array([kinds[utt] for utt in inputs.utts]), singular[:2] ** 2 / (singular**2).sum()
    )


def _sample(trials: Trials, limit: int) -> Trials:
    if len(trials.utts) <= limit:
        return trials
    rows = generator(0, "projection").permutation(len(trials.utts))[:limit]
    return trials.take(np.sort(rows))


@dataclass
class Explanation:
    """What each part of one utterance does to its score, as `masd.judge.explain` has it.

    A stretch of time is here so much of the log-mel, the training's mean in its place; measures, which are of
    all of the utterance, take part in that game too, though their share is not told.

    Attributes:
        utt: the utterance.
        kind: its attack, or `bona fide`.
        mel: (T, M) log-mel frames the encoder saw.
        hop: seconds a frame.
        effects: of bands, measures and stretches of time.
    """

    utt: str
    kind: str
    mel: np.ndarray
    hop: float
    effects: Effects


def explain(run: Run, utt: str = "") -> Explanation:
    """Explain one utterance's score; without a name, that of the spoof the system is surest of.

    Raises:
        MasdError: the system has no encoder, its inputs are gone, or the utterance is no trial.
    """
    made = scored_with(run)
    system, trials = made.system, run.trials
    if not utt:
        pooled = trials.pooled
        utt = str(pooled.utts[pooled.fake][int(np.argmin(pooled.scores[pooled.fake]))])
    row = np.flatnonzero(trials.utts == utt)
    if not row.size:
        raise MasdError(f"--explain {utt}: not a trial of {run.set}")
    mel, hand, hop = _observed(made, utt)
    kind = str(trials.attack[row[0]]) if trials.fake[row[0]] else "bona fide"
    return Explanation(utt, kind, mel, hop, _effects(system, mel, hand, hop))


def _effects(system: MasdSystem, mel: np.ndarray, hand: np.ndarray | None, hop: float) -> Effects:
    from masd.judge import explain as game

    found = game.effects(system, mel, hand)
    spans = list(itertools.pairwise(game.stretches(len(mel), round(STRETCH / hop))))
    frames, none = np.arange(len(mel))[:, None], np.zeros(0 if hand is None else len(hand), bool)
    parts = [game.Part("measures", np.zeros_like(mel, bool), ~none)]
    for start, stop in spans:
        cells = np.broadcast_to((frames >= start) & (frames < stop), mel.shape)
        parts.append(game.Part(f"{start}", cells, none))
    worth = game.between(game.worth_of(system, mel, hand, parts), found.baseline, found.score)
    _, *values = game.shapley(worth, len(parts)).tolist()
    found.windows = [(a * hop, b * hop, value) for (a, b), value in zip(spans, values, strict=True)]
    return found


def _observed(made: Scored, utt: str) -> tuple[np.ndarray, np.ndarray | None, float]:
    """Return log-mel frames (T, M), handcrafted measures (3 or more,) or None, and seconds a frame."""
    from masd.feats.config import classify_frames
    from masd.feats.dump import open_dump

    config = made.system.feats
    if made.dump is None or config is None or not made.system.features.row.ssl:
        raise MasdError("a system without encoder or dump has no bands and frames to explain")
    dump = open_dump(made.dump, config)
    if utt not in set(dump.feats.utts):
        raise MasdError(f"--explain {utt}: not in {made.dump}")
    mel = np.asarray(dump.feats.crop(utt, 0, classify_frames(config)), dtype=np.float32)
    hand = np.asarray(dump.hand[utt], dtype=np.float32).reshape(-1)
    uses = made.system.features.row.hand
    return mel, hand if uses else None, config.hop_length / config.sample_rate


def with_name(attack: str, names: Mapping[str, str]) -> str:
    """Return an attack's id with its vocoder's name, where it has another one."""
    return f"{attack} {names[attack]}" if names.get(attack, attack) != attack else attack
