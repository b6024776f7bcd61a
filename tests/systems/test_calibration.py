"""Temperature and affine map against searches and known truths; folds that leave out what they say."""

import numpy as np
import pytest
from scipy.optimize import minimize

from masd.errors import MasdError
from masd.systems.calibration import cross_folds, fit_affine, fit_temperature


def logits(n=4000, t=2.5, seed=0):
    """Decisions f whose labels were drawn with P(fake) = 1 / (1 + exp(-f / t))."""
    rng = np.random.default_rng(seed)
    f = rng.normal(0.5, 3.0, n)
    return f, rng.random(n) < 1 / (1 + np.exp(-f / t))


def loss(f, y, t):
    p = 1 / (1 + np.exp(-f / t))
    return -np.mean(np.where(y, np.log(p), np.log(1 - p)))


def test_temperature_by_grid_search():
    f, y = logits()
    grid = np.exp(np.linspace(np.log(0.5), np.log(10), 20001))
    best = grid[np.argmin([loss(f, y, t) for t in grid[::100]]) * 100]
    near = np.linspace(best * 0.97, best * 1.03, 2001)
    best = near[np.argmin([loss(f, y, t) for t in near])]
    assert fit_temperature(f, y) == pytest.approx(best, rel=1e-4)
    assert fit_temperature(f, y) == pytest.approx(2.5, rel=0.1)


def test_temperature_is_stationary():
    """At the maximum sum_i f_i (y_i - P_i) = 0."""
    f, y = logits()
    p = 1 / (1 + np.exp(-f / fit_temperature(f, y)))
    assert abs(np.mean(f * (y - p))) < 1e-6


def test_temperature_keeps_to_its_bounds():
    f = np.array([-1.0, -2.0, 1.0, 2.0])
    assert fit_temperature(f, f > 0) == pytest.approx(0.01, rel=1e-6)
    assert fit_temperature(f, f < 0) == pytest.approx(10.0, rel=1e-6)
    big, labels = logits(t=50.0)
    assert fit_temperature(big, labels) == pytest.approx(10.0, rel=1e-6)


def test_affine_recovers_the_truth_at_its_prior():
    """P(fake) is a f + b at even priors; undersampling one class must not move the map."""
    rng = np.random.default_rng(1)
    y = rng.random(60000) < 0.5
    f = rng.normal(np.where(y, 0.75, -0.25), 1.0)  # log-likelihood ratio of fake: f - 0.25
    for keep in (np.ones(len(y), bool), y | (rng.random(len(y)) < 0.2)):
        found = fit_affine(f[keep], y[keep], 0.5)
        assert (found.a, found.b) == (pytest.approx(1.0, abs=0.05), pytest.approx(-0.25, abs=0.03))
    tilted = fit_affine(f, y, 0.8)
    assert tilted.b - found.b == pytest.approx(np.log(0.8 / 0.2), abs=0.06)


def test_affine_by_another_optimiser():
    f, y = logits(500)
    smooth = np.where(y, (y.sum() + 1) / (y.sum() + 2), 1 / ((~y).sum() + 2))
    weight = np.where(y, 0.3 / y.sum(), 0.7 / (~y).sum())

    def objective(theta):
        p = 1 / (1 + np.exp(-(theta[0] * f + theta[1])))
        return -np.sum(weight * (smooth * np.log(p) + (1 - smooth) * np.log(1 - p)))

    best = minimize(objective, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12}).x
    found = fit_affine(f, y, 0.3)
    np.testing.assert_allclose([found.a, found.b], best, rtol=1e-3, atol=1e-4)


def test_affine_of_separable_and_of_reversed_decisions():
    """Smoothed targets keep the slope finite; the map never turns the order round."""
    f = np.linspace(-1, 1, 40)
    assert 0 < fit_affine(f, f > 0).a < 1000
    assert 0 < fit_affine(f, f < 0).a < 0.01
    assert fit_affine(1e4 * f, f > 0).a > 0


def test_one_class_or_no_probability():
    with pytest.raises(MasdError, match="both"):
        fit_temperature(np.zeros(3), np.ones(3))
    with pytest.raises(MasdError, match="both"):
        fit_affine(np.zeros(3), np.zeros(3))
    with pytest.raises(MasdError, match="prior"):
        fit_affine(*logits(20), prior=1.0)


def corpus():
    rows = [(f"s{i % 7}", f"A{i % 5}" if i % 5 else "-") for i in range(210)]
    speakers, attacks = map(list, zip(*rows, strict=True))
    return speakers, attacks, np.array([a != "-" for a in attacks])


def test_folds_share_neither_speakers_nor_attacks():
    speakers, attacks, is_fake = corpus()
    folds = cross_folds(speakers, attacks, is_fake, 4, seed=3)
    assert len(folds) == 4
    speaker_of, attack_of = np.array(speakers), np.array(attacks)
    for fold in folds:
        assert not set(speaker_of[fold.fit]) & set(speaker_of[fold.held])
        fakes = [set(attack_of[rows][is_fake[rows]]) for rows in (fold.fit, fold.held)]
        assert not fakes[0] & fakes[1]
        assert all(fakes) and fold.speakers and fold.attacks
    held = [set(fold.speakers) for fold in folds]
    assert set().union(*held) == set(speakers) and sum(map(len, held)) == 7


def test_folds_of_one_attack_are_by_speaker():
    speakers = [f"s{i % 4}" for i in range(40)]
    is_fake = np.arange(40) % 8 > 3
    folds = cross_folds(speakers, ["A" if f else "-" for f in is_fake], is_fake, 4, seed=0)
    assert folds and all(not fold.attacks for fold in folds)


def test_no_folds_of_one_speaker():
    assert cross_folds(["s"] * 6, ["A", "-"] * 3, np.array([True, False] * 3), 4, 0) == []
