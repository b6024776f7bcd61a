"""A score exactly at a threshold is rejected (called fake) by every measure, and thresholds come from dev."""

import math

import numpy as np
import pytest

from masd.bin.compare import compare
from masd.bin.evaluate import evaluate
from masd.metrics.accuracy import accuracy_f1
from masd.metrics.dcf import DetectionCosts, act_dcf, cost_at, least_cost
from masd.metrics.eer import det, eer
from masd.metrics.tdcf import AsvErrors, min_tdcf
from masd.report.metrics_json import ScoreMaps, _decisions
from masd.report.scored_trials import Trials
from masd.stage.files import read_json

EVEN = DetectionCosts(0.5, 1, 1)


def test_error_rates_at_a_threshold_count_the_trial_that_stands_on_it():
    """Bona fide at 1 and 3, spoofed at 0 and 2: at 1 one of each is on the wrong side."""
    frr, far, thresholds = det([1.0, 3.0], [0.0, 2.0])
    assert thresholds.tolist() == [-0.001, 0, 1, 2, 3]
    assert frr.tolist() == [0, 0, 0.5, 0.5, 1]
    assert far.tolist() == [1, 0.5, 0.5, 0, 0]
    assert eer([1.0, 3.0], [0.0, 2.0]) == (0.5, 1.0)


def test_costs_of_a_threshold_that_a_trial_stands_on():
    bona, spoof = [1.0, 3.0], [0.0, 1.0]
    assert cost_at(bona, spoof, 1.0, EVEN) == 0.5  # the bona fide 1 is rejected, the spoofed 1 too
    assert cost_at(bona, spoof, 0.999, EVEN) == 0.5  # and here both are accepted
    assert cost_at([2.0], [1.0], 1.0, EVEN) == 0
    assert cost_at([2.0], [1.0], 2.0, EVEN) == 1
    value, threshold = least_cost([2.0, 3.0], [0.0, 1.0], EVEN)
    assert (value, threshold) == (0, 1)


def test_bayes_decisions_alone_accept_at_the_threshold():
    """The challenge's actDCF rejects below the bound; at even costs that is a ratio of 0."""
    assert act_dcf([0.0], [-1.0], EVEN) == 0
    assert act_dcf([1.0], [0.0], EVEN) == 1
    assert act_dcf([math.log(10 * 0.05 / 0.95)], [-9.0]) == 0


def test_decisions_at_the_threshold_are_fake():
    assert accuracy_f1([0.5, 0.4], [True, False])["accuracy"] == 1
    scores = np.array([1.0, 0.0, 2.0])
    assert accuracy_f1(-scores, [True, True, False], -1.0)["accuracy"] == 1


def test_the_tandem_costs_threshold_is_one_to_reject_at():
    asv = AsvErrors(eer=0.03, threshold=0.0, p_miss=0.02, p_fa=0.04, p_fa_spoof=0.5)
    assert min_tdcf([2.0, 3.0], [0.0, 1.0], asv) == (0, 1.0)


def test_what_scores_exactly_at_a_decisions_threshold_counts_as_fake():
    """Spoofed at 0 and 1, bona fide at 2: right at P(fake) = 0.5 (score 0), and at a threshold of 1."""
    name, none = np.array(["a", "b", "c"]), np.array(["", "", ""])
    trials = Trials(name, np.array([0.0, 1.0, 2.0]), np.array([True, True, False]), none, none, name, none)
    found = {d["at"]: d for d in _decisions(trials, ScoreMaps(threshold=1.0, least_cost=0.0), None, EVEN)}
    assert found["P(fake) = 0.5"]["recall"] == 0.5
    assert found["development threshold"]["accuracy"] == 1
    assert found["development threshold"]["cost"] == 0
    assert found["least cost on development"]["recall"] == 0.5


@pytest.fixture
def shifted(tmp_path):
    """Return a folder: dev has its EER threshold at 1, eval the same scores 10 higher."""
    values = {"s1": 0.0, "s2": 1.0, "b1": 2.0, "b2": 3.0}
    for name, shift in (("dev", 0), ("eval", 10)):
        rows = {f"{name}-{utt}": value + shift for utt, value in values.items()}
        (tmp_path / name).write_text("".join(f"{u} {v}\n" for u, v in rows.items()))
        key = {utt: "spoof" if "-s" in utt else "bonafide" for utt in rows}
        (tmp_path / f"{name}.key").write_text("".join(f"{u} {label}\n" for u, label in key.items()))
    return tmp_path


def test_evaluate_takes_thresholds_from_development_and_never_from_the_set_judged(shifted):
    """All of eval lies above the threshold of dev: every fake is accepted, though eval is separable."""
    evaluate(
        *(shifted / "eval", shifted / "out"), key=shifted / "eval.key", bootstrap=0,
        dev_scores=shifted / "dev", dev_key=shifted / "dev.key", cost_fa=1, prior_spoof=0.5,
    )  # fmt: skip
    metrics = read_json(shifted / "out" / "metrics.json")
    assert (metrics["pooled"]["eer"], metrics["pooled"]["threshold"]) == (0, 11)
    found = {d["at"]: d for d in metrics["decisions"]}
    for name in ("development threshold", "least cost on development"):
        assert (found[name]["threshold"], found[name]["recall"], found[name]["accuracy"]) == (1, 0, 0.5)


def test_compare_decides_at_each_systems_own_development_threshold(shifted):
    """The second system's scores are higher by 100 on dev, and on eval such that its threshold is right."""
    for name, shift in (("dev", 100), ("eval", 90)):
        rows = [line.split() for line in (shifted / name).read_text().splitlines()]
        text = "".join(f"{utt} {float(value) + shift}\n" for utt, value in rows)
        (shifted / f"{name}.2").write_text(text)
    compare(
        f"{shifted}/eval", f"{shifted}/eval.2", shifted / "out", key=shifted / "eval.key", bootstrap=20,
        dev_first=shifted / "dev", dev_second=shifted / "dev.2", dev_key=shifted / "dev.key",
    )  # fmt: skip
    found = read_json(shifted / "out" / "comparison.json")["mcnemar"]
    assert found["thresholds"] == [1, 101]
    assert (found["only_first"], found["only_second"]) == (0, 2)
