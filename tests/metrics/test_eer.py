"""The official EER: against a brute-force search, on ties, constants and what must be refused."""

import numpy as np
import pytest

from masd.errors import MasdError
from masd.metrics.auc import auc
from masd.metrics.eer import det, eer


def brute_force(bona, spoof):
    """Walk through all trials in order of score, bona fide before spoofed where they tie."""
    trials = sorted([(s, 0) for s in bona] + [(s, 1) for s in spoof])
    best = (1.0, 0.5, trials[0][0] - 0.001)
    rejected = [0, 0]
    for score, label in trials:
        rejected[label] += 1
        frr, far = rejected[0] / len(bona), (len(spoof) - rejected[1]) / len(spoof)
        if abs(frr - far) < best[0]:
            best = (abs(frr - far), (frr + far) / 2, score)
    return best[1], best[2]


@pytest.mark.parametrize("seed", range(40))
def test_equals_brute_force_on_random_and_tied_scores(seed):
    rng = np.random.default_rng(seed)
    bona, spoof = (rng.normal(m, 1, rng.integers(1, 60)) for m in (1, 0))
    if seed % 2:
        bona, spoof = np.round(bona), np.round(spoof)
    assert eer(bona, spoof) == pytest.approx(brute_force(bona, spoof), abs=1e-12)


def test_polarity_higher_scores_are_bona_fide():
    assert eer([2, 3], [0, 1])[0] == 0
    assert eer([0, 1], [2, 3])[0] == 1
    assert auc([2, 3], [0, 1]) == 1


def test_constant_scores_count_against_the_system():
    """The official sort puts tied bona fide trials first, so knowing nothing is not 50 % but 100 %."""
    assert eer([1, 1], [1, 1, 1])[0] == 1
    assert auc([1, 1], [1, 1, 1]) == 0.5


def test_no_interpolation_between_steps():
    """(FRR, FAR) steps are (0, 1), (0, .5), (1, .5): of the two best the first wins, with their mean."""
    rate, threshold = eer([1.0], [0.0, 2.0])
    assert (rate, threshold) == (0.25, 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    with pytest.raises(MasdError, match="spoofed scores hold NaN or infinite"):
        eer([1.0, 2.0], [0.0, bad])


def test_one_class_is_refused():
    with pytest.raises(MasdError, match="no bona fide trials"):
        eer([], [1.0])
    with pytest.raises(MasdError, match="no spoofed trials"):
        eer([1.0], [])


def test_det_starts_accepting_all_and_ends_rejecting_all():
    frr, far, thresholds = det([1, 3], [0, 2])
    assert list(frr) == [0, 0, 0.5, 0.5, 1]
    assert list(far) == [1, 0.5, 0.5, 0, 0]
    assert list(thresholds) == [-0.001, 0, 1, 2, 3]


def test_a_threshold_rejects_what_is_at_or_below_it():
    rng = np.random.default_rng(0)
    bona, spoof = rng.normal(1, 1, 50), rng.normal(0, 1, 80)
    rate, threshold = eer(bona, spoof)
    assert ((bona <= threshold).mean() + (spoof > threshold).mean()) / 2 == pytest.approx(rate)


def test_auc_counts_pairs():
    rng = np.random.default_rng(1)
    bona, spoof = np.round(rng.normal(1, 1, 30), 1), np.round(rng.normal(0, 1, 40), 1)
    pairs = [(b > s) + 0.5 * (b == s) for b in bona for s in spoof]
    assert auc(bona, spoof) == pytest.approx(np.mean(pairs))
