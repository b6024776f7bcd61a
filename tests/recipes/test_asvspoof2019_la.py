"""ASVspoof 2019 LA and LibriSpeech in their true layouts, from the tree to the results page.

With ASVSPOOF2019_LA_PROTOCOLS, the protocols and the verifier's scores are the corpus's own.
"""

import collections
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from asvspoof2019_tree import (
    BONAFIDE,
    PER_ATTACK,
    REAL,
    chosen,
    enrolment,
    lay_out_la,
    lay_out_librispeech,
    protocol_lines,
)
from paper_recipes import PaperRecipe

from masd.data.folder import read_folder
from masd.stage.files import input_digest, read_json
from masd.stage.tables import read_table

COUNTS = {
    "train": {"bonafide": 2580, "spoof": 22800, "speakers": 20},
    "dev": {"bonafide": 2548, "spoof": 22296, "speakers": 20},
    "eval": {"bonafide": 7355, "spoof": 63882, "speakers": 67},
}
SETS = ("train", "dev", "eval", "pretrain", "pretrain_dev", "pretrain_lpc")
real = pytest.mark.skipif(not REAL, reason="needs ASVSPOOF2019_LA_PROTOCOLS, the folder of the protocols")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """The folder with LA and LibriSpeech."""
    root = tmp_path_factory.mktemp("corpora")
    lay_out_la(root)
    lay_out_librispeech(root)
    return root


@pytest.fixture(scope="module")
def finished(tmp_path_factory, corpora):
    """The recipe after a whole tiny run."""
    recipe = PaperRecipe(tmp_path_factory.mktemp("recipe"), "asvspoof2019_la")
    recipe.run(*options(corpora))
    return recipe


def options(corpora, *more):
    """The options of a tiny run over a tree that is not complete."""
    places = ("--corpus", corpora / "LA", "--librispeech", corpora / "LibriSpeech")
    return ("--size", "tiny", "--strict", "false", "--nj", "1", *places, *more)


@pytest.fixture
def damaged(tmp_path, corpora):
    """A copy of the corpora that a test may damage, and a recipe to run on it."""
    shutil.copytree(corpora, tmp_path / "corpora")
    return tmp_path / "corpora", PaperRecipe(tmp_path / "clone", "asvspoof2019_la")


def prepare(recipe, corpora, *more, part="full"):
    """Run the preparation alone, strictly unless `more` says otherwise."""
    places = ("--corpus", corpora / "LA", "--librispeech", corpora / "LibriSpeech")
    words = ("local/prepare.py", *places, "--part", f"conf/corpus_{part}.yaml", "--out", "data/full", *more)
    return recipe.python(*words)


@pytest.mark.slow
def test_every_set_holds_the_trials_of_its_protocol_with_its_labels(finished):
    for name in COUNTS:
        folder = read_folder(finished.path / "data/tiny" / name)
        expected = {line.split()[1]: line.split() for line in chosen(name)}
        assert folder.utts == sorted(expected)
        for utt, (spk, _, _, attack, lab) in expected.items():
            assert (folder.spk(utt), folder.attack(utt), folder.lab(utt)) == (spk, attack, lab)
        counts = collections.Counter(folder.tables["utt2attack"].values())
        assert counts.pop("-") == BONAFIDE
        assert set(counts.values()) == {PER_ATTACK}
        assert all(float(s) == pytest.approx(1.5) for s in folder.tables["utt2dur"].values())


@pytest.mark.slow
def test_pretraining_speakers_are_librispeechs_and_the_held_out_ones_are_others(finished):
    train, dev = (read_folder(finished.path / "data/tiny" / name) for name in ("pretrain", "pretrain_dev"))
    assert (len(set(train.utt2spk.values())), len(set(dev.utt2spk.values()))) == (4, 2)
    assert not set(train.utt2spk.values()) & set(dev.utt2spk.values())
    genders = {"14": "f", "16": "m", "100": "f", "986": "m", "1001": "f", "2004": "m", "7": "f"}
    for folder in (train, dev):
        assert all(genders[spk] == gender for spk, gender in folder.tables["spk2gender"].items())
        for utt, words in folder.tables["text"].items():
            assert words == f"THE WORDS OF NUMBER {int(utt[-4:])}"
    for tag in ("griffin_lim", "lpc"):
        copies = read_folder(finished.path / f"data/tiny/pretrain_{tag}")
        assert set(copies.tables["utt2source"].values()) == set(train.utts)


