"""The stored detector: every row of Table II, its folder there and back, and folders that are none."""

import json
import pickle
import sys

import numpy as np
import pytest

from masd.errors import MasdError
from masd.models.pooling import statistics
from masd.stage.files import read_yaml, sha256, write_yaml
from masd.svm.config import ROWS, FitConfig
from masd.svm.features import Scaler, pooled
from masd.svm.fit import LabelledSet
from masd.svm.inputs import Compact, Inputs, pack, stack_compact, unpack_index
from masd.svm.kernel import fit_svm
from masd.systems import load, masd_fit
from masd.systems.masd import MasdSystem
from masd.systems.masd_fit import fit_row

FAST = {"epochs": 3, "affine_folds": 2}


def fitted(name, train, dev, alpha, **keys):
    single = ROWS[name].bands == 1
    sets = [one_band(train), one_band(dev)] if single else [train, dev]
    start = np.ones(1, np.float32) if single else alpha
    start = None if name == "handcrafted" else start
    machine, info = fit_row(ROWS[name], *sets, FitConfig(**{**FAST, **keys}), 0, start)
    system = MasdSystem(name, machine.features, machine.svm, info=info)
    return (system, machine.trained.history if machine.trained else []), sets


def one_band(data):
    c = data.inputs.compact
    inputs = Inputs(data.inputs.utts, Compact(c.mu[:, :1], c.gram[..., :1], c.lengths), hand=data.inputs.hand)
    return LabelledSet(inputs, data.is_fake, data.speakers, data.attacks)


