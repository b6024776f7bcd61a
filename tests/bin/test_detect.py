"""detect from end to end: small models fitted through the stages, then audio files of every kind."""

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from scipy.signal import lfilter

from masd.audio import resample, write_wav
from masd.bin.detect import command_line, detect, make_fast
from masd.bin.export_model import export_model
from masd.bin.score import score
from masd.bin.train import train
from masd.data.folder import write_folder
from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.feats.dump import dump_shard, finish_dump
from masd.feats.extract import front_end
from masd.judge.export import ExportConfig
from masd.judge.output import WORDS
from masd.judge.sources import expand
from masd.judge.verdict import Judge, windows_of
from masd.metrics.scores import read_scores
from masd.models.encoder import Encoder, EncoderConfig, save_encoder
from masd.pretrained import PLUS
from masd.stage.files import read_json, read_yaml, sha256, write_yaml
from masd.stage.seeding import generator
from masd.svm.config import FitConfig
from masd.systems import load
from masd.systems.calibration import Posterior
from masd.systems.embeddings import extract_shard, finish
from masd.systems.ranges import unknown_sound

ROOT = Path(__file__).parents[2]
RATE = 16000


def judge_of(folder, fast=False, **how):
    system = load(folder)
    if fast:
        make_fast(system)
    return Judge(system, **how)


def speech(name, seconds, fake=False, voice=0, rate=RATE):
    """Harmonics with syllables over falling noise, about as wide as speech; fakes tend to have less noise."""
    rng = generator(0, name)
    t = np.arange(int(seconds * rate)) / rate
    syllables = np.clip(np.sin(2 * np.pi * 3 * t + rng.uniform(0, 6)) + 0.4, 0, None)
    tone = sum(np.sin(2 * np.pi * (100 + 30 * voice) * k * t + rng.uniform(0, 6)) / k for k in range(1, 30))
    noise = lfilter([1.0], [1.0, -0.6], rng.normal(size=len(t))) * rng.uniform(
        *((0.1, 0.4) if fake else (0.2, 0.6))
    )
    x = (tone + noise) * syllables
    return (0.5 * x / np.abs(x).max()).astype(np.float32)


def make_set(root, name, voices):
    tables = {"wav": {}, "utt2spk": {}, "utt2lab": {}, "utt2attack": {}}
    for voice in voices:
        for i in range(10):
            utt, fake = f"v{voice}-{i:02d}", i % 2 == 1
            path = root / "wav" / f"{utt}.wav"
            write_wav(path, speech(utt, generator(0, "length", utt).uniform(1, 2) if i else 5.5, fake, voice))
            row = (path, f"v{voice}", "spoof" if fake else "bonafide", f"A{i % 4}" if fake else "-")
            for table, value in zip(tables.values(), row, strict=True):
                table[utt] = value
    write_folder(root / "data" / name, **tables)
    dump_shard(root / "data" / name, root / "dump" / name, FeatsConfig())
    finish_dump(root / "dump" / name, 1)
    extract_shard(root / "ssl", root / "dump" / name, root / "emb" / name)
    finish(root / "emb" / name, 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two sets, and the models `full` and `handcrafted` fitted and scored by the stages."""
    root = tmp_path_factory.mktemp("detect")
    torch.manual_seed(0)
    config = EncoderConfig(channels=(4, 8, 8, 8, 8), dim=16)
    encoder = Encoder(config)
    encoder.set_statistics(torch.full((64,), -4.0), torch.full((64,), 3.0))
    save_encoder(root / "ssl", encoder, config, FeatsConfig(), {})
    make_set(root, "train", range(4))
    make_set(root, "dev", range(4, 6))
    places = {
        f"{name}_{kind}": root / kind.replace("embeddings", "emb") / name
        for name in ("train", "dev")
        for kind in ("data", "dump", "embeddings")
    }
    for system in ("full", "handcrafted"):
        ssl = root / "ssl" if system == "full" else None
        train(system, **places, ssl=ssl, out=root / system, fit=FitConfig(epochs=8, affine_folds=2))
        given = {"dump": root / "dump" / "dev", "embeddings": root / "emb" / "dev"}
        score(root / system / "scores", model=root / system / "model", data=root / "data" / "dev", **given)
    return root


@pytest.fixture(scope="module")
def detector(world):
    return judge_of(world / "full" / "model")


def command(*words, **options):
    """Run the entry point as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "masd.bin.detect", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **options,
    )


@pytest.mark.parametrize("system", ["full", "handcrafted"])
def test_the_score_is_that_of_the_stages(world, system):
    """Dump, embeddings, SVM inputs and score, one file at a time, as through stages 3, 5 and 6."""
    detector = judge_of(world / system / "model")
    other = judge_of(world / system / "model", calibration="affine")
    # a temperature at its lower bound would multiply rounding errors by 100
    assert detector.system.info["calibration"]["temperature"]["value"] > 0.1
    scores, affine = (read_scores(world / system / "scores" / name) for name in ("scores", "affine_scores"))
    for utt, expected in scores.items():
        verdict = detector.judge(world / "wav" / f"{utt}.wav")
        # an untrained encoder's means differ little, so standardising them enlarges rounding
        assert verdict.score == pytest.approx(expected, abs=1e-3)
        assert other.judge(world / "wav" / f"{utt}.wav").score == pytest.approx(affine[utt], abs=1e-3)


