"""Every metric on random, tied, constant, duplicate and huge inputs against independent loops, or refused."""

import math

import numpy as np
import pytest

from masd.errors import MasdError
from masd.metrics.accuracy import accuracy_f1
from masd.metrics.adcf import min_adcf
from masd.metrics.auc import auc
from masd.metrics.bootstrap import bootstrap_eer, paired_test
from masd.metrics.brier_nll import brier, nll
from masd.metrics.dcf import DetectionCosts, act_dcf, cllr, cost_at, least_cost, min_dcf
from masd.metrics.eer import eer
from masd.metrics.paired import mcnemar
from masd.metrics.tdcf import AsvErrors, TandemCosts, min_tdcf
from masd.svm.selective import coverage_curve

ASV = AsvErrors(eer=0.03, threshold=0.0, p_miss=0.02, p_fa=0.04, p_fa_spoof=0.5)


def cases():
    rng = np.random.default_rng(0)
    yield "random", rng.normal(1, 1, 41), rng.normal(0, 1, 67)
    yield "tied", np.round(rng.normal(1, 1, 50)), np.round(rng.normal(0, 1, 30))
    yield "constant", np.full(7, 3.0), np.full(5, 3.0)
    yield "one each", np.array([1.0]), np.array([0.0])
    yield "duplicates", np.repeat(rng.normal(1, 1, 9), 5), np.repeat(rng.normal(0, 1, 6), 7)
    yield "huge", 1e300 * rng.normal(1, 1, 20), 1e300 * rng.normal(0, 1, 20)
    yield "tiny", 1e-300 * rng.normal(1, 1, 20), 1e-300 * rng.normal(0, 1, 20)
    yield "reversed", rng.normal(-2, 1, 25), rng.normal(2, 1, 25)
    yield "unbalanced", rng.normal(1, 1, 3), rng.normal(0, 1, 400)


CASES = list(cases())
IDS = [name for name, _, _ in CASES]


def sweep(*kinds):
    """Return each kind's share at or below every place of the sorted trials, ties in the kinds' order."""
    trials = sorted((score, kind) for kind, scores in enumerate(kinds) for score in scores)
    counts, out = [0] * len(kinds), [[0.0] * len(kinds)]
    for _, kind in trials:
        counts[kind] += 1
        out.append([c / len(k) for c, k in zip(counts, kinds, strict=True)])
    return out


@pytest.mark.parametrize(("name", "bona", "spoof"), CASES, ids=IDS)
def test_error_rates_and_costs_equal_loops(name, bona, spoof):
    curve = [(frr, 1 - rejected) for frr, rejected in sweep(bona, spoof)]
    gap = [abs(frr - far) for frr, far in curve]
    frr, far = curve[gap.index(min(gap))]
    assert eer(bona, spoof)[0] == pytest.approx((frr + far) / 2, abs=1e-9)
    for costs in (DetectionCosts(), DetectionCosts(0.5, 1, 1), DetectionCosts(0.9, 3, 0.1)):
        miss, accept = costs.c_miss * (1 - costs.p_spoof), costs.c_fa * costs.p_spoof
        least = min(miss * a + accept * b for a, b in curve) / min(miss, accept)
        assert min_dcf(bona, spoof, costs) == pytest.approx(least, abs=1e-9)
        value, threshold = least_cost(bona, spoof, costs)
        assert value == min_dcf(bona, spoof, costs)
        if name not in ("tied", "constant"):
            assert cost_at(bona, spoof, threshold, costs) == pytest.approx(value, abs=1e-9)
        bound = math.log(accept / miss)
        cost = miss * sum(b < bound for b in bona) / len(bona) + accept * sum(
            s >= bound for s in spoof
        ) / len(spoof)
        assert act_dcf(bona, spoof, costs) == pytest.approx(cost / min(miss, accept), abs=1e-9)
    pairs = [(b > s) + 0.5 * (b == s) for b in bona for s in spoof]
    assert auc(bona, spoof) == pytest.approx(sum(pairs) / len(pairs), abs=1e-9)


