"""The project's own evaluation of the SVM against scikit-learn's, and the rule for gamma."""

import numpy as np
import pytest
from sklearn.svm import SVC

from masd.errors import MasdError
from masd.svm.kernel import KernelSvm, fit_svm, mean_squared_distance


def data(n=300, dim=20, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(n, dim)) + offset).astype(np.float32)
    return values, values[:, :3].sum(1) + rng.normal(size=n) > 3 * offset + 1.0


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("weight", ["balanced", "none"])
def test_decisions_are_those_of_scikit_learn(weight, offset):
    """Also far from the origin, where |x|^2 + |y|^2 - 2xy would lose all digits in float32."""
    values, labels = data(offset=offset)
    machine = fit_svm(values, labels, c=10.0, gamma=0.02, weights=np.ones(300) if weight == "none" else None)
    weights = "balanced" if weight == "balanced" else None
    other = SVC(C=10.0, gamma=0.02, class_weight=weights).fit(values.astype(np.float64), labels)
    test = data(500, offset=offset, seed=1)[0]
    expected = other.decision_function(test.astype(np.float64))
    np.testing.assert_allclose(machine.decision(test), expected, atol=1e-5, rtol=0)


def test_decision_by_a_loop():
    machine = KernelSvm(np.array([[0, 1], [2, 0]], np.float32), np.array([0.5, -2.0]), 0.25, 0.3)
    x = np.array([[1.0, 1.0], [0.0, -3.0]], np.float32)
    expected = [
        sum(d * np.exp(-0.3 * sum((a - b) ** 2 for a, b in zip(row, s, strict=True))) for d, s in
            zip(machine.dual, machine.support.astype(float), strict=True)) + 0.25
        for row in x.astype(float)
    ]  # fmt: skip
    np.testing.assert_allclose(machine.decision(x), expected, atol=1e-12)


def test_blocks_do_not_matter():
    values, labels = data()
    machine = fit_svm(values, labels)
    one = machine.decision(values)
    for rows in (1, 7, 1000):
        np.testing.assert_allclose(machine.decision(values, rows), one, atol=1e-12)


def test_many_support_vectors():
    """More than a tile of them, large coefficients of both signs."""
    rng = np.random.default_rng(0)
    support, values = np.split(rng.normal(size=(2800, 64)).astype(np.float32), [2500])
    machine = KernelSvm(support, rng.choice([-10.0, 10.0], size=2500), 0.5, 1 / 128)
    distances = ((values[:, None].astype(float) - support.astype(float)) ** 2).sum(-1)
    expected = np.exp(-distances / 128) @ machine.dual + 0.5
    np.testing.assert_allclose(machine.decision(values), expected, atol=1e-11 * np.abs(expected).max())


def test_a_narrow_kernel():
    """Raw features of large scale with a fixed gamma: near neighbours keep their distance."""
    rng = np.random.default_rng(0)
    support = (1000 * rng.normal(size=(50, 20))).astype(np.float32)
    machine = KernelSvm(support, np.ones(50), 0.0, 0.01)
    near = support + rng.normal(size=support.shape).astype(np.float32)
    distances = ((near[:, None].astype(float) - support.astype(float)) ** 2).sum(-1)
    np.testing.assert_allclose(machine.decision(near), np.exp(-0.01 * distances).sum(1), rtol=1e-7)


def test_positive_means_fake():
    values, labels = data()
    f = fit_svm(values, labels).decision(values)
    assert f[labels].mean() > 0 > f[~labels].mean()


def test_gamma_is_one_over_the_mean_squared_distance():
    values, labels = data(40)
    distances = [((a - b) ** 2).sum() for i, a in enumerate(values) for j, b in enumerate(values) if i != j]
    assert mean_squared_distance(values) == pytest.approx(np.mean(distances), rel=1e-5)
    assert fit_svm(values, labels).gamma == pytest.approx(1 / np.mean(distances), rel=1e-5)


def test_class_weights_move_the_boundary():
    values, labels = data(400)
    keep = labels | (np.arange(400) < 150)
    balanced = fit_svm(values[keep], labels[keep], c=0.01).decision(values).mean()
    plain = fit_svm(values[keep], labels[keep], c=0.01, weights=np.ones(keep.sum())).decision(values).mean()
    assert balanced != pytest.approx(plain, abs=1e-3)


def test_what_cannot_be_fitted():
    values, labels = data(30)
    with pytest.raises(MasdError, match="both bona fide and spoof"):
        fit_svm(values, np.ones(30, bool))
    with pytest.raises(MasdError, match="all equal"):
        fit_svm(np.ones((30, 2)), labels)
    values[3, 3] = np.nan
    with pytest.raises(MasdError, match="NaN"):
        fit_svm(values, labels)


def test_wrong_dimension_is_named():
    machine = fit_svm(*data(50))
    with pytest.raises(MasdError, match="20 dimensions, got 7"):
        machine.decision(np.zeros((2, 7)))


def test_distance_is_gamma_times_the_square_to_the_nearest_support_vector():
    values, labels = data(60)
    machine = fit_svm(values, labels)
    far = values[:5] + 100.0
    every = ((far[:, None] - machine.support[None]) ** 2).sum(2)
    np.testing.assert_allclose(machine.distance(far), machine.gamma * every.min(1), rtol=1e-4)
    assert machine.distance(machine.support[:3]) == pytest.approx(0, abs=1e-3)
