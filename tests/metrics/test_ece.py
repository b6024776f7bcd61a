"""Expected calibration error against a loop over trials and bins; accuracy and F1 against counting."""

import numpy as np
import pytest

from masd.errors import MasdError
from masd.metrics.accuracy import accuracy_f1
from masd.metrics.ece import class_weights, ece, reliability


def loop_ece(p, fake, bins, weights):
    total = 0.0
    for b in range(bins):
        inside = [
            (q, f, w)
            for q, f, w in zip(p, fake, weights, strict=True)
            if b / bins <= q < (b + 1) / bins or (b == bins - 1 and q == 1)
        ]
        if inside:
            total += abs(sum(w * q for q, _, w in inside) - sum(w * f for _, f, w in inside))
    return total / sum(weights)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("prior", [None, 0.5, 0.05])
def test_equals_a_loop(seed, prior):
    rng = np.random.default_rng(seed)
    p = rng.random(200)
    p[:3] = [0.0, 1.0, 1 / 15]
    fake = rng.random(200) < p**2
    weights = np.ones(200)
    if prior is not None:
        weights = np.where(fake, prior / fake.sum(), (1 - prior) / (~fake).sum())
    assert ece(p, fake, prior=prior) == pytest.approx(loop_ece(p, fake, 15, weights), abs=1e-12)


def test_closed_forms():
    """Certain and right: 0. Certain and wrong: 1. Always 0.5 on a set with 90 % fakes: 0.4, balanced: 0."""
    fake = np.array([True] * 90 + [False] * 10)
    assert ece(fake.astype(float), fake) == 0
    assert ece(1.0 - fake, fake) == pytest.approx(1)
    assert ece(np.full(100, 0.5), fake) == pytest.approx(0.4)
    assert ece(np.full(100, 0.5), fake, prior=0.5) == pytest.approx(0)


def test_reliability_bins_hold_every_trial_once():
    p = np.linspace(0, 1, 31)
    diagram = reliability(p, p > 0.5)
    assert diagram.share.sum() == pytest.approx(1)
    assert np.isnan(reliability(np.array([0.1, 0.9]), np.array([False, True])).frequency[7])


def test_bad_probabilities_and_priors_are_refused():
    with pytest.raises(MasdError, match="between 0 and 1"):
        ece([1.2], [True])
    with pytest.raises(MasdError, match="hold NaN"):
        ece([float("nan")], [True])
    with pytest.raises(MasdError, match="both bona fide and spoofed"):
        class_weights([True, True], 0.5)
    with pytest.raises(MasdError, match="prior of fakes"):
        class_weights([True, False], 1.0)


def test_accuracy_and_f1_count_fakes_as_positive():
    """3 fakes called fake, 1 missed, 1 bona fide called fake, 5 right."""
    p = np.array([0.9, 0.8, 0.5, 0.2, 0.7, 0.1, 0.1, 0.3, 0.0, 0.4])
    fake = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], dtype=bool)
    found = accuracy_f1(p, fake)
    assert found["accuracy"] == 0.8
    assert found["precision"] == found["recall"] == found["f1"] == 0.75
    assert found["f1_bonafide"] == pytest.approx(2 * 5 / (2 * 5 + 1 + 1))
    assert found["f1_macro"] == pytest.approx((0.75 + 10 / 12) / 2)
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 5 / 6) / 2)


def test_a_score_threshold_calls_fake_what_is_at_or_below_it():
    scores, fake = np.array([-1.0, 0.2, 0.3]), np.array([True, True, False])
    assert accuracy_f1(-scores, fake, -0.2)["accuracy"] == 1
