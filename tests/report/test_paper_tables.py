"""Reported figures stand beside measured ones: in Tables I and III, and over the four corpora."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from masd.errors import MasdError
from masd.metrics.eer import eer
from masd.report.evaluated_runs import Run
from masd.report.key_results import across, key_results
from masd.report.page_facts import paper_tables
from masd.stage.files import read_yaml

ROOT = Path(__file__).parents[2]
REPORTED = read_yaml(ROOT / "egs/asvspoof2019_la/conf/reported.yaml")


def metrics(eer, model="exp/full_s0/model"):
    """What evaluate writes, as far as these tables look."""
    calibration = [{"ece": [{"ece": share}]} for share in (0.151, 0.011)]
    return {
        "pooled": {"eer": eer, "by_source": {"lo": eer - 0.01, "hi": eer + 0.01}},
        "decisions": [{"accuracy": 0.9, "f1": 0.8}],
        "counts": {"bonafide": 7, "spoof": 60},
        "calibration": calibration,
        "inputs": {"request": {"model": model}},
    }


def run_of(system, eer, ours=True, weak=False):
    named = {"system": system, "name": f"{system}_s0", "ours": ours, "under_trained": weak}
    return SimpleNamespace(**named, metrics=metrics(eer))


def table_of(text):
    """{first cell: the others} of a page's first table."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {row[0]: row[1:] for row in rows}


def test_tables_one_and_three_have_a_measured_figure_where_the_system_was_run():
    runs = [run_of("full", 0.02), run_of("full", 0.04), run_of("aasist", 0.5)]
    (first, header, one, weak), (third, _, three, also_weak) = paper_tables(REPORTED, runs)
    assert (first, third) == ("Table I", "Table III") and header[1] == "accuracy, reported"
    rows = {row[0]: row[1:] for row in one}
    assert rows["MASD"] == ["98.23", "0.39", "97.84", "90.00 ± 0.00", "3.00 ± 1.41", "80.00 ± 0.00"]
    assert rows["AASIST"][4] == "50.00" and rows["RawNet2"][3:] == ["-", "-", "-"]
    assert {row[0]: row[1:] for row in three}["MASD"] == ["0.39", "3.00 ± 1.41"]
    assert weak == also_weak == []


def test_somebodys_scores_are_no_measurement_of_the_papers_tables():
    """Whatever a score file is called, it stands in the main table alone."""
    runs = [run_of("full", 0.02), run_of("aasist", 0.5, ours=False)]
    rows = paper_tables(REPORTED, runs)[0][2]
    assert {row[0]: row[5] for row in rows} == {"RawNet2": "-", "AASIST": "-", "MASD": "2.00"}


def test_a_score_file_named_full_is_no_key_result(egs):
    path = egs / "for/exp/tiny/zero_shot_full/results/eval/metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(metrics(0.001, model=None)))
    assert table_of(key_results(egs, REPORTED, "tiny", "full"))["FoR"][2] == "-"


def test_a_system_whose_budget_ended_too_early_is_said_to_be_under_trained():
    runs = [run_of("full", 0.02), run_of("aasist", 0.5, weak=True), run_of("samo", 0.4)]
    (*_, weak), (*_, none) = paper_tables(REPORTED, runs)
    assert (weak, none) == (["aasist_s0"], [])
    for told, said in (({}, False), ({"run": {"dev_loss_falling": True}}, True)):
        run = Run(Path("aasist_s0"), "aasist", 0, Path("results"), {})
        run.model = told
        assert run.under_trained == said


def test_a_page_whose_numbers_name_no_systems_has_no_such_tables():
    mini = read_yaml(ROOT / "egs/mini/conf/reported.yaml")
    assert paper_tables(mini, [run_of("full", 0.1)]) == []


@pytest.fixture
def egs(tmp_path):
    """Two recipes that were run: 2019 LA with two seeds, WaveFake zero-shot and trained."""
    for tag, rate in (
        ("asvspoof2019_la/exp/tiny/full_s0", 0.02),
        ("asvspoof2019_la/exp/tiny/full_s1", 0.04),
        ("wavefake/exp/tiny/zero_shot_full_s0", 0.08),
        ("wavefake/exp/tiny/full_s0", 0.01),
    ):
        folder = tmp_path / tag / "results/eval"
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps(metrics(rate)))
    return tmp_path


