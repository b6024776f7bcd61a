"""Judging in Python: `masd.Detector().judge(x, rate)`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from masd.judge.sources import Source
from masd.judge.verdict import Judge, Verdict
from masd.systems import load

Item = Source | tuple[np.ndarray, int]


class Detector:
    """A model that judges recordings: files, bytes, file objects, arrays of samples.

    It is read once and not changed by judging: several threads may use one detector at a time.

    Args:
        model: a model folder; the model that comes with this package without one.
        **how: what `masd.judge.verdict.Judge` takes: `windows` (true here: all of a recording; false: its
            first seconds, as recipes score it), `prior`, `calibration`, `explained`.

    Attributes:
        classes_: (2,) the labels of the columns of `predict_proba`.

    Raises:
        MasdError: the model cannot be used, or not so.
    """

    classes_ = np.array(["bonafide", "spoof"])

    def __init__(self, model: str | Path | None = None, **how: Any) -> None:
        if model is None:
            from masd.pretrained import PLUS

            model = PLUS
        windows = how.pop("windows", True)
        self._judge = Judge(load(model), windows, **how)

    def judge(self, source: Source, rate: int | None = None, name: str = "") -> Verdict:
        """Judge one recording (see `Judge.judge`).

        Args:
            source: a path, `-` for standard input, bytes, a binary file object, or samples (N,) or
                (N, channels).
            rate: the sampling rate of samples in Hz; files say their own.
            name: what the verdict calls it.

        Raises:
            MasdError: it cannot be read or judged.
        """
        return self._judge.judge(source, rate, name)

    def decision_function(self, items: Iterable[Item], rate: int | None = None) -> np.ndarray:
        """Return log P(fake) / P(bona fide) (n,) of recordings: above 0 is `spoof`.

        Unlike scores in files, which are higher for bona fide speech, as in scikit-learn it grows with
        the second of `classes_`.

        Args:
            items: what `judge` takes, or pairs (samples, rate).
            rate: the sampling rate of samples that stand alone.

        Raises:
            MasdError: one cannot be read or judged.
        """
        p = self.predict_proba(items, rate)
        with np.errstate(divide="ignore"):
            return np.log(p[:, 1]) - np.log(p[:, 0])

    def predict_proba(self, items: Iterable[Item], rate: int | None = None) -> np.ndarray:
        """Return [P(bona fide), P(fake)] (n, 2) of recordings, at the stated prior.

        Also of those that `judge` calls inconclusive: look at its reasons where that matters.
        """
        p = np.array([verdict.p_fake for verdict in self._verdicts(items, rate)]).reshape(-1)
        return np.stack([1.0 - p, p], axis=1)

    def predict(self, items: Iterable[Item], rate: int | None = None) -> np.ndarray:
        """Return labels (n,): `bonafide`, `spoof` or `inconclusive`."""
        return np.array([verdict.label for verdict in self._verdicts(items, rate)])

    def _verdicts(self, items: Iterable[Item], rate: int | None) -> list[Verdict]:
        pairs = (item if isinstance(item, tuple) else (item, None) for item in items)
        return [
            self.judge(source, (own or rate) if isinstance(source, np.ndarray) else own)
            for source, own in pairs
        ]
