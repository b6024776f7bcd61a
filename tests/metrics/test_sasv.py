"""Tandem trials of ASVspoof 5: joined by (speaker, utterance), costs as a-DCF and t-DCF of their parts."""

import numpy as np
import pytest

from masd.bin.evaluate import evaluate
from masd.errors import MasdError
from masd.metrics.adcf import min_adcf
from masd.metrics.sasv import ASVSPOOF5, read_tandem, sasv_metrics
from masd.metrics.tdcf import asv_errors, min_tdcf
from masd.stage.files import read_json

HEAD = "spk\tfilename\tcm-score\tasv-score\tsasv-score"


@pytest.fixture
def made(tmp_path):
    """60 trials; one utterance stands with two claimed speakers. Returns (folder, kinds, scores (3, 60))."""
    rng = np.random.default_rng(0)
    kinds = np.array(["target", "nontarget", "spoof"])[np.arange(60) % 3]
    scores = rng.normal(size=(3, 60)) + np.array([[2, 2, 0], [3, 0, 2], [3, 0, 0]])[:, np.arange(60) % 3]
    names = [f"E_{i:02d}\tU_{i // 2:02d}" for i in range(60)]
    label = {"target": "bonafide", "nontarget": "bonafide", "spoof": "spoof"}
    key = [f"{n}\t{label[k]}\t{k}" for n, k in zip(names, kinds, strict=True)]
    lines = [f"{n}\t{a}\t{b}\t{c}" for n, (a, b, c) in zip(names, scores.T, strict=True)]
    (tmp_path / "key").write_text("\n".join(["spk\tfilename\tcm-label\tasv-label", *key]) + "\n")
    (tmp_path / "scores").write_text("\n".join([HEAD, *lines[::-1]]) + "\n")
    return tmp_path, kinds, scores


def test_both_costs_by_their_own_definitions(made):
    folder, kinds, (cm, asv, sasv) = made
    parts = [[x[kinds == k] for k in ("target", "nontarget", "spoof")] for x in (cm, asv, sasv)]
    tandem = read_tandem(folder / "scores", folder / "key")
    found = sasv_metrics(tandem)
    assert found["a_dcf"] == min_adcf(*parts[2])[0]
    bona = np.concatenate(parts[0][:2])
    assert found["min_tdcf"] == min_tdcf(bona, parts[0][2], ASVSPOOF5, "2021")[0]
    own = sasv_metrics(tandem, "own")
    assert own["min_tdcf"] == min_tdcf(bona, parts[0][2], asv_errors(*parts[1]), "2021")[0]
    options = {"scores": folder / "scores", "out": folder / "out", "sasv": "asvspoof5"}
    evaluate(key=folder / "key", **options)
    assert read_json(folder / "out" / "sasv.json")["a_dcf"] == found["a_dcf"]
    with pytest.raises(MasdError, match="--sasv needs the trials' labels: --key FILE"):
        evaluate(**options)


def test_a_joint_score_alone_gives_the_adcf_alone(made):
    folder, _, (_, _, sasv) = made
    lines = [f"E_{i:02d}\tU_{i // 2:02d}\t-\t-\t{s}" for i, s in enumerate(sasv)]
    (folder / "scores").write_text("\n".join([HEAD, *lines]) + "\n")
    assert set(sasv_metrics(read_tandem(folder / "scores", folder / "key"))) == {
        "trials",
        "a_dcf",
        "a_dcf_threshold",
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:-1], "1 trials without a score"),
        (lambda lines: [*lines, "E_99\tU_99\t0\t0\t0"], "1 trials not in the key"),
        (lambda lines: [*lines, lines[1]], "scores:62: trial E_59 U_29 is listed twice"),
        (lambda lines: ["spk\tfilename\tcm-score", *lines[1:]], "the header names no asv-score"),
        (
            lambda lines: [lines[0], lines[1].rsplit("\t", 1)[0] + "\tinf", *lines[2:]],
            "inf is not a finite score",
        ),
        (lambda lines: [lines[0], "E_59", *lines[2:]], "scores:2: 1 columns, 5 in the first line"),
    ],
)
def test_trials_that_do_not_fit_are_named(made, change, said):
    folder = made[0]
    text = "\n".join(change((folder / "scores").read_text().splitlines())) + "\n"
    (folder / "scores").write_bytes(text.encode())
    with pytest.raises(MasdError, match=said):
        read_tandem(folder / "scores", folder / "key")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_tandem_files_of_a_spreadsheet_give_the_same_trials(made, encoding):
    folder = made[0]
    plain = read_tandem(folder / "scores", folder / "key")
    for name in ("scores", "key"):
        text = (folder / name).read_text().replace("\t", ",").replace("\n", "\r\n")
        (folder / name).write_bytes(text.encode(encoding))
    again = read_tandem(folder / "scores", folder / "key")
    assert (again.kind == plain.kind).all()
    assert all((again.scores[name] == plain.scores[name]).all() for name in plain.scores)
