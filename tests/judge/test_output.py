"""What detect prints and how it exits; windows over time; verdicts in Python."""

import csv
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from entry_points import call
from light_model import RATE, speech

import masd
from masd.audio import write_wav
from masd.bin import detect as module
from masd.bin.detect import detect
from masd.data.folder import read_folder
from masd.errors import MasdError
from masd.metrics.eer import eer, split
from masd.metrics.scores import log_odds
from masd.pretrained import PLUS
from masd.stage.files import read_json


@pytest.fixture(scope="module")
def detector(light):
    return masd.Detector(light)


@pytest.fixture(scope="module")
def extremes(light, detector):
    """The most genuine and the most fake of the recordings that last 4 s or more."""
    wav = light.parent / "wav"
    found = {path: detector.judge(path).p_fake for path in sorted(wav.glob("*-0[89].wav"))}
    ends = min(found, key=found.get), max(found, key=found.get)
    assert found[ends[0]] < 0.5 < found[ends[1]]
    return ends


def test_people_read_genuine_and_fake_and_files_the_fields_words(light, extremes, tmp_path, capsys):
    write_wav(tmp_path / "silent.wav", np.zeros(RATE, np.float32))
    files = [*map(str, extremes), str(tmp_path / "silent.wav"), str(tmp_path / "none.wav")]
    with pytest.raises(MasdError, match="1 of 4"):
        detect(files, model=light, csv=tmp_path / "out.csv", fail_on="fake")
    head, columns, *rows, last = capsys.readouterr().out.splitlines()
    assert head.startswith("# ") and columns.startswith("# ")
    assert [row.split()[0] for row in rows] == ["genuine", "fake", "inconclusive"]
    assert not any("\033" in row for row in rows), "colours are for terminals"
    assert last == "# 4 files: 1 genuine, 1 fake, 1 inconclusive, 1 not judged"
    with open(tmp_path / "out.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["label"] for row in table] == ["bonafide", "spoof", "inconclusive", ""]
    assert table[2]["reasons"] == "silent: nothing to judge" and "no such audio file" in table[3]["error"]
    assert [row["file"] for row in table] == files
    with pytest.raises(SystemExit) as exit_of:
        detect(files[:1], model=light, json=True)
        detect(files[:2], model=light, json=True, fail_on="fake")
    assert exit_of.value.code == module.FOUND
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["label"] for row in shown] == ["bonafide", "bonafide", "spoof"]


@pytest.mark.parametrize(
    ("given", "fail_on", "fails"),
    [("genuine", "inconclusive", False), ("silent", "fake", False), ("silent", "inconclusive", True),
     ("fake", "inconclusive", True), ("fake", "nothing", False)],
)  # fmt: skip
def test_fail_on(light, extremes, tmp_path, given, fail_on, fails):
    write_wav(tmp_path / "silent.wav", np.zeros(RATE, np.float32))
    path = {"genuine": extremes[0], "fake": extremes[1], "silent": tmp_path / "silent.wav"}[given]
    if fails:
        with pytest.raises(SystemExit, match="3"):
            detect([str(path)], model=light, fail_on=fail_on)
    else:
        detect([str(path)], model=light, fail_on=fail_on)