def test_pooled_is_f_ssl_of_the_fused_frames():
    """From the packed statistics, in batches of unequal lengths, as from the frames themselves."""
    import torch

    rng = np.random.default_rng(0)
    zs = [rng.normal(size=(3, n, 6)).astype(np.float32) for n in (5, 9, 7)]
    mus = [z.mean(1) for z in zs]
    grams = [
        pack(np.einsum("itd,jtd->tij", z - m[:, None], z - m[:, None])) for z, m in zip(zs, mus, strict=True)
    ]
    alpha = np.array([0.5, 0.2, 0.3], np.float32)
    found = pooled(stack_compact(mus, grams), alpha)
    for row, z in zip(found, zs, strict=True):
        expected = statistics(torch.from_numpy(np.einsum("j,jtd->td", alpha, z)))
        np.testing.assert_allclose(row, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_pack_and_unpack():
    matrix = np.arange(9.0).reshape(3, 3)
    symmetric = matrix + matrix.T
    np.testing.assert_array_equal(pack(symmetric)[unpack_index(3)], symmetric)
    assert pack(symmetric).shape == (6,)


@pytest.mark.parametrize("name", ROWS)
def test_every_system_there_and_back(name, train, dev, alpha, tmp_path):
    """What goes into the SVM has the row's size; a loaded model gives the same bits."""
    (system, history), (_, test) = fitted(name, train, dev, alpha)
    sizes = {"handcrafted": 3, "ssl_single": 12, "ssl_multi": 12, "concat": 15, "attention": 256, "full": 256}
    sizes |= {"plus": 3, "plus_encoder": 15}
    values = system.values(test.inputs)
    assert values.shape == (len(test), sizes[name]) and bool(history) == (sizes[name] == 256)
    system.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    f = loaded.decision(loaded.values(test.inputs))
    np.testing.assert_array_equal(f, system.decision(values))
    np.testing.assert_array_equal(loaded.calibration.scores(f), system.calibration.scores(f))
    np.testing.assert_array_equal(loaded.calibration.affine_scores(f), system.calibration.affine_scores(f))
    assert system.info["dev"]["eer"] < 0.35


def test_unfused_inputs_are_standardised_side_by_side(train, dev, alpha):
    (system, _), _ = fitted("concat", train, dev, alpha, calibration_share=0.05)
    f_ssl = pooled(train.inputs.compact, alpha)
    expected = np.concatenate([f_ssl, train.inputs.hand], axis=1)
    values = system.values(train.inputs)
    ratio = (values[1:] - values[:-1]) / (expected[1:] - expected[:-1])
    np.testing.assert_allclose(ratio, np.broadcast_to(np.median(ratio, 0), ratio.shape), rtol=0.05)
    np.testing.assert_allclose(values.std(0), 1.0, atol=0.1)
    assert system.svm.gamma == pytest.approx(1 / (2 * 15), rel=0.02)
    (narrow, _), _ = fitted("concat", train, dev, alpha, calibration_share=0.05, gamma_scale=2.0)
    assert narrow.svm.gamma == pytest.approx(2 * system.svm.gamma)


def test_literal_svm_takes_raw_features_and_a_fixed_gamma(train, dev, alpha):
    (system, _), _ = fitted("concat", train, dev, alpha, svm_standardise=False, gamma=0.01)
    np.testing.assert_allclose(system.values(dev.inputs)[:, 12:], dev.inputs.hand, rtol=1e-6)
    assert system.svm.gamma == 0.01


def test_scores_are_minus_f_over_t_and_polarity_holds(train, dev, alpha):
    (system, _), _ = fitted("full", train, dev, alpha)
    f = system.decision(system.values(dev.inputs))
    np.testing.assert_allclose(
        system.calibration.scores(f), -f / system.info["calibration"]["temperature"]["value"]
    )
    a, b = system.info["calibration"]["affine"]["a"], system.info["calibration"]["affine"]["b"]
    np.testing.assert_allclose(system.calibration.affine_scores(f), -(a * f + b))
    assert a > 0
    scores = system.calibration.scores(f)
    assert scores[~dev.is_fake].mean() > scores[dev.is_fake].mean()


def test_attention_weights(train, dev, alpha):
    (three, _), _ = fitted("full", train, dev, alpha)
    weights = three.features.attention(dev.inputs)
    assert weights.shape == (len(dev), 3)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    (one, _), _ = fitted("full", train, dev, alpha, tokens="one")
    assert (one.features.attention(dev.inputs) == 1).all()
    (none, _), _ = fitted("concat", train, dev, alpha)
    assert none.features.attention(dev.inputs) is None


def test_refitting_gives_the_same_bytes(train, dev, alpha, tmp_path):
    for name in ("one", "two"):
        fitted("full", train, dev, alpha)[0][0].save(tmp_path / name)
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert files == ["model.safetensors", "model.yaml"]
    for name in files:
        assert sha256(tmp_path / "one" / name) == sha256(tmp_path / "two" / name)


def test_a_changed_system_leaves_nothing_behind(train, dev, alpha, tmp_path):
    fitted("full", train, dev, alpha)[0][0].save(tmp_path)
    fitted("handcrafted", train, dev, alpha)[0][0].save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.safetensors", "model.yaml"]


def test_what_a_kill_left_is_no_part_of_the_model(train, dev, alpha, tmp_path):
    """A copy of the folder without hidden files is still whole."""
    tmp_path.joinpath(".model.tmp123-abcd.safetensors").write_bytes(b"half")
    fitted("handcrafted", train, dev, alpha)[0][0].save(tmp_path)
    assert list(read_yaml(tmp_path / "model.yaml")["files"]) == ["model.safetensors"]


def test_the_neutral_value_of_a_feature_is_its_training_mean_standardised_or_not(train, dev, alpha, tmp_path):
    """Explanations set features to it; a PCS of 0 would be none that speech has."""
    for standardise in (True, False):
        (system, _), _ = fitted("handcrafted", train, dev, alpha, svm_standardise=standardise)
        system.save(tmp_path / str(standardise))
        neutral = load(tmp_path / str(standardise)).hand_neutral
        assert neutral == pytest.approx(train.inputs.hand.mean(axis=0), abs=0.15)
        assert np.abs(neutral).min() > 0


def test_wrong_inputs_are_named(train, dev, alpha):
    (system, _), _ = fitted("full", train, dev, alpha)
    with pytest.raises(MasdError, match="handcrafted features"):
        system.values(Inputs(dev.inputs.utts, dev.inputs.compact))
    more = np.concatenate([dev.inputs.hand, dev.inputs.hand[:, :1]], axis=1)
    with pytest.raises(MasdError, match=r"4 handcrafted features, the model takes 3.*\+tokens"):
        system.values(Inputs(dev.inputs.utts, dev.inputs.compact, hand=more))
    with pytest.raises(MasdError, match="of 1 bands, the model has 3"):
        system.values(one_band(dev).inputs)
    with pytest.raises(MasdError, match="extract_embeddings"):
        system.values(
            Inputs(dev.inputs.utts, vectors=np.zeros((len(dev), 12), np.float32), hand=dev.inputs.hand)
        )


@pytest.fixture
def folder(train, dev, alpha, tmp_path):
    fitted("concat", train, dev, alpha)[0][0].save(tmp_path / "exp" / "model")
    return tmp_path / "exp" / "model"


def test_folders_that_are_no_model(folder, tmp_path):
    for path, words in ((tmp_path / "nowhere", "no such model folder"), (tmp_path, "no model.yaml")):
        with pytest.raises(MasdError, match=words):
            load(path)
    with pytest.raises(MasdError, match=f"the model is {folder}"):
        load(folder.parent)
    (folder / "model.yaml").rename(folder / "encoder.yaml")
    with pytest.raises(MasdError, match="pretrained encoder alone"):
        load(folder)


def test_damaged_models(folder):
    text = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(text[:-10])
    with pytest.raises(MasdError, match=r"model\.safetensors: missing or not the file"):
        load(folder)
    (folder / "model.safetensors").write_bytes(text)
    info = read_yaml(folder / "model.yaml")
    for change, words in (
        ({"format": 99}, "format 2"),
        ({"system": "magic"}, "system magic: unknown|cannot be used"),
        ({"system": "full"}, "fusion"),
    ):
        write_yaml(folder / "model.yaml", info | change)
        if words is not None:
            with pytest.raises(MasdError, match=words):
                load(folder)
    del info["calibration"]["affine"]
    write_yaml(folder / "model.yaml", info)
    with pytest.raises(MasdError, match="no key 'affine'"):
        load(folder)


def test_nothing_is_unpickled_and_no_code_is_named_by_a_folder(folder):
    """A pickle in place of the tensors is refused, not run; so is a type that is somebody's class."""

    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("code of the model was run",))

    info = read_yaml(folder / "model.yaml")
    kept = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    info["files"]["model.safetensors"] = sha256(folder / "model.safetensors")
    write_yaml(folder / "model.yaml", info)
    with pytest.raises(MasdError, match="cannot be read as safetensors"):
        load(folder)
    (folder / "model.safetensors").write_bytes(kept)
    info["files"]["model.safetensors"] = sha256(folder / "model.safetensors")
    write_yaml(folder / "model.yaml", info | {"type": "this:Zen"})
    with pytest.raises(MasdError, match="somebody's own; where you trust its code, give --type this:Zen"):
        load(folder)
    assert "this" not in sys.modules


