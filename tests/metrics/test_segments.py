"""Segments of recordings that are spoofed in part: labels and scores against a loop, the rate pooled."""

import json

import numpy as np
import pytest

from masd.errors import MasdError
from masd.metrics.eer import eer
from masd.metrics.segments import (
    read_spans,
    read_windows,
    segment_labels,
    segment_metrics,
    segment_scores,
)


@pytest.mark.parametrize("step", [0.16, 0.32, 0.64])
def test_a_segment_with_any_spoofed_sample_is_spoofed(step):
    """Against a mask of samples of 1 ms, cut into segments, of which the last is shorter."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        length = int(rng.integers(300, 9000))
        ends = np.sort(rng.integers(0, length, 4))
        spans = [(a / 1000, b / 1000) for a, b in (ends[:2], ends[2:]) if a < b]
        mask = np.zeros(length, bool)
        for a, b in spans:
            mask[round(a * 1000) : round(b * 1000)] = True
        size = round(step * 1000)
        expected = [mask[at : at + size].any() for at in range(0, length, size)]
        assert segment_labels(spans, length / 1000, step).tolist() == expected


def test_borders_that_are_multiples_of_a_segment_spoof_no_neighbour():
    """0.48 is not 3 x 0.16 in binary."""
    assert segment_labels([(0.48, 0.96)], 1.6, 0.16).tolist() == [False] * 3 + [True] * 3 + [False] * 4
    assert len(segment_labels([], 0.48, 0.16)) == 3 and len(segment_labels([], 0.01, 0.64)) == 1


def test_a_segment_has_the_mean_score_of_what_covers_its_middle_or_that_of_the_nearest():
    windows = [(0.0, 4.0, 2.0), (2.0, 6.0, -1.0), (8.0, 9.0, 5.0)]
    scores = segment_scores(windows, 10.0, 0.5)
    assert scores[:4].tolist() == [2.0] * 4  # up to 2 s
    assert scores[4:8].tolist() == [0.5] * 4  # where two overlap
    assert scores[8:14].tolist() == [-1.0] * 6  # up to 7 s, where the third comes nearer
    assert scores[14:].tolist() == [5.0] * 6


def test_rates_are_of_all_segments_together_and_recordings_have_their_lowest_window():
    rng = np.random.default_rng(1)
    windows, spans, seconds = {}, {}, {}
    for i in range(12):
        spans[f"u{i:02d}"] = [(1.3, 2.9)] if i % 2 else []
        seconds[f"u{i:02d}"] = 4.5
        windows[f"u{i:02d}"] = [
            (0.5 * k, 0.5 * k + 1, float(rng.normal() - 2 * (i % 2 and 2 <= k <= 5))) for k in range(8)
        ]
    found = segment_metrics(windows, spans, seconds, steps=(0.5,))
    real, fake = [], []
    for utt, rows in windows.items():
        for k in range(9):
            middle = 0.5 * k + 0.25
            over = [s for a, b, s in rows if a <= middle <= b] or [rows[-1][2]]
            inside = spans[utt] and 0.5 * k < 2.9 and 0.5 * k + 0.5 > 1.3
            (fake if inside else real).append(np.mean(over))
    part = found["segments"]["0.5"]
    assert part["eer"] == pytest.approx(eer(real, fake)[0]) and part["spoofed"] == len(fake)
    lowest = {utt: min(rows, key=lambda row: row[2]) for utt, rows in windows.items()}
    low = [[lowest[utt][2] for utt in spans if bool(spans[utt]) == kind] for kind in (False, True)]
    assert found["highest"] == eer(*low)[0]
    inside = [min(b, 2.9) - max(a, 1.3) >= 0.5 for utt, (a, b, _) in lowest.items() if spans[utt]]
    assert found["located"] == np.mean(inside)


def test_windows_are_read_as_detect_prints_them_and_as_lines(tmp_path):
    row = {
        "file": "/x/a.wav",
        "windows": [{"start": 0, "end": 4, "p_fake": 0.9}, {"start": 4, "end": 8, "p_fake": 1.0}],
    }
    (tmp_path / "w").write_text(json.dumps(row) + "\nb 0 4 1.5\nb 2 6 -1\n")
    found = read_windows(tmp_path / "w")
    assert found["b"] == [(0.0, 4.0, 1.5), (2.0, 6.0, -1.0)]
    assert found["/x/a.wav"][0][2] == pytest.approx(-np.log(9)) and np.isfinite(found["/x/a.wav"][1][2])
    for line in (
        "b 0 4",
        "b 4 0 1",
        "b 0 4 nan",
        '{"file": "x"}',
        '{"file": "x", "windows": []}',
        '{"windows": 3',
        "b 0 4 x",
        "b 0 4 1 2",
    ):
        (tmp_path / "w").write_text(f"b 0 4 1\n{line}\n")
        with pytest.raises(MasdError, match=r"w:2: no windows"):
            read_windows(tmp_path / "w")


def test_spoofed_seconds_are_read_strictly():
    assert read_spans("-", "x") == [] and read_spans("0-1.5,4-5", "x") == [(0.0, 1.5), (4.0, 5.0)]
    for text in ("", "4", "5-4", "a-b", "1-2-3", "-1-2", "1-inf", "1-2,"):
        with pytest.raises(MasdError, match=r"x: .* names no seconds"):
            read_spans(text, "x")


def test_labels_that_do_not_fit_the_recordings_are_refused():
    windows, seconds = {"a": [(0.0, 4.0, 1.0)], "b": [(0.0, 4.0, -1.0)]}, {"a": 4.0, "b": 4.0}
    with pytest.raises(MasdError, match=r"b: spoofed from 64000 s on, but .* ends at 4 s"):
        segment_metrics(windows, {"a": [], "b": [(1, 2), (64000, 128000)]}, seconds)
    with pytest.raises(MasdError, match=r"a: a recording of 1e\+09 s is not credible"):
        segment_metrics(windows, {"a": [], "b": [(1, 2)]}, seconds | {"a": 1e9})


def test_long_recordings_are_scored_in_parts(monkeypatch):
    windows = [(float(s), float(e), v) for s, e, v in np.random.default_rng(2).random((7, 3)) * 9 if s < e]
    whole = segment_scores(windows, 10.0, 0.16)
    for cells in (1, len(windows) * 5, len(windows) * 62):
        monkeypatch.setattr("masd.metrics.segments._CELLS", cells)
        assert np.array_equal(segment_scores(windows, 10.0, 0.16), whole)
