"""Stage 5 and 6 on folders: external embeddings, missing utterances, marks, what is refused."""

import dataclasses

import numpy as np
import pytest
import yaml
from threadpoolctl import threadpool_info, threadpool_limits

from masd.bin.finish import scores as finish_scores
from masd.bin.score import score as score_function
from masd.bin.train import train as train_function
from masd.data.archive import Writer
from masd.data.folder import write_folder
from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.metrics.eer import eer
from masd.metrics.scores import read_scores
from masd.stage.files import read_yaml, write_lines, write_yaml
from masd.svm.config import FitConfig
from masd.svm.fit import slack_weights
from masd.systems import load, masd_fit
from masd.systems.masd import MasdSystem

FAST = FitConfig(epochs=3, affine_folds=2)


def write_set(root, data, name, vectors=None):
    """Write data folder, dump and plain embeddings of a synthetic set under `root`."""
    utts = data.inputs.utts
    write_folder(
        root / "data" / name,
        wav={utt: f"{utt}.wav" for utt in utts},
        utt2spk=dict(zip(utts, data.speakers, strict=True)),
        utt2lab={u: "spoof" if fake else "bonafide" for u, fake in zip(utts, data.is_fake, strict=True)},
        utt2attack=dict(zip(utts, data.attacks, strict=True)),
    )
    dump, emb = root / "dump" / name, root / "emb" / name
    config = FeatsConfig()
    write_archive(dump, "hand", dict(zip(utts, data.inputs.hand, strict=True)))
    mel = np.random.default_rng(0).normal(size=(60, config.n_mels)).astype(np.float32)
    write_archive(dump, "feats", {utt: mel[: 40 + len(utt) % 7] for utt in utts})
    write_yaml(dump / "feats.yaml", config)
    vectors = data.inputs.compact.mu.reshape(len(utts), -1) if vectors is None else vectors
    write_archive(emb, "emb", dict(zip(utts, vectors, strict=True)))
    return root


def write_archive(folder, name, arrays):
    with Writer(folder, name) as writer:
        for utt, array in arrays.items():
            writer.write(utt, array)
    (folder / f"{name}.1.scp").rename(folder / f"{name}.scp")


@pytest.fixture
def world(train, dev, tmp_path):
    for name, data in (("train", train), ("dev", dev)):
        write_set(tmp_path, data, name)
    return tmp_path


def sources(world, **change):
    given = {
        "train_data": world / "data" / "train",
        "dev_data": world / "data" / "dev",
        "train_embeddings": world / "emb" / "train",
        "dev_embeddings": world / "emb" / "dev" / "emb.scp",
        "train_dump": world / "dump" / "train",
        "dev_dump": world / "dump" / "dev",
        "out": world / "exp",
        "fit": FAST,
    }
    return {key: value for key, value in (given | change).items() if value is not None}


def test_a_system_is_fitted_on_one_thread_whatever_the_machine_has(world, monkeypatch):
    """Sums are divided among threads, and the more there are the other bits a large set's fusion has."""
    used, fit = [], masd_fit.fit_row
    monkeypatch.setattr(
        masd_fit,
        "fit_row",
        lambda *a: used.extend(pool["num_threads"] for pool in threadpool_info()) or fit(*a),
    )
    with threadpool_limits(2):
        train_function(
            system="handcrafted", ssl=None, **sources(world, train_embeddings=None, dev_embeddings=None)
        )
    assert set(used) == {1}


@pytest.mark.parametrize("system", ["handcrafted", "ssl_multi", "concat", "full"])
def test_embeddings_made_elsewhere_go_through_fit_and_score(world, system, dev):
    """Design: what a stage reads is enough to run it; here a Kaldi archive of vectors."""
    train_function(system, **sources(world))
    out = world / "exp" / "scores" / "dev"
    given = {
        "embeddings": world / "emb" / "dev",
        "dump": world / "dump" / "dev",
        "data": world / "data" / "dev",
    }
    score_function(out, model=world / "exp" / "model", **given)
    scores = read_scores(out / "scores")
    assert list(scores) == sorted(dev.inputs.utts) == list(read_scores(out / "affine_scores"))
    values = np.array([scores[utt] for utt in dev.inputs.utts])
    rate, threshold = eer(values[~dev.is_fake], values[dev.is_fake])
    info = read_yaml(world / "exp" / "model" / "model.yaml")
    assert (rate, threshold) == (info["dev"]["eer"], info["calibration"]["thresholds"]["dev_eer"])
    assert rate < 0.35
    assert (out / "failures").read_text() == ""
    assert (out / "attention").is_file() == (system == "full")
    if system == "full":
        rows = [line.split() for line in (out / "attention").read_text().splitlines()]
        assert [row[0] for row in rows] == list(scores)
        assert all(abs(sum(map(float, row[1:])) - 1) < 1e-5 and len(row) == 4 for row in rows)


