"""Intervals: each draw's EER against expanding it, whole groups together, coverage, pairing, speed."""

import numpy as np
import pytest

from masd.errors import MasdError
from masd.metrics.bootstrap import bootstrap_eer, bootstrap_eers, draws_of, paired_test
from masd.metrics.eer import eer
from masd.stage.seeding import generator


def sample(rng, sources=40, copies=2, shift=1.5, own=1.0):
    """Return scores, labels and sources: a recording and its copies share a part of the score."""
    common = own * rng.normal(size=sources)
    bona = common + rng.normal(size=sources)
    spoof = (common[:, None] - shift + rng.normal(size=(sources, copies))).ravel()
    source = np.concatenate([np.arange(sources), np.repeat(np.arange(sources), copies)])
    return np.concatenate([bona, spoof]), np.arange(sources * (copies + 1)) >= sources, source


@pytest.mark.parametrize("ties", [False, True])
def test_each_draw_is_the_official_eer_of_the_expanded_trials(ties):
    rng = np.random.default_rng(0)
    scores, fake, source = sample(rng)
    scores = np.round(scores) if ties else scores
    found = bootstrap_eers(scores, fake, source, n=50, seed=3)
    ((_, counts),) = draws_of(40, source.size, 50, generator(3, "bootstrap", 40))
    for value, count in zip(found, counts, strict=True):
        rows = np.repeat(np.arange(len(scores)), count[source])
        assert value == eer(scores[rows][~fake[rows]], scores[rows][fake[rows]])[0]


def test_groups_are_drawn_whole():
    """With bona fide and spoofs of a source always together, the classes keep their ratio in every draw."""
    source = np.repeat(np.arange(7), 3)
    for _, counts in draws_of(7, source.size, 20, np.random.default_rng(0)):
        assert (counts.sum(axis=1) == 7).all()


def test_the_value_is_the_plain_eer_and_the_seed_decides_the_rest():
    scores, fake, source = sample(np.random.default_rng(1))
    first = bootstrap_eer(scores, fake, source, n=200, seed=1)
    assert first.value == eer(scores[~fake], scores[fake])[0]
    assert first.lo <= first.value <= first.hi
    assert (first.draws, first.groups) == (200, 40)
    assert first == bootstrap_eer(scores, fake, source, n=200, seed=1)
    assert first != bootstrap_eer(scores, fake, source, n=200, seed=2)


def test_group_names_and_order_of_trials_do_not_matter():
    scores, fake, source = sample(np.random.default_rng(2))
    order = np.random.default_rng(0).permutation(len(scores))
    names = np.array([f"r{g:03d}" for g in source])
    plain = bootstrap_eer(scores, fake, source, n=100)
    assert plain == bootstrap_eer(scores[order], fake[order], names[order], n=100)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """95 % intervals over sources hold the true EER in 88 to 100 % of 200 samples with correlated copies."""
    rng = np.random.default_rng(3)
    scores, fake, _ = sample(rng, sources=60000, copies=3)
    truth = eer(scores[~fake], scores[fake])[0]
    held = 0
    for trial in range(200):
        interval = bootstrap_eer(*sample(rng, sources=80, copies=3), n=200, seed=trial)
        held += interval.lo <= truth <= interval.hi
    assert 176 <= held <= 200


def test_ignoring_groups_makes_intervals_of_copies_too_narrow():
    """Ten copies of each score tell no more than one: by source the interval is as wide as without them."""
    scores, fake, _ = sample(np.random.default_rng(4), sources=30, copies=1, own=0)
    group = np.arange(len(scores))
    alone = bootstrap_eer(scores, fake, group, n=500)
    tenfold = (np.repeat(x, 10) for x in (scores, fake, group))
    grouped = bootstrap_eer(*tenfold, n=500)
    single = bootstrap_eer(np.repeat(scores, 10), np.repeat(fake, 10), np.arange(10 * len(scores)), n=500)
    assert grouped.se == pytest.approx(alone.se, rel=0.2)
    assert single.se < 0.5 * alone.se


def test_a_paired_difference_is_narrower_than_two_intervals():
    rng = np.random.default_rng(5)
    scores, fake, source = sample(rng, sources=100)
    better = scores + np.where(fake, -0.4, 0.0)
    paired, _ = paired_test(better, scores, fake, source, n=300)
    rates = [eer(s[~fake], s[fake])[0] for s in (better, scores)]
    assert paired.value == pytest.approx(rates[0] - rates[1])
    assert paired.value < 0
    unpaired = np.hypot(*(bootstrap_eer(s, fake, source, n=300).se for s in (better, scores)))
    assert paired.se < unpaired
    same, p = paired_test(scores, scores, fake, source, n=50)
    assert (same.value, same.lo, same.hi, p) == (0, 0, 0, 1)


