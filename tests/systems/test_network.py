"""Systems on waveforms from training to scores: the epoch, exact resuming, folders, released weights."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchrun import forked

from masd.audio import write_wav
from masd.bin.finish import scores as finish_scores
from masd.bin.score import score
from masd.bin.train import train as train_command
from masd.data.folder import write_folder
from masd.data.utterance import load_utterance
from masd.errors import MasdError
from masd.judge.verdict import Judge
from masd.metrics.scores import read_scores
from masd.models.lcnn import Lcnn
from masd.models.one_class import samo_scores
from masd.stage.devices import device_of
from masd.stage.files import read_json, read_yaml, sha256, write_yaml
from masd.stage.threads import pinned
from masd.systems import load, open_system
from masd.systems import score as score_module
from masd.systems.base import WaveformSystem
from masd.systems.classifier import Classifier, class_weights
from masd.systems.config import FrontEndConfig, GmmConfig, NetworkConfig, Settings, TokensConfig
from masd.systems.network import NetworkSystem, enrol, planned, read_enrolment
from masd.systems.network_training import NetworkTrainer, still_falling
from masd.systems.recordings import RecordingSet
from masd.systems.score import score_set
from masd.systems.train import Job
from masd.systems.train import train as train_system
from masd.systems.waveforms import Waveforms
from masd.training.distributed import Processes

FAST = NetworkConfig(epochs=4, batch=6, samples=6000, lr=3e-3, save_minutes=0.0, crop="first")
CONFIG = Settings(network=FAST, gmm=GmmConfig(components=4, iterations=3))


def job(corpus, out, system="lfcc_lcnn", config=CONFIG, **more):
    return Job(system, *corpus, out, config, **more)


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """A trained LFCC-LCNN's output folder."""
    out = tmp_path_factory.mktemp("lcnn")
    train_system(job(corpus, out))
    return out


def test_the_best_epoch_on_the_development_set_is_kept(raw, trained, corpus):
    history = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in history] == [1, 2, 3, 4]
    best = min(history, key=lambda r: (r["dev"]["eer"], r["dev"]["loss_total"]))
    info = read_yaml(trained / "model" / "model.yaml")
    assert info["run"]["best_epoch"] == best["epoch"]
    assert info["run"]["utterance_steps"] == 4 * 24
    assert info["dev"]["eer"] == best["dev"]["eer"]
    # what is kept gives the very scores it was chosen by
    detector, (_, dev) = load(trained / "model"), corpus
    again = raw(detector, dev)
    stored = read_json(trained / "best.json")["dev_scores"]
    assert again == pytest.approx(stored, abs=1e-4)