@pytest.mark.parametrize(
    ("variables", "shown"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_are_for_terminals_that_want_them(light, extremes, monkeypatch, variables, shown):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    detect([str(extremes[1])], model=light)
    assert ("\033[31;1mfake" in screen.getvalue()) == shown


def spliced(extremes):
    """20 s, genuine but for the 8 s from 8 s on, which are a fake."""
    real, fake = (soundfile.read(path, dtype="float32")[0] for path in extremes)
    real, fake = (np.tile(x / np.abs(x).max(), 8) for x in (real[: 4 * RATE], fake[: 4 * RATE]))
    return np.concatenate([real[: 8 * RATE], fake[: 8 * RATE], real[: 4 * RATE]])


def test_a_splice_is_told_though_the_mean_hides_it(light, detector, extremes, tmp_path, capsys):
    x = spliced(extremes)
    write_wav(tmp_path / "x.wav", x)
    verdict = detector.judge(tmp_path / "x.wav")
    assert [(w.start, w.end) for w in verdict.windows] == [(4.0 * i, 4.0 * i + 4) for i in range(5)]
    odds = [np.log(w.p_fake / (1 - w.p_fake)) for w in verdict.windows]
    assert min(odds[2:4]) > max(odds[:2] + odds[4:])
    assert np.log(verdict.p_fake / (1 - verdict.p_fake)) == pytest.approx(np.mean(odds), abs=1e-9)
    assert verdict.highest.start in (8.0, 12.0) and verdict.highest.p_fake > 0.5
    detect([str(tmp_path / "x.wav")], model=light, timeline=True)
    row, *lines = capsys.readouterr().out.splitlines()[2:]
    start = verdict.highest.start
    assert f"most suspicious {start:.1f}-{start + 4:.1f} s: P(fake) {verdict.highest.p_fake:.2f}" in row
    assert (verdict.stretch.start, verdict.stretch.end) == (8.0, 16.0)
    p = 1 / (1 + np.exp(-np.mean(odds[2:4])))
    assert verdict.stretch.p_fake == pytest.approx(p) and p > 0.5
    assert (f"part of it may be fake: 8.0-16.0 s: P(fake) {p:.2f}, " in row) == (verdict.label == "bonafide")
    assert [float(line.split()[0]) for line in lines] == [0, 4, 8, 12, 16]
    assert [float(line.split()[4]) for line in lines] == pytest.approx(
        [w.p_fake for w in verdict.windows], abs=1e-4
    )
    first = masd.Detector(light, windows=False).judge(tmp_path / "x.wav")
    assert [(w.start, w.end) for w in first.windows] == [(0.0, 4.0)]


def test_fail_on_part_finds_what_the_mean_hides(light, detector, extremes, tmp_path, capsys):
    """At a prior that calls the mean genuine and the stretch fake."""
    write_wav(tmp_path / "x.wav", spliced(extremes))
    verdict = detector.judge(tmp_path / "x.wav")
    middle = np.mean([log_odds(p) for p in (verdict.p_fake, verdict.stretch.p_fake)])
    how = {"model": light, "prior": float(1 / (1 + np.exp(middle)))}
    detect([str(tmp_path / "x.wav")], **how, fail_on="fake")
    assert capsys.readouterr().out.splitlines()[2].startswith("genuine")
    with pytest.raises(SystemExit) as end:
        detect([str(tmp_path / "x.wav")], **how, fail_on="part")
    assert end.value.code == module.FOUND and "part of it may be fake: 8.0-16.0 s" in capsys.readouterr().out
    detect([str(extremes[0])], model=light, fail_on="part")


def test_windows_overlap_where_a_hop_is_given(light, detector, extremes):
    x = spliced(extremes)
    fine = masd.Detector(light, hop=1.0).judge(x, RATE)
    assert [w.start for w in fine.windows] == list(range(17))
    apart = detector.judge(x, RATE)
    assert [w.p_fake for w in fine.windows[::4]] == pytest.approx([w.p_fake for w in apart.windows], abs=1e-6)
    assert 6 <= fine.stretch.start <= 10 and fine.stretch.end == fine.stretch.start + 8
    for how in ({"hop": 5.0}, {"hop": 0.0}, {"hop": 1.0, "windows": False}):
        with pytest.raises(MasdError, match="--hop"):
            masd.Detector(light, **how)


def test_windows_are_told_in_the_recordings_own_seconds(detector, extremes):
    """Silence that was skipped counts."""
    x = soundfile.read(extremes[0], dtype="float32")[0]
    verdict = detector.judge(np.concatenate([np.zeros(5 * RATE, np.float32), x]), RATE)
    assert 4.8 < verdict.windows[0].start < 5.2
    assert verdict.windows[-1].end == pytest.approx(5 + len(x) / RATE, abs=0.2)


def test_paths_bytes_files_and_samples_are_one_recording(detector, tmp_path):
    """To the last bit, of another rate and two channels too."""
    x = np.round(30000 * speech("x", 3, rate=22050)).astype(np.int16)
    both = np.stack([x, x // 2], 1)
    path = tmp_path / "x.wav"
    soundfile.write(path, both, 22050)
    expected = detector.judge(path)
    with open(path, "rb") as file:
        others = [detector.judge(file), detector.judge(str(path)), detector.judge(path.read_bytes())]
    others.append(detector.judge(both, 22050, name="mine"))
    floats = (both / 32768).astype(np.float32)
    others += [detector.judge(floats, 22050), detector.judge(floats.astype(np.float64), 22050)]
    assert {(v.score, v.p_fake, v.label) for v in others} == {
        (expected.score, expected.p_fake, expected.label)
    }
    assert others[3].file == "mine" and any("2 channels" in line for line in others[3].warnings)


def test_many_recordings_as_scikit_learn_has_it(detector, extremes):
    x, rate = soundfile.read(extremes[1], dtype="float32")
    items = [extremes[0], (x, rate), extremes[1].read_bytes()]
    proba, decision = detector.predict_proba(items), detector.decision_function(items)
    assert proba.shape == (3, 2) and decision.shape == (3,)
    np.testing.assert_allclose(proba.sum(1), 1)
    np.testing.assert_allclose(1 / (1 + np.exp(-decision)), proba[:, 1])
    assert list(detector.predict(items)) == ["bonafide", "spoof", "spoof"]
    assert list(detector.classes_[proba.argmax(1)]) == ["bonafide", "spoof", "spoof"]
    assert detector.predict_proba([x], rate)[0, 1] == proba[1, 1] == proba[2, 1]
    assert detector.predict_proba([]).shape == (0, 2)


def test_several_threads_share_a_detector(detector, light):
    paths = sorted((light.parent / "wav").glob("v[0-3]-*.wav"))[:16]
    alone = [detector.judge(path) for path in paths]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(detector.judge, paths)) == alone


@pytest.mark.parametrize(
    ("source", "rate", "said"),
    [
        (np.zeros(RATE, np.float32), None, r"give the sampling rate of samples in Hz"),
        (np.zeros(RATE, np.float32), 0, r"give the sampling rate"),
        (np.zeros(RATE, np.float32), float("nan"), r"give the sampling rate"),
        (np.zeros(RATE, np.float32), 2**40, r"give the sampling rate"),
        (np.zeros((RATE, 0), np.float32), RATE, r"these are \(16000, 0\)"),
        (np.zeros((RATE, 2000), np.int16), RATE, r"these are \(16000, 2000\)"),
        (io.StringIO("text"), None, "StringIO: give a path, bytes, a binary file"),
        (np.zeros((2, RATE), np.float32), RATE, r"\(N, channels\), these are \(2, 16000\); transpose"),
        (np.zeros(RATE, complex), RATE, r"samples of complex128; give int16"),
        (np.zeros(0, np.float32), RATE, "empty, no samples"),
        (np.full(RATE, np.nan, np.float32), RATE, "not finite"),
        (b"no audio", None, "bytes: "),
        (b"no audio", RATE, "a file says its rate itself"),
        (3.5, None, "give a path, bytes, a binary file or a numpy array, not float"),
    ],
)
def test_what_cannot_be_taken_is_one_line(detector, source, rate, said):
    with pytest.raises(MasdError, match=said) as error:
        detector.judge(source, rate)
    assert "\n" not in str(error.value)


def test_what_detect_prints_as_json_is_evaluated_as_it_is(light, tmp_path):
    """Both print: verdicts a line, then a table of rates; a second call prints it again."""
    dev = read_folder(light.parent / "data" / "dev")
    verdicts = call("detect", "--json", "--model", light, *dev.wav.values())
    (tmp_path / "verdicts").write_text(verdicts.stdout)
    scores = {Path(row["file"]).stem: row["score"] for row in map(json.loads, verdicts.stdout.splitlines())}
    rate = eer(*split([scores[utt] for utt in dev.utts], [dev.lab(utt) == "spoof" for utt in dev.utts]))[0]
    words = ("--scores", tmp_path / "verdicts", "--data", dev.path, "--out", tmp_path / "out")
    first, second = (call("evaluate", *words, "--bootstrap", 10) for _ in range(2))
    assert read_json(tmp_path / "out/metrics.json")["pooled"]["eer"] == rate
    assert first.stdout == second.stdout and f"| {100 * rate:.2f} |" in re.sub(" +", " ", first.stdout)


def test_the_packaged_model_is_refused_a_graph_rather_than_given_half_of_one(tmp_path):
    done = call("export_model", "--model", PLUS, "--out", tmp_path / "x", "--export.onnx", "float32")
    assert done.returncode == 1 and "has no encoder, and only encoders are made graphs" in done.stderr
    assert not (tmp_path / "x" / "model.yaml").exists()


@pytest.mark.parametrize("kind", [">i2", ">f4", "<f8"])
def test_samples_of_another_byte_order_are_the_same_samples(detector, kind):
    x = np.round(np.random.default_rng(0).normal(0, 3000, 4 * RATE))
    values = x if kind == ">i2" else x / 32768
    native = values.astype(np.dtype(kind).newbyteorder("="))
    assert detector.judge(values.astype(kind), RATE).score == detector.judge(native, RATE).score


def test_a_table_does_not_take_the_place_of_a_recording(light, extremes, tmp_path, capsys):
    """`--csv rec/*.wav` names the first recording as the table."""
    (tmp_path / "a.wav").write_bytes(extremes[0].read_bytes())
    with pytest.raises(MasdError, match=r"--csv .*a\.wav: is there and is no table of verdicts"):
        detect([str(extremes[0])], model=light, csv=tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == extremes[0].read_bytes()
    for _ in range(2):
        detect([str(extremes[0])], model=light, csv=tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().count("\n") == 2


@pytest.mark.parametrize("hop", [float("nan"), float("inf"), -1.0, 0.0, 5.0])
def test_a_hop_that_is_none_is_refused(light, hop):
    with pytest.raises(MasdError, match=r"--hop .*windows begin 0\.01 to 4 s apart"):
        masd.Detector(light, hop=hop)
