"""A page is always made: systems on other trials are left out and named, a few that failed are excused."""

import os
import shutil
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest

from masd.bin.evaluate import evaluate
from masd.bin.proof import pack as pack_results
from masd.bin.proof import verify as verify_results
from masd.bin.results import page as results
from masd.metrics.bootstrap import bootstrap_eer
from masd.metrics.scores import read_scores, write_scores
from masd.report.evaluated_runs import comparable, find_runs
from masd.report.metrics_json import Bootstrap
from masd.report.table_two import table_rows
from masd.stage.files import write_lines

QUALITY = {"full": 1.3, "handcrafted": 0.6, "plus": 2.0}


@pytest.fixture(scope="module")
def made(shared_corpus):
    """Three systems evaluated on one key, in a recipe's folder."""
    with chdir(shared_corpus.root):
        for system, quality in QUALITY.items():
            out = Path("exp") / f"{system}_s0"
            write_scores(out / "scores/eval/scores", shared_corpus.make_scores(shared_corpus.key, quality))
            write_lines(out / "scores/eval/failures", [])
            judge(out)
    return shared_corpus


@pytest.fixture
def recipe(made, tmp_path, monkeypatch):
    """A copy of that folder, the working directory."""
    shutil.copytree(made.root, tmp_path / "recipe")
    monkeypatch.chdir(tmp_path / "recipe")
    return made


def judge(out, **options):
    settings = {"data": Path("data"), "bootstrap": 20, "excused": str(out / "scores/eval/failures")}
    evaluate(
        scores=out / "scores/eval/scores", out=out / "results/eval", seen_attacks="A01", **settings | options
    )


def fail(tag, utts):
    """Let a system have failed on some trials."""
    path = Path("exp") / tag / "scores/eval/scores"
    scores = read_scores(path)
    write_scores(path, {utt: score for utt, score in scores.items() if utt not in utts})
    write_lines(path.with_name("failures"), [f"{utt} cannot be decoded" for utt in sorted(utts)])
    judge(Path("exp") / tag)


def page(system="full"):
    results(exp=Path("exp"), out=Path("RESULTS.md"), system=system, bootstrap=30)
    return Path("RESULTS.md").read_text()


def rows(text):
    """The systems of the page's first table."""
    table = next(part for part in text.split("\n\n") if part.startswith("| system "))
    return [line.split("`")[1] for line in table.splitlines()[2:]]


def test_a_system_on_other_trials_is_left_out_and_named(recipe):
    """As after FoR with other --versions: the earlier system's key is no more, yet the page is verified."""
    fewer = {utt: row for utt, row in recipe.key.items() if row[2] != "s3"}
    more = {f"new-{utt}": row for utt, row in recipe.key.items()}
    recipe.make_data(Path("data"), fewer | more)
    for system in ("full", "plus"):
        scores = recipe.make_scores(fewer | more, QUALITY[system])
        write_scores(Path(f"exp/{system}_s0/scores/eval/scores"), scores)
        judge(Path(f"exp/{system}_s0"))
    text = page()
    assert rows(text) == ["full", "plus"]
    count = len(fewer), len(recipe.key), len(fewer | more)
    assert (
        "## Systems left out\n\n`handcrafted_s0` is left out, for it was evaluated on other trials: "
        f"{count[0]} of its {count[1]} are among the {count[2]} of full_s0, of which it lacks "
        f"{count[2] - count[0]}. To compare it, run its stages 1 to 7 again" in text
    )
    assert "move `exp/handcrafted_s0` away" in text and text.count("handcrafted") == 2
    verify_results(Path("RESULTS.manifest.json"))


def test_the_run_whose_inputs_are_there_says_which_trials_the_page_is_of(recipe):
    """A seed of before the corpus was prepared anew is left out, though it is the first; no clock decides."""
    shutil.copytree("exp/full_s0", "exp/full_s1")
    recipe.make_data(Path("data"), {utt: row for utt, row in recipe.key.items() if row[2] != "s3"})
    scores = read_scores("exp/full_s0/scores/eval/scores")
    write_scores(
        Path("exp/full_s1/scores/eval/scores"), {u: s for u, s in scores.items() if recipe.key[u][2] != "s3"}
    )
    judge(Path("exp/full_s1"))
    os.utime("exp/full_s1/results/eval/metrics.json", (1, 1))
    text = page()
    assert rows(text) == ["full"] and "## full_s1 on eval" in text and "`full_s0` is left out" in text


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"apart": "A08"}, "10 of the 250 that full_s0 has too are reported apart in one of the two alone"),
        ({"polarity": "bonafide"}, ""),
    ],
)
def test_what_is_pooled_must_be_the_same(recipe, options, why):
    judge(Path("exp/plus_s0"), **options)
    assert (why in page()) if why else ("left out" not in page())


def test_trials_that_one_system_could_not_score_are_excused_and_none_is_compared_on_them(recipe, tmp_path):
    failed = {"s0-000", "A05-s1-001"}
    fail("plus_s0", failed)
    text = page()
    assert set(rows(text)) == set(QUALITY) and "left out" not in text
    assert (
        "2 of 250 trials could not be scored by plus_s0 (listed in `exp/plus_s0/scores/eval/failures`)."
        in text
    )
    assert "The table compares the systems on the 248 trials that all have scored." in text
    assert text.count("could not be scored") == 1, "the tables of full_s0 are of all trials"
    runs = find_runs(Path("exp"))
    by = {row.system: row for row in table_rows(runs, [], Bootstrap(40))}
    for run in runs:
        kept = run.trials.take(~np.isin(run.trials.utts, sorted(failed)))
        assert by[run.system].interval == bootstrap_eer(kept.scores, kept.fake, kept.source, n=40)
    assert page("plus").count("could not be scored by plus_s0") == 2, "beside its own tables too"
    verify_results(Path("RESULTS.manifest.json"))
    pack_results(Path("RESULTS.manifest.json"))
    (tmp_path / "there").mkdir()
    for name in ("RESULTS.md", "RESULTS.proof.tar.xz"):
        shutil.move(name, tmp_path / "there" / name)
    with chdir(tmp_path / "there"):
        verify_results(Path("RESULTS.proof.tar.xz"))


def test_failures_that_all_share_need_no_other_trials(recipe):
    for system in QUALITY:
        fail(f"{system}_s0", {"s0-000"})
    text = page()
    assert text.count("1 of 250 trials could not be scored by") == 4 and "trials that all" not in text


def test_a_system_that_failed_on_many_trials_is_left_out(recipe):
    """Else all others would be compared on what it left over."""
    fail("plus_s0", {utt for utt in recipe.key if utt.startswith("A05")})
    runs = find_runs(Path("exp"))
    main = [run for run in runs if run.system == "full"]
    kept, (line,) = comparable(runs, main)
    assert [run.system for run in kept] == ["full", "handcrafted"]
    assert "190 of its 190 are among the 250 of full_s0, of which it lacks 60 (60 it could not score)" in line


def test_trials_missing_without_an_excuse_are_other_trials(recipe):
    """A list of failures that no longer says so excuses nothing."""
    fail("plus_s0", {"s0-000"})
    Path("exp/plus_s0/scores/eval/failures").unlink()
    runs = find_runs(Path("exp"))
    kept, lines = comparable(runs, [run for run in runs if run.system == "full"])
    assert len(kept) == 2 and "plus_s0" in lines[0]