def test_families_of_statistics_are_computed_as_the_dump_has_them(world, tmp_path):
    config = FeatsConfig(families=("phase_mixed", "frame_lines"))
    for name in ("train", "dev"):
        dump_shard(world / "data" / name, tmp_path / name, config)
        finish_dump(tmp_path / name, 1)
    places = {f"{name}_data": world / "data" / name for name in ("train", "dev")}
    places |= {f"{name}_dump": tmp_path / name for name in ("train", "dev")}
    train("handcrafted", **places, out=tmp_path / "plus", fit=FitConfig(epochs=8, affine_folds=2))
    score(tmp_path / "scores", world / "data/dev", tmp_path / "plus/model", dump=tmp_path / "dev")
    detector = judge_of(tmp_path / "plus" / "model")
    assert len(detector.system.features.hand.mean) == 3 + 64 + 24
    for utt, expected in list(read_scores(tmp_path / "scores" / "scores").items())[:4]:
        assert detector.judge(world / "wav" / f"{utt}.wav").score == pytest.approx(expected, abs=1e-3)


def test_label_and_probability_say_the_same(world, detector):
    """P(fake) is that of the development set's map at the stated prior, the label spoof from one half up."""
    posterior = Posterior.of(read_yaml(world / "full" / "model" / "model.yaml")["calibration"])
    sure = judge_of(world / "full" / "model", prior=0.95)
    moved = 0
    for path in sorted((world / "wav").glob("v[45]-*.wav")):
        verdict, other = detector.judge(path), sure.judge(path)
        f = -verdict.score * detector.system.info["calibration"]["temperature"]["value"]
        assert verdict.p_fake == pytest.approx(1 / (1 + np.exp(-posterior.a * f - posterior.b)), abs=1e-9)
        assert verdict.label == ("spoof" if verdict.p_fake >= 0.5 else "bonafide")
        odds = [v.p_fake / (1 - v.p_fake) for v in (verdict, other)]
        assert odds[1] == pytest.approx(19 * odds[0], rel=1e-6) and other.score == verdict.score
        moved += verdict.label != other.label
    assert moved


def test_command_line_table_and_json(world):
    """One run of each kind: a folder recursively and in order, standard input, errors at the end, exit 1."""
    folder = world / "some"
    x = speech("x", 2)
    write_wav(folder / "b" / "two.flac", x)
    write_wav(folder / "a.wav", x)
    (folder / "notes.txt").write_text("no audio")
    (folder / "bad.wav").write_bytes(b"RIFF nonsense")
    model = world / "full" / "model"
    done = command(
        "--model", model, "--json", folder, "-", "nowhere.wav", input=(folder / "a.wav").read_bytes()
    )
    rows = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert [row["file"] for row in rows] == [f"{folder}/a.wav", f"{folder}/b/two.flac", "-"]
    keys = {
        "file",
        "score",
        "p_fake",
        "label",
        "reasons",
        "warnings",
        "windows",
        "highest",
        "stretch",
        "prior",
    }
    assert all(set(row) == keys and row["prior"] == 0.5 for row in rows)
    assert all(0 <= row["p_fake"] <= 1 for row in rows)
    assert all((row["label"] == "spoof") == (row["p_fake"] >= 0.5) for row in rows)
    errors = [line for line in done.stderr.decode().splitlines() if line.startswith("detect: error: ")]
    assert [any(word in line for line in errors) for word in ("bad.wav", "nowhere.wav", "2 of 5")] == [
        True
    ] * 3
    assert (done.returncode, len(errors)) == (1, 3)
    table = command(folder / "a.wav", "--model", model)
    assert table.returncode == 0
    *head, row = table.stdout.decode().splitlines()
    assert all(line.startswith("#") for line in head)
    wrong = Posterior.of(read_yaml(model / "model.yaml")["calibration"]).errors()
    assert "fake from P(fake) 0.5 up, at a prior P(fake) of 0.5; on development data" in head[0]
    assert (
        f"{100 * wrong[0]:.1f} % of genuine called fake, {100 * wrong[1]:.1f} % of fakes genuine" in head[0]
    )
    assert row.split()[0] == WORDS[rows[0]["label"]] and row.split()[-1] == f"{folder}/a.wav"
    assert float(row.split()[2]) == pytest.approx(rows[0]["score"], abs=1e-3)