@pytest.mark.slow
def test_results_have_the_tandem_cost_the_attacks_and_the_papers_numbers(finished):
    scores = read_table(finished.path / "exp/tiny/full_s0/scores/eval/scores")
    assert list(scores) == read_folder(finished.path / "data/tiny/eval").utts
    metrics = read_json(finished.path / "exp/tiny/full_s0/results/eval/metrics.json")
    assert set(metrics["attacks"]) == {f"A{number:02d}" for number in range(7, 20)}
    page = finished.page()
    for words in ("min t-DCF, form of 2019", "EER (%) | 0.39 |", "reported"):
        assert words in page, words
    assert "| A19 |" in finished.page("report/appendix.md")
    if REAL:  # facts of the corpus's own ASV scores
        assert metrics["tandem"]["asv"]["eer"] == pytest.approx(0.024578, abs=1e-6)
        assert metrics["tandem"]["asv"]["threshold"] == pytest.approx(-5.680051, abs=1e-6)


@pytest.mark.slow
def test_preparing_again_leaves_what_later_stages_depend_on(finished, corpora):
    before = {name: input_digest(finished.path / "data/tiny" / name) for name in SETS}
    finished.run(*options(corpora, "--stage", 1, "--stop-stage", 1))
    assert {name: input_digest(finished.path / "data/tiny" / name) for name in SETS} == before


@pytest.mark.slow
def test_a_trained_model_scores_the_corpus_again_without_librispeech(finished, corpora, tmp_path):
    model = finished.path / "exp/tiny/full_s0/model"
    places = ("--corpus", corpora, "--zero-shot", "true", "--model", model)
    finished.run("--size", "tiny", "--strict", "false", "--nj", "1", *places)
    own, again = (
        read_table(finished.path / f"exp/tiny/{tag}/scores/eval/scores")
        for tag in ("full_s0", "zero_shot_full_s0")
    )
    assert list(own) == list(again)
    np.testing.assert_allclose(
        [float(v) for v in own.values()], [float(v) for v in again.values()], atol=1e-4
    )


@pytest.mark.slow
def test_a_comparison_system_stands_in_the_papers_table_and_samo_is_told_who_speaks(finished, corpora):
    """SAMO takes waveforms, and speakers of eval by their enrolment recordings."""
    dumped = sorted((finished.path / "dump/tiny").iterdir())
    finished.run(*options(corpora, "--system", "samo", "--stage", 3))
    assert sorted((finished.path / "dump/tiny").iterdir()) == dumped
    log = (finished.path / "exp/tiny/log/score_samo_s0_eval.1.log").read_text()
    assert "1 speakers enrolled from data/tiny/enrol_eval" in log
    eer = read_json(finished.path / "exp/tiny/samo_s0/results/eval/metrics.json")["pooled"]["eer"]
    appendix = finished.page("report/appendix.md")
    assert f"| SAMO | 1.09 | {100 * eer:.2f} |" in appendix
    assert "| RawNet2 | 95.03 | 2.11 | 94.21 | - | - | - |" in appendix, "not run, so not measured"
    assert "Paper and measurement" not in finished.page(), "it is not the paper's system"


@pytest.mark.slow
def test_plus_is_fitted_on_degraded_copies_too(finished, corpora):
    words = ("--stage", 2, "--system", "plus", "--degraded", 1, "--results-page", "false")
    finished.run(*options(corpora, *words))
    train, widened = (read_folder(finished.path / "data/tiny" / name) for name in ("train", "train_degraded"))
    copies = {utt: train.lab(utt.removesuffix("-v1")) for utt in widened.utts if utt not in train.utts}
    assert sorted(copies) == sorted(f"{utt}-v1" for utt in train.utts)
    assert all(widened.lab(utt) == lab for utt, lab in copies.items())
    scores = read_table(finished.path / "exp/tiny/plus_s0/scores/eval/scores")
    assert list(scores) == read_folder(finished.path / "data/tiny/eval").utts


