"""The table of comparison systems."""

import pytest

from masd.bin.results import systems as entry_point
from masd.errors import MasdError
from masd.report.systems_table import read_row, systems_table
from masd.stage.files import read_json, write_json, write_yaml


def metrics(eer, bonafide=10, spoof=40):
    part = {"eer": eer, "by_source": {"lo": eer / 2, "hi": eer * 1.5}}
    return {
        "counts": {"bonafide": bonafide, "spoof": spoof},
        "pooled": part, "seen": {"eer": eer / 2}, "unseen": {"eer": eer * 2},
        "attacks": {"A01": {"eer": eer / 2}, "A05": {"eer": eer * 2}},
        "calibration": [
            {"name": "temperature", "ece": [{"ece": 0.5}]}, {"name": "affine", "ece": [{"ece": 0.03}]},
        ],
    }  # fmt: skip


def table_of(text):
    """{system: {column: cell}} of a page's table."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


@pytest.fixture
def folders(tmp_path):
    for name, eer, falling in (("lcnn", 0.1, True), ("gmm", 0.2, False)):
        write_json(tmp_path / name / "metrics.json", metrics(eer))
        write_json(tmp_path / name / "timing.json", {"real_time_factor": 0.25, "parameters": 1234})
        training = {"seconds": 90.0, "utterance_steps": 5000, "dev_loss_falling": falling}
        write_yaml(tmp_path / name / "model" / "model.yaml", {"run": training})
    write_json(tmp_path / "released" / "metrics.json", metrics(0.3))
    return tmp_path


def test_a_row_of_table_2_has_no_supervised_training_to_tell_of(folders):
    write_yaml(folders / "svm" / "model.yaml", {"training": [{"name": "train"}]})
    row = read_row(folders / "gmm", folders / "svm")
    assert row.training == {} and not row.under_trained
    assert table_of(systems_table([row], "T"))["gmm"]["utterance-steps"] == "-"


def test_a_row_says_what_it_cost_and_how_good_it_is(folders):
    table = systems_table([read_row(folders / "lcnn", folders / "lcnn" / "model")], "T")
    assert table_of(table)["lcnn"] == {
        "system": "lcnn", "parameters": "1,234", "utterance-steps": "5,000", "training, min": "1.5",
        "EER": "10.00", "95 %": "[5.00, 15.00]", "seen": "5.00", "unseen": "20.00", "A01": "5.00",
        "A05": "20.00", "ECE": "3.00", "real-time factor": "0.250", "remark": "under-trained",
    }  # fmt: skip
    assert "no ranking" in table


def test_rows_keep_their_order_and_released_weights_are_zero_shot(folders):
    rows = [read_row(folders / "gmm", folders / "gmm" / "model"), read_row(folders / "released")]
    table = systems_table(rows, "T")
    assert list(table_of(table)) == ["gmm", "released"]
    assert table_of(table)["released"]["remark"] == "zero-shot, not calibrated"
    assert "ranking" not in table


def test_systems_on_other_trials_are_refused(folders):
    write_json(folders / "gmm" / "metrics.json", metrics(0.2, bonafide=11))
    with pytest.raises(MasdError, match="different trials"):
        systems_table([read_row(folders / "lcnn"), read_row(folders / "gmm")], "T")
    with pytest.raises(MasdError, match="run_systems"):
        systems_table([], "T")


def test_the_entry_point_writes_the_table_and_its_numbers(folders):
    words = [f"{folders}/gmm={folders}/gmm/model", f"{folders}/released"]
    entry_point(words, folders / "SYSTEMS.md", command="local/run_systems.sh")
    assert table_of((folders / "SYSTEMS.md").read_text())["gmm"]["parameters"] == "1,234"
    assert read_json(folders / "SYSTEMS.json")["released"]["metrics"]["pooled"]["eer"] == 0.3