def test_model_yaml_says_what_it_was_made_of(world, train):
    train_function("concat", **sources(world), seed=7)
    info = read_yaml(world / "exp" / "model" / "model.yaml")
    (training,) = info["training"]
    assert (training["name"], training["utterances"]) == ("train", len(train))
    assert training["spoof"] == int(train.is_fake.sum()) and len(training["digest"]) == 32
    assert (info["seed"], info["system"], info["ssl"]) == (7, "concat", None)
    assert info["fit"]["c"] == 10.0 and info["versions"]["torch"]
    assert FeatsConfig.from_dict(info["settings"]["features"]) == FeatsConfig()
    assert set(info["ranges"]) == {"seconds", "bandwidth", "pcs", "hfer", "sfi", "distance"}


def test_done_work_is_not_done_again(world, caplog):
    train_function("handcrafted", **sources(world))
    model = world / "exp" / "model"
    before = {p.name: p.stat().st_mtime_ns for p in model.iterdir()}
    train_function("handcrafted", **sources(world))
    assert {p.name: p.stat().st_mtime_ns for p in model.iterdir()} == before
    text = (model / "model.yaml").read_bytes()
    train_function("handcrafted", **sources(world), force=True)
    assert (model / "model.yaml").read_bytes() == text
    assert {p.name: p.stat().st_mtime_ns for p in model.iterdir()} != before
    train_function("handcrafted", **sources(world, fit=FitConfig(epochs=3, affine_folds=2, c=1.0)))
    assert read_yaml(model / "model.yaml")["fit"]["c"] == 1.0


def test_scores_follow_their_inputs(world):
    train_function("handcrafted", **sources(world))
    model, out, dump = world / "exp" / "model", world / "scores", world / "dump" / "dev"
    score_function(out, model=model, dump=dump)
    first = (out / "scores").read_bytes()
    stamp = (out / "scores").stat().st_mtime_ns
    score_function(out, model=model, dump=dump)
    assert (out / "scores").stat().st_mtime_ns == stamp
    train_function("handcrafted", **sources(world), seed=3)
    score_function(out, model=model, dump=dump)
    assert (out / "scores").read_bytes() != first


@pytest.mark.parametrize("block", [7, 24, 48])  # of 48 utterances
def test_a_set_scored_in_blocks_has_the_same_scores(world, monkeypatch, block):
    """So that memory does not grow with the set."""
    train_function("full", **sources(world))
    given = {
        "embeddings": world / "emb" / "dev",
        "dump": world / "dump" / "dev",
        "data": world / "data" / "dev",
    }
    score_function(world / "whole", model=world / "exp" / "model", **given)
    monkeypatch.setattr("masd.systems.stored.StoredSet.batch", block)
    score_function(world / "blocks", model=world / "exp" / "model", **given)
    whole, blocks = (read_scores(world / name / "scores") for name in ("whole", "blocks"))
    assert list(whole) == list(blocks)
    np.testing.assert_allclose(list(blocks.values()), list(whole.values()), atol=1e-5)
    for name in ("failures", "attention"):
        lines = [(world / out / name).read_text().splitlines() for out in ("whole", "blocks")]
        assert [line.split()[0] for line in lines[0]] == [line.split()[0] for line in lines[1]]


