"""Eq. 2."""

from __future__ import annotations

import numpy as np
import pytest

from masd.ssl.config import DIFFICULTY
from masd.ssl.curriculum import curriculum_epoch, vocoder_probabilities

SIX = ["world", "waveglow", "melgan", "hifigan", "univnet", "bigvgan"]


def test_published_figures_at_epoch_50():
    """With the paper's six vocoders, d = 1, 2, 3 have P = .093, .154, .253."""
    p = vocoder_probabilities([DIFFICULTY[name] for name in SIX], 50)
    np.testing.assert_allclose(p, [0.093, 0.093, 0.154, 0.154, 0.253, 0.253], atol=5e-4)


def test_all_alike_at_the_start_and_formula_later():
    d = [1, 2, 3.5]
    np.testing.assert_allclose(vocoder_probabilities(d, 0), 1 / 3)
    expected = np.exp(0.02 * 70 * np.array(d))
    np.testing.assert_allclose(vocoder_probabilities(d, 70, 0.02), expected / expected.sum())


@pytest.mark.parametrize("epochs", [2, 7, 100, 250])
def test_a_run_of_any_length_covers_what_100_epochs_cover(epochs):
    covered = [curriculum_epoch(e, epochs) for e in range(epochs)]
    assert covered[0] == 0
    assert covered[-1] == pytest.approx(99)
    np.testing.assert_allclose(np.diff(covered), 99 / (epochs - 1))
    if epochs == 100:
        np.testing.assert_allclose(covered, range(100))


def test_unscaled_epoch_is_the_epoch():
    assert [curriculum_epoch(e, 7, scaled=False) for e in range(7)] == list(range(7))
    assert curriculum_epoch(0, 1) == 0