def test_four_corpora_from_whichever_were_run(egs):
    rows = table_of(key_results(egs, REPORTED, "tiny", "full"))
    ece = "15.10 -> 1.10"
    assert rows["ASVspoof 2019 LA"] == [
        "in domain",
        "0.39",
        "3.00 ± 1.41",
        "[1.00, 3.00]",
        "0, 1",
        "7",
        "60",
        ece,
    ]
    assert rows["WaveFake"] == ["zero-shot", "6.42", "8.00", "[7.00, 9.00]", "0", "7", "60", ece]
    assert rows["FoR"] == ["zero-shot", "5.93", *"------"]
    assert rows["ASVspoof 2021 DF"][1] == "7.91"
    with pytest.raises(MasdError, match="no recipe of the paper"):
        key_results(egs, REPORTED, "full", "full")


def test_the_script_prints_it_with_cautions_and_says_what_was_not_run(egs):
    reported = ROOT / "egs/asvspoof2019_la/conf/reported.yaml"
    command = [ROOT / "utils/key_results.sh", "--egs", egs, "--size", "tiny", "--reported", reported]
    environment = {"PATH": "/usr/bin:/bin", "MASD_VENV": sys.prefix}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert table_of(done.stdout)["ASVspoof 2019 LA"][:3] == ["in domain", "0.39", "3.00 ± 1.41"]
    assert "FoR: not run;" in done.stdout and "for/run.sh --size tiny" in done.stdout
    assert "Caution: On the full 2019 LA eval set" in done.stdout
    assert "2021 DF match the 2021 LA trial count" in done.stdout


def test_a_page_of_one_corpus_has_no_caution_about_another():
    """The table of all four has them apart."""
    told = {
        path.parents[1].name: " ".join(read_yaml(path).get("cautions", []))
        for path in ROOT.glob("egs/*/conf/reported.yaml")
    }
    assert {name for name, text in told.items() if "2021 DF" in text} == {"asvspoof2021_df"}


TRIALS = {"wavefake": ((2.0, 3.0), (0.0, 1.0)), "own": ((-3.0, -2.0, -1.0), (-5.0, -4.0))}


def scored(egs, recipe, tag, digest, bona, spoof):
    """Lay out an evaluated run of a model, with its trials."""
    folder = egs / recipe / "exp/tiny" / tag / "results/eval"
    folder.mkdir(parents=True)
    inputs = {"request": {"model": "somewhere"}, "files": {"somewhere/model.yaml": digest}}
    (folder / "metrics.json").write_text(json.dumps({**metrics(0.0), "inputs": inputs}))
    lines = [
        f"{label[0]}{i}\t{label}\t-\tx\ts{label[0]}{i}\t{label}\t{score}\n"
        for label, scores in (("bonafide", bona), ("spoof", spoof))
        for i, score in enumerate(scores)
    ]
    (folder / "trials.tsv").write_text("utt\tlabel\tattack\tspeaker\tsource\tpool\tscore\n" + "".join(lines))


def test_one_model_on_every_corpus_has_a_mean_and_one_threshold_for_all(tmp_path):
    """Each corpus is told apart without error, all of them together are not."""
    for recipe, (bona, spoof) in TRIALS.items():
        scored(tmp_path, recipe, "zero_shot_plus", "a", bona, spoof)
    scored(tmp_path, "for", "zero_shot_plus", "b", (1.0,), (0.0,))
    (one,) = across(tmp_path, "tiny", "plus")
    assert (one["model"], one["mean"]) == ("zero_shot_plus", 0.0)
    bona, spoof = (np.concatenate(scores) for scores in zip(*TRIALS.values(), strict=True))
    assert (one["pooled"], one["threshold"]) == eer(bona, spoof) and one["pooled"] > 0.4
    assert all(row["eer"] == 0 for row in one["rows"])
    errors = {
        kind: sum(row[rate] * row[kind] for row in one["rows"]) / sum(row[kind] for row in one["rows"])
        for kind, rate in (("bonafide", "frr"), ("spoof", "far"))
    }
    assert sum(errors.values()) / 2 == pytest.approx(one["pooled"]), "the columns come to the pooled rate"
    text = key_results(tmp_path, REPORTED, "tiny", "plus")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in lines}
    assert rows["own"] == rows["wavefake"] == rows["mean"] == "0.00"
    assert rows["pooled"] == f"{100 * one['pooled']:.2f}"
    assert "## zero_shot_plus on every corpus that was run" in text


def test_two_models_are_not_pooled(tmp_path):
    for digest, recipe in zip("ab", TRIALS, strict=True):
        scored(tmp_path, recipe, "zero_shot_plus", digest, *TRIALS[recipe])
    assert across(tmp_path, "tiny", "plus") == []
