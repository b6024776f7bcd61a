"""P(fake) of a decision value for a stated prior, and the errors that a development set shows at one half."""

import numpy as np
import pytest

from masd.stage.seeding import generator
from masd.systems.calibration import Posterior


def decisions(bonafide=3000, spoof=1000):
    rng = generator(0, "decisions")
    f = np.concatenate([rng.normal(-1.0, 1.0, bonafide), rng.normal(1.0, 1.0, spoof)])
    return f, np.arange(len(f)) >= bonafide


def test_the_map_is_for_even_priors_whatever_the_development_set_has():
    """Two normal distributions of unit variance, 2 apart: the log-likelihood ratio is 2 f."""
    found = Posterior.fit(*decisions())
    assert (found.a, found.b, found.prior) == pytest.approx((2.0, 0.0, 0.5), abs=0.12)
    assert found.logit(0.3, 0.9) - found.logit(0.3) == pytest.approx(np.log(9))


@pytest.mark.parametrize("prior", [0.05, 0.5, 0.9])
def test_errors_are_those_of_the_development_set_at_one_half(prior):
    f, fake = decisions()
    found = Posterior.fit(f, fake)
    called = found.a * f + found.b + np.log(prior / (1 - prior)) >= 0
    wrong = (called[~fake].mean(), (~called[fake]).mean())
    assert found.errors(prior) == pytest.approx(wrong, abs=0.004)
    assert found.logit(found.boundary(prior), prior) == pytest.approx(0, abs=1e-12)


def test_what_a_model_keeps_comes_back_and_one_without_falls_back_to_its_affine_map():
    found = Posterior.fit(*decisions())
    assert Posterior.of({"posterior": found.described()}) == found
    old = Posterior.of({"affine": {"a": 1.5, "b": 0.2, "prior": 0.75}})
    assert old.errors() is None
    assert old.logit(0.0) == pytest.approx(0.2 - np.log(3))
