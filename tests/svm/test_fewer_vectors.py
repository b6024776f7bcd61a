"""The SVM with fewer vectors: the projection, its limits, and that more vectors come nearer."""

import numpy as np
import pytest

from masd.errors import MasdError
from masd.svm.fewer_vectors import reduced
from masd.svm.kernel import KernelSvm, fit_svm


def machine(n=400, dim=8, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, dim)).astype(np.float32)
    return fit_svm(values, values[:, 0] + 0.5 * rng.normal(size=n) > 0.3), rng.normal(size=(200, dim))


def test_more_vectors_come_nearer():
    full, test = machine()
    f = full.decision(test)
    off = [np.abs(reduced(full, count).decision(test) - f).mean() for count in (4, 32, 128)]
    assert off[0] > off[1] > off[2]
    assert off[2] < 0.1 * np.abs(f).mean()
    agree = (reduced(full, 32).decision(test) > 0) == (f > 0)
    assert agree.mean() > 0.9


def test_what_is_left_is_orthogonal_to_the_kernels_kept():
    """f - g, with g the reduced machine, has no part in the span of k(z_j, .): (f - g)(z_j) = 0."""
    full, _ = machine()
    small = reduced(full, 16)
    at = small.support
    np.testing.assert_allclose(small.decision(at), full.decision(at), atol=0.02)


def test_copies_of_one_vector_become_it():
    """Kernels that say the same are joined without loss."""
    support = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    dual = np.repeat([1.0, 2.0, -1.0, -3.0], 5)
    full = KernelSvm(support, dual, 0.5, 0.7)
    test = np.random.default_rng(0).normal(size=(20, 4))
    small = reduced(full, 4)
    assert len(small.dual) == 4
    np.testing.assert_allclose(small.decision(test), full.decision(test), atol=1e-4)


def test_limits():
    full, _ = machine()
    assert reduced(full, 10_000) is full
    with pytest.raises(MasdError, match="2 in all"):
        reduced(full, 1)
