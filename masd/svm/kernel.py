"""RBF support vector machine: fitted by scikit-learn, evaluated by blocked matrix products (Eq. 9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from masd.errors import MasdError

ARRAYS = ("support", "dual", "intercept", "gamma")
_TILE = 1024  # support vectors
_Tile = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass
class KernelSvm:
    """f(v) = sum_i dual_i exp(-gamma |v - support_i|^2) + intercept; f > 0 says fake.

    Args:
        support: (M, D) float32 support vectors.
        dual: (M,) float64 signed dual coefficients.
        intercept: the offset.
        gamma: the kernel's width, 1 / squared distance.
    """

    support: np.ndarray
    dual: np.ndarray
    intercept: float
    gamma: float

    def decision(self, values: np.ndarray, rows: int = 256) -> np.ndarray:
        """Return f (N,) float64 of values (N, D).

        Tiles of `rows` x 1024 kernel values at a time, all in float64: memory does not grow with N x M, and a
        tile stays in the cache.

        Raises:
            MasdError: the values have another dimension than the support vectors.
        """
        values = np.atleast_2d(values)
        if values.shape[1] != self.support.shape[1]:
            raise MasdError(
                f"the SVM takes {self.support.shape[1]} dimensions, got {values.shape[1]}; "
                "features and model are not of one system"
            )
        out = np.full(len(values), self.intercept)
        for start in range(0, len(values), rows):
            # centred, so that |v|^2 + |s|^2 - 2 v s loses no digits when the data lie far from the origin
            block = values[start : start + rows] - self._centre
            out[start : start + rows] += _weighted_kernel(block, self._tiles, self.gamma)
        return out

    @cached_property
    def _centre(self) -> np.ndarray:
        """The support vectors' mean (D,)."""
        return self.support.mean(axis=0, dtype=np.float64)

    def distance(self, values: np.ndarray) -> np.ndarray:
        """Return gamma |v - s|^2 (N,) of each row of `values` (N, D) and the support vector s nearest to it.

        Where it is large every kernel is next to nothing, and the decision next to the intercept: the machine
        has nothing to say of such an input.
        """
        centred, support = values - self._centre, self.support - self._centre
        square = (centred**2).sum(1)[:, None] + (support**2).sum(1) - 2.0 * centred @ support.T
        return self.gamma * np.maximum(square.min(1), 0.0)

    @cached_property
    def _tiles(self) -> list[_Tile]:
        """(centred support vectors transposed (D, m), their half squared norms (m,), dual (m,)) of each tile.

        Kept between calls: for one file at a time making them took longer than all else.
        """
        centred = self.support - self._centre
        parts = [slice(start, start + _TILE) for start in range(0, len(centred), _TILE)]
        return [(np.ascontiguousarray(centred[p].T), _half_norms(centred[p]), self.dual[p]) for p in parts]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the machine as plain arrays, as a model folder keeps it."""
        return {
            "support": self.support,
            "dual": self.dual,
            "intercept": np.float64(self.intercept),
            "gamma": np.float64(self.gamma),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], where: str | Path = "svm") -> KernelSvm:
        """Return the machine whose `arrays` these are.

        Raises:
            MasdError: the arrays do not fit together or hold something not finite.
        """
        support, dual = arrays["support"], arrays["dual"]
        shapes = support.ndim == 2 and dual.shape == support.shape[:1] and len(dual) > 0
        if not shapes or not all(np.isfinite(arrays[name]).all() for name in ARRAYS):
            raise MasdError(f"{where}: the SVM's arrays do not fit together; fit it again")
        numbers = (float(arrays["intercept"]), float(arrays["gamma"]))
        return cls(support.astype(np.float32, copy=False), dual.astype(np.float64, copy=False), *numbers)


def _half_norms(values: np.ndarray) -> np.ndarray:
    return 0.5 * np.einsum("nd,nd->n", values, values)


def _weighted_kernel(block: np.ndarray, tiles: list[_Tile], gamma: float) -> np.ndarray:
    """Return sum_i dual_i exp(-gamma |v - s_i|^2) for rows v of `block`, added up over tiles."""
    total = np.zeros(len(block))
    norms = _half_norms(block)[:, None]
    for support, half_norms, dual in tiles:
        kernel = block @ support
        kernel -= half_norms
        kernel -= norms
        kernel *= 2.0 * gamma
        np.minimum(kernel, 0.0, out=kernel)
        np.exp(kernel, out=kernel)
        total += kernel @ dual
    return total


def mean_squared_distance(values: np.ndarray) -> float:
    """Return the mean of |x - y|^2 over all pairs of different rows of `values` (N, D), in closed form.

    Raises:
        MasdError: fewer than two rows, or all rows equal.
    """
    values = np.asarray(values, dtype=np.float64)
    centred = values - values.mean(axis=0)
    total = 2.0 * float((centred**2).sum()) / max(1, len(values) - 1)
    if not total > 0:
        raise MasdError("the SVM's training inputs are all equal; gamma has no scale")
    return total


def fit_svm(
    values: np.ndarray,
    is_fake: np.ndarray,
    c: float = 10.0,
    gamma: float | Literal["mean_distance"] = "mean_distance",
    weights: np.ndarray | None = None,
    gamma_scale: float = 1.0,
) -> KernelSvm:
    """Fit an RBF support vector classifier to values (N, D), positive side fake (see `FitConfig`).

    `weights` (N,) are those of each utterance's slack; None weighs both classes alike.

    Raises:
        MasdError: one class is missing, or a value is not finite.
    """
    from sklearn.svm import SVC

    values = np.ascontiguousarray(values, dtype=np.float32)
    is_fake = np.asarray(is_fake, dtype=bool)
    if is_fake.all() or not is_fake.any():
        raise MasdError("the SVM needs both bona fide and spoof utterances to fit")
    if not np.isfinite(values).all():
        raise MasdError("the SVM's training inputs hold NaN or infinity")
    width = gamma_scale / mean_squared_distance(values) if gamma == "mean_distance" else float(gamma)
    weight = "balanced" if weights is None else None
    machine = SVC(C=c, kernel="rbf", gamma=width, class_weight=weight, cache_size=1000)
    machine.fit(values.astype(np.float64), is_fake, sample_weight=weights)
    dual = np.ascontiguousarray(machine.dual_coef_[0], dtype=np.float64)
    return KernelSvm(values[machine.support_], dual, float(machine.intercept_[0]), width)
