"""A comparison system on recordings, one at a time."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Literal

import numpy as np

from masd.audio import check_length, read_audio
from masd.audio.level import is_silent
from masd.audio.speech import Speech, seconds_of
from masd.detectors.config import RATE, SHORTEST
from masd.detectors.detector import Detector
from masd.metrics.scores import p_fake
from masd.svm.detector import Verdict, window_starts


class DetectorJudge:
    """Judges recordings with a comparison system.

    Args:
        detector: the system.
        windows: score windows over the whole recording and average, instead of what the system takes.
        calibration: which map from f to the score, `temperature` or `affine`.
    """

    def __init__(
        self,
        detector: Detector,
        windows: bool = False,
        calibration: Literal["temperature", "affine"] = "temperature",
    ) -> None:
        self.detector, self.windows = detector, windows
        self.affine = calibration == "affine"
        key = "dev_eer_affine" if self.affine else "dev_eer"
        self.threshold = float(detector.info["thresholds"][key])

    def judge(self, source: str | Path) -> Verdict:
        """Judge one audio file, or standard input for `-`.

        Raises:
            MasdError: it cannot be read, is empty or too short; the line names it.
        """
        name = str(source)
        audio = Path(source) if name != "-" else io.BytesIO(sys.stdin.buffer.read())
        x, info = read_audio(audio, RATE, name=name)
        check_length(x, name, RATE, SHORTEST)
        warnings = list(info.warnings)
        if is_silent(x):
            warnings = [*warnings, "silent: nothing to judge"]
            if not np.abs(x).max():
                x = np.full_like(x, 1e-8)  # a level that front ends which scale to the peak can take
        x = Speech(seconds_of(x, RATE), RATE).read()
        window = 4 * RATE
        starts = window_starts(len(x), window, 160) if self.windows else [0]
        waves = [x[start : start + window] for start in starts] if self.windows else [x]
        raw = [float(self.detector.raw([one], [""])[0]) for one in waves]
        f = float(np.mean(self.detector.decisions(np.array(raw))))
        score = float(self.detector.affine_scores(f) if self.affine else self.detector.scores(f))
        label = "spoof" if score <= self.threshold else "bonafide"
        return Verdict(name, score, float(p_fake(np.float64(score))), label, warnings)
