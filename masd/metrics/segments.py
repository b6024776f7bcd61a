"""Segment-level equal error rate, for recordings that are spoofed in part.

As in the PartialSpoof database (Zhang et al., IEEE/ACM TASLP 31, 2023): a recording is cut from its beginning
into segments of one length, the last of which may be shorter. A segment with any spoofed speech in it is
spoofed. The segments of all recordings are pooled, and their EER is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from masd.errors import MasdError
from masd.metrics.eer import eer, split

STEPS = (0.16, 0.32, 0.64)  # seconds
_SLACK = 1e-6  # seconds: times are stated to a millisecond, and 0.48 is no multiple of 0.16 in binary


def read_spans(text: str, where: str) -> list[tuple[float, float]]:
    """Return [(start, end)] in seconds of `4.2-12.2,15-16`; `-` is none.

    Raises:
        MasdError: it is neither; the line begins with `where`.
    """
    if text == "-":
        return []
    try:
        spans = [tuple(map(float, part.split("-"))) for part in text.split(",")]
        if all(len(span) == 2 and 0 <= span[0] < span[1] < np.inf for span in spans):
            return spans  # type: ignore[return-value]
    except ValueError:
        pass
    raise MasdError(f"{where}: `{text}` names no seconds; write 4.2-12.2, several with commas, `-` for none")


def segment_labels(spans: Sequence[tuple[float, float]], seconds: float, step: float) -> np.ndarray:
    """Return (n,) booleans of a recording's segments of `step` seconds: true where any of it is spoofed.

    Args:
        spans: (start, end) of spoofed speech in seconds.
        seconds: the recording's length.
        step: length of a segment.
    """
    starts = np.arange(max(1, int(np.ceil(seconds / step - _SLACK)))) * step
    fake = np.zeros(len(starts), bool)
    for start, end in spans:
        fake |= (starts + step > start + _SLACK) & (starts < end - _SLACK)
    return fake


def segment_scores(windows: Sequence[tuple[float, float, float]], seconds: float, step: float) -> np.ndarray:
    """Return the score (n,) of each segment: the mean of the windows that cover its middle, or the nearest's.

    Coarse scores so go to all segments under them, as PartialSpoof takes them to finer resolutions.

    Args:
        windows: (start, end, score) in any order, overlapping or not; higher is more bona fide.
        seconds: the recording's length.
        step: length of a segment.
    """
    start, end, score = np.array(windows, np.float64).T
    count = max(1, int(np.ceil(seconds / step - _SLACK)))
    middle = np.minimum((np.arange(count) + 0.5) * step, seconds)[:, None]
    distance = np.maximum(np.maximum(start - middle, middle - end), 0.0)
    nearest = distance <= distance.min(axis=1, keepdims=True)
    return (nearest * score).sum(axis=1) / nearest.sum(axis=1)


def segment_rates(
    windows: Mapping[str, Sequence[tuple[float, float, float]]],
    spans: Mapping[str, Sequence[tuple[float, float]]],
    seconds: Mapping[str, float],
    steps: Sequence[float] = STEPS,
) -> dict[str, dict[str, float]]:
    """Return {step: EER, threshold and counts} of the pooled segments of recordings.

    Args:
        windows: of each recording (start, end, score).
        spans: of each, where it is spoofed; empty for bona fide ones.
        seconds: of each, its length.
        steps: lengths of segments in seconds.

    Raises:
        MasdError: a class has no segment.
    """
    found = {}
    for step in steps:
        scores = np.concatenate([segment_scores(windows[utt], seconds[utt], step) for utt in windows])
        fake = np.concatenate([segment_labels(spans[utt], seconds[utt], step) for utt in windows])
        rate, threshold = eer(*split(scores, fake))
        found[f"{step:g}"] = {
            "eer": rate, "threshold": threshold, "segments": len(fake), "spoofed": int(fake.sum())
        }  # fmt: skip
    return found
