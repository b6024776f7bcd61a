"""A kernel SVM with fewer vectors: the nearest function that so many kernels can make."""

from __future__ import annotations

import numpy as np

from masd.errors import MasdError
from masd.svm.kernel import KernelSvm

_RIDGE = 1e-6  # of the kernel matrix, whose diagonal is 1
_ITERATIONS = 30


def reduced(machine: KernelSvm, vectors: int, seed: int = 0) -> KernelSvm:
    """Return a machine with at most `vectors` vectors in place of the support vectors.

    The vectors z are k-means centres of the support vectors, those of positive and of negative coefficients
    apart, weighted by the coefficients' size. Their coefficients are those of the orthogonal projection of
    f - intercept = sum_i dual_i k(s_i, .) onto the span of k(z_j, .), beta = (K_zz + ridge)^-1 K_zs dual, the
    nearest function in the norm of the kernel's space. No data are needed but the machine's own; `seed` is of
    the k-means' start.

    Raises:
        MasdError: fewer than two vectors.
    """
    if vectors < 2:
        raise MasdError(f"--export.vectors {vectors}: an SVM needs at least one on either side, 2 in all")
    if vectors >= len(machine.dual):
        return machine
    fake = machine.dual > 0
    share = min(max(round(vectors * float(fake.mean())), 1), vectors - 1)
    sides = [(fake, share), (~fake, vectors - share)]
    centres = np.concatenate([_centres(machine, rows, count, seed) for rows, count in sides])
    within = _kernel(centres, centres, machine.gamma)
    within[np.diag_indices(len(within))] += _RIDGE
    target = np.zeros(len(centres))
    for start in range(0, len(machine.dual), 4096):  # memory does not grow with the number of support vectors
        part = slice(start, start + 4096)
        target += _kernel(centres, machine.support[part], machine.gamma) @ machine.dual[part]
    dual = np.linalg.solve(within, target)
    return KernelSvm(centres.astype(np.float32), dual, machine.intercept, machine.gamma)


def _centres(machine: KernelSvm, rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    support = machine.support[rows].astype(np.float64)
    if count >= len(support):
        return support
    means = KMeans(count, n_init=1, max_iter=_ITERATIONS, random_state=seed)
    means.fit(support, sample_weight=np.abs(machine.dual[rows]))
    return means.cluster_centers_


def _kernel(x: np.ndarray, y: np.ndarray, gamma: float) -> np.ndarray:
    """Return exp(-gamma |x - y|^2) (N, M) of x (N, D) and y (M, D), in float64."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    squared = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2.0 * x @ y.T
    return np.exp(-gamma * np.maximum(squared, 0.0))