class Killed(Exception):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("system", ["lfcc_lcnn", "samo"])
def test_a_killed_run_ends_as_one_that_was_left_alone(system, corpus, tmp_path, monkeypatch):
    train = dataclasses.replace(FAST, epochs=3, loss="samo" if system == "samo" else "softmax", renew=1)
    if system == "samo":  # its attractors, on a network that is quick
        monkeypatch.setattr("masd.systems.classifier.network", lambda *_: Lcnn())
    config = dataclasses.replace(CONFIG, network=train)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_system(job(corpus, whole, system, config))
    step = NetworkTrainer._step

    def dying(self, model, batch):
        if self.step == 6:  # in the second epoch, after its attractors were renewed
            raise Killed
        return step(self, model, batch)

    monkeypatch.setattr(NetworkTrainer, "_step", dying)
    with pytest.raises(Killed):
        train_system(job(corpus, broken, system, config))
    monkeypatch.setattr(NetworkTrainer, "_step", step)
    train_system(job(corpus, broken, system, config))
    for name in ("best.json", "best.safetensors", "model/model.safetensors"):
        assert sha256(whole / name) == sha256(broken / name), name
    assert len((broken / "metrics.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("system", ["lfcc_lcnn", "lfcc_gmm"])
def test_training_and_scores_are_the_same_bits_beside_other_work(system, corpus, tmp_path, elsewhere):
    """On two threads they were others; scores depended on how many recordings were judged at once."""
    config = dataclasses.replace(CONFIG, network=dataclasses.replace(FAST, epochs=1, deterministic=True))
    found = []
    for name, batch in (("quiet", 8), ("busy", 3)):
        with elsewhere() if name == "busy" else nullcontext():
            train_system(job(corpus, tmp_path / name, system, config))
            detector = load(tmp_path / name / "model")
            with pinned():
                heard = RecordingSet(detector, corpus[1], batch=batch)
                found.append(score_set(detector, heard, heard.utts).scores)
    weights = [sha256(tmp_path / name / "model/model.safetensors") for name in ("quiet", "busy")]
    assert weights[0] == weights[1]
    assert found[0] == found[1]


def test_what_is_finished_is_not_done_again_and_what_is_stale_is(trained, corpus, tmp_path, caplog):
    caplog.set_level("INFO")
    train_system(job(corpus, trained))
    assert "trained already" in caplog.text
    config = dataclasses.replace(CONFIG, gmm=GmmConfig(components=2, iterations=1))
    train_system(job(corpus, trained, config=config))  # not its own settings
    assert caplog.text.count("trained already") == 2


def test_samo_renews_attractors_to_the_speakers_mean_of_bona_fide_speech(corpus, tmp_path):
    train, dev = corpus
    config = dataclasses.replace(FAST, loss="samo", renew=2)
    torch.manual_seed(0)
    classifier = Classifier(Lcnn(), config, speakers=["a", "b", "c"])
    items = Waveforms(train, train.utts, config, speakers=["a", "b", "c"])
    group = Processes(0, 1, torch.device("cpu"))
    trainer = NetworkTrainer(classifier, items, Waveforms(dev, dev.utts, config), tmp_path, 0, "w", group)
    for epoch, renewed in ((0, False), (1, False), (2, True)):
        trainer.state["epoch"] = epoch
        trainer.before_epoch()
        assert (not torch.equal(classifier.head.attractors, torch.eye(96)[:3])) == renewed
    real = [i for i, utt in enumerate(train.utts) if utt.startswith("b") and "bonafide" in utt]
    x = torch.from_numpy(np.stack([items[(-1, i)][0] for i in real]))
    with torch.no_grad():
        expected = classifier.eval().net(x)[0].mean(0)
    torch.testing.assert_close(classifier.head.attractors[1], expected, rtol=1e-4, atol=1e-5)


def test_the_network_that_the_documentation_adds_goes_from_training_to_a_verdict(
    raw, corpus, tmp_path, monkeypatch
):
    """docs/systems.md: by entry points alone; a model folder does not import the class it names."""
    page = (Path(__file__).parents[2] / "docs/systems.md").read_text()
    code = re.search(r"^```python\n(\"\"\"Strided.*?)^```$", page, re.MULTILINE | re.DOTALL)[1]
    (tmp_path / "my_networks.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    (train, dev), kind = corpus, "my_networks:SmallCnn"
    train_command("small_cnn", train.path, dev.path, tmp_path / "exp", type=kind, network=FAST)
    model = tmp_path / "exp" / "model"
    with pytest.raises(MasdError, match=rf"give --type {kind}"):
        load(model)
    score(tmp_path / "scores", dev.path, model, type=kind)
    system = load(model, kind)
    assert (system.name, system.type) == ("small_cnn", kind)
    scores = read_scores(tmp_path / "scores" / "scores")
    expected = system.calibration.scores(system.decisions(np.array([*raw(system, dev).values()])))
    assert list(scores.values()) == expected.tolist()
    assert Judge(system).judge(dev.wav[dev.utts[0]]).label
    assert len(system.embeddings([load_utterance(dev, dev.utts[0])])[0]) == 32


class Loudness(WaveformSystem):
    """A system of somebody's own that is no network: the louder, the more bona fide."""

    @classmethod
    def uses(cls, job):
        return job.settings.options

    @classmethod
    def fit(cls, job, work, force=False):
        system = cls(job.system)
        system.gain = float(job.settings.options["gain"])
        return job.calibrate(system, job.raw_dev(system))

    def raw(self, waves, speakers):
        return np.array([self.gain * float(np.square(x).mean()) for x in waves])

    def parts(self):
        return {}, {"gain": np.array([self.gain])}

    @classmethod
    def of(cls, name, settings, tensors, folder):
        system = cls(name)
        system.gain = float(tensors["gain"][0])
        return system


def test_a_class_of_ones_own_is_a_system_like_any(corpus, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    (train, dev), kind = corpus, "test_network:Loudness"
    train_command(kind, train.path, dev.path, tmp_path, options={"gain": 3.0})
    score(tmp_path / "scores", dev.path, tmp_path / "model", type=kind)
    assert len(read_scores(tmp_path / "scores" / "affine_scores")) == len(dev.utts)
    assert read_yaml(tmp_path / "model" / "model.yaml")["system"] == "Loudness"
    assert Judge(load(tmp_path / "model", kind)).judge(dev.wav[dev.utts[0]]).label
    for kind, said in (("no_module:X", "No module named"), ("json:loads", "no class made of")):
        with pytest.raises(MasdError, match=said):
            train_command(kind, train.path, dev.path, tmp_path / "x")


def test_samo_scores_by_enrolment_read_from_asv_protocols(raw, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("masd.systems.classifier.network", lambda *_: Lcnn())
    train = dataclasses.replace(FAST, epochs=1, loss="samo")
    train_system(job(corpus, tmp_path, "samo", dataclasses.replace(CONFIG, network=train)))
    detector, (_, dev) = load(tmp_path / "model"), corpus
    (tmp_path / "asv.txt").write_text("x x-bonafide0,x-bonafide1\n")
    free = raw(detector, dev)
    enrol(detector, dev, read_enrolment([tmp_path / "asv.txt"]))
    bound = raw(detector, dev)
    assert all(free[utt] == bound[utt] for utt in dev.utts if utt.startswith("y"))
    waves = {utt: load_utterance(dev, utt) for utt in ("x-bonafide0", "x-bonafide1", "x-spoof2")}
    e = {utt: detector.embeddings([x])[0] for utt, x in waves.items()}
    mean = (e["x-bonafide0"] + e["x-bonafide1"]) / 2
    cosine = torch.nn.functional.cosine_similarity(e["x-spoof2"], mean, dim=0)
    assert bound["x-spoof2"] == pytest.approx(float(cosine), abs=1e-5)
    head = detector.classifier.head
    assert free["x-spoof2"] == pytest.approx(
        float(samo_scores(e["x-spoof2"][None], head.attractors)), abs=1e-5
    )


def test_enrolment_of_the_real_protocols():
    folder = os.environ.get("ASVSPOOF2019_LA_PROTOCOLS")
    if not folder:
        pytest.skip("ASVSPOOF2019_LA_PROTOCOLS names no folder")
    for name, speakers in (("dev", 10), ("eval", 48)):
        files = sorted(Path(folder).glob(f"ASVspoof2019.LA.asv.{name}.*male.trn.txt"))
        enrolment = read_enrolment(files)
        assert len(files) == 2
        assert len(enrolment) == speakers
        assert all(utt.startswith(f"LA_{name[0].upper()}_") for utts in enrolment.values() for utt in utts)


def test_enrolment_lines_that_cannot_be_are_named(tmp_path):
    path = tmp_path / "asv.txt"
    for text, fault in (("a b c\n", r"asv\.txt:1: expected"), ("a u\na v\n", r"asv\.txt:2: speaker a")):
        path.write_text(text)
        with pytest.raises(MasdError, match=fault):
            read_enrolment([path])


@pytest.fixture(scope="module")
def gmm(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("gmm")
    train_system(job(corpus, out, "lfcc_gmm"))
    return out


def test_the_gmm_scores_whole_recordings_by_their_mean_log_likelihood_ratio(raw, gmm):
    from masd.systems.gmm import lfcc_frames

    detector = load(gmm / "model")
    x = np.random.default_rng(0).standard_normal(9000).astype(np.float32) * 0.1
    frames = lfcc_frames(detector.front_end, x)
    both = [m.log_likelihood(frames) for m in (detector.bonafide, detector.spoof)]
    assert detector.raw([x], ["s"])[0] == pytest.approx(np.mean(both[0] - both[1]))
    assert detector.parameters == 2 * 4 * (1 + 60 + 60)


def test_tokens_learn_from_bona_fide_speech_alone(corpus, small_encoder, raw, tmp_path):
    config = Settings(tokens=TokensConfig(units=8, vocabulary=24))
    train_system(job(corpus, tmp_path / "with", "tokens", config, ssl=small_encoder))
    train, dev = corpus
    real = {utt for utt in train.utts if train.lab(utt) == "bonafide"}
    one_fake = sorted(real | {next(utt for utt in train.utts if utt not in real)})
    tables = {name: {u: table[u] for u in one_fake} for name, table in train.tables.items()}
    part = write_folder(
        tmp_path / "part",
        {u: train.wav[u] for u in one_fake},
        {u: train.utt2spk[u] for u in one_fake},
        **tables,
    )
    train_system(job((part, dev), tmp_path / "without", "tokens", config, ssl=small_encoder))
    same = [sha256(tmp_path / name / "model" / "model.safetensors") for name in ("with", "without")]
    assert same[0] == same[1]
    detector = load(tmp_path / "with" / "model")
    values = raw(detector, dev)
    assert all(np.isfinite(v) and v < 0 for v in values.values())
    # a one-class score has no zero of its own: f = 0 at the development threshold
    f = detector.decisions(np.array(list(values.values())))
    assert min(abs(f)) == 0


def test_tokens_need_an_encoder(corpus, tmp_path):
    with pytest.raises(MasdError, match="--ssl"):
        train_system(job(corpus, tmp_path, "tokens"))


def test_scores_of_a_set_are_files_like_masds(raw, gmm, corpus, tmp_path):
    _, dev = corpus
    score(tmp_path / "scores", dev.path, model=gmm / "model")
    scores, affine = (read_scores(tmp_path / "scores" / name) for name in ("scores", "affine_scores"))
    assert sorted(scores) == dev.utts == sorted(affine)
    detector = load(gmm / "model")
    values = raw(detector, dev)
    info = read_yaml(gmm / "model" / "model.yaml")["calibration"]
    for utt in dev.utts:
        assert scores[utt] == pytest.approx(values[utt] / info["temperature"]["value"])
        assert affine[utt] == pytest.approx(info["affine"]["a"] * values[utt] - info["affine"]["b"])
    timing = read_json(tmp_path / "scores" / "timing.json")
    assert timing["real_time_factor"] > 0
    # the threshold rejects as many bona fide as it accepts fakes, to one trial
    low = {lab: [u for u in dev.utts if dev.lab(u) == lab and scores[u] <= info["thresholds"]["dev_eer"]]
           for lab in ("bonafide", "spoof")}  # fmt: skip
    assert abs(len(low["bonafide"]) - (8 - len(low["spoof"]))) <= 1


def test_utterances_that_cannot_be_scored_are_listed_and_counted(gmm, corpus, tmp_path):
    _, dev = corpus
    bad = dev.wav | {dev.utts[0]: str(tmp_path / "none.wav")}
    write_folder(tmp_path / "bad", bad, dev.utt2spk, **dev.tables)
    with pytest.raises(MasdError, match="1 of 16"):
        score(tmp_path / "scores", tmp_path / "bad", model=gmm / "model")
    assert not (tmp_path / "scores" / "scores").exists()
    score(tmp_path / "scores", tmp_path / "bad", model=gmm / "model", max_fail=0.1)
    assert (tmp_path / "scores" / "failures").read_text().startswith(dev.utts[0])
    assert len(read_scores(tmp_path / "scores" / "scores")) == 15
    (tmp_path / "none.wav").write_bytes(Path(dev.wav[dev.utts[0]]).read_bytes())  # mended: tried again
    score(tmp_path / "scores", tmp_path / "bad", model=gmm / "model")
    assert len(read_scores(tmp_path / "scores" / "scores")) == 16


def scored(out):
    return [(out / name).read_text() for name in ("scores", "affine_scores", "failures")]


def test_scores_do_not_depend_on_the_number_of_jobs(trained, corpus, tmp_path):
    _, dev = corpus
    score(tmp_path / "one", dev.path, model=trained / "model")
    for number in (1, 2, 3):
        score(tmp_path / "three", dev.path, model=trained / "model", job=number, num_jobs=3)
        if number < 3:
            with pytest.raises(MasdError, match=f"shard {number + 1} of 3 is not finished"):
                finish_scores(tmp_path / "three", num_jobs=3)
    finish_scores(tmp_path / "three", num_jobs=3)
    written = (tmp_path / "three" / "scores").stat().st_mtime_ns
    one, three = (read_scores(tmp_path / name / "scores") for name in ("one", "three"))
    assert three == pytest.approx(one, abs=1e-5)
    timing = read_json(tmp_path / "three" / "timing.json")
    assert timing["audio_seconds"] == pytest.approx(
        read_json(tmp_path / "one" / "timing.json")["audio_seconds"]
    )
    assert not (tmp_path / "three" / ".jobs").exists()
    score(tmp_path / "three", dev.path, model=trained / "model")  # whatever their number
    assert (tmp_path / "three" / "scores").stat().st_mtime_ns == written


def test_a_job_may_have_nothing_to_score(gmm, corpus, tmp_path):
    _, dev = corpus
    utts = dev.utts[:2]
    tables = {name: {utt: table[utt] for utt in utts} for name, table in dev.tables.items()}
    write_folder(tmp_path / "few", {u: dev.wav[u] for u in utts}, {u: dev.utt2spk[u] for u in utts}, **tables)
    for number in (1, 1, 2, 3, 4, 4):
        score(tmp_path / "out", tmp_path / "few", model=gmm / "model", job=number, num_jobs=4)
    finish_scores(tmp_path / "out", num_jobs=4)
    assert sorted(read_scores(tmp_path / "out" / "scores")) == utts


def test_a_stopped_scoring_goes_on_where_it_was(trained, corpus, tmp_path, monkeypatch):
    _, dev = corpus
    score(tmp_path / "whole", dev.path, model=trained / "model", batch=4)
    out, heard, loaded = tmp_path / "stopped", [], []
    judged = NetworkSystem.raw

    def noted(self, waves, speakers):
        heard.append(loaded[-len(waves) :])
        if len(heard) == 3:
            raise KeyboardInterrupt
        return judged(self, waves, speakers)

    read = RecordingSet.read
    monkeypatch.setattr(RecordingSet, "read", lambda self, utt: loaded.append(utt) or read(self, utt))
    monkeypatch.setattr(NetworkSystem, "raw", noted)
    monkeypatch.setattr(score_module, "SAVE_EVERY", -1.0)
    with pytest.raises(KeyboardInterrupt):
        score(out, dev.path, model=trained / "model", batch=4)
    assert not (out / "scores").exists()
    score(out, dev.path, model=trained / "model", batch=4)
    assert heard[3:] == [dev.utts[8:12], dev.utts[12:]]
    assert scored(out) == scored(tmp_path / "whole")
    # other weights make what was scored before the stop worthless
    heard[:] = []
    with pytest.raises(KeyboardInterrupt):
        score(out, dev.path, model=trained / "model", batch=4, force=True)
    model = shutil.copytree(trained / "model", tmp_path / "other")
    write_yaml(model / "model.yaml", read_yaml(model / "model.yaml") | {"note": "another"})
    score(out, dev.path, model=model, batch=4)
    assert heard[3] == dev.utts[:4]


def test_a_failed_utterance_is_scored_once_it_is_mended(gmm, corpus, tmp_path, monkeypatch):
    _, dev = corpus
    broken = tmp_path / "late.wav"
    write_folder(tmp_path / "bad", dev.wav | {dev.utts[0]: str(broken)}, dev.utt2spk, **dev.tables)
    words = {"model": gmm / "model", "num_jobs": 2}
    out = tmp_path / "scores"
    for number in (1, 2):
        score(out, tmp_path / "bad", job=number, **words)
    with pytest.raises(MasdError, match=r"1 of 16 utterances failed.*scores/failures"):
        finish_scores(out, num_jobs=2)
    shutil.copy(dev.wav[dev.utts[0]], broken)
    heard = []
    read = RecordingSet.read
    monkeypatch.setattr(RecordingSet, "read", lambda self, utt: heard.append(utt) or read(self, utt))
    for number in (1, 2):
        score(out, tmp_path / "bad", job=number, **words)
    finish_scores(out, num_jobs=2)
    assert heard == dev.utts[:1]
    assert sorted(read_scores(out / "scores")) == dev.utts


def test_jobs_take_the_gpus_of_a_host_in_turn(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device_of("auto", number) for number in (1, 2, 3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert device_of("cpu", 3) == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto", 2) == "cpu"
    with pytest.raises(MasdError, match="--device cuda: no GPU"):
        device_of("cuda")


def test_detect_gives_a_recording_the_score_of_its_set(raw, trained, corpus):
    _, dev = corpus
    judge = Judge(load(trained / "model"))
    utt = dev.utts[3]
    detector = load(trained / "model")
    values = detector.raw([load_utterance(dev, utt)], [""])
    verdict = judge.judge(dev.wav[utt])
    assert verdict.score == pytest.approx(
        float(detector.calibration.scores(detector.decisions(values))[0]), abs=1e-5
    )
    assert verdict.label == ("spoof" if verdict.p_fake >= 0.5 else "bonafide") or verdict.reasons


def test_comparison_systems_judge_from_the_first_sound_whatever_the_name_and_say_when_they_cannot(
    trained, gmm, corpus, tmp_path
):
    _, dev = corpus
    x = load_utterance(dev, dev.utts[3])
    silent = np.zeros(5 * 16000, np.float32)
    write_wav(tmp_path / "a.wav", x)
    write_wav(tmp_path / "b.flac", x)
    write_wav(tmp_path / "c.wav", np.concatenate([silent, x]))
    write_wav(tmp_path / "d.wav", silent)
    for folder in (trained / "model", gmm / "model"):
        judge = Judge(load(folder))
        plain, same, late, none = (
            judge.judge(tmp_path / f"{n}") for n in ("a.wav", "b.flac", "c.wav", "d.wav")
        )
        assert same.score == plain.score
        assert abs(late.score - plain.score) < 0.5 * abs(none.score - plain.score) + 0.1
        assert none.label == "inconclusive" and none.reasons == ["silent: nothing to judge"]
        assert judge.posterior.errors() is not None and "bandwidth" in judge.system.info["ranges"]


def test_a_detector_with_impossible_numbers_is_refused_by_file_and_key(trained, tmp_path):
    shutil.copytree(trained / "model", tmp_path / "model")
    info = read_yaml(tmp_path / "model" / "model.yaml")
    tensors = load_file(tmp_path / "model" / "model.safetensors")
    name = next(name for name, value in tensors.items() if value.is_floating_point())
    tensors[name].view(-1)[0] = float("nan")
    save_file(tensors, tmp_path / "model" / "model.safetensors")
    info["files"] = {"model.safetensors": sha256(tmp_path / "model" / "model.safetensors")}
    write_yaml(tmp_path / "model" / "model.yaml", info)
    with pytest.raises(MasdError, match=r"model\.safetensors: tensor .* holds NaN"):
        load(tmp_path / "model")
    write_yaml(
        tmp_path / "model" / "model.yaml",
        info | {"calibration": info["calibration"] | {"offset": float("nan")}},
    )
    with pytest.raises(MasdError, match=r"model\.yaml: offset is nan"):
        load(tmp_path / "model")


@pytest.mark.slow
def test_detect_with_released_weights(corpus):
    if "AASIST_CHECKPOINT" not in os.environ:
        pytest.skip("AASIST_CHECKPOINT names no file")
    words = ["--system", "aasist", "--checkpoint", os.environ["AASIST_CHECKPOINT"], "--json"]
    _, dev = corpus
    done = subprocess.run(
        [sys.executable, "-m", "masd.bin.detect", *words, dev.wav[dev.utts[0]]],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)
    said = "bonafide" if verdict["score"] > 0 else "spoof"
    assert verdict["label"] == ("inconclusive" if verdict["reasons"] else said) and verdict["prior"] is None


def test_what_detect_takes_is_said():
    for model, system, checkpoint in (
        (None, "", None),
        (None, "aasist", None),
        (Path("x"), "aasist", Path("y")),
    ):
        with pytest.raises(MasdError, match=r"--model DIR, or .*--checkpoint FILE"):
            open_system(model, system, "", checkpoint)


def test_sets_that_share_a_speaker_are_refused(corpus, tmp_path):
    train, _ = corpus
    with pytest.raises(MasdError, match="speaker a"):
        train_system(job((train, train), tmp_path))


def test_a_changed_model_folder_is_refused(gmm, tmp_path):
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(gmm / "model", folder)
    (folder / "model.safetensors").write_bytes(b"x")
    with pytest.raises(MasdError, match=r"model\.safetensors"):
        load(folder)


@pytest.mark.parametrize("system", ["sls", "mhfa"])
def test_a_network_on_a_pretrained_front_end_is_trained_and_stored(system, corpus, raw, tmp_path):
    """Of a length of its own, which decides the size of sls."""
    from masd.models.front_ends import NAMED, FrontEnd

    small = {
        "convs": [[8, 10, 5], *[[8, 3, 2]] * 4, *[[8, 2, 2]] * 2],
        "dim": 32,
        "layers": 2,
        "heads": 2,
        "ff": 32,
    }
    architecture = NAMED["wav2vec2_xlsr_300m"] | small | {"pos_kernel": 16, "pos_groups": 4}
    torch.save(FrontEnd(architecture).model.state_dict(), tmp_path / "xlsr.pt")
    config = dataclasses.replace(
        CONFIG,
        network=dataclasses.replace(FAST, epochs=1),
        front_end=FrontEndConfig([str(tmp_path / "xlsr.pt")], tuned=system == "sls"),
    )
    train_system(job(corpus, tmp_path / "out", system, config))
    again = raw(load(tmp_path / "out/model"), corpus[1])
    assert again == pytest.approx(read_json(tmp_path / "out/best.json")["dev_scores"], abs=1e-4)


def test_front_ends_without_weights_are_asked_for():
    from masd.systems.classifier import network

    with pytest.raises(MasdError, match=r"checkpoints \[FILE,FILE\] .*hubert_large, wavlm_large"):
        network("hubert_wavlm", FrontEndConfig())


def test_class_weights_are_the_published_ones_on_the_published_set():
    spoof, real = class_weights([True] * 2580 + [False] * 22800, [])
    assert (spoof, real) == pytest.approx((0.1, 0.9), abs=0.002)
    assert class_weights([True, False], [0.1, 0.9]) == (0.1, 0.9)
    with pytest.raises(MasdError, match="both"):
        class_weights([True, True], [])


def test_a_budget_is_utterance_steps():
    assert planned(NetworkConfig(budget=1000, epoch_utts=300), 5000).epochs == 4
    assert planned(NetworkConfig(budget=50), 20).epochs == 3
    assert planned(NetworkConfig(epochs=7), 20).epochs == 7


def test_still_falling():
    def history(*losses):
        return [{"dev": {"loss_total": loss}} for loss in losses]

    assert still_falling(history(3, 2, 1))
    assert not still_falling(history(3, 1, 2))
    assert still_falling(history(*range(20, 0, -1)))
    assert still_falling(history(*range(20, 2, -1), 1, 2))


@pytest.mark.slow
def test_two_processes_train_as_one_does(corpus, tmp_path, monkeypatch):
    """Shared batch-norm statistics, and a class-weighted mean over both processes' items."""
    monkeypatch.setattr("masd.systems.classifier.network", lambda *_: Lcnn(dropout=0.0))
    config = NetworkConfig(
        epochs=2, batch=6, samples=6000, lr=1e-3, class_weights=(0.1, 0.9), device="cpu", crop="first"
    )
    settings, records = Settings(network=config), {}
    for count in (1, 2):
        out = tmp_path / str(count)
        words = ("lfcc_lcnn", *(folder.path for folder in corpus), out)
        work = Job.open(*words, settings=settings)
        forked(count, lambda work=work: train_system(work), tmp_path / "said")
        lines = (out / "metrics.jsonl").read_text().splitlines()
        records[str(count)] = [json.loads(line) for line in lines]
    for one, two in zip(records["1"], records["2"], strict=True):
        assert one["train"]["loss_total"] == pytest.approx(two["train"]["loss_total"], rel=0.01)
        assert one["dev"]["loss_total"] == pytest.approx(two["dev"]["loss_total"], rel=0.05)
    assert read_yaml(tmp_path / "2" / "model" / "model.yaml")["run"]["best_epoch"] in (1, 2)


def test_what_is_fitted_in_one_process_refuses_several(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for system in ("lfcc_gmm", "tokens"):
        with pytest.raises(MasdError, match=f"{system} is fitted in one process"):
            train_system(job(corpus, tmp_path, system))
