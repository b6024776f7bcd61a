"""Benchmarks: the interface that speech_spoof_bench calls, and score files by a protocol's names."""

import numpy as np
import pytest
from entry_points import call

from masd.audio import write_wav
from masd.data.folder import write_folder
from masd.errors import MasdError
from masd.judge.bench import Bench
from masd.judge.detector import Detector
from masd.metrics.scores import read_scores, write_scores
from masd.pretrained import PLUS


def speechlike(seed):
    """Two seconds of noise in syllables (N,), float32."""
    rng = np.random.default_rng(seed)
    gate = np.repeat(rng.uniform(0.05, 0.5, 20), 1600)
    return (gate * np.convolve(rng.normal(size=32000), np.hanning(9) / 4, "same")).astype(np.float32) / 3


def test_the_benchmark_s_calls_in_its_order(monkeypatch):
    """It makes the class without arguments, loads once, scores batches, unloads; higher is bona fide."""
    monkeypatch.setenv("MASD_MODEL", str(PLUS))
    model, audios = Bench(), [speechlike(seed) for seed in range(2)]
    with pytest.raises(MasdError, match="call load first"):
        model.score_batch(audios[:1], [16000])
    model.load()
    scores = model.score_batch(audios, [model.expected_sample_rate] * 2)
    monkeypatch.delenv("MASD_MODEL")
    detector = Detector(windows=False)
    assert scores == [detector.judge(x, 16000).score for x in audios]
    assert scores == [model.score(x, 16000) for x in audios] and all(isinstance(s, float) for s in scores)
    log_odds = detector.decision_function([(x, 16000) for x in audios])
    assert (scores[0] > scores[1]) == (log_odds[0] < log_odds[1])
    with pytest.raises(MasdError, match="not finite"):
        model.score(np.full(16000, np.nan, np.float32), 16000)
    model.unload()
    with pytest.raises(MasdError, match="call load first"):
        model.score(audios[0], 16000)


@pytest.fixture
def scored(tmp_path):
    """A data folder of four recordings, two of one name, and their scores."""
    wav = {
        f"u{k}": str(tmp_path / f"for/testing/{kind}/file{k % 2}.wav")
        for k, kind in enumerate(["real"] * 2 + ["fake"] * 2)
    }
    for path in wav.values():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        write_wav(path, speechlike(0), 16000)
    label = {utt: "bonafide" if "real" in path else "spoof" for utt, path in wav.items()}
    write_folder(tmp_path / "data", wav, dict.fromkeys(wav, "s"), utt2lab=label)
    write_scores(tmp_path / "scores", {utt: 0.5 - k for k, utt in enumerate(wav)})
    return tmp_path


def protocol(folder, names):
    text = "file_name,label\n" + "".join(
        f"/data/data/AntiSpoofing-Datasets/{name}.wav,{'bonafide' if 'real' in name else 'spoof'}\n"
        for name in names
    )
    (folder / "for.csv").write_text(text)
    return folder / "for.csv"


def test_arena_s_names(scored):
    names = [f"for-norm/testing/{kind}/file{k}" for kind in ("fake", "real") for k in (0, 1)]
    words = ("--scores", scored / "scores", "--data", scored / "data", "--out", scored / "arena.txt")
    done = call("bench", *words, "--protocol", protocol(scored, names))
    assert done.returncode == 0 and "4 scores by the names of" in done.stdout, done.stderr
    assert read_scores(scored / "arena.txt") == {
        f"/data/data/AntiSpoofing-Datasets/for-norm/testing/{name}.wav": score
        for name, score in (
            ("real/file0", 0.5),
            ("real/file1", -0.5),
            ("fake/file0", -1.5),
            ("fake/file1", -2.5),
        )
    }


def test_a_protocol_of_another_set_is_refused(scored):
    names = [f"for-norm/testing/{kind}/file{k}" for kind in ("fake", "real") for k in (0, 1, 7)]
    words = ("--scores", scored / "scores", "--data", scored / "data", "--out", scored / "arena.txt")
    done = call("bench", *words, "--protocol", protocol(scored, names))
    assert done.returncode == 1 and "2 trials" in done.stderr and "without a score" in done.stderr
    assert not (scored / "arena.txt").exists()


def test_two_utterances_of_one_recording_are_refused(scored):
    wav = scored / "data/wav.scp"
    wav.write_text(wav.read_text().replace("file1", "file0"))
    words = ("--scores", scored / "scores", "--data", scored / "data", "--out", scored / "arena.txt")
    done = call("bench", *words, "--protocol", protocol(scored, ["for-norm/testing/real/file0"]))
    assert done.returncode == 1 and "two utterances of one recording" in done.stderr, done.stderr
