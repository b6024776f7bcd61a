"""Segment-level equal error rate, for recordings that are spoofed in part.

As in the PartialSpoof database (Zhang et al., IEEE/ACM TASLP 31, 2023): a recording is cut from its beginning
into segments of one length, the last of which may be shorter. A segment with any spoofed speech in it is
spoofed. The segments of all recordings are pooled, and their EER is taken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from masd.errors import MasdError
from masd.metrics.eer import eer, split
from masd.metrics.scores import log_odds
from masd.stage.files import read_lines

STEPS = (0.16, 0.32, 0.64)  # seconds
Window = tuple[float, float, float]  # start and end in seconds, score, higher for bona fide
_LONGEST = 1e6  # seconds of a recording: more is a mistake in a table
_CELLS = 1 << 20  # pairs of segment and window at a time, so that long recordings take little memory
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


def read_windows(path: str | Path) -> dict[str, list[Window]]:
    """Return {recording: its windows} of `detect --json`'s lines, or of lines `<utt> <start> <end> <score>`.

    Raises:
        MasdError: a line is neither; it is named.
    """
    found: dict[str, list[Window]] = {}
    for number, line in enumerate(read_lines(path), 1):
        try:
            if line.startswith("{"):
                row = json.loads(line)
                rows = [(w["start"], w["end"], -log_odds(w["p_fake"])) for w in row["windows"]]
                utt = str(row["file"])
            else:
                utt, start, end, score = line.split()
                rows = [(float(start), float(end), float(score))]
            if not rows or not all(np.isfinite(row).all() and 0 <= row[0] < row[1] for row in rows):
                raise ValueError
        except (ValueError, LookupError, TypeError):
            raise MasdError(
                f"{path}:{number}: no windows; give what `detect --json` prints, "
                "or lines `<utt> <start> <end> <score>`"
            ) from None
        found.setdefault(utt, []).extend(rows)
    return found


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


def segment_scores(windows: Sequence[Window], seconds: float, step: float) -> np.ndarray:
    """Return the score (n,) of each segment: the mean of the windows that cover its middle, or the nearest's.

    Coarse scores so go to all segments under them, as PartialSpoof takes them to finer resolutions.

    Args:
        windows: (start, end, score) in any order, overlapping or not; higher is more bona fide.
        seconds: the recording's length.
        step: length of a segment.
    """
    start, end, score = np.array(windows, np.float64).T
    count = max(1, int(np.ceil(seconds / step - _SLACK)))
    middles = np.minimum((np.arange(count) + 0.5) * step, seconds)[:, None]
    found = []
    for part in np.split(middles, range(rows := max(1, _CELLS // len(start)), count, rows)):
        distance = np.maximum(np.maximum(start - part, part - end), 0.0)
        nearest = distance <= distance.min(axis=1, keepdims=True)
        found.append((nearest * score).sum(axis=1) / nearest.sum(axis=1))
    return np.concatenate(found)


def segment_metrics(
    windows: Mapping[str, Sequence[Window]],
    spans: Mapping[str, Sequence[tuple[float, float]]],
    seconds: Mapping[str, float],
    steps: Sequence[float] = STEPS,
) -> dict[str, Any]:
    """Return figures of recordings that are spoofed in part, shares of 1.

    Args:
        windows: of each recording what was judged.
        spans: of each, where it is spoofed; empty for bona fide ones.
        seconds: of each, its length.
        steps: lengths of segments in seconds.

    Returns:
        `segments`: {step: EER, threshold, counts} of the pooled segments; `highest`: EER of recordings by
        their most suspicious window; `located`: of the spoofed recordings, the share in which at least half
        of that window is spoofed; counts.

    Raises:
        MasdError: a class has no segment; a recording is said to be spoofed after its end, or lasts too long.
    """
    for utt, length in seconds.items():
        if length > _LONGEST:
            raise MasdError(f"{utt}: a recording of {length:g} s is not credible")
        late = max((start for start, _ in spans[utt]), default=0.0)
        if late >= length:
            raise MasdError(
                f"{utt}: spoofed from {late:g} s on, but it, or what was judged, ends at {length:g} s"
            )
    rates = {}
    for step in steps:
        scores = np.concatenate([segment_scores(windows[utt], seconds[utt], step) for utt in windows])
        fake = np.concatenate([segment_labels(spans[utt], seconds[utt], step) for utt in windows])
        rate, threshold = eer(*split(scores, fake))
        rates[f"{step:g}"] = {
            "eer": rate, "threshold": threshold, "segments": len(fake), "spoofed": int(fake.sum())
        }  # fmt: skip
    lowest = {utt: min(found, key=lambda window: window[2]) for utt, found in windows.items()}
    spoofed = [utt for utt in windows if spans[utt]]
    located = [_overlap(lowest[utt], spans[utt]) >= (lowest[utt][1] - lowest[utt][0]) / 2 for utt in spoofed]
    return {
        "recordings": len(windows),
        "spoofed": len(spoofed),
        "segments": rates,
        "highest": eer(*split([low[2] for low in lowest.values()], [bool(spans[utt]) for utt in lowest]))[0],
        "located": float(np.mean(located)),
    }


def _overlap(window: Window, spans: Sequence[tuple[float, float]]) -> float:
    return sum(max(0.0, min(window[1], end) - max(window[0], start)) for start, end in spans)