def test_a_row_is_scored_in_jobs_of_whole_blocks_to_the_same_bits(world, monkeypatch):
    """And a job that was stopped goes on after the last block it kept."""
    train_function("full", **sources(world))
    given = {"model": world / "exp" / "model", "embeddings": world / "emb" / "dev"}
    given |= {"dump": world / "dump" / "dev", "data": world / "data" / "dev"}
    for name in ("batch", "together"):
        monkeypatch.setattr(f"masd.systems.stored.StoredSet.{name}", 8)
    monkeypatch.setattr("masd.systems.score.SAVE_EVERY", -1.0)
    score_function(world / "one", **given)
    judged, judge = [], MasdSystem.judge

    def stopped(self, inputs):
        judged.append(len(inputs))
        if len(judged) == 2:
            raise KeyboardInterrupt
        return judge(self, inputs)

    monkeypatch.setattr(MasdSystem, "judge", stopped)
    with pytest.raises(KeyboardInterrupt):
        score_function(world / "jobs", **given, job=1, num_jobs=2)
    for job in (1, 2):
        score_function(world / "jobs", **given, job=job, num_jobs=2)
    finish_scores(world / "jobs", num_jobs=2)
    assert judged[2:] == [8] * 5, "of six blocks the first was kept"
    for name in ("scores", "affine_scores", "attention", "failures"):
        assert (world / "jobs" / name).read_bytes() == (world / "one" / name).read_bytes()


def drop(path, utt):
    write_lines(path, (line for line in path.read_text().splitlines() if line.split()[0] != utt))


def test_missing_utterances_are_named_and_budgeted(world, dev):
    train_function("full", **sources(world))
    lost = dev.inputs.utts[3]
    drop(world / "emb" / "dev" / "emb.scp", lost)
    given = {
        "embeddings": world / "emb" / "dev",
        "dump": world / "dump" / "dev",
        "data": world / "data" / "dev",
    }
    with pytest.raises(MasdError, match=f"1 of 48 utterances failed.*{lost}: not in .*emb/dev"):
        score_function(world / "out", model=world / "exp" / "model", **given)
    assert not (world / "out" / "scores").exists()
    score_function(world / "out", model=world / "exp" / "model", **given, max_fail=0.05)
    assert lost not in read_scores(world / "out" / "scores")
    assert (world / "out" / "failures").read_text().split()[0] == lost
    with pytest.raises(MasdError, match=lost):
        train_function("full", **sources(world, out=world / "other"))
    train_function("full", **sources(world, out=world / "other"), max_fail=0.05)


@pytest.mark.parametrize(
    ("system", "change", "words"),
    [
        ("full", {"train_embeddings": None}, "needs --train-embeddings"),
        ("handcrafted", {"dev_dump": None}, "needs --dev-dump"),
        ("full", {"train_embeddings": "nowhere"}, "nowhere: no such file or folder"),
    ],
)
def test_what_is_not_given_is_named(world, system, change, words):
    with pytest.raises(MasdError, match=words):
        train_function(system, **{**sources(world, **change)})


def test_score_needs_what_the_system_needs(world):
    train_function("concat", **sources(world))
    with pytest.raises(MasdError, match="needs --embeddings"):
        score_function(world / "out", model=world / "exp" / "model", dump=world / "dump" / "dev")
    with pytest.raises(MasdError, match="no such model folder"):
        score_function(
            world / "out",
            model=world / "nothing",
        )


def test_another_feature_configuration_is_refused(world):
    train_function("handcrafted", **sources(world))
    other = yaml.safe_load((world / "dump" / "dev" / "feats.yaml").read_text()) | {"hfer_cutoff": 3000.0}
    write_yaml(world / "dump" / "dev" / "feats.yaml", other)
    with pytest.raises(MasdError, match=r"feats\.hfer_cutoff"):
        score_function(world / "out", model=world / "exp" / "model", dump=world / "dump" / "dev")


def test_frames_are_not_vectors(world, train):
    write_archive(
        world / "emb" / "train", "emb", {utt: np.ones((4, 8), np.float32) for utt in train.inputs.utts}
    )
    with pytest.raises(MasdError, match="not one vector"):
        train_function("ssl_multi", **sources(world))
    with pytest.raises(MasdError, match=r"give the scp file"):
        train_function("ssl_multi", **sources(world, train_embeddings=world / "emb" / "train" / "emb.1.ark"))