@pytest.mark.slow
@pytest.mark.skipif("KALDI_ROOT" not in os.environ, reason="needs KALDI_ROOT, a Kaldi checkout")
def test_kaldi_accepts_every_prepared_folder(finished):
    """2019 LA's own ids do not sort by speaker, so the speaker is put before them."""
    for name in SETS:
        data = finished.path / "data/tiny" / name
        if name in COUNTS:
            done = finished.python(
                "-m", "masd.bin.data", "prefix-speakers", "--data", data, "--out", f"exp/kaldi/{name}"
            )
            assert done.returncode == 0, done.stderr
            data = finished.path / "exp/kaldi" / name
        words = ["utils/validate_data_dir.sh", "--no-feats", "--no-text", "--no-spk-sort", str(data)]
        done = subprocess.run(
            ["bash", *words],
            cwd=Path(os.environ["KALDI_ROOT"]) / "egs/wsj/s5",
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0 and "Successfully validated" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_lhotse_imports_every_prepared_folder(finished, monkeypatch):
    pytest.importorskip("lhotse")
    from lhotse.kaldi import load_kaldi_data_dir

    monkeypatch.chdir(finished.path)
    for name in SETS:
        folder = read_folder(Path("data/tiny") / name)
        recordings, supervisions, _ = load_kaldi_data_dir(folder.path, 16000)
        assert {r.id for r in recordings} == set(folder.utts)
        if supervisions:
            assert {s.id: s.speaker for s in supervisions} == folder.utt2spk
        durations = folder.tables["utt2dur"]
        assert all(r.duration == pytest.approx(float(durations[r.id]), abs=1e-3) for r in recordings)


@real
def test_the_real_protocols_have_the_published_counts(tmp_path):
    """Every file is there (empty, for the preparation opens none), so a strict run goes through."""
    la = lay_out_la(tmp_path)
    for name in COUNTS:
        for line in protocol_lines(name):
            (la / f"ASVspoof2019_LA_{name}/flac/{line.split()[1]}.flac").touch()
    recipe = PaperRecipe(tmp_path / "clone", "asvspoof2019_la")
    done = prepare(recipe, tmp_path, "--pretrain", "false")
    assert done.returncode == 0, done.stderr[-2000:]
    for name, expected in COUNTS.items():
        folder = read_folder(recipe.path / "data/full" / name)
        labels = collections.Counter(folder.tables["utt2lab"].values())
        assert {**labels, "speakers": len(set(folder.utt2spk.values()))} == expected
    assert "2 files more than the protocol lists, 2 of them enrolment of the speaker verifier" in done.stderr
    for name in ("dev", "eval"):
        spk, utts = enrolment(name)
        assert read_folder(recipe.path / f"data/full/enrol_{name}").utt2spk == dict.fromkeys(utts, spk)
    (la / f"ASVspoof2019_LA_eval/flac/{utts[0]}.flac").unlink()
    done = prepare(recipe, tmp_path, "--pretrain", "false")
    assert done.returncode == 1
    assert f"eval: 1 of 2 enrolment recordings are not there ({utts[0]})" in done.stderr.splitlines()[-1]


def cut_line(path: Path) -> None:
    path.write_text(path.read_text()[:-20])


def drop_line(path: Path) -> None:
    path.write_text(path.read_text().split("\n", 1)[1])


DAMAGES = {
    "wrong folder": (
        lambda root: (shutil.rmtree(root / "LA"), (root / "LA").mkdir()),
        ["--corpus", "ASVspoof2019_LA_train/flac", "LA.zip"],
    ),
    "no such folder": (lambda root: shutil.rmtree(root / "LA"), ["/LA: no such folder", "LA.zip"]),
    "one part missing": (
        lambda root: shutil.rmtree(root / "LA/ASVspoof2019_LA_eval"),
        ["LA/ASVspoof2019_LA_eval/flac", "a part is missing"],
    ),
    "renamed folder": (
        lambda root: (root / "LA/ASVspoof2019_LA_dev").rename(root / "LA/dev"),
        ["LA/ASVspoof2019_LA_dev/flac", "renamed"],
    ),
    "a protocol is missing": (
        lambda root: (root / "LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.dev.trl.txt").unlink(),
        ["ASVspoof2019.LA.cm.dev.trl.txt: no such file", "LA_0039 LA_E_2834763 - A11 spoof"],
    ),
    "a protocol cut short": (
        lambda root: cut_line(root / "LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.dev.trl.txt"),
        ["ASVspoof2019.LA.cm.dev.trl.txt:", "columns"],
    ),
    "Windows line ends": (
        lambda root: (
            path := root / "LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.train.trn.txt"
        ).write_bytes(path.read_bytes().replace(b"\n", b"\r\n")),
        ["ASVspoof2019.LA.cm.train.trn.txt:1: Windows line end", "dos2unix"],
    ),
    "a trial less": (
        lambda root: drop_line(root / "LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.train.trn.txt"),
        ["ASVspoof 2019 LA train:", "published are 2580", "--strict false"],
    ),
    "recordings missing": (
        lambda root: None,
        ["files of the protocol are not in", "LA_T_", "--strict false"],
    ),
    "no LibriSpeech": (
        lambda root: (root / "LibriSpeech/train-clean-360").rename(root / "LibriSpeech/train-clean-100"),
        ["--librispeech", "train-clean-360", "openslr.org/12"],
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_a_downloader_meets_is_one_line(damaged, damage):
    corpora, recipe = damaged
    act, words = DAMAGES[damage]
    act(corpora)
    done = prepare(recipe, corpora)
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith("prepare: error: ") and "Traceback" not in done.stderr
    # generated protocols are shorter than the published ones, which is the first thing to be said of them
    said = line if REAL else done.stderr
    for word in words:
        assert word in said, said
    assert not list((recipe.path / "data").glob("full/*/wav.scp")), "nothing is half written"


def test_without_the_verifiers_scores_a_run_that_is_not_strict_goes_on_without_t_dcf(damaged):
    """Stage 0 is the first to say so; scores of an earlier preparation do not stay."""
    corpora, recipe = damaged
    words = ("--size", "tiny", "--corpus", corpora / "LA", "--zero-shot", "true", "--nj", 1)
    (recipe.path / "model").mkdir()
    (recipe.path / "model/model.yaml").write_text("system: handcrafted\n")
    words = (*words, "--model", "model", "--strict")
    recipe.run(*words, "false", "--stop-stage", 1)
    assert (recipe.path / "data/tiny/asv_scores/eval").is_file()
    missing = corpora / "LA/ASVspoof2019_LA_asv_scores/ASVspoof2019.LA.asv.eval.gi.trl.scores.txt"
    missing.unlink()
    done = recipe.run(*words, "true", "--stop-stage", 0, check=False)
    assert done.returncode == 1 and f"locate: error: {missing}: no such file" in done.stderr
    done = recipe.run(*words, "false", "--stop-stage", 1)
    said = f"run.sh: warning: {missing}: no such file; without it the results of eval have no t-DCF\n"
    assert said in done.stdout, "on the terminal"
    assert not (recipe.path / "data/tiny/asv_scores/eval").exists()
    scores = recipe.path / "exp/tiny/zero_shot_model/scores/eval"
    scores.mkdir(parents=True)
    utts = read_folder(recipe.path / "data/tiny/eval").utts
    (scores / "scores").write_text("".join(f"{utt} {number}\n" for number, utt in enumerate(utts)))
    (scores / "failures").touch()
    done = recipe.run(*words, "false", "--stage", 7, "--results-page", "false", check=False)
    assert "eval: no ASV scores, no t-DCF" in done.stderr
    log = (recipe.path / "exp/tiny/log/evaluate_zero_shot_model_eval.log").read_text()
    assert "--asv-scores" not in log


def test_a_recording_cut_short_stops_a_strict_run_and_is_left_out_of_another(damaged):
    corpora, recipe = damaged
    utt = chosen("train")[0].split()[1]
    path = corpora / f"LA/ASVspoof2019_LA_train/flac/{utt}.flac"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert prepare(recipe, corpora, "--strict", "false", "--pretrain", "false").returncode == 0
    words = ("--data", "data/full/train")
    assert recipe.python("-m", "masd.bin.data", "utt2dur", *words).returncode == 0
    done = recipe.python("-m", "masd.bin.finish", "utt2dur", *words)
    assert done.returncode == 1
    assert utt in done.stderr and "cut short" in done.stderr
    assert recipe.python("-m", "masd.bin.finish", "utt2dur", *words, "--max-fail", "0.5").returncode == 0
    folder = read_folder(recipe.path / "data/full/train")
    assert utt not in folder.utts and len(folder.utts) == len(chosen("train")) - 1
    assert (recipe.path / "data/full/train/failures").read_text().startswith(f"{utt} ")


def test_librispeech_without_a_transcript_or_a_recording_says_which(damaged):
    corpora, recipe = damaged
    done = prepare(recipe, corpora, "--strict", "false", part="tiny")
    assert ".txt" not in done.stderr, "a chapter's transcripts are no file left out"
    chapter = corpora / "LibriSpeech/train-clean-360/14/208"
    (chapter / "14-208-0001.flac").unlink()
    done = prepare(recipe, corpora, "--strict", "false", part="tiny")
    assert done.returncode == 0, done.stderr
    assert "14-208-0001 has no recording" in done.stderr
    (chapter / "14-208.trans.txt").unlink()
    done = prepare(recipe, corpora, "--strict", "false", part="tiny")
    assert "14-208.trans.txt: no such file" in done.stderr and "14-208-0000 has no transcript" in done.stderr


@pytest.mark.slow
def test_missing_weights_of_a_vocoder_are_a_line_each_and_it_can_be_left_out(finished):
    words = ("--available", "../../utils/conf/vocoders.yaml", "--checkpoints", "nowhere")
    words += ("--out", "exp/vocoders")
    done = finished.python("-m", "masd.bin.choose_vocoders", *words, "--size", "full")
    assert done.returncode == 1
    assert "vocoder waveglow: checkpoint nowhere/waveglow/" in done.stderr and "NGC" in done.stderr
    assert "vocoder bigvgan: checkpoint nowhere/bigvgan/" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("choose_vocoders: error: 5 of 6 vocoders") and "--vocoders" in last
    assert not (finished.path / "exp/vocoders/pretrain_tags").exists()
    chosen_ones = ("--size", "full", "--vocoders", "world griffin_lim")
    assert finished.python("-m", "masd.bin.choose_vocoders", *words, *chosen_ones).returncode == 0
    assert (finished.path / "exp/vocoders/pretrain_tags").read_text() == "griffin_lim\nworld\n"
