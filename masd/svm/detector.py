"""A fitted model on recordings: the recipe's stages 3, 5 and 6 in memory, one recording at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from masd.audio import audio_files
from masd.audio.speech import Level, Leveller
from masd.errors import MasdError
from masd.feats.config import HAND_NAMES, FeatsConfig, classify_frames, classify_samples, hand_size
from masd.judge.explain import Effects
from masd.judge.verdict import Filter, Judge, Piece
from masd.svm.inputs import Inputs, embed, stack_compact
from masd.svm.ranges import bandwidth
from masd.svm.system import System

STRETCH = 0.5  # seconds of a stretch that is taken away to explain a score
LEAST = 0.5  # seconds that must be left of it


class Detector(Judge):
    """Judges recordings with a model folder.

    A recording gets the score that the recipe's stages give it: the same front end, encoder, alpha, SVM and
    temperature.

    Args:
        folder: model folder, exp/<tag>/model.
        windows: score windows over the whole recording and average, instead of the first seconds.
        calibration: which map from f to the score, `temperature` (Eq. 10) or `affine`.
        fast: run the encoder's ONNX graph that export_model made.
        explained: also say what moved each score.
        prior: P(fake) before anything is heard; one half where none is given.

    Raises:
        MasdError: the folder is no model, or one that takes embeddings made elsewhere, or has no graph;
            windows are to be explained; the prior is no probability.
    """

    def __init__(
        self,
        folder: str | Path,
        windows: bool = False,
        calibration: Literal["temperature", "affine"] = "temperature",
        fast: bool = False,
        explained: bool = False,
        prior: float | None = None,
    ) -> None:
        if windows and explained:
            raise MasdError(
                "--explain true explains the score of a recording's first seconds, not of windows"
            )
        self.system = System.load(folder)
        super().__init__(self.system.info, prior, windows, calibration)
        self.explained = explained
        config = self.system.feats_config()
        if config is None:
            raise MasdError(
                f"{folder}: takes embeddings made elsewhere, not audio; score it with masd.bin.score"
            )
        self.config: FeatsConfig = config
        hand = self.system.features.hand
        if hand is not None and len(hand.mean) != hand_size(config):
            raise MasdError(f"{folder}: takes acoustic tokens too, not audio alone; use masd.bin.score")
        if fast and not self.system.features.spec.ssl:
            raise MasdError(f"{folder}: has no encoder that could be a graph; leave --fast out")
        self.encoder = self.system.encoder(fast) if self.system.features.spec.ssl else None
        self.rate, self.least, self.skip = config.sample_rate, config.min_seconds, config.skip_silence
        self.samples, self.hop = classify_samples(config), config.hop_length
        # so that the frames at a piece's edges hear what lies beyond them, as those of a dump do
        self.margin = config.hop_length * -(-config.n_fft // (2 * config.hop_length))

    def levelled(self, level: Level) -> tuple[Filter, float]:
        """Return the peak normalisation with dither, and the loud level after it."""
        return Leveller(level, self.config.dither, self.config.dither_seed), level.loud / level.peak**2

    def score(self, f: float) -> float:
        """Return -f / T, or the affine map's score."""
        return float(self.system.affine_scores(f) if self.affine else self.system.scores(f))

    def decide(self, pieces: Sequence[Piece]) -> np.ndarray:
        """Return f (n,) of pieces."""
        return self.system.decision(self.system.values(self.inputs(pieces)))

    def inputs(self, pieces: Sequence[Piece]) -> Inputs:
        """Return the inputs of pieces, one row each."""
        from masd.feats.handcrafted import handcrafted

        hand = np.stack([handcrafted(piece.core, self.config) for piece in pieces]).astype(np.float32)
        inputs = Inputs([str(number) for number in range(len(pieces))], hand=hand)
        if self.encoder is not None:
            found = embed(self.encoder, [self._mel(piece) for piece in pieces])
            inputs.compact = stack_compact([mu for mu, _ in found], [gram for _, gram in found])
        return inputs

    def measure(self, piece: Piece) -> dict[str, float]:
        """Return length, bandwidth and handcrafted features of a piece."""
        from masd.feats.handcrafted import handcrafted

        hand = handcrafted(piece.core, dataclasses.replace(self.config, families=()))
        measured = {
            "seconds": len(piece.core) / self.rate,
            "bandwidth": bandwidth(self._mel(piece), self.config),
        }
        return measured | dict(zip(HAND_NAMES, hand.tolist(), strict=True))

    def _mel(self, piece: Piece) -> np.ndarray:
        from masd.feats.logmel import logmel

        config = dataclasses.replace(self.config, max_seconds=None) if self.windows else self.config
        first = piece.before // self.hop
        return logmel(piece.x, config).numpy()[first : first + classify_frames(config)]

    def explain(self, piece: Piece) -> Effects | None:
        """Return what bands, measures and stretches of `STRETCH` seconds do to the score of a first piece.

        A band's log-mel cells, its figures, a measure or a family of statistics are set to the mean of the
        set that the encoder or the SVM was trained on (see `System.neutral_mel`); a stretch is cut out of the
        recording, and everything measured on what is left.
        """
        if not self.explained:
            return None
        from masd.feats.handcrafted import handcrafted
        from masd.feats.logmel import logmel
        from masd.judge import explain as parts

        config, hand = self.config, self.system.features.hand
        x, judged = piece.x, self.samples

        def variant(part: str | tuple[float, float], y: np.ndarray) -> parts.Variant:
            mel = logmel(y, config).numpy()[: classify_frames(config)]
            return parts.Variant(part, mel, handcrafted(y[:judged], config) if hand is not None else None)

        whole = variant("", x)
        neutral, of_hand = self.system.neutral_mel(whole.mel), self.system.hand_neutral
        variants = parts.without_bands(whole.mel, whole.hand, config, neutral, of_hand)
        if of_hand is not None:
            variants += parts.without_measures(whole.mel, whole.hand, config, of_hand)
        variants += [
            variant((start / self.rate, stop / self.rate), cut)
            for start, stop, cut in stretches(
                x[:judged], round(STRETCH * self.rate), round(LEAST * self.rate)
            )
        ]
        return parts.effects(self.system, self.encoder, whole, variants, self.affine)


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


def expand(sources: list[str]) -> Iterator[str | MasdError]:
    """Yield files, those of folders in sorted order; in place of an empty or unreadable folder an error."""
    for source in sources:
        if "\\x" in source and not Path(source).exists():
            yield MasdError(f"{source}: no such file, or its name is not UTF-8; rename the file")
        elif source != "-" and Path(source).is_dir():
            try:
                files = audio_files(source)
            except MasdError as error:
                yield error
                continue
            yield from map(str, files)
            if not files:
                yield MasdError(f"{source}: no audio files in this folder (WAV, FLAC, MP3, Ogg, M4A, ...)")
        else:
            yield source
