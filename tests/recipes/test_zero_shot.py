"""The three other corpora of the paper, from miniature trees in their true layouts to their results.

One small model is trained on FoR's own sets and scored, zero-shot, on all three. WAVEFAKE_SAMPLE may name
real recordings and their vocoded versions.
"""

import json
import os
import shutil

import df_tree
import pytest
from outside_judges import cells, check_folder
from paper_recipes import ROOT, PaperRecipe, clips
from zero_shot_trees import TTS, for_2sec, for_norm, wavefake, write

from masd.data.folder import read_folder
from masd.feats.config import FeatsConfig
from masd.feats.dump import open_dump
from masd.models.encoder import Encoder, EncoderConfig, save_encoder
from masd.stage.tables import read_table

TINY = ("--size", "tiny", "--strict", "false", "--nj", "1")
DF_COUNTS = {"eval": (6, 30), "progress": (3, 6)}


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    """A folder with copies of the three recipes, side by side."""
    root = tmp_path_factory.mktemp("recipes")
    return {name: PaperRecipe(root, name) for name in ("for", "wavefake", "asvspoof2021_df")}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """FoR's recipe after training on its own sets, with an encoder that was not trained (--ssl).

    Its features differ from those the recipes are configured for, and its vocoders are said to be two.
    """
    root = tmp_path_factory.mktemp("trained")
    feats = FeatsConfig(classify_seconds=1.5)
    encoder = EncoderConfig(channels=(8, 8, 8, 8, 8))
    save_encoder(root / "ssl", Encoder(encoder), encoder, feats, {"vocoders": ["waveglow", "lpc"]})
    recipe = PaperRecipe(root, "for")
    conf = recipe.path / "conf" / "masd.yaml"
    common = (ROOT / "utils/conf/masd.yaml").read_text()
    conf.write_text(common.replace("classify_seconds: 4.0", "classify_seconds: 1.5"))
    options = ("--zero-shot", "false", "--ssl", root / "ssl", "--results-page", "false")
    recipe.run(*TINY, "--corpus", for_norm(root), *options)
    return recipe


@pytest.fixture(scope="module")
def model(trained):
    """The model folder."""
    return trained.path / "exp" / "tiny" / "full_s0" / "model"


def metrics(recipe):
    """The figures of the zero-shot run on eval."""
    path = recipe.path / "exp" / "tiny" / "zero_shot_full_s0" / "results" / "eval" / "metrics.json"
    return json.loads(path.read_text())


@pytest.mark.slow
def test_for_trains_on_its_own_sets(trained, model):
    """FoR's training, validation and testing become train, dev and eval; empty files are left out."""
    for name, part in {"train": "training", "dev": "validation", "eval": "testing"}.items():
        folder = check_folder(trained, name)
        labels = sorted(folder.tables["utt2lab"].values())
        assert labels == ["bonafide"] * 8 + ["spoof"] * 8
        assert all(f"/{part}/" in path for path in folder.wav.values())
        assert set(folder.tables["utt2version"].values()) == {"for-norm"}
    assert (model / "encoder.safetensors").is_file()


@pytest.mark.slow
def test_for_zero_shot_by_version(recipes, model, tmp_path):
    """Versions in a folder of another name, mixed rates and MP3; each is compared with its own bona fide."""
    recipe = recipes["for"]
    recipe.run(*TINY, "--corpus", for_2sec(for_norm(tmp_path)), "--model", model)
    folder = check_folder(recipe)
    assert {folder.tables["utt2codec"][utt] for utt in folder.utts} == {"wav", "mp3"}
    assert cells(metrics(recipe), "version") == {("for-norm",): (8, 8), ("for-2sec",): (4, 4)}
    shared = [utt for utt in folder.utts if "-testing-real-file1." in utt]
    assert len(shared) == 2 and {folder.source(utt) for utt in shared} == {"testing-real-file1"}
    page = recipe.page()
    assert "# Results on FoR, size tiny" in page and "zero_shot_full" in page and "5.93" in page
    assert "paper does not state which" in page
    assert "for-2sec" in recipe.page("report/appendix.md")
    assert "| speaker |" not in page and "Table II" not in page


