"""Recipes of the field's corpora, from miniature trees in their true layouts to their results.

The packaged model scores them; WAVEFAKE_SAMPLE may name real recordings and their vocoded versions.
"""

import json
import os
import time

import field_trees
import numpy as np
import pytest
from outside_judges import cells, check_folder
from paper_recipes import ROOT, PaperRecipe

from masd.data.checks import validate
from masd.data.folder import read_folder
from masd.stage.files import read_yaml
from masd.stage.tables import read_table

RECIPES = ("asvspoof2021_la", "in_the_wild", "mlaad", "asvspoof5", "codecfake", "partialspoof")
TINY = ("--size", "tiny", "--strict", "false", "--nj", "1")


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    """Copies of the recipes, side by side."""
    root = tmp_path_factory.mktemp("recipes")
    return {name: PaperRecipe(root, name) for name in RECIPES}


def prepare(recipe, tmp_path, *options, size="full"):
    """Run local/corpus.py prepare; return what it said, and its data."""
    out = tmp_path / "data"
    words = ("--part", f"conf/corpus_{size}.yaml", "--out", out, *options)
    return recipe.python("local/corpus.py", "prepare", *words), out


def sets(out):
    """{set: its folder, which every judge has accepted}."""
    paths = sorted(path for path in out.iterdir() if path.is_dir())
    for path in paths:
        assert [line for line in validate(path) if "empty file" not in line] == []
    return {path.name: read_folder(path) for path in paths}


def labels(folder):
    """How many are bona fide and spoofed."""
    found = list(folder.tables["utt2lab"].values())
    return found.count("bonafide"), found.count("spoof")


def run(recipe, *options):
    """Run it to its end; return the folder eval and the figures."""
    recipe.run(*TINY, *options)
    path = recipe.path / "exp/tiny/zero_shot_plus/results/eval/metrics.json"
    folder = check_folder(recipe)
    assert "# Results on" in (recipe.path / "exp/tiny/RESULTS.md").read_text()
    return folder, json.loads(path.read_text())


@pytest.mark.slow
def test_asvspoof2021_la_by_codec_and_transmission_with_t_dcf(recipes, tmp_path):
    corpus = field_trees.asvspoof2021_la(tmp_path, field_trees.Voices())
    folder, figures = run(recipes["asvspoof2021_la"], "--corpus", corpus)
    assert labels(folder) == (4, 5)
    assert cells(figures, "codec") == {("alaw",): (3, 4), ("g722",): (1, 1)}
    assert cells(figures, "codec*transmission")["alaw", "ita_tx"] == (1, 2)
    assert set(figures["tandem"]) >= {"2019", "2021"}
    lines = (recipes["asvspoof2021_la"].path / "data/tiny/asv_scores").read_text().splitlines()
    assert len(lines) == 57 and {line.split()[1] for line in lines} == {"target", "nontarget", "spoof"}


@pytest.mark.slow
def test_in_the_wild_by_speaker(recipes, tmp_path):
    corpus = field_trees.in_the_wild(tmp_path, field_trees.Voices())
    folder, figures = run(recipes["in_the_wild"], "--corpus", corpus)
    assert set(folder.utts) == {str(number) for number in range(8)}
    assert cells(figures, "speaker") == {("Alec_Guinness",): (2, 2), ("Barack_Obama",): (2, 2)}


@pytest.mark.slow
def test_mlaad_by_language_and_architecture(recipes, tmp_path):
    """A language without bona fide speech of its own has no rate; attacks are the models' folders."""
    corpus = field_trees.mlaad(tmp_path, field_trees.Voices())
    options = ("--corpus", corpus / "mlaad", "--mailabs", corpus / "mailabs")
    folder, figures = run(recipes["mlaad"], *options)
    assert cells(figures, "language") == {("de",): (1, 1), ("en",): (1, 2), ("sw",): (0, 1)}
    assert cells(figures, "architecture")["VITS",] == (2, 2)
    assert "Resemble.ai_(April_12th_2025)" in {name.replace(",", "") for name in figures["attacks"]}
    assert {folder.spk(utt) for utt in folder.utts if folder.lab(utt) == "bonafide"} == {
        "en_US-judy_bieber",
        "eval-bonafide",
    }