def test_a_dev_set_with_a_speaker_or_recording_of_train_is_refused(world, train, dev):
    """The threshold and the dev figures would be of what the machine has learnt by heart."""
    same = {"dev_data": world / "data" / "train", "dev_dump": world / "dump" / "train"}
    with pytest.raises(MasdError, match=rf"speaker {min(train.speakers)} is in .*data/train too"):
        train_function("handcrafted", **sources(world, **same))
    with pytest.raises(MasdError, match="source recording"):
        train_function("handcrafted", **sources(world, **same), share_speakers=True)
    write_set(world, dataclasses.replace(dev, speakers=[train.speakers[0], *dev.speakers[1:]]), "dev")
    with pytest.raises(MasdError, match=f"speaker {train.speakers[0]} "):
        train_function("handcrafted", **sources(world))
    train_function("handcrafted", **sources(world), share_speakers=True)


def test_one_class_alone_is_refused(world, train):
    utts = train.inputs.utts
    write_folder(
        world / "data" / "train",
        wav={utt: f"{utt}.wav" for utt in utts},
        utt2spk=dict.fromkeys(utts, "s"),
        utt2lab=dict.fromkeys(utts, "spoof"),
    )
    with pytest.raises(MasdError, match="only spoof utterances"):
        train_function("handcrafted", **sources(world))


def test_the_literal_configuration_runs(world):
    literal = FitConfig(
        tokens="one",
        fusion_standardise=False,
        optimizer="sgd",
        patience=0,
        class_balanced=False,
        alpha="fixed",
        svm_every=5,
        gamma=0.01,
        svm_standardise=False,
        affine_holdout="random",
        epochs=5,
    )
    train_function("full", **sources(world, fit=literal))
    system = load(world / "exp" / "model")
    assert system.svm.gamma == 0.01 and system.info["fusion_training"]["kept"] == 5
    lines = (world / "exp" / "fusion.jsonl").read_text().splitlines()
    assert len(lines) == 5 and "svm_dev_eer" in lines[4]
    given = {"embeddings": world / "emb" / "dev", "dump": world / "dump" / "dev"}
    score_function(world / "out", model=world / "exp" / "model", **given)
    assert {line.split()[1] for line in (world / "out" / "attention").read_text().splitlines()} == {
        "1.000000"
    }


def test_attacks_weigh_alike_and_together_as_much_as_bona_fide_speech(train):
    rows = np.array([i for i, a in enumerate(train.attacks) if a != "A2" or i % 3 == 0])
    few = train.rows(rows)
    weights, attacks = slack_weights(few, "attack"), np.array(few.attacks)
    sums = {attack: weights[attacks == attack].sum() for attack in set(few.attacks)}
    assert sums["-"] == pytest.approx(len(few) / 2)
    assert {round(sums[a], 6) for a in ("A1", "A2", "A3")} == {round(len(few) / 6, 6)}
    assert slack_weights(few, "balanced") is None, "which scikit-learn does itself"
    assert set(slack_weights(few, "none")) == {1.0}


def test_an_attack_left_out_is_not_trained_on(world):
    without = dataclasses.replace(FAST, leave_out=("A2",), class_weight="attack")
    train_function("plus", **sources(world, fit=without))
    info = load(world / "exp" / "model").info
    assert info["training"][0]["attacks"] == 2 and info["development"][0]["attacks"] == 3
    halved = dataclasses.replace(FAST, leave_out=("t0-*", "t1-*"))
    train_function("plus", **sources(world, fit=halved))
    assert load(world / "exp" / "model").info["training"][0]["speakers"] == 6
    for pattern, words in (("A7", "is 'A7'"), ("A*", "nothing is left")):
        with pytest.raises(MasdError, match=words):
            unknown = dataclasses.replace(FAST, leave_out=(pattern,))
            train_function("plus", **sources(world, fit=unknown))


@pytest.mark.parametrize("key", ["prior", "calibration_share", "gamma", "c"])
def test_values_out_of_range_are_refused(key):
    with pytest.raises(MasdError, match=f"fit.{key}"):
        FitConfig(**{key: -1.0})
