"""A model folder as speech_spoof_bench calls models: `--model-module masd.judge.bench:Bench`."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from masd.errors import MasdError
from masd.judge.detector import Detector

MODEL = "MASD_MODEL"


class Bench:
    """Scores of recordings that the benchmark hands over; it makes the object without arguments.

    The environment variable MASD_MODEL names the model folder; without it the packaged model scores. What is
    heard of a recording is what recipes score: its beginning.

    Attributes:
        name: what the benchmark calls the system.
        expected_sample_rate: Hz, that of the samples it hands over.
        batch_size: recordings of one call.
    """

    name = "masd"
    expected_sample_rate = 16000
    batch_size = 1
    _detector: Detector | None = None

    def load(self) -> None:
        """Read the model; `MasdError` where it cannot be used."""
        self._detector = Detector(os.environ.get(MODEL) or None, windows=False)

    def score_batch(self, audios: Sequence[np.ndarray], srs: Sequence[int]) -> list[float]:
        """Return the scores of waveforms (N,), higher for bona fide speech.

        Raises:
            MasdError: `load` was not called, or one cannot be judged; the benchmark leaves it out.
        """
        return [self.score(x, rate) for x, rate in zip(audios, srs, strict=True)]

    def score(self, audio: np.ndarray, sr: int) -> float:
        """Return the score of one waveform (N,); see `score_batch`."""
        if self._detector is None:
            raise MasdError("Bench: call load first")
        return self._detector.judge(audio, sr).score

    def unload(self) -> None:
        """Let go of the model."""
        self._detector = None