def times(recipe):
    """When the lists, scores, figures and pages of a recipe were written, logs and marks aside."""
    found = [p for place in ("data", "exp") for p in (recipe.path / place).rglob("*") if p.is_file()]
    kept = [p for p in found if p.suffix not in (".log", ".yaml") and not p.name.startswith(".")]
    kept = [p for p in kept if p.parent.name != ".fresh"]  # what run.sh remembers of its commands
    return {p: p.stat().st_mtime_ns for p in kept}


@pytest.mark.slow
def test_a_second_run_is_idle_until_the_corpus_is_filled(trained, model, tmp_path):
    """And a system on other versions makes no page impossible: it is left out and named."""
    recipe, corpus = PaperRecipe(tmp_path / "clone", "for"), for_norm(tmp_path)
    recipe.run(*TINY, "--corpus", corpus, "--model", model)
    made = times(recipe)
    recipe.run(*TINY, "--corpus", corpus, "--model", model)
    recipe.run(*TINY, "--model", model, "--stage", 7)
    assert times(recipe) == made
    other = tmp_path / "other_s0" / "model"
    shutil.copytree(model, other)
    recipe.run(*TINY, "--corpus", for_2sec(corpus), "--model", other)
    assert len(scored(recipe, "zero_shot_other_s0")) == 24, "what came later is noticed"
    page = recipe.page()
    said = (
        "`zero_shot_full_s0` is left out, for it was evaluated on other trials: 16 of its 16 are among the 24"
    )
    assert said in page and "## zero_shot_other_s0 on eval" in page
    verify = ("-m", "masd.bin.proof", "verify", "--manifest", "exp/tiny/RESULTS.manifest.json")
    assert recipe.python(*verify).returncode == 0
    recipe.run(*TINY, "--corpus", corpus, "--model", model)
    page = recipe.page()
    assert "left out" not in page, "its stages run again, it is compared"
    assert page.count("\n# scores of ") == 2 and page.count("\n# this page\n") == 1


@pytest.mark.slow
def test_wavefake_zero_shot_by_vocoder(recipes, model, tmp_path):
    """The last fifth of each folder against that of its bona fide corpus; vocoders heard are marked."""
    recipe = recipes["wavefake"]
    recipe.run(*TINY, "--corpus", wavefake(tmp_path), "--model", model)
    folder = check_folder(recipe)
    sentences = {folder.source(utt) for utt in folder.utts if folder.spk(utt) == "ljspeech"}
    assert sentences <= {f"ljspeech-LJ001-{n:04d}" for n in range(17, 21)} | {"ljspeech-tts-gen_5"}
    figures = metrics(recipe)
    assert cells(figures, "corpus*vocoder") == {
        ("jsut", "parallel_wavegan"): (1, 1),
        ("ljspeech", "hifigan"): (2, 2),
        ("ljspeech", "melgan"): (2, 2),
        ("ljspeech", "parallel_wavegan_tts"): (2, 1),
        ("ljspeech", "waveglow"): (2, 2),
    }
    assert figures["seen"]["attacks"] == ["ljspeech_waveglow"]
    assert TTS in figures["unseen"]["attacks"] and "ljspeech_hifiGAN" in figures["unseen"]["attacks"]
    assert "6.42" in recipe.page()


@pytest.mark.slow
def test_df_zero_shot_by_codec_source_and_vocoder_type(recipes, model, tmp_path):
    """The subset eval of the keys, with every breakdown; keys and audio are joined by id."""
    recipe = recipes["asvspoof2021_df"]
    pieces = {"bonafide": iter(clips("bonafide", 9)), "spoof": iter(clips("spoof", 36))}
    lines = df_tree.lay_out(
        tmp_path, DF_COUNTS, lambda path, line: write(path, next(pieces[line.split()[5]])), codecs=2
    )
    recipe.run(*TINY, "--corpus", tmp_path, "--model", model)
    folder = check_folder(recipe)
    rows = {row[1]: row for row in map(str.split, lines) if row[7] == "eval"}
    assert set(folder.utts) == set(rows)
    for table, column in (("utt2lab", 5), ("utt2codec", 2), ("utt2corpus", 3), ("utt2vocoder", 8)):
        assert folder.tables[table] == {utt: row[column] for utt, row in rows.items()}
    spoofs = [row for row in rows.values() if row[5] == "spoof"]
    assert folder.tables["utt2attack"] == {u: r[4] if r in spoofs else "-" for u, r in rows.items()}
    figures = metrics(recipe)
    assert figures["counts"]["bonafide"] == 6 and figures["counts"]["spoof"] == 30
    real = [row for row in rows.values() if row not in spoofs]
    for name, columns, matched in (
        ("codec", (2,), (2,)),
        ("codec*vocoder", (2, 8), (2,)),
        ("codec*corpus", (2, 3), (2, 3)),
        ("corpus*vocoder", (3, 8), (3,)),
        ("codec*vocoder*corpus", (2, 8, 3), (2, 3)),
    ):
        for values, (bona, spoof) in cells(figures, name).items():
            wanted = dict(zip(columns, values, strict=True))
            assert spoof == sum(all(row[c] == v for c, v in wanted.items()) for row in spoofs)
            assert bona == sum(all(row[c] == wanted[c] for c in matched) for row in real)
    page = recipe.page()
    assert "7.91" in page and "182 K" in page