def test_seeds_are_averaged_within_each_draw():
    rng = np.random.default_rng(6)
    scores, fake, source = sample(rng)
    other = scores + rng.normal(size=scores.size)
    both = bootstrap_eers(np.stack([scores, other]), fake, source, n=40)
    mean = bootstrap_eer(np.stack([scores, other]), fake, source, n=40)
    assert (mean.lo, mean.hi) == pytest.approx(tuple(np.quantile(both.mean(axis=0), [0.025, 0.975])))
    paired, _ = paired_test(np.stack([scores, other]), np.stack([other, scores]), fake, source, n=40)
    assert paired.value == pytest.approx(0)


def test_draws_of_one_class_only_are_left_out_or_refused():
    """Two speakers, one with bona fide only: a quarter of the draws has no spoof."""
    scores, fake = np.array([2.0, 1.0, 0.5, 0.0]), np.array([False, False, False, True])
    found = bootstrap_eers(scores, fake, np.array(["a", "a", "b", "b"]), n=200)
    assert 0.1 < np.isnan(found).mean() < 0.4
    with pytest.raises(MasdError, match="at least two groups"):
        bootstrap_eer(scores, fake, np.zeros(4))


def test_what_cannot_be_resampled_is_refused():
    with pytest.raises(MasdError, match="no spoofed trials"):
        bootstrap_eer([1.0, 2.0], [False, False], [0, 1])
    with pytest.raises(MasdError, match="differ in length"):
        bootstrap_eer([1.0, 2.0], [False, True], [0, 1, 2])
    with pytest.raises(MasdError, match="same trials and seeds"):
        paired_test([1.0, 2.0], [1.0], [False, True], [0, 1])


def test_an_interval_without_an_error_is_not_without_width():
    """Clopper and Pearson's bound for 0 errors of n: (1 - p)^n = 0.025 at its upper end."""
    fake = np.arange(60) >= 20
    scores = np.where(fake, -1.0, 1.0) + np.linspace(0, 0.5, 60)
    alone = bootstrap_eer(scores, fake, np.arange(60), n=100)
    assert (alone.value, alone.lo, alone.method, alone.effective) == (0, 0, "clopper-pearson", 20)
    assert (1 - alone.hi) ** 20 == pytest.approx(0.025)
    speaker = np.r_[np.repeat(np.arange(5), 4), np.repeat(np.arange(5), 8)]
    clustered = bootstrap_eer(scores, fake, speaker, n=100)
    assert clustered.effective == 5  # trials of a speaker tell no more than one
    assert (1 - clustered.hi) ** 5 == pytest.approx(0.025)
    constant = bootstrap_eer(np.zeros(60), fake, np.arange(60), n=100)
    assert (constant.lo, constant.hi) == (pytest.approx(1 - alone.hi), 1)


def test_one_error_is_enough_for_the_draws():
    fake = np.arange(60) >= 20
    scores = np.where(fake, -1.0, 1.0)
    scores[0] = -2
    found = bootstrap_eer(scores, fake, np.arange(60), n=100)
    assert (found.method, found.effective) == ("percentile", None)
    assert found.hi > found.lo == 0


def test_a_difference_of_two_systems_without_an_error_has_the_width_of_either():
    fake = np.arange(60) >= 20
    scores = np.where(fake, -1.0, 1.0)
    found, p = paired_test(scores, 2 * scores, fake, np.arange(60), n=100)
    assert (found.lo, found.value, p) == (-found.hi, 0, 1)
    assert found.hi == bootstrap_eer(scores, fake, np.arange(60), n=100).hi > 0.1


@pytest.mark.parametrize(
    ("below", "at", "n", "p"),
    [
        (3, 0, 99, 2 * 4 / 100),  # 3 of 99 draws below 0: (3 + 1) / 100 to one side
        (96, 0, 99, 2 * 4 / 100),  # and to the other
        (0, 0, 99, 2 * 1 / 100),  # never 0, however clear
        (2, 3, 99, 2 * 6 / 100),  # a draw of no difference counts for both sides
        (49, 1, 99, 1.0),
        (0, 99, 99, 1.0),
    ],
)
def test_the_two_sided_p_of_known_draws(monkeypatch, below, at, n, p):
    """p = 2 min(share at or below 0, share at or above 0), each share (k + 1) / (n + 1)."""
    difference = np.r_[np.full(below, -0.01), np.zeros(at), np.full(n - below - at, 0.02)]
    draws = np.stack([0.3 + difference, np.full(n, 0.3)])
    draws[0, difference == 0] = 0.3
    monkeypatch.setattr("masd.metrics.bootstrap.bootstrap_eers", lambda *args: draws)
    fake = np.array([False, True, False, True])
    _, found = paired_test([1.0, 2.0, 3.0, 0.0], [1.0, 2.0, 3.0, 0.0], fake, np.arange(4), n)
    assert found == pytest.approx(p)
