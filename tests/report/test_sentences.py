"""What a page means, in sentences that follow from its own figures."""

from types import SimpleNamespace

import pytest

from masd.metrics.bootstrap import Interval
from masd.report.sentences import meaning
from masd.report.table_two import Row


def row(system, mean, half=0.01, seeds=1, reported=None, **pools):
    interval = Interval(mean, mean - half, mean + half, half, 100, 50)
    return Row(system, system, reported, list(range(seeds)), [mean] * seeds, interval, pools)


def page(rows, ece=(0.2, 0.03), seen=None, unseen=None, cues=(), gates=()):
    """A page as far as its meaning looks."""
    calibration = [
        {"name": name, "ece": [{"ece": share}]} for name, share in zip(("none", "affine"), ece, strict=False)
    ]
    metrics = {"counts": {"bonafide": 7, "spoof": 60}, "calibration": calibration}
    metrics |= {"seen": {"by_source": seen}, "unseen": {"by_source": unseen}}
    run = SimpleNamespace(system=rows[0].system, set="eval", metrics=metrics)
    facts = {"first": run, "main": [run], "rows": rows, "reported": {"set": "2019 LA"}}
    return SimpleNamespace(**facts, data="data", cues=list(cues), gates=list(gates))


def probed(finding, auc=0.9):
    row = {"set": "eval", "attack": "all attacks", "auc": auc, "low": 0.8, "high": 0.95, "finding": finding}
    return {"set": "eval", "bound": 0.65, "rows": [row | {"single": {"level": auc}}]}


@pytest.mark.parametrize(
    ("mean", "half", "said"),
    [
        (0.6, 0.02, "worse than chance"),
        (0.49, 0.02, "no better than chance"),
        (0.42, 0.02, "near chance, which is 50 %"),
        (0.25, 0.02, "better than chance, yet about one decision in 4 is wrong"),
        (0.01, 0.005, "far better than chance"),
    ],
)
def test_an_error_rate_is_put_in_words(mean, half, said):
    assert said in meaning(page([row("full", mean, half)]))[0]


def test_the_first_sentence_has_the_figures():
    told = meaning(page([row("full", 0.25, seeds=3)]))[0]
    assert "25.00 % [24.00, 26.00] on eval (mean of 3 seeds; 7 bona fide, 60 spoofed)" in told


@pytest.mark.parametrize(
    ("pools", "intervals", "said"),
    [
        ({}, {}, "not told apart"),
        ({"unseen": 0.3}, {}, "All attacks are unseen in training."),
        ({"seen": 0.3}, {}, "nothing is said of new ones"),
        (
            {"seen": 0.1, "unseen": 0.3},
            {"seen": {"lo": 0.05, "hi": 0.15}, "unseen": {"lo": 0.2, "hi": 0.4}},
            "10.00 %, unseen ones 30.00 %: what it learnt does not carry over",
        ),
        (
            {"seen": 0.1, "unseen": 0.3},
            {"seen": {"lo": 0.05, "hi": 0.25}, "unseen": {"lo": 0.2, "hi": 0.4}},
            "no difference beyond chance",
        ),
        ({"seen": 0.1, "unseen": 0.3}, {}, "no difference beyond chance"),
        (
            {"seen": 0.3, "unseen": 0.1},
            {"seen": {"lo": 0.2, "hi": 0.4}, "unseen": {"lo": 0.05, "hi": 0.15}},
            "the new ones are the easier here",
        ),
    ],
)
def test_seen_and_unseen_attacks_differ_where_their_intervals_do(pools, intervals, said):
    assert said in meaning(page([row("full", 0.2, **pools)], **intervals))[1]


@pytest.mark.parametrize(
    ("ece", "said"),
    [
        ((0.2, 0.03), "by 3.00 points on average (ECE, affine; 20.00 before): calibrated to within 5 points"),
        ((0.2, 0.07), "not calibrated; its scores only rank"),
        ((0.04,), "by 4.00 points on average (ECE, none): calibrated"),
    ],
)
def test_calibrated_or_not(ece, said):
    assert said in meaning(page([row("full", 0.2)], ece))[2]


def test_peers_are_those_on_the_same_trials():
    rows = [row("full", 0.2, reported=0.39), row("plus", 0.1), row("other", 0.3)]
    told = meaning(page(rows))[3]
    assert "Of 3 systems on the same trials it is number 2 by fewest errors" in told
    assert "`plus` with 10.00 % [9.00, 11.00]. The paper reports 0.39 % on 2019 LA." in told
    assert "it is number 1 by" in meaning(page([rows[1], row("same", 0.1)]))[3], "nobody is before an equal"
    assert meaning(page(rows[1:2]))[3] == "No other system was evaluated on these trials."


def test_what_the_guards_found_and_a_caution_before_all_else():
    gates = [("probe_s0", "grl", {"holds": False}), ("probe_s0", "batching", {"holds": True})]
    told = meaning(page([row("full", 0.2)], cues=[probed("none")], gates=gates))
    assert len(told) == 5 and told[4].startswith("Cues that are not synthesis: none found")
    assert told[4].endswith("Checks of the machinery: 1 of 2 failed, grl (probe_s0).")
    told = meaning(page([row("full", 0.2)], cues=[probed("found")], gates=gates[1:]))
    assert len(told) == 6 and told[0].startswith("Caution: level alone tells spoofed speech")
    assert told[5].endswith("see above. Checks of the machinery: all 1 hold.")
    assert "was not asked" in meaning(page([row("full", 0.2)]))[4]