@pytest.mark.parametrize(("name", "bona", "spoof"), CASES, ids=IDS)
@pytest.mark.parametrize("form", ["2019", "2021"])
def test_tandem_cost_equals_a_loop(name, bona, spoof, form):
    c0 = 0.9405 * 0.02 + 0.0095 * 10 * 0.04
    c1, c2 = 0.9405 - c0, 10 * 0.05 * 0.5
    c0 = c0 if form == "2021" else 0.0
    least = min(
        (c0 + c1 * frr + c2 * (1 - rejected)) / (c0 + min(c1, c2)) for frr, rejected in sweep(bona, spoof)
    )
    assert min_tdcf(bona, spoof, ASV, form)[0] == pytest.approx(least, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_adcf_equals_a_loop_and_its_threshold_gives_it(seed):
    rng = np.random.default_rng(seed)
    target, nontarget, spoof = rng.normal(2, 1, 40), rng.normal(0, 1, 30), rng.normal(1, 1, 50)
    if seed % 2:
        target, nontarget, spoof = (np.round(x) for x in (target, nontarget, spoof))
    value, threshold = min_adcf(target, nontarget, spoof)
    costs = TandemCosts()
    weights = (0.9405, 10 * 0.0095, 10 * 0.05)
    curve = sweep(target, nontarget, spoof)
    least = min(weights[0] * a + weights[1] * (1 - b) + weights[2] * (1 - c) for a, b, c in curve)
    assert value == pytest.approx(least / min(weights[0], weights[1] + weights[2]), abs=1e-9)
    if seed % 2 == 0:
        shares = [(target <= threshold).mean(), (nontarget > threshold).mean(), (spoof > threshold).mean()]
        assert np.dot(weights, shares) / min(weights[0], weights[1] + weights[2]) == pytest.approx(value)
    assert min_adcf([2, 3], [0, 1], [-1, 0.5], costs)[0] == 0
    with pytest.raises(MasdError, match="no nontarget trials"):
        min_adcf([1], [], [0])
    with pytest.raises(MasdError, match="cannot be normalised"):
        min_adcf([1], [0], [0], TandemCosts(p_target=0.0))


def test_ratios_as_large_as_they_come_do_not_overflow():
    assert cllr([1e4], [-1e4]) == 0
    assert cllr([-1e4], [1e4]) == pytest.approx(1e4 / math.log(2), rel=1e-12)
    assert nll([1e4, -1e4], [True, False]) == 0
    assert nll([-1e4, 1e4], [True, False]) == 1e4


@pytest.mark.parametrize("prior", [None, 0.1])
def test_proper_scores_equal_loops(prior):
    rng = np.random.default_rng(1)
    fake = rng.random(200) < 0.8
    z = rng.normal(size=200) * 5
    p = 1 / (1 + np.exp(-z))
    share = fake.mean() if prior is None else prior
    weight = [share / fake.sum() if f else (1 - share) / (~fake).sum() for f in fake]
    assert brier(p, fake, prior) == pytest.approx(
        sum(w * (q - f) ** 2 for w, q, f in zip(weight, p, fake, strict=True)), abs=1e-9
    )
    assert nll(z, fake, prior) == pytest.approx(
        -sum(w * math.log(q if f else 1 - q) for w, q, f in zip(weight, p, fake, strict=True)), abs=1e-9
    )
    with pytest.raises(MasdError, match="between 0 and 1"):
        brier([1.5], [True])
    with pytest.raises(MasdError, match="hold NaN"):
        nll([np.nan], [True])
    with pytest.raises(MasdError, match="must both be"):
        brier([], [])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "metric",
    [
        lambda s: eer([1, 2], s),
        lambda s: auc([1, 2], s),
        lambda s: min_dcf([1, 2], s),
        lambda s: act_dcf([1, 2], s),
        lambda s: cllr([1, 2], s),
        lambda s: min_tdcf([1, 2], s, ASV),
        lambda s: min_adcf([1, 2], [0, 1], s),
        lambda s: coverage_curve([1, 2], s),
        lambda s: bootstrap_eer([1, 2, *s], [False, False, True, True], [0, 1, 2, 3]),
    ],
)
def test_infinite_and_missing_scores_are_refused_by_every_metric(metric, bad):
    with pytest.raises(MasdError, match=r"finite|NaN"):
        metric([0.0, bad])


def test_costs_that_are_none_are_refused():
    for wrong in ((0.0, 1, 10), (1.0, 1, 10), (0.05, -1, 10), (0.05, 1, 0)):
        with pytest.raises(MasdError, match="costs must be above 0"):
            DetectionCosts(*wrong)


def test_mcnemar_is_the_exact_binomial():
    """9 trials that the first alone judges rightly, 1 the second alone: p = 2 (C(10,0) + C(10,1)) / 2^10."""
    first = np.array([True] * 9 + [False] + [True] * 5)
    second = np.array([False] * 9 + [True] + [True] * 5)
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (9, 1)
    assert found.p == pytest.approx(22 / 1024)
    assert mcnemar(first, first).p == 1
    with pytest.raises(MasdError, match="same trials"):
        mcnemar([True], [True, False])


def test_the_paired_p_is_small_for_a_difference_and_not_for_none():
    rng = np.random.default_rng(2)
    fake = np.arange(600) >= 300
    scores = rng.normal(size=600) - 1.5 * fake
    better = scores - 1.0 * fake
    other = rng.normal(size=600) - 1.5 * fake
    index = np.arange(600)
    assert paired_test(better, scores, fake, index, 400)[1] < 0.02
    assert paired_test(scores, other, fake, index, 400)[1] > 0.05
    assert paired_test(scores, scores, fake, index, 100)[1] == 1


def test_decisions_of_one_class_alone_divide_nothing_by_nothing():
    found = accuracy_f1([0.1, 0.2], [False, False])
    assert (found["accuracy"], found["f1"], found["precision"]) == (1, 0, 0)
    with pytest.raises(MasdError, match="N > 0"):
        accuracy_f1([], [])