def test_a_model_cannot_name_files_outside_its_folder(folder):
    info = read_yaml(folder / "model.yaml")
    info["files"] = {"../model.yaml": "0" * 64}
    write_yaml(folder / "model.yaml", info)
    with pytest.raises(MasdError, match="missing or not the file"):
        load(folder)


def test_info_says_how_it_was_calibrated(train, dev, alpha):
    (system, _), _ = fitted("full", train, dev, alpha, prior=0.3)
    info = json.loads(json.dumps(system.info))
    assert (
        info["calibration"]["temperature"]["utterances"] == round(0.2 * len(train))
        and info["calibration"]["temperature"]["holdout"] == "random"
    )
    assert info["calibration"]["temperature"]["prior"] == pytest.approx(train.is_fake.mean(), abs=0.02)
    assert (info["calibration"]["affine"]["prior"], info["calibration"]["affine"]["holdout"]) == (
        0.3,
        "speaker and attack",
    )
    assert info["svm"]["fitted_on"] == len(train) - info["calibration"]["temperature"]["utterances"]
    assert set(info["calibration"]["thresholds"]) == {"dev_eer", "dev_eer_affine"}
    assert info["fusion_training"]["head_dev_eer"] < 0.5
    (random, _), _ = fitted("full", train, dev, alpha, affine_holdout="random")
    assert random.info["calibration"]["affine"]["holdout"] == "random"


