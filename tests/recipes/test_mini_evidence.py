"""The evidence study of mini: no left-out speaker or attack is trained on, and eval is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

RECIPE = Path(__file__).parents[2] / "egs" / "mini"
sys.path.insert(0, str(RECIPE / "local"))

import evidence  # noqa: E402
import evidence_encoder  # noqa: E402
import evidence_features  # noqa: E402
import evidence_networks  # noqa: E402

from masd.data.folder import write_folder  # noqa: E402
from masd.errors import MasdError  # noqa: E402
from masd.models.config import EncoderConfig  # noqa: E402
from masd.models.encoder import Encoder  # noqa: E402
from masd.stage.files import read_json, read_yaml  # noqa: E402

ATTACKS, SPEAKERS = ("A01", "A02", "A03"), ("s0", "s1", "s2", "s3")


def a_study(rng, shift=0.0, sources=12):
    """Return a study whose copies lie `shift` deviations above their recordings, alike for every attack."""
    source, speaker, attack, rows = [], [], [], []
    for who in SPEAKERS:
        for k in range(sources):
            base = rng.standard_normal(6)
            for name in ("-", ATTACKS[k % 3], ATTACKS[(k + 1) % 3]):
                source.append(f"{who}-{k}")
                speaker.append(who)
                attack.append(name)
                rows.append(base + 0.1 * rng.standard_normal(6) + (shift if name != "-" else 0.0))
    x = np.array(rows, np.float32)
    return evidence.Study(
        np.array(source), np.array(speaker), np.array(attack), {"mel_mean": x, "mel_dev": x[:, :2]}
    )


def test_models_see_neither_the_speaker_nor_the_attack_they_judge():
    study, seen = a_study(np.random.default_rng(0)), []

    def fit(x, bona, weights):
        seen.append({tuple(row) for row in x})
        assert weights[bona].sum() == pytest.approx(weights[~bona].sum())
        return lambda y: y[:, 0]

    x = study.matrix("mel_mean")
    plan = evidence.plan_of(study, quick=False)
    scores = evidence.leave_out(x, study, fit, plan)
    assert len(plan) == len(ATTACKS) * len(SPEAKERS) == len(seen)
    for (out, who), rows in zip(plan, seen, strict=True):
        for k, row in enumerate(x):
            left = study.speaker[k] in who or study.attack[k] == out
            assert (tuple(row) in rows) == (not left)
    assert all(np.isfinite(score).all() for score in scores.values())


def test_quick_plan_tests_two_speakers_an_attack_and_no_attack_twice():
    plan = evidence.plan_of(a_study(np.random.default_rng(0)), quick=True)
    assert [out for out, _ in plan] == list(ATTACKS)
    assert all(len(set(who)) == 2 for _, who in plan)
    assert {s for _, who in plan for s in who} == set(SPEAKERS)


def test_random_copies_akin_to_the_left_out_attack_are_left_out_too():
    study = a_study(np.random.default_rng(0))
    kinds = np.array(["wide_world", "wide_griffin_lim", "wide_phase_noise", "wide_phase_noise"])
    extra = evidence.Study(np.array(list("abcd")), np.array(["s0", "s1", "s2", "s3"]), kinds, {})
    marks = np.arange(1000, 1004, dtype=np.float32)[:, None].repeat(6, 1)
    seen = {}

    def fit(x, bona, weights):
        seen.setdefault("rows", []).append(set(x[x[:, 0] >= 1000][:, 0].astype(int)))
        return lambda y: y[:, 0]

    more = evidence.Extra(marks, extra, with_attacks=False)
    evidence.leave_out(study.matrix("mel_mean"), study, fit, [("A02", ["s3"]), ("A03", ["s0"])], more)
    assert seen["rows"] == [{1001, 1002}, {1002, 1003}]


@pytest.mark.parametrize("kind", ["ridge", "quadratic", "svm", "boosting"])
def test_classifiers_find_a_shift_and_nothing_where_there_is_none(kind):
    fits = {
        "ridge": evidence.ridge(0.1),
        "quadratic": evidence.quadratic(0.1),
        "svm": evidence.svm(3),
        "boosting": evidence.boosting(0),
    }
    for shift, low, high in ((3.0, 0.0, 0.2), (0.0, 0.3, 0.7)):
        study = a_study(np.random.default_rng(1), shift)
        x = study.matrix("mel_mean")
        row = evidence.judge(
            evidence.leave_out(x, study, fits[kind], evidence.plan_of(study, True)), study, 50, 0
        )
        assert low <= row["mean"] <= high
        assert row["low"] <= row["mean"] + 0.1 and row["high"] >= row["mean"] - 0.1


def test_one_class_needs_no_copies():
    study = a_study(np.random.default_rng(2), shift=6.0)
    x, bona = study.matrix("mel_mean"), study.attack == "-"
    score = evidence.one_class(0.1)(x, bona, np.ones(len(x)))(x)
    assert score[bona].min() > np.median(score[~bona])


def test_speaker_normalisation_takes_a_speakers_offset_off():
    study = a_study(np.random.default_rng(3))
    x = study.matrix("mel_mean")
    moved = x + np.where(study.speaker == "s1", 100, 0)[:, None]
    for how in ("speaker", "bona_fide"):
        np.testing.assert_allclose(
            evidence.normalise(moved, study, how), evidence.normalise(x, study, how), atol=1e-3
        )
    np.testing.assert_array_equal(evidence.normalise(x, study, "none"), x)


def test_the_table_is_written_and_bad_choices_are_named(tmp_path, capsys):
    study = a_study(np.random.default_rng(4), shift=3.0)
    known = {"source": study.source, "speaker": study.speaker, "attack": study.attack}
    np.savez(tmp_path / "x.npz", **known, **study.families)
    evidence.evidence(tmp_path / "x.npz", tmp_path / "out.json", sets=["mel_mean", "mel"], resamples=20)
    rows = read_json(tmp_path / "out.json")["rows"]
    assert rows["mel"]["dim"] == 8 and rows["mel_mean"]["mean"] < 0.2
    assert "| mel_mean | 6 |" in capsys.readouterr().out
    other = a_study(np.random.default_rng(5), shift=3.0)
    known = {"source": other.source, "speaker": np.char.add("t", other.speaker), "attack": other.attack}
    np.savez(tmp_path / "y.npz", **known, **other.families)
    made = [tmp_path / "x.npz", tmp_path / "dev.json"]
    evidence.evidence(*made, sets=["mel_mean"], test=tmp_path / "y.npz", resamples=20)
    assert read_json(tmp_path / "dev.json")["rows"]["mel_mean"]["mean"] < 0.2
    with pytest.raises(MasdError, match="one_class"):
        evidence.evidence(tmp_path / "x.npz", tmp_path / "out.json", classifier="forest")
    with pytest.raises(MasdError, match="phase"):
        evidence.evidence(tmp_path / "x.npz", tmp_path / "out.json", sets=["phase"])


def test_eval_is_refused_and_unlisted_recordings_are_not_read(tmp_path):
    from masd.audio import write_wav

    rng = np.random.default_rng(5)
    lines = ["utt\tspeaker\tset\tstart\tend\tattacks\tsource"]
    lines += [f"{u}\ts0\t{s}\t0\t9\tA02\tr" for u, s in (("a", "train"), ("b", "eval"))]
    (tmp_path / "p.tsv").write_text("\n".join(lines) + "\n")
    wav = {u: tmp_path / f"{u}.wav" for u in ("a", "b", "world-a", "world-b")}
    for path in wav.values():
        write_wav(path, 0.1 * rng.standard_normal(16000))
    write_folder(
        tmp_path / "data",
        wav,
        dict.fromkeys(wav, "s0"),
        utt2attack={u: "world" if "-" in u else "-" for u in wav},
        utt2source={u: u[-1] for u in wav},
        utt2lab={u: "spoof" if "-" in u else "bonafide" for u in wav},
    )
    make = evidence_features.evidence_features
    with pytest.raises(MasdError, match="eval"):
        make([tmp_path / "data"], tmp_path / "p.tsv", "eval", tmp_path / "x.npz")
    make([tmp_path / "data"], tmp_path / "p.tsv", "train", tmp_path / "x.npz", families=["mel_mean"])
    make(
        [tmp_path / "data"],
        tmp_path / "p.tsv",
        "train",
        tmp_path / "y.npz",
        ["mel_mean", "flux"],
        1,
        tmp_path / "x.npz",
    )
    study = evidence.load_study(tmp_path / "y.npz")
    assert list(study.source) == ["a", "a"] and list(study.attack) == ["-", "A02"]
    assert study.families["flux"].shape == (2, 80)
    np.testing.assert_array_equal(
        study.families["mel_mean"], evidence.load_study(tmp_path / "x.npz").families["mel_mean"]
    )


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    """A protocol and a data folder: noise as bona fide speech, its copies low-passed."""
    from masd.audio import write_wav

    top, rng = tmp_path_factory.mktemp("little"), np.random.default_rng(6)
    lines, wav, table = ["utt\tspeaker\tset\tstart\tend\tattacks\tsource"], {}, {}
    for who in SPEAKERS:
        for k in range(3):
            source = f"{who}-{k}"
            pair = (ATTACKS[k], ATTACKS[(k + 1) % 3])
            lines.append(f"{source}\t{who}\ttrain\t0\t9\t{','.join(pair)}\tr")
            x = rng.standard_normal(16000 + 400 * k)
            for name in ("-", *pair):
                y = x if name == "-" else x + np.roll(x, 1)
                utt = source if name == "-" else f"{source}-{name}"
                wav[utt], table[utt] = top / f"{utt}.wav", (who, name, source)
                write_wav(wav[utt], 0.1 * y)
    (top / "p.tsv").write_text("\n".join(lines) + "\n")
    write_folder(
        top / "data",
        wav,
        {u: t[0] for u, t in table.items()},
        utt2attack={u: t[1] for u, t in table.items()},
        utt2source={u: t[2] for u, t in table.items()},
        utt2lab={u: "bonafide" if t[1] == "-" else "spoof" for u, t in table.items()},
    )
    return top


@pytest.mark.parametrize("view", ["mel", "linear", "residual"])
def test_views_have_the_stated_shape_and_batches_pair_a_copy_with_its_recording(little, view):
    config = evidence_networks.NetworkConfig(view=view, seconds=0.5, batch=8, augment=False)
    speakers = {f"{who}-{k}": who for who in SPEAKERS for k in range(3)}
    study, audio = evidence_networks.load(little / "data", speakers, 0.5)
    fold = ("A02", ["s1", "s2"])
    batches = evidence_networks.Batches(study, audio, fold, config, None, np.random.default_rng(0))
    assert {study.speaker[k] for k in batches.bona} == {"s0", "s3"}
    assert {study.attack[k] for pool in batches.copies.values() for _, k in pool} == {"A01", "A03"}
    x, labels = batches.draw()
    assert x.shape == (8, 8000) and labels.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    for recording, copy in zip(x[:4].numpy(), x[4:].numpy(), strict=True):
        assert np.corrcoef(recording, copy)[0, 1] > 0.6
    shape = {"mel": (1, 64, 47), "linear": (3, 237, 46), "residual": (1, 60, 247)}[view]
    seen = evidence_networks.view_of(x, config)
    assert tuple(seen.shape[1:]) == shape and seen.isfinite().all()


def test_a_network_learns_what_sets_all_attacks_apart(little):
    config = evidence_networks.NetworkConfig(
        seconds=0.5, batch=8, steps=30, augment=False, utterance_mean=False
    )
    evidence_networks.evidence_networks(little / "data", little / "p.tsv", little / "net.json", config)
    row = read_json(little / "net.json")
    assert row["mean"] < 0.2 and set(row["unseen"]) == set(ATTACKS)
    with np.load(little / "net.npz") as made:
        assert np.isfinite(made["A01"]).sum() == 18  # two speakers' recordings and copies


def test_the_variant_dumps_what_the_study_calls_plus():
    families = read_yaml(RECIPE / "../../utils/conf/plus.yaml")["dump_feats"]["feats"]["families"]
    assert evidence.GROUPS["plus"].split() == families


def a_set(count=24):
    """Utterances of 30 to 53 frames; every copy has three more in its high bins."""
    rng = np.random.default_rng(0)
    attacks = np.array(["-", "-", "A02", "A03"] * (count // 4))
    mels = [rng.standard_normal((30 + n, 64)).astype(np.float32) for n in range(count)]
    for mel, attack in zip(mels, attacks, strict=True):
        mel[:, 40:] += 3.0 * (attack != "-")
    speakers = np.array(["s", "t"] * (count // 2))
    return evidence_encoder.Set([f"u{n}" for n in range(count)], mels, attacks != "-", speakers, attacks)


def small_encoder():
    torch.manual_seed(0)
    return Encoder(EncoderConfig(channels=(4, 4, 4, 4, 4), dim=8, edge_frames=0))


@pytest.mark.parametrize("what", ["last", "all"])
def test_training_further_moves_the_named_parts_of_a_copy(what):
    base, tune = small_encoder(), evidence_encoder.TuneConfig(what=what, steps=3, batch=4, frames=40)
    before = {name: value.clone() for name, value in base.state_dict().items()}
    after = evidence_encoder.tuned(base, a_set(), tune, 0).state_dict()
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    moved = {
        name.split(".")[1]
        for name in after
        if name.startswith("blocks") and not after[name].equal(before[name])
    }
    assert moved == ({"3", "4"} if what == "last" else {"0", "1", "2", "3", "4"})


def test_batches_have_half_of_each_class_and_every_attack():
    tune = evidence_encoder.TuneConfig(batch=64, frames=40)
    x, lengths, y = evidence_encoder.batch(a_set(), tune, np.random.default_rng(0))
    assert y.mean() == 0.5
    assert x.shape == (64, 40, 64) and lengths.min() >= 30 and lengths.max() == 40
    assert all(not row[int(n) :].any() for row, n in zip(x, lengths, strict=True))
    assert x[y == 1][:, :30, 40:].mean() > 2 > 1 > x[y == 0][:, :30, 40:].mean()


def test_embeddings_keep_the_order_of_their_utterances():
    """They are made in the order of length; a mix-up would look like chance."""
    data, encoder = a_set(), small_encoder().eval()
    alone = evidence_encoder.inputs(data.rows(np.array([5])), encoder).compact.mu[0]
    assert evidence_encoder.inputs(data, encoder).compact.mu[5] == pytest.approx(alone, abs=1e-4)
