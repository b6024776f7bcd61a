"""Recordings that are fake in part: made, judged over time, and evaluated by segments."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from entry_points import ROOT, call

from masd.audio import read_audio
from masd.data.splice import spliced_set
from masd.errors import MasdError
from masd.metrics.segments import read_spans
from masd.stage.files import read_json


@pytest.fixture(scope="module")
def dev(light):
    return light.parent / "data" / "dev"


def test_pairs_differ_in_the_spoofed_stretch_alone(dev, tmp_path):
    made = spliced_set(dev, tmp_path / "data", tmp_path / "wav", 6, 4, "spk", 2, 0)
    assert len(made.utts) == 16  # two voices, two attacks each, two versions, in pairs
    spans = {utt: read_spans(text, utt) for utt, text in made.table("utt2fake").items()}
    starts = set()
    for stem in {utt.rpartition("-")[0] for utt in made.utts}:
        x, y = (read_audio(made.wav[f"{stem}-{label}"])[0] for label in ("bonafide", "spoof"))
        ((start, end),) = spans[f"{stem}-spoof"]
        assert not spans[f"{stem}-bonafide"] and made.attack(f"{stem}-bonafide") == "-"
        assert len(x) == len(y) == 160000 and end - start == pytest.approx(4, abs=0.001)
        a, b = round(start * 16000), round(end * 16000)
        assert np.array_equal(x[:a], y[:a]) and np.array_equal(x[b:], y[b:]) and not np.array_equal(x, y)
        rms = [np.sqrt(np.mean(part**2)) for part in (x[a:b], y[a:b])]
        assert rms[0] / rms[1] == pytest.approx(1, abs=0.15)
        starts.add(start)
    assert len(starts) == 8
    again = spliced_set(dev, tmp_path / "again", tmp_path / "wav2", 6, 4, "spk", 2, 0)
    assert all(Path(again.wav[u]).read_bytes() == Path(made.wav[u]).read_bytes() for u in made.utts)
    other = spliced_set(dev, tmp_path / "other", tmp_path / "wav3", 6, 4, "spk", 2, 1)
    assert other.table("utt2fake") != made.table("utt2fake")


def test_too_little_speech_is_said(dev, tmp_path, caplog):
    with pytest.raises(MasdError, match="no spk has 20 s of bona fide speech"):
        spliced_set(dev, tmp_path / "data", tmp_path / "wav", 12, 8, "spk", 1, 0)
    with pytest.raises(
        MasdError, match=r"--genuine 6 --fake 0 --versions 1: at least 0.01 s of each, and a version"
    ):
        spliced_set(dev, tmp_path / "data", tmp_path / "wav", 6, 0, "spk", 1, 0)
    with pytest.raises(MasdError, match="--genuine inf --fake 4"):
        spliced_set(dev, tmp_path / "data", tmp_path / "wav", float("inf"), 4, "spk", 1, 0)
    with pytest.raises(MasdError, match="is the source as well"):
        spliced_set(dev, dev, tmp_path / "wav", 4, 8, "spk", 1, 0)
    spliced_set(dev, tmp_path / "data", tmp_path / "wav", 4, 8, "spk", 1, 0)
    assert "attacks left out, whose spk has too little speech: 2" in caplog.text


def test_the_script_of_demos_makes_judges_and_evaluates(light, dev, tmp_path):
    words = ["--data", dev, "--model", light, "--out", tmp_path, "--by", "spk", "--genuine", 6, "--fake", 4]
    done = subprocess.run(
        ["bash", ROOT / "egs/demos/local/splices.sh", *map(str, words), "--versions", "2", "--hop", "1"],
        capture_output=True, text=True, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "verdicts.json").read_text().splitlines()]
    assert len(rows) == 16 and all(len(row["windows"]) == 7 for row in rows)
    told = sum(
        row["label"] == "spoof" or row["stretch"]["p_fake"] >= 0.5
        for row in rows
        if "spoof.flac" in row["file"]
    )
    assert f"part of it may be fake: {told} of 8 fake in part" in done.stdout
    found = read_json(tmp_path / "results/segments.json")
    assert found["recordings"] == 16 and found["spoofed"] == 8
    assert (
        "| 0.16 s      |" in done.stdout and f"{100 * found['segments']['0.16']['eer']:.2f} |" in done.stdout
    )
    assert found["segments"]["0.16"]["segments"] == 16 * 63  # of 10 s
    assert f"in {100 * found['located']:.1f} % of them" in done.stdout


def test_segments_without_spoofed_seconds_or_of_other_recordings_are_refused(dev, tmp_path):
    made = spliced_set(dev, tmp_path / "data", tmp_path / "wav", 6, 4, "spk", 1, 0)
    lines = [f"{utt} {i}.0" for i, utt in enumerate(made.utts)]
    (tmp_path / "scores").write_text("\n".join(lines) + "\n")
    (tmp_path / "windows").write_text("".join(f"{utt} 0 4 1\n" for utt in made.utts[1:]))
    words = ["--scores", tmp_path / "scores", "--segments", tmp_path / "windows", "--out", tmp_path / "out"]
    done = call("evaluate", *words, "--data", made.path, "--bootstrap", 0)
    assert done.returncode == 1 and "1 trial (splice0001-bonafide) without a score" in done.stderr
    (made.path / "utt2fake").unlink()
    done = call("evaluate", *words, "--data", made.path, "--bootstrap", 0)
    assert done.returncode == 1 and "has no utt2fake" in done.stderr