def test_the_temperature_is_fitted_on_what_the_svm_has_not_seen(train, dev, alpha):
    (system, _), _ = fitted("handcrafted", train, dev, alpha)
    stored = {row.tobytes() for row in system.svm.support}
    scaled = system.values(train.inputs)
    used = np.array([row.tobytes() in stored for row in scaled])
    assert 0 < used.sum() <= 0.8 * len(train)


def test_the_temperature_is_fitted_on_held_out_data_alone(train, dev, alpha, monkeypatch):
    """On rows that the SVM was fitted on, which it knows by heart, probabilities would be too sure."""
    given, known = [], []
    temperature, machine = masd_fit.fit_temperature, masd_fit.fit_machine
    monkeypatch.setattr(masd_fit, "fit_temperature", lambda *a: given.append(a) or temperature(*a))
    monkeypatch.setattr(
        masd_fit,
        "fit_machine",
        lambda spec, rows, *a: known.append(set(rows.inputs.utts)) or machine(spec, rows, *a),
    )
    (system, _), _ = fitted("handcrafted", train, dev, alpha)
    held = [i for i, utt in enumerate(train.inputs.utts) if utt not in known[0]]
    assert 0 < len(held) < len(train) and len(held) + len(known[0]) == len(train)
    ((decisions, is_fake),) = given
    np.testing.assert_allclose(
        np.sort(decisions), np.sort(system.decision(system.values(train.rows(held).inputs)))
    )
    assert is_fake.sum() == train.is_fake[held].sum()
    assert system.info["calibration"]["temperature"]["value"] == temperature(decisions, is_fake)


def test_the_affine_map_is_for_the_prior_that_is_asked_for(train, dev, alpha):
    maps = {
        p: fitted("handcrafted", train, dev, alpha, prior=p)[0][0].info["calibration"]["affine"]
        for p in (0.1, 0.5, 0.9)
    }
    assert [found["prior"] for found in maps.values()] == [0.1, 0.5, 0.9]
    assert maps[0.1]["b"] < maps[0.5]["b"] - 1 < maps[0.9]["b"] - 2


def test_svm_every_logs_development_error(train, dev, alpha):
    (_, history), _ = fitted("full", train, dev, alpha, svm_every=2, epochs=4, patience=0)
    assert ["svm_dev_eer" in entry for entry in history] == [False, True, False, True]


def test_the_svm_is_the_one_scikit_learn_fits(train, dev, alpha):
    (system, _), _ = fitted("full", train, dev, alpha)
    values = system.values(train.inputs)
    again = fit_svm(values, train.is_fake)
    from sklearn.svm import SVC

    other = SVC(C=10.0, gamma=again.gamma, class_weight="balanced").fit(
        values.astype(np.float64), train.is_fake
    )
    test = system.values(dev.inputs)
    np.testing.assert_allclose(
        again.decision(test), other.decision_function(test.astype(np.float64)), atol=1e-5
    )


def test_evened_blocks_have_equal_shares_of_the_distances():
    rng = np.random.default_rng(0)
    values = (rng.standard_normal((400, 6)) * [1, 5, 1, 1, 9, 1]).astype(np.float32)
    even = Scaler.of(values).evened([1, 5])(values)
    np.testing.assert_allclose(even[:, :1].var(0).sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(even[:, 1:].var(0).sum(), 1, rtol=1e-5)
    with pytest.raises(MasdError, match="5 figures, the dump has 6"):
        Scaler.of(values).evened([2, 3])