def test_a_cold_start_is_short(world):
    """No training code, no scikit-learn, no plotting is imported to judge a file by the entry point."""
    code = (
        "import sys; from masd.bin.detect import command_line, detect; from masd.cli import run;"
        "run(detect, output='', argv=command_line(sys.argv[1:]));"
        "print(*sorted({m.split('.')[0] for m in sys.modules} | set(sys.modules)))"
    )
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", code, "--model", world / "full" / "model", world / "wav" / "v4-00.wav"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    loaded = set(done.stdout.split())
    assert not loaded & {
        "sklearn",
        "scipy",
        "matplotlib",
        "tensorboard",
        "kaldiio",
        "h5py",
        "masd.ssl",
        "masd.systems.network",
        "masd.systems.train",
        "masd.report",
        "masd.judge.export",
        "masd.svm.fit",
        "masd.svm.fusion_training",
    }
    # of processor time, whatever else the machine does; 2 s where nothing shares its caches
    assert seconds < 15


def test_a_second_file_costs_no_second_load(world, monkeypatch, capsys):
    """Model folder and encoder are read once, however many files there are."""
    from masd import systems
    from masd.bin.detect import detect
    from masd.models import encoder

    loads = []
    for place, name in ((systems, "load"), (encoder, "load_encoder")):
        original = getattr(place, name)
        monkeypatch.setattr(place, name, lambda *a, o=original, n=name: loads.append(n) or o(*a))
    files = [str(world / "wav" / f"v4-0{i}.wav") for i in range(3)]
    detect(files, model=world / "full" / "model")
    assert loads == ["load", "load_encoder"]
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(files) + 1


@pytest.mark.parametrize(("suffix", "off"), [("flac", 1e-6), ("ogg", 0.5), ("mp3", 0.5)])
def test_formats_rates_and_channels(detector, tmp_path, suffix, off):
    """44.1 kHz stereo in each format, mixed down and resampled, scores like mono WAV of the same rate."""
    x = np.round(32000 * speech("formats", 2.5, rate=44100)).astype(np.int16)
    soundfile.write(tmp_path / "x.wav", x, 44100)
    soundfile.write(tmp_path / f"x.{suffix}", np.stack([x, x], axis=1), 44100)
    plain, verdict = detector.judge(tmp_path / "x.wav"), detector.judge(tmp_path / f"x.{suffix}")
    assert any("2 channels" in line for line in verdict.warnings) and not plain.warnings[1:]
    assert verdict.score == pytest.approx(plain.score, abs=off)


