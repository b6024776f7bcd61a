"""The mixtures against scikit-learn's."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from masd.errors import MasdError
from masd.systems import gmm as module
from masd.systems.gmm import Gmm, fit, start


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((3, 5)) * 3
    return np.concatenate([c + rng.standard_normal((200, 5)) * (1 + k) for k, c in enumerate(centres)])


def as_sklearn(gmm):
    theirs = GaussianMixture(len(gmm.weights), covariance_type="diag")
    theirs.weights_, theirs.means_, theirs.covariances_ = gmm.weights, gmm.means, gmm.variances
    theirs.precisions_cholesky_ = 1 / np.sqrt(gmm.variances)
    return theirs


def test_log_likelihoods_are_scikit_learns(frames, monkeypatch):
    gmm = start(frames, 4, seed=0)
    monkeypatch.setattr(module, "BLOCK", 37)
    np.testing.assert_allclose(gmm.log_likelihood(frames), as_sklearn(gmm).score_samples(frames), rtol=1e-9)


def test_float32_frames_near_a_narrow_component_are_judged_as_in_training():
    """Digital silence gives one of almost no variance; squares in float32 were wrong by whole nats there."""
    frames = (40 + 1e-3 * np.random.default_rng(0).standard_normal((50, 5))).astype(np.float32)
    gmm = Gmm(np.ones(1), np.full((1, 5), 40.0), np.full((1, 5), 1e-6))
    exact = gmm.log_likelihood(frames.astype(np.float64))
    np.testing.assert_allclose(gmm.log_likelihood(frames), exact, rtol=1e-12)
    np.testing.assert_allclose(exact, as_sklearn(gmm).score_samples(frames.astype(np.float64)), rtol=1e-6)


def test_a_step_is_scikit_learns_and_raises_the_likelihood(frames, monkeypatch):
    first = start(frames, 3, seed=0)
    monkeypatch.setattr(module, "BLOCK", 50)
    second, before = first.step(frames)
    theirs = GaussianMixture(
        3, covariance_type="diag", max_iter=1, tol=0, weights_init=first.weights,
        means_init=first.means, precisions_init=1 / first.variances,
    )  # fmt: skip
    with pytest.warns(UserWarning):
        theirs.fit(frames)
    np.testing.assert_allclose(second.weights, theirs.weights_, rtol=1e-6)
    np.testing.assert_allclose(second.means, theirs.means_, rtol=1e-6)
    np.testing.assert_allclose(second.variances, theirs.covariances_, rtol=1e-5)
    assert before == pytest.approx(first.log_likelihood(frames).mean())
    assert second.step(frames)[1] > before


def test_more_components_than_frames_are_refused():
    with pytest.raises(MasdError, match=r"gmm\.components"):
        start(np.zeros((3, 2)), 4, 0)


def test_a_fit_is_repeatable(frames):
    one, other = (fit(frames, 3, 4, 100, seed=1) for _ in range(2))
    np.testing.assert_array_equal(one.means, other.means)
    assert isinstance(one, Gmm)
