"""A comparison system on recordings, one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from masd.audio.speech import Level
from masd.detectors.config import RATE, SHORTEST
from masd.detectors.detector import Detector
from masd.feats.config import FeatsConfig
from masd.judge.verdict import Filter, Judge, Piece
from masd.svm.ranges import bandwidth

WINDOW = 4.0  # seconds


class DetectorJudge(Judge):
    """Judges recordings with a comparison system.

    Args:
        detector: the system.
        windows: score windows over the whole recording and average, instead of what the system takes.
        calibration: which map from f to the score, `temperature` or `affine`.
        prior: P(fake) before anything is heard; one half where none is given.
    """

    rate, least = RATE, SHORTEST

    def __init__(
        self,
        detector: Detector,
        windows: bool = False,
        calibration: Literal["temperature", "affine"] = "temperature",
        prior: float | None = None,
    ) -> None:
        super().__init__(detector.info, prior, windows, calibration)
        self.detector = detector
        self.samples = round(WINDOW * RATE) if windows else detector.samples

    def levelled(self, level: Level) -> tuple[Filter, float]:
        """Return samples as they are."""
        return lambda x: x, level.loud

    def score(self, f: float) -> float:
        """Return -f / T, or the affine map's score."""
        return float(self.detector.affine_scores(f) if self.affine else self.detector.scores(f))

    def decide(self, pieces: Sequence[Piece]) -> np.ndarray:
        """Return f (n,) of pieces, one at a time, as a set's are in batches of any size."""
        # front ends that scale to the peak need one
        waves = [x if x.any() else np.full_like(x, 1e-8) for x in (piece.core for piece in pieces)]
        return self.detector.decisions(np.array([self.detector.raw([x], [""])[0] for x in waves]))

    def measure(self, piece: Piece) -> dict[str, float]:
        """Return length and bandwidth of a piece."""
        from masd.feats.logmel import logmel

        config = FeatsConfig()
        scaled = piece.core[: round(WINDOW * RATE)] / max(float(np.abs(piece.core).max()), 1e-9)
        measured = {"seconds": len(piece.core) / RATE}
        return measured | {"bandwidth": bandwidth(logmel(scaled, config).numpy(), config)}