@pytest.mark.slow
def test_asvspoof5_by_codec_with_its_costs(recipes, tmp_path):
    corpus = field_trees.asvspoof5(tmp_path, field_trees.Voices())
    folder, figures = run(recipes["asvspoof5"], "--corpus", corpus)
    assert labels(folder) == (2, 4) and set(cells(figures, "codec")) == {("none",), ("C05",)}
    text = (recipes["asvspoof5"].path / "exp/tiny/zero_shot_plus/results/eval/metrics.txt").read_text()
    for word in ("minDCF", "actDCF", "Cllr"):
        assert word in text
    assert figures["pooled"]["min_dcf"] <= 1


@pytest.mark.slow
def test_codecfake_by_codec_and_language(recipes, tmp_path):
    """Each codec is compared with all real recordings, which conditions share; language models are apart."""
    corpus = field_trees.codecfake(tmp_path, field_trees.Voices())
    folder, figures = run(recipes["codecfake"], "--corpus", corpus)
    attacks = {f"F{number:02d}" for number in range(1, 8)} | {"A1", "A2"}
    assert labels(folder) == (2, 6 * 2 + 4 + 2 * 2) and set(figures["attacks"]) == attacks
    assert cells(figures, "language").keys() == {("en",), ("zh",)}
    assert cells(figures, "attack*language")["F03", "zh"] == (1, 1)


@pytest.mark.slow
def test_partialspoof_says_where_its_recordings_are_spoofed(recipes, tmp_path):
    corpus = field_trees.partialspoof(tmp_path, field_trees.Voices())
    folder, figures = run(recipes["partialspoof"], "--corpus", corpus)
    assert labels(folder) == (3, 3) and set(figures["attacks"]) == {"CON"}
    spans = {folder.lab(utt): where for utt, where in folder.tables["utt2fake"].items()}
    assert spans == {"bonafide": "-", "spoof": "0.30-0.56,1.20-1.50"}


def test_codecfake_sets(recipes, tmp_path):
    """Real recordings of several conditions count once; an utterance knows what it says again, and who."""
    corpus = field_trees.codecfake(tmp_path / "codecfake", field_trees.touch, each=4)
    options = ("--corpus", corpus, "--strict", "false", "--zero-shot", "false")
    done, out = prepare(recipes["codecfake"], tmp_path, *options)
    assert done.returncode == 0, done.stderr
    found = sets(out)
    assert {name: labels(folder) for name, folder in found.items()} == {
        **dict.fromkeys(("train", "dev"), (4, 24)),
        **dict.fromkeys(("pretrain", "pretrain_dev"), (4, 0)),
        "eval": (4, 6 * 4 + 12 + 2 * 4),
    }
    heard = [set(found[name].tables["utt2source"].values()) for name in ("train", "dev")]
    assert not set.intersection(*heard)
    assert {found["eval"].spk(utt) for utt in found["eval"].utts} == {"p228", "SSB1365"}
    assert found["eval"].tables["utt2attack"]["F07_p228_000"] == "F07"
    assert found["eval"].tables["utt2attack"]["L1_p228_008"] == "A1"


def test_codecfake_needs_no_more_than_one_condition(recipes, tmp_path):
    corpus = field_trees.codecfake(tmp_path / "codecfake", field_trees.touch, parts=("C7",))
    (corpus / "test/C7").rename(corpus / "C7")
    done, out = prepare(recipes["codecfake"], tmp_path, "--corpus", corpus, "--strict", "false")
    assert done.returncode == 0 and "condition A2 is not there" in done.stderr
    assert set(sets(out)) == {"eval"}
    put = "p228_001.wav genuin 0\n"
    (corpus / "label/C7.txt").write_text(put)
    done, _ = prepare(recipes["codecfake"], tmp_path, "--corpus", corpus, "--strict", "false")
    assert done.returncode == 1 and "C7.txt:1: label genuin, neither real nor fake" in done.stderr


class Runs:
    """What a pickle would call."""

    def __reduce__(self):
        return os.mkdir, ("was_run",)