def kinds():
    x, t = speech("kinds", 4), np.arange(4 * RATE) / RATE
    return {
        "narrow band": resample(x, RATE, 8000),
        "too little speech": x[: RATE // 2],
        "clipped": np.clip(4 * x, -0.5, 0.5),
        "silent": np.zeros(RATE, np.float32),
        "silent at 60 s": np.zeros(60 * RATE, np.float32),
        "silent but for DC": np.full(RATE, 0.1, np.float32),
        "no speech: a steady sound": 0.1
        * lfilter([1.0], [1.0, -0.9], generator(0, "x").normal(size=4 * RATE)),
        "no speech: a tone": 0.5 * np.sin(2 * np.pi * 440 * t) * ((2 * t) % 1 < 0.5),
    }


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("kind", kinds())
def test_where_nothing_can_be_said_the_label_is_inconclusive_and_says_why(world, kind, windows, tmp_path):
    """Never `spoof` for want of evidence; the score stands all the same, and is a number."""
    path = tmp_path / "x.wav"
    write_wav(path, kinds()[kind], 8000 if kind == "narrow band" else RATE)
    verdict = judge_of(world / "full" / "model", windows=windows).judge(path)
    assert verdict.label == "inconclusive"
    assert [line.startswith(kind.split(" at ")[0].split(" but ")[0]) for line in verdict.reasons] == [True]
    assert verdict.warnings[: len(verdict.reasons)] == verdict.reasons
    assert np.isfinite(verdict.score) and 0 < verdict.p_fake < 1


def test_inconclusive_in_text_and_json(world, tmp_path, capsys):
    from masd.bin.detect import detect

    write_wav(tmp_path / "x.wav", np.zeros(RATE, np.float32))
    detect([str(tmp_path / "x.wav")], model=world / "handcrafted" / "model", json=True)
    row = json.loads(capsys.readouterr().out)
    assert (row["label"], row["reasons"]) == ("inconclusive", ["silent: nothing to judge"])
    detect([str(tmp_path / "x.wav")], model=world / "handcrafted" / "model")
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("inconclusive") and last.endswith("[silent: nothing to judge]")


def test_clipping_and_shortness_that_may_pass_are_warnings(detector, tmp_path):
    x = speech("kinds", 0.95)
    write_wav(tmp_path / "x.wav", np.clip(1.6 * x, -0.5, 0.5))
    verdict = detector.judge(tmp_path / "x.wav")
    for kind in ("clipped", "too short"):
        assert sum(line.startswith(kind) for line in verdict.warnings) == 1
    assert verdict.label != "inconclusive" and verdict.reasons == []


@pytest.mark.parametrize("system", ["full", "handcrafted"])
def test_the_name_and_a_lossless_container_change_no_bit(world, system, tmp_path):
    detector = judge_of(world / system / "model")
    path = world / "wav" / "v4-02.wav"
    x, rate = soundfile.read(path, dtype="int16")
    expected = detector.judge(path)
    for name in ("another name.wav", "x.flac", "x.aiff", "x.w64", "x.au"):
        soundfile.write(tmp_path / name, x, rate, subtype="PCM_16")
        verdict = detector.judge(tmp_path / name)
        assert dataclasses.replace(verdict, file=expected.file) == expected, name


@pytest.mark.parametrize("windows", [False, True])
def test_silence_around_speech_is_not_judged(world, windows, tmp_path, monkeypatch):
    """Zeros, or the least bits of a quiet input, before it and after it."""
    detector, judged = judge_of(world / "handcrafted" / "model", windows=windows), []
    decide = detector.system.decide
    monkeypatch.setattr(detector.system, "decide", lambda pieces: judged.extend(pieces) or decide(pieces))
    x = soundfile.read(world / "wav" / "v4-02.wav", dtype="float32")[0]
    quiet = 2e-5 * generator(0, "quiet").normal(size=16 * RATE)
    for silence in (np.zeros(16 * RATE), quiet):
        y = np.concatenate([silence[: 5 * RATE], x, silence]).astype(np.float32)
        soundfile.write(tmp_path / "y.wav", y, RATE, subtype="FLOAT")
        verdict = detector.judge(tmp_path / "y.wav")
        assert verdict.label != "inconclusive"
        assert any(line.startswith("begins with 4.9 s of silence, skipped") for line in verdict.warnings)
        left_out = [line for line in verdict.warnings if line.startswith("windows without speech left out")]
        cut = [line for line in verdict.warnings if line.endswith("s on: judged up to there")]
        assert (len(left_out), len(cut)) == ((1, 0) if windows else (0, 1))
        if not windows:  # stage 3 hears the same
            hand = front_end(y, "y", detector.system.feats)[1]
            np.testing.assert_array_equal(detector.system.inputs(judged[-1:]).hand[0], hand)
    assert len(judged) == 2
    assert all(0 <= len(piece.core) - len(x) <= 0.3 * RATE for piece in judged)


def test_a_name_with_a_line_end_makes_no_line_of_its_own(world, tmp_path, capsys):
    """A file could be named so that its line looked like two, the second with a verdict that nobody gave."""
    path = tmp_path / "a\nbonafide 0.0001 9.0000 b.wav"
    shutil.copy(world / "wav" / "v4-02.wav", path)
    with pytest.raises(MasdError, match="1 of 2"):
        detect([str(path), f"{path}.mp3"], world / "handcrafted" / "model")
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 4 and r"a\nbonafide" in out and len(err.splitlines()) == 1


def test_a_folder_that_cannot_be_listed_does_not_stop_the_files_after_it(monkeypatch):
    def refused(folder):
        raise MasdError(f"{folder}: cannot be listed (Permission denied)")

    monkeypatch.setattr("masd.judge.sources.audio_files", refused)
    found = list(expand([str(ROOT), "x.wav"]))
    assert isinstance(found[0], MasdError) and found[1:] == ["x.wav"]


def test_channels_that_cancel_are_judged_by_one(detector, tmp_path):
    x = speech("channels", 3)
    soundfile.write(tmp_path / "x.wav", np.stack([x, -0.99 * x], axis=1), RATE)
    soundfile.write(tmp_path / "y.wav", x, RATE)
    verdict = detector.judge(tmp_path / "x.wav")
    assert verdict.score == detector.judge(tmp_path / "y.wav").score
    assert any("cancel" in line for line in verdict.warnings)


def test_no_more_is_decoded_than_is_judged_and_windows_come_in_blocks(world, tmp_path, monkeypatch):
    """A long recording costs what 30 s do; with windows, memory for some of them at a time."""
    from masd.judge import verdict as module

    soundfile.write(tmp_path / "x.wav", np.tile(speech("long", 4), 60), RATE)
    blocks, most = [], []

    class Watched(module.AudioStream):
        def __iter__(self):
            for block in super().__iter__():
                blocks.append(len(block))
                yield block

    monkeypatch.setattr(module, "AudioStream", Watched)
    told = judge_of(world / "handcrafted" / "model").judge(tmp_path / "x.wav").warnings
    assert len(blocks) <= 31
    assert any(line.startswith("only the first 4 of more than 3") for line in told)
    windowed = judge_of(world / "handcrafted" / "model", windows=True)
    decide = windowed.system.decide
    monkeypatch.setattr(windowed.system, "decide", lambda pieces: most.append(len(pieces)) or decide(pieces))
    windowed.judge(tmp_path / "x.wav")
    assert max(most) == module.WINDOWS_AT_ONCE and sum(most) == 60


def test_a_long_recording_is_told_how_much_of_it_was_judged(detector, world, tmp_path):
    """Its label is that of the first seconds; a fake that begins later would pass unnoticed."""
    write_wav(tmp_path / "x.wav", speech("long", 9))
    told = [line for line in detector.judge(tmp_path / "x.wav").warnings if line.startswith("only the first")]
    assert told == ["only the first 4 of 9.0 s judged (--windows true hears all)"]
    whole = judge_of(world / "full" / "model", windows=True).judge(tmp_path / "x.wav")
    assert not any(line.startswith("only the first") for line in whole.warnings)


def test_narrow_band_in_a_wide_file(detector, tmp_path):
    """Telephone speech that was resampled to 16 kHz still says so."""
    write_wav(tmp_path / "x.wav", resample(kinds()["narrow band"], 8000, RATE))
    verdict = detector.judge(tmp_path / "x.wav")
    assert verdict.label == "inconclusive" and verdict.reasons[0].startswith("narrow band")


def damaged(world, tmp_path, change):
    """Return a copy of a model in which `change` has changed model.yaml or a tensor."""
    target = tmp_path / "model"
    shutil.copytree(world / "full" / "model", target)
    info = read_yaml(target / "model.yaml")
    files = {name: load_file(target / name) for name in ("model.safetensors", "encoder.safetensors")}
    change(info, files["model.safetensors"] | files["encoder.safetensors"])
    for name, tensors in files.items():
        save_file(tensors, target / name)
    info["files"] = {name: sha256(target / name) for name in info["files"]}
    write_yaml(target / "model.yaml", info)
    return target


def section(name, key, value):
    def change(info, tensors):
        (info if name == "ranges" else info["calibration"])[name][key] = value

    return change


def tensor(name, value=float("nan")):
    def change(info, tensors):
        tensors[name].view(-1)[0] = value

    return change


@pytest.mark.parametrize(
    ("said", "change"),
    [
        (r"model\.yaml: temperature\.value is nan", section("temperature", "value", float("nan"))),
        (r"model\.yaml: temperature\.value is 0", section("temperature", "value", 0)),
        (r"model\.yaml: temperature\.value is -1", section("temperature", "value", -1.0)),
        (r"model\.yaml: affine\.a is 0", section("affine", "a", 0.0)),
        (r"model\.yaml: affine\.b is inf", section("affine", "b", float("inf"))),
        (r"model\.yaml: posterior\.a is -2", section("posterior", "a", -2.0)),
        (r"model\.yaml: posterior\.spoof is nan", section("posterior", "spoof", [0.0, float("nan")])),
        (r"model\.yaml: posterior\.bonafide are no rising", section("posterior", "bonafide", [1.0, 0.0])),
        (r"model\.yaml: thresholds\.dev_eer is nan", section("thresholds", "dev_eer", float("nan"))),
        (r"model\.yaml: ranges\.bandwidth\.p1 is nan", section("ranges", "bandwidth", {"p1": float("nan")})),
        (r"model\.safetensors: tensor support holds", tensor("support")),
        (r"model\.safetensors: tensor gamma is not above 0", tensor("gamma", -0.1)),
        (r"model\.safetensors: tensor ssl_mean holds", tensor("ssl_mean", float("inf"))),
        (r"model\.safetensors: tensor hand_std is not above 0", tensor("hand_std", 0.0)),
        (r"model\.safetensors: tensor alpha holds", tensor("alpha")),
        (r"encoder\.safetensors: tensor mel_mean holds NaN", tensor("mel_mean")),
        (r"model\.safetensors: tensor fusion\.w_k holds NaN", tensor("fusion.w_k")),
    ],
)
def test_a_model_with_impossible_numbers_is_refused_by_file_and_key(world, tmp_path, said, change):
    with pytest.raises(MasdError, match=said):
        judge_of(damaged(world, tmp_path, change))


def test_a_score_that_is_no_number_is_no_verdict(world, monkeypatch):
    detector = judge_of(world / "full" / "model")
    monkeypatch.setattr(detector.system, "decide", lambda pieces: np.array([np.nan]))
    with pytest.raises(MasdError, match=r"v4-01\.wav: the model gives no finite score"):
        detector.judge(world / "wav" / "v4-01.wav")


@pytest.mark.parametrize("prior", [0.0, 1.0, -1.0, float("nan")])
def test_a_prior_that_is_no_probability_is_refused(world, prior):
    with pytest.raises(MasdError, match=r"--prior .*strictly between 0 and 1"):
        judge_of(world / "full" / "model", prior=prior)


def test_speech_like_the_training_set_has_no_warnings(world, detector):
    clean = [not detector.judge(path).warnings for path in sorted((world / "wav").glob("v[0-3]-0[1-9].wav"))]
    assert np.mean(clean) > 0.9


def test_what_cannot_be_judged(detector, tmp_path):
    write_wav(tmp_path / "tiny.wav", speech("tiny", 0.1))
    soundfile.write(tmp_path / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    (tmp_path / "empty.wav").write_bytes(b"")
    for name, words in (
        ("tiny", "too short"),
        ("nan", "not finite"),
        ("empty", "empty"),
        ("none", "no such"),
    ):
        with pytest.raises(MasdError, match=f"{name}.wav.*{words}"):
            detector.judge(tmp_path / f"{name}.wav")


def test_windows_are_averaged(world, detector, tmp_path):
    """A recording of one window scores as without; a longer one is the mean over evenly spread windows."""
    whole = judge_of(world / "full" / "model", windows=True)
    short, long = world / "wav" / "v4-01.wav", world / "wav" / "v4-00.wav"
    assert whole.judge(short).score == pytest.approx(detector.judge(short).score, abs=1e-6)
    x, _ = soundfile.read(long, dtype="float32")
    inputs = whole.system.inputs(whole.pieces(x))
    assert len(inputs) == 2
    f = whole.system.decision(whole.system.values(inputs))
    assert whole.judge(long).score == pytest.approx(
        float(whole.system.calibration.scores(f.mean())), abs=1e-6
    )
    first = detector.system.inputs(detector.pieces(x))
    np.testing.assert_allclose(first.hand[0], inputs.hand[0], atol=1e-6)
    np.testing.assert_allclose(first.compact.mu[0], inputs.compact.mu[0], atol=1e-5)


@pytest.mark.parametrize("margin", [0, 320])
@pytest.mark.parametrize("seconds", [0.3, 4.0, 4.01, 7.99, 8.0, 8.005, 12.01, 31.234])
def test_windows_cover_everything(seconds, margin):
    """One after another from the beginning, the last moved back by whole hops to end with the recording."""
    x = np.arange(int(seconds * RATE))
    left = [x]

    def read(count):
        found, left[0] = left[0][:count], left[0][count:]
        return found

    pieces = list(windows_of(read, 4 * RATE, 160, margin))
    assert len(pieces) == max(1, -(-(len(x) - 159) // (4 * RATE)))
    starts = [int(piece.core[0]) for piece in pieces]
    assert starts[:-1] == [4 * RATE * i for i in range(len(starts) - 1)]
    assert all(start % 160 == 0 for start in starts)
    for piece, start in zip(pieces, starts, strict=True):
        np.testing.assert_array_equal(piece.core, x[start : start + 4 * RATE])
        np.testing.assert_array_equal(piece.x, x[max(0, start - margin) : start + 4 * RATE + margin])
    assert len(x) - (starts[-1] + 4 * RATE) < 160


@pytest.mark.parametrize("step", [1600, 16000, 20480, 4 * RATE])
def test_windows_that_overlap_are_those_of_the_samples(step):
    x = np.arange(int(13.37 * RATE))
    left = [x]

    def read(count):
        found, left[0] = left[0][:count], left[0][count:]
        return found

    pieces = list(windows_of(read, 4 * RATE, 160, 320, step=step))
    starts = [piece.start for piece in pieces]
    assert starts[:-1] == [step * i for i in range(len(starts) - 1)]
    assert 0 < starts[-1] - starts[-2] <= step and len(x) - (starts[-1] + 4 * RATE) < 160
    for piece in pieces:
        np.testing.assert_array_equal(piece.x, x[max(0, piece.start - 320) : piece.start + 4 * RATE + 320])


def test_standard_input_is_read_once(detector, monkeypatch):
    buffer = io.BytesIO()
    soundfile.write(buffer, resample(speech("stdin", 2), RATE, 22050), 22050, format="WAV")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(buffer.getvalue())))
    assert detector.judge("-").file == "-"


def test_words_of_the_command_line():
    """Files stand anywhere; `--json` needs no value; a value is never taken for a file."""
    words = command_line(
        ["a.wav", "--model", "m", "--json", "b c.wav", "--windows=true", "-", "--", "--odd.wav"]
    )
    assert words == [
        "--model",
        "m",
        "--json=true",
        "--windows=true",
        '--files=["a.wav", "b c.wav", "-", "--odd.wav"]',
    ]
    assert command_line(["--json", "false", "x"]) == ["--json=false", '--files=["x"]']
    assert command_line(["--fast", "a.wav", "--windows"])[:2] == ["--fast=true", "--windows=true"]
    assert command_line(["--help"]) == ["--help"]
    assert command_line([os.fsdecode(b"\xff.wav")]) == ['--files=["\\\\xff.wav"]']


def test_a_model_of_embeddings_from_elsewhere_takes_no_audio(world, tmp_path):
    from masd.data.archive import Writer

    for name in ("train", "dev"):
        utts = [line.split()[0] for line in (world / "data" / name / "utt2spk").read_text().splitlines()]
        with Writer(tmp_path / name, "emb") as writer:
            for utt in utts:
                writer.write(utt, generator(0, utt).normal(size=5))
        (tmp_path / name / "emb.1.scp").rename(tmp_path / name / "emb.scp")
    given = {f"{n}_{k}": world / k / n for n in ("train", "dev") for k in ("data",)}
    emb = {f"{n}_embeddings": tmp_path / n for n in ("train", "dev")}
    train("ssl_multi", **given, **emb, out=tmp_path / "exp")
    with pytest.raises(MasdError, match="embeddings made elsewhere"):
        judge_of(tmp_path / "exp" / "model")


def test_embeddings_of_another_encoder_are_refused(world, tmp_path):
    torch.manual_seed(5)
    config = EncoderConfig(channels=(4, 8, 8, 8, 8), dim=16)
    save_encoder(tmp_path / "ssl", Encoder(config), config, FeatsConfig(), {})
    extract_shard(tmp_path / "ssl", world / "dump" / "dev", tmp_path / "emb")
    finish(tmp_path / "emb", 1)
    with pytest.raises(MasdError, match="not made by the encoder"):
        score(tmp_path / "out", None, world / "full" / "model", tmp_path / "emb", world / "dump" / "dev")
    places = {"train_data": world / "data" / "train", "dev_data": world / "data" / "dev"}
    places |= {"train_embeddings": world / "emb" / "train", "dev_embeddings": tmp_path / "emb"}
    with pytest.raises(MasdError, match="not made by the encoder"):
        train("ssl_multi", **places, ssl=world / "ssl", out=tmp_path / "exp")
    with pytest.raises(MasdError, match="give its folder as --ssl"):
        train("ssl_multi", **places, out=tmp_path / "exp")
    with pytest.raises(MasdError, match="pretrain with bands single"):
        places["dev_embeddings"] = world / "emb" / "dev"
        train("ssl_single", **places, ssl=world / "ssl", out=tmp_path / "exp")


def test_the_model_folder_stands_alone(world, tmp_path):
    """Copied elsewhere, without its marks, it works as before."""
    import shutil

    target = tmp_path / "model"
    target.mkdir()
    for path in (world / "full" / "model").iterdir():
        if not path.name.startswith("."):
            shutil.copyfile(path, target / path.name)
    audio = world / "wav" / "v5-03.wav"
    assert judge_of(target).judge(audio) == judge_of(world / "full" / "model").judge(audio)


def test_recordings_scored_by_a_row_have_the_scores_of_their_dumps_and_the_time_they_take(world, tmp_path):
    score(tmp_path, world / "data" / "dev", world / "full" / "model")
    timing = read_json(tmp_path / "timing.json")
    assert timing["real_time_factor"] == pytest.approx(timing["seconds"] / timing["audio_seconds"])
    assert timing["parameters"] > 0
    heard, dumped = (read_scores(place / "scores") for place in (tmp_path, world / "full" / "scores"))
    assert heard == pytest.approx(dumped, abs=1e-3)


def exported(world, out, **keys):
    export_model(
        world / "full" / "model",
        out,
        ExportConfig(**keys),
        calibration_dump=world / "dump" / "train",
        data=world / "data" / "dev",
        dump=world / "dump" / "dev",
    )
    return read_yaml(out.with_name(f"{out.name}.cost.yaml"))


def test_a_model_in_half_precision(world, detector, tmp_path):
    """Loads like any model, is half as large, scores alike; its cost is what scoring both gives."""
    cost = exported(world, tmp_path / "half")
    small = judge_of(tmp_path / "half")
    sizes = [sum(p.stat().st_size for p in (folder / name for name in ("encoder.safetensors",
    "model.safetensors")))
             for folder in (world / "full" / "model", tmp_path / "half")]  # fmt: skip
    assert sizes[1] < 0.65 * sizes[0]  # what is left are the names of many small tensors
    changes = []
    for utt, expected in read_scores(world / "full" / "scores" / "scores").items():
        changes.append(abs(small.judge(world / "wav" / f"{utt}.wav").score - expected))
    # an untrained encoder's means differ little, so standardising them enlarges rounding
    assert 0 < np.mean(changes) < 0.1
    assert cost["exported"]["largest_score_change"] == pytest.approx(max(changes), abs=2e-3)
    assert cost["vectors"]["full"] == cost["vectors"]["exported"] == len(detector.system.svm.dual)


def test_a_model_of_fewer_vectors(world, detector, tmp_path):
    cost = exported(world, tmp_path / "few", half=False, vectors=6)
    small = judge_of(tmp_path / "few")
    assert len(small.system.svm.dual) == 6 < len(detector.system.svm.dual)
    assert cost["exported"]["largest_score_change"] > 0 and 0 <= cost["exported"]["eer"] <= 1
    audio = world / "wav" / "v4-02.wav"
    mine, theirs = (one.system.inputs(one.pieces(read(audio))) for one in (small, detector))
    np.testing.assert_array_equal(small.system.values(mine), detector.system.values(theirs))


def read(path):
    return soundfile.read(path, dtype="float32")[0]


def test_the_fast_mode(world, detector, tmp_path):
    """The float32 graph does what the encoder does; the one in 8 bits nearly; both by detect's option."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    cost = exported(world, tmp_path / "fast", half=False, onnx="float32")
    assert cost["fast"]["largest_score_change"] < 2e-3 and cost["exported"]["largest_score_change"] < 1e-3
    cost = exported(world, tmp_path / "int8", half=False, onnx="int8", calibration=8)
    assert 0 < cost["fast"]["mean_score_change"] < 1
    for name, off in (("fast", 2e-3), ("int8", cost["fast"]["largest_score_change"] + 2e-3)):
        judged = judge_of(tmp_path / name, fast=True).judge(world / "wav" / "v5-03.wav")
        assert judged.score == pytest.approx(detector.judge(world / "wav" / "v5-03.wav").score, abs=off)
    windows = [judge_of(tmp_path / "fast", windows=True, fast=fast) for fast in (False, True)]
    one, other = (d.judge(world / "wav" / "v4-00.wav").score for d in windows)
    assert one == pytest.approx(other, abs=2e-3)


def test_what_cannot_be_exported_or_fast(world, tmp_path):
    with pytest.raises(MasdError, match=r"no encoder\.onnx inside; make one with masd\.bin\.export_model"):
        judge_of(world / "full" / "model", fast=True)
    with pytest.raises(MasdError, match="is the model itself"):
        export_model(world / "full" / "model", world / "full" / "model")
    with pytest.raises(MasdError, match="give --data and --dump, or neither"):
        export_model(world / "full" / "model", tmp_path / "x", data=world / "data" / "dev")
    with pytest.raises(MasdError, match="has no encoder, and only encoders"):
        export_model(world / "handcrafted" / "model", tmp_path / "x", ExportConfig(onnx="float32"))
    with pytest.raises(MasdError, match="0 for all, or at least 2"):
        ExportConfig(vectors=1)


@pytest.mark.parametrize(("windows", "count"), [(False, 8), (True, 2)])
def test_effects_add_up_to_the_score_of_a_system_with_an_encoder(world, windows, count):
    path = world / "wav" / "v4-00.wav"
    explained = judge_of(world / "full" / "model", windows=windows, explained=True)
    verdict = explained.judge(path)
    assert verdict.score == judge_of(world / "full" / "model", windows=windows).judge(path).score
    found = verdict.effects
    assert list(found.bands) == ["low", "mid", "high", "other"]
    assert list(found.measures) == ["embedding", "PCS", "HFER", "SFI"]
    assert len(found.windows) == count
    for kind in (found.bands.values(), found.measures.values(), [effect for *_, effect in found.windows]):
        assert sum(kind) == pytest.approx(verdict.score - found.baseline, abs=1e-6)
        assert max(map(abs, kind)) > 1e-4
    other = judge_of(world / "handcrafted" / "model", explained=True).judge(path).effects
    assert list(other.bands) == ["other"] and "embedding" not in other.measures


def test_a_system_that_is_not_masds_own_is_not_explained():
    class Stranger:
        def check_hears(self):
            pass

    with pytest.raises(MasdError, match="only MASD's own models can do that"):
        Judge(Stranger(), explained=True)


def test_a_band_is_neutral_at_the_mean_of_pretraining_or_where_that_is_not_known_of_the_recording(world):
    """Zero, which an encoder of unstandardised log-mel has for its mean, is far louder than any speech."""
    detector = judge_of(world / "full" / "model", explained=True)
    mel = np.random.default_rng(0).normal(-9, 1, (50, 64)).astype(np.float32)
    np.testing.assert_array_equal(detector.system.neutral_mel(mel), np.full(64, -4.0))
    encoder = detector.system.encoder()
    encoder.config = dataclasses.replace(encoder.config, normalise="raw")
    np.testing.assert_array_equal(detector.system.neutral_mel(mel), mel.mean(0))


def test_without_a_model_the_packaged_one_judges_and_explains(tmp_path):
    write_wav(tmp_path / "x.wav", speech("x", 5.0))
    done = command(tmp_path / "x.wav", "--explain")
    head, columns, row, *reasons = done.stdout.decode().splitlines()
    assert done.returncode == 0 and head.startswith("# plus model") and "P(fake)" in columns
    assert row.split()[0] in ("genuine", "fake", "inconclusive") and "x.wav" in row
    kinds = ["score", *["band"] * 4, *["measure"] * 9, "seconds"]
    assert [line.split()[0] for line in reasons] == kinds and "0.0-4.0" in reasons[-1]
    plain = json.loads(command(tmp_path / "x.wav", "--json").stdout)
    assert "effects" not in plain
    full = json.loads(command("--explain", tmp_path / "x.wav", "--json").stdout)
    assert full["score"] == plain["score"]
    effects, printed = full["effects"], [float(line.split()[1]) for line in reasons[1:5]]
    for kind in (effects["bands"].values(), effects["measures"].values(), [w[2] for w in effects["windows"]]):
        assert sum(kind) == pytest.approx(full["score"] - effects["baseline"], abs=1e-6)
    assert sum(printed) == pytest.approx(full["score"] - effects["baseline"], abs=3e-3)
    assert effects["meanings"].keys() == effects["bands"].keys() | effects["measures"].keys()
    assert sum(path.stat().st_size for path in PLUS.iterdir()) < 12e6


def test_a_sound_unlike_all_of_training_gets_no_verdict(tmp_path):
    """Chords in slow time are no speech, and far from any in the packaged model's training."""
    t = np.arange(8 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * f * t) for f in (220, 277, 330, 440)) * (0.55 + 0.45 * np.sin(3 * t))
    write_wav(tmp_path / "chord.wav", 0.05 * chord.astype(np.float32))
    verdict = Judge(load(PLUS)).judge(tmp_path / "chord.wav")
    assert verdict.label == "inconclusive"
    assert unknown_sound({"distance": {"max": 1.0}}, {"distance": 2.1}).startswith("unlike any speech")
    assert not unknown_sound({"distance": {"max": 1.0}}, {"distance": 1.9})
    assert not unknown_sound({}, {"distance": 9.0})
