"""t-DCF, minDCF, actDCF and Cllr against closed forms, brute force and the challenge's own figures."""

import os
from pathlib import Path

import numpy as np
import pytest

from masd.errors import MasdError
from masd.metrics.dcf import DetectionCosts, act_dcf, cllr, min_dcf
from masd.metrics.tdcf import AsvErrors, TandemCosts, asv_errors, coefficients, min_tdcf, read_asv_scores

ASV = AsvErrors(eer=0.03, threshold=0.0, p_miss=0.02, p_fa=0.04, p_fa_spoof=0.5)
SCORES = "ASVspoof2019.LA.asv.eval.gi.trl.scores.txt"


def sweep(bona, spoof):
    """Return (P_miss, P_fa) at every threshold that changes something."""
    thresholds = [-np.inf, *sorted(set(bona) | set(spoof))]
    return [((bona <= t).mean(), (spoof > t).mean()) for t in thresholds]


def test_coefficients_in_closed_form():
    assert coefficients(ASV, "2019") == pytest.approx(
        (0, 0.9405 * (1 - 0.02) - 0.0095 * 10 * 0.04, 10 * 0.05 * 0.5)
    )
    c0 = 0.9405 * 0.02 + 0.0095 * 10 * 0.04
    assert coefficients(ASV, "2021") == pytest.approx((c0, 0.9405 - c0, 0.25))


@pytest.mark.parametrize("form", ["2019", "2021"])
def test_min_tdcf_is_the_least_of_all_thresholds(form):
    rng = np.random.default_rng(0)
    bona, spoof = rng.normal(2, 1, 60), rng.normal(0, 1, 90)
    c0, c1, c2 = coefficients(ASV, form)
    least = min((c0 + c1 * miss + c2 * fa) / (c0 + min(c1, c2)) for miss, fa in sweep(bona, spoof))
    assert min_tdcf(bona, spoof, ASV, form)[0] == pytest.approx(least)


def test_perfect_and_useless_countermeasures():
    """Perfect: 0 in 2019, C0 over the default in 2021. Turned round: 1, accepting or rejecting all."""
    c0, c1, c2 = coefficients(ASV, "2021")
    assert min_tdcf([1, 2], [-1, 0], ASV, "2019")[0] == 0
    assert min_tdcf([1, 2], [-1, 0], ASV, "2021")[0] == pytest.approx(c0 / (c0 + min(c1, c2)))
    for form in ("2019", "2021"):
        assert min_tdcf([-1, 0], [1, 2], ASV, form)[0] == pytest.approx(1)


def test_asv_errors_by_counting():
    target, nontarget, spoof = np.array([1.0, 2, 3, 4]), np.array([-1.0, 0, 1.5, -2]), np.array([3.0, -3])
    found = asv_errors(target, nontarget, spoof)
    assert found.p_miss == (target < found.threshold).mean()
    assert found.p_fa == (nontarget >= found.threshold).mean()
    assert found.p_fa_spoof == 0.5


def test_a_weak_verifier_and_unknown_forms_are_refused():
    with pytest.raises(MasdError, match="not defined"):
        coefficients(AsvErrors(0.5, 0, 1.0, 1.0, 1.0))
    with pytest.raises(MasdError, match="2019 or 2021"):
        coefficients(ASV, "2020")
    with pytest.raises(MasdError, match="accepts no spoofed"):
        min_tdcf([1], [0], AsvErrors(0, 0, 0, 0, 0.0))


def test_asv_score_file_lines(tmp_path):
    path = tmp_path / "asv"
    path.write_text("bonafide target 7.98\nbonafide nontarget -13.07\nA13 spoof 9.19\n")
    assert [list(scores) for scores in read_asv_scores(path)] == [[7.98], [-13.07], [9.19]]
    path.write_text("bonafide target 7.98\nbonafide stranger 1\n")
    with pytest.raises(MasdError, match="asv:2"):
        read_asv_scores(path)


@pytest.mark.skipif(
    not (Path(os.environ.get("ASVSPOOF2019_LA_PROTOCOLS", "")) / SCORES).is_file(),
    reason="ASVSPOOF2019_LA_PROTOCOLS does not name the folder of the challenge's protocols",
)
def test_the_challenges_own_verifier():
    """The 2019 LA eval ASV scores: counts, EER, threshold and the weights that follow."""
    scores = read_asv_scores(Path(os.environ["ASVSPOOF2019_LA_PROTOCOLS"]) / SCORES)
    assert [len(s) for s in scores] == [5370, 33327, 63882]
    found = asv_errors(*scores)
    assert 100 * found.eer == pytest.approx(2.4578, abs=5e-5)
    assert found.threshold == pytest.approx(-5.680051, abs=1e-6)
    assert coefficients(found)[1:] == pytest.approx((0.915044, 0.380326), abs=1e-6)


def test_min_dcf_is_the_least_of_all_thresholds():
    rng = np.random.default_rng(1)
    bona, spoof = rng.normal(1, 1, 70), rng.normal(0, 1, 50)
    costs = DetectionCosts(p_spoof=0.05, c_miss=1, c_fa=10)
    least = min((0.95 * miss + 0.5 * fa) / 0.5 for miss, fa in sweep(bona, spoof))
    assert min_dcf(bona, spoof, costs) == pytest.approx(least)
    assert min_dcf(spoof - 9, bona, costs) == pytest.approx(1)


def test_act_dcf_equals_min_dcf_for_true_ratios_and_grows_with_a_shift():
    """Gaussians of equal variance, means 1 and -1: the score 2x is the log-likelihood ratio."""
    rng = np.random.default_rng(2)
    bona, spoof = 2 * rng.normal(1, 1, 20000), 2 * rng.normal(-1, 1, 20000)
    assert act_dcf(bona, spoof) == pytest.approx(min_dcf(bona, spoof), abs=0.01)
    assert act_dcf(bona + 3, spoof + 3) > min_dcf(bona, spoof) + 0.1


def test_cllr_closed_forms():
    assert cllr([0.0], [0.0]) == pytest.approx(1)
    assert cllr([1000.0], [-1000.0]) == pytest.approx(0)
    expected = (np.log2(1 + np.exp(-1.5)) + (np.log2(1 + np.exp(0.5)) + np.log2(1 + np.exp(-2))) / 2) / 2
    assert cllr([1.5], [0.5, -2.0]) == pytest.approx(expected)


def test_costs_default_to_the_challenges():
    assert TandemCosts() == TandemCosts(0.9405, 0.0095, 0.05, 1, 10, 10)