def test_partialspoof_segment_labels_agree_with_the_protocol_and_run_nothing(recipes, tmp_path):
    corpus = field_trees.partialspoof(tmp_path / "ps", field_trees.touch)
    file = corpus / "database/segment_labels/eval_seglab_0.01.npy"
    right = np.load(file, allow_pickle=True).item()
    options = ("--corpus", corpus, "--strict", "false")
    for labels, said in (
        ({utt: np.where(value == "0", "1", "0") for utt, value in right.items()}, "are the labels reversed?"),
        (dict(list(right.items())[:-1]), "no labels of CON_E_0000031"),
        ({utt: np.array(["2"]) for utt in right}, "neither 0 nor 1"),
        ({"a": Runs()}, "mkdir, which is not run"),
    ):
        np.save(file, np.array(labels, dtype=object))
        done, out = prepare(recipes["partialspoof"], tmp_path, *options)
        (line,) = [line for line in done.stderr.splitlines() if "error: " in line]
        assert done.returncode == 1 and said in line and str(file) in line, line
        assert not out.exists() and not (recipes["partialspoof"].path / "was_run").exists()


def test_partialspoof_sets_for_training(recipes, tmp_path):
    corpus = field_trees.partialspoof(tmp_path / "ps", field_trees.touch)
    options = ("--corpus", corpus, "--strict", "false", "--zero-shot", "false")
    done, out = prepare(recipes["partialspoof"], tmp_path, *options)
    assert done.returncode == 0, done.stderr
    found = sets(out)
    assert {name: labels(folder) for name, folder in found.items()} == {
        **dict.fromkeys(("train", "dev", "eval"), (3, 3)),
        **dict.fromkeys(("pretrain", "pretrain_dev"), (3, 0)),
    }
    assert set(found["pretrain"].tables["utt2fake"].values()) == {"-"}


def test_asvspoof2021_la_has_the_subsets_of_its_keys(recipes, tmp_path):
    corpus = field_trees.asvspoof2021_la(tmp_path / "la", field_trees.touch, asv=False)
    done, out = prepare(recipes["asvspoof2021_la"], tmp_path, "--corpus", corpus, "--strict", "false")
    assert done.returncode == 0, done.stderr
    assert {name: labels(folder) for name, folder in sets(out).items()} == {
        "eval": (4, 5),
        "progress": (1, 1),
        "hidden": (1, 1),
    }
    assert "no t-DCF" in done.stderr and not (out / "asv_scores").exists()


def test_asvspoof5_sets_for_training(recipes, tmp_path):
    """Archives unpacked each in a folder of its own, protocols in theirs; no speaker is in two sets."""
    corpus = field_trees.asvspoof5(tmp_path / "asv5", field_trees.touch, apart=True)
    options = ("--corpus", corpus, "--strict", "false", "--zero-shot", "false")
    done, out = prepare(recipes["asvspoof5"], tmp_path, *options)
    assert done.returncode == 0, done.stderr
    found = sets(out)
    assert {name: labels(folder) for name, folder in found.items()} == {
        **dict.fromkeys(("train", "dev", "eval"), (6, 12)),
        **dict.fromkeys(("pretrain", "pretrain_dev"), (6, 0)),
    }
    speakers = [set(found[name].utt2spk.values()) for name in ("train", "dev", "eval")]
    assert not set.intersection(*speakers) and sum(map(len, speakers)) == len(set.union(*speakers))
    assert set(found["train"].tables["utt2attack"].values()) == {"-", "A05", "A03"}


