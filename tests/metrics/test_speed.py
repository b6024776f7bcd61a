"""All metrics on as many trials as ASVspoof 2021 DF has, on one core: seconds, not minutes."""

import time

import numpy as np
import pytest

from masd.metrics.accuracy import accuracy_f1
from masd.metrics.adcf import min_adcf
from masd.metrics.auc import auc
from masd.metrics.bootstrap import bootstrap_eers
from masd.metrics.brier_nll import brier, nll
from masd.metrics.dcf import act_dcf, cllr, cost_at, least_cost
from masd.metrics.ece import ece
from masd.metrics.eer import eer, split
from masd.metrics.scores import p_fake
from masd.metrics.tdcf import AsvErrors, min_tdcf
from masd.svm.selective import coverage_curve

TRIALS, BONA_FIDE = 611829, 22617


@pytest.fixture(scope="module")
def trials():
    fake = np.arange(TRIALS) >= BONA_FIDE
    return np.random.default_rng(0).normal(size=TRIALS) - 2 * fake, fake


def test_all_metrics_take_less_than_ten_seconds(trials):
    scores, fake = trials
    asv = AsvErrors(eer=0.03, threshold=0.0, p_miss=0.02, p_fa=0.04, p_fa_spoof=0.5)
    start = time.process_time()
    bona, spoof = split(scores, fake)
    rate, threshold = eer(bona, spoof)
    auc(bona, spoof)
    for form in ("2019", "2021"):
        min_tdcf(bona, spoof, asv, form)
    min_adcf(bona[::2], bona[1::2], spoof)
    least_cost(bona, spoof)
    cost_at(bona, spoof, threshold)
    act_dcf(bona, spoof)
    cllr(bona, spoof)
    p = p_fake(scores)
    ece(p, fake)
    brier(p, fake)
    nll(-scores, fake)
    accuracy_f1(p, fake)
    coverage_curve(bona, spoof)
    assert time.process_time() - start < 10
    assert rate == pytest.approx(0.1587, abs=0.003)  # Phi(-1)


def test_a_thousand_draws_take_less_than_a_minute(trials):
    """Twenty are drawn here; time grows with their number."""
    scores, fake = trials
    start = time.process_time()
    bootstrap_eers(scores, fake, np.arange(TRIALS), n=20)
    assert 50 * (time.process_time() - start) < 60