def scored(recipe, tag):
    """The trials that a run scored, of the set eval."""
    return list(read_table(recipe.path / "exp/tiny" / tag / "scores/eval/scores"))


@pytest.mark.slow
def test_a_comparison_system_is_trained_here_and_scored_zero_shot_elsewhere(trained, tmp_path):
    """FoR's LFCC-GMM, then on WaveFake, and WaveFake's own, whose speaker is in all sets, without dumps."""
    quick = ("--results-page", "false", "--system", "lfcc_gmm")
    trained.run(*TINY, "--zero-shot", "false", "--stage", 5, *quick)
    assert scored(trained, "lfcc_gmm_s0") == read_folder(trained.path / "data/tiny/eval").utts
    recipe, corpus = PaperRecipe(tmp_path / "clone", "wavefake"), wavefake(tmp_path)
    model = trained.path / "exp/tiny/lfcc_gmm_s0/model"
    recipe.run(*TINY, "--corpus", corpus, "--model", model, "--results-page", "false")
    folder = read_folder(recipe.path / "data/tiny/eval")
    assert scored(recipe, "zero_shot_lfcc_gmm_s0") == folder.utts
    assert (recipe.path / "exp/tiny/zero_shot_lfcc_gmm_s0/results/eval/metrics.json").is_file()
    recipe.run(*TINY, "--corpus", corpus, "--zero-shot", "false", *quick)
    assert scored(recipe, "lfcc_gmm_s0") == folder.utts
    assert not (recipe.path / "dump").exists()


@pytest.mark.slow
@pytest.mark.skipif("AASIST_CHECKPOINT" not in os.environ, reason="needs AASIST_CHECKPOINT, released weights")
def test_released_weights_score_a_corpus_without_training(trained):
    """They are not calibrated, so the figures are of scores as given."""
    weights = ("--checkpoint", os.environ["AASIST_CHECKPOINT"], "--system", "aasist")
    trained.run(*TINY, "--zero-shot", "true", "--stage", 6, "--results-page", "false", *weights)
    tag = "zero_shot_aasist_released"
    assert scored(trained, tag) == read_folder(trained.path / "data/tiny/eval").utts
    figures = json.loads((trained.path / "exp/tiny" / tag / "results/eval/metrics.json").read_text())
    assert figures["calibration"][0]["name"] == "scores as given"


@pytest.mark.slow
def test_tokens_are_a_fourth_handcrafted_feature_here_and_elsewhere(trained, tmp_path, monkeypatch):
    """FoR does not say who speaks, so recordings are held out when its training set is judged."""
    quick = ("--results-page", "false", "--features", "+tokens")
    ssl = trained.path.parents[1] / "ssl"
    trained.run(*TINY, "--zero-shot", "false", "--ssl", ssl, "--stage", 5, *quick)
    exp = trained.path / "exp/tiny/full_tokens_s0"
    monkeypatch.chdir(trained.path)
    hand = open_dump(exp / "dump/train").hand
    assert {len(hand[utt]) for utt in hand.utts} == {4}
    assert scored(trained, "full_tokens_s0") == read_folder(trained.path / "data/tiny/eval").utts
    recipe = PaperRecipe(tmp_path / "clone", "for")
    recipe.run(*TINY, "--corpus", for_2sec(for_norm(tmp_path)), "--model", exp / "model", *quick)
    assert scored(recipe, "zero_shot_full_tokens_s0") == read_folder(recipe.path / "data/tiny/eval").utts
    assert not (recipe.path / "exp/tiny/full_tokens_s0").exists()