def test_asvspoof5_of_full_size_would_take_less_than_a_minute(recipes, tmp_path):
    """A fifteenth of the 680,774 trials in a fifteenth of a minute; audio files are empty."""
    corpus = field_trees.asvspoof5(tmp_path / "asv5", field_trees.touch, each=680774 // 15 // 3)
    begin = time.monotonic()
    usage = os.times()
    done, out = prepare(recipes["asvspoof5"], tmp_path, "--corpus", corpus, "--strict", "false")
    assert done.returncode == 0, done.stderr
    used = sum(os.times()[2:4]) - sum(usage[2:4])
    assert used < 60 / 15 + 4, "and the start of Python with its packages"
    assert len(read_table(out / "eval/utt2lab")) == 680774 // 15 // 3 * 3, time.monotonic() - begin


TREES = {
    "asvspoof2021_la": (field_trees.asvspoof2021_la, "ASVspoof2021_LA_eval/flac/LA_E_9332881.flac"),
    "in_the_wild": (field_trees.in_the_wild, "release_in_the_wild/3.wav"),
    "asvspoof5": (field_trees.asvspoof5, "flac_E_eval/E_0000000021.flac"),
    "codecfake": (field_trees.codecfake, "test/C2/F02_p228_004.wav"),
    "partialspoof": (field_trees.partialspoof, "database/eval/con_wav/CON_E_0000030.wav"),
}


@pytest.mark.parametrize("name", TREES)
def test_a_missing_file_and_other_counts_stop_a_strict_run(recipes, tmp_path, name):
    tree, file = TREES[name]
    corpus = tree(tmp_path / "corpus", field_trees.touch)
    (corpus / file).unlink()
    done, out = prepare(recipes[name], tmp_path, "--corpus", corpus)
    assert done.returncode == 1 and not out.exists()
    assert done.stderr.strip().splitlines()[-1].startswith("corpus prepare: error: "), done.stderr
    assert "published are" in done.stderr and "more, in the log" in done.stderr
    assert "1 of " in done.stderr and (tmp_path / file).stem in done.stderr


@pytest.mark.parametrize("name", RECIPES)
def test_a_corpus_that_is_not_there_is_one_line_that_says_what_it_looks_like(recipes, tmp_path, name):
    for options, said in (((), "no --corpus given"), (("--corpus", tmp_path), f"--corpus {tmp_path}: ")):
        done = recipes[name].python("local/corpus.py", "locate", *options)
        (line,) = done.stderr.strip().splitlines()
        assert done.returncode == 1 and line.startswith("corpus locate: error: ") and said in line
        assert "DIR/" in line


@pytest.mark.parametrize("name", ["asvspoof2021_la", "in_the_wild", "mlaad"])
def test_a_corpus_without_training_set_is_not_trained_on(recipes, name):
    done = recipes[name].python("local/corpus.py", "locate", "--zero-shot", "false")
    assert done.returncode == 1 and "has no training part" in done.stderr


def test_mlaad_is_fakes_alone(recipes, tmp_path):
    corpus = field_trees.mlaad(tmp_path, field_trees.touch)
    done = recipes["mlaad"].python("local/corpus.py", "locate", "--corpus", corpus / "mlaad")
    assert done.returncode == 1 and "no --mailabs given: MLAAD is fakes alone" in done.stderr


def test_a_fake_and_the_recording_whose_sentence_it_says_are_of_one_source(recipes, tmp_path):
    corpus = field_trees.mlaad(tmp_path / "tree", field_trees.touch)
    options = ("--corpus", corpus / "mlaad", "--mailabs", corpus / "mailabs")
    done, out = prepare(recipes["mlaad"], tmp_path, *options)
    assert done.returncode == 0, done.stderr
    folder = sets(out)["eval"]
    assert labels(folder) == (6, 12)
    of_one = [utt for utt in folder.utts if folder.source(utt) == "en_US-ozma_of_oz_00_f000001"]
    assert len(of_one) == 4 and sum(folder.lab(utt) == "bonafide" for utt in of_one) == 1


def test_the_readmes_say_what_was_verified_and_what_only_read():
    for name in RECIPES:
        text = (ROOT / "egs" / name / "README.md").read_text()
        assert "Verified" in text and "Read only" in text and len(text.splitlines()) <= 60


def test_published_counts_stand_in_the_readmes():
    for name in ("asvspoof2021_la", "in_the_wild", "asvspoof5", "codecfake", "partialspoof"):
        text = (ROOT / "egs" / name / "README.md").read_text()
        for numbers in read_yaml(ROOT / "egs" / name / "conf/published.yaml").values():
            for number in numbers.values() if isinstance(numbers, dict) else [numbers]:
                assert f"{number:,}" in text, (name, number)
