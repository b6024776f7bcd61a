"""Mixtures of diagonal Gaussians: k-means start, expectation-maximisation in blocks, log-likelihoods."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from masd.errors import MasdError

log = logging.getLogger(__name__)

BLOCK = 8192  # frames a step
VARIANCE_FLOOR = 1e-6  # added to every variance, as scikit-learn's reg_covar


@dataclass
class Gmm:
    """A mixture of K diagonal Gaussians over D dimensions.

    Attributes:
        weights: (K,), sum 1.
        means: (K, D).
        variances: (K, D).
    """

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    def joint(self, x: np.ndarray) -> np.ndarray:
        """Return log w_k N(x_n; mu_k, diag v_k) (N, K) of frames x (N, D)."""
        precision = 1.0 / self.variances
        square = x**2 @ precision.T - 2 * x @ (self.means * precision).T + (self.means**2 * precision).sum(1)
        norm = np.log(2 * np.pi * self.variances).sum(1)
        return np.log(self.weights) - 0.5 * (square + norm)

    def log_likelihood(self, x: np.ndarray) -> np.ndarray:
        """Return log p(x_n) (N,) of frames x (N, D)."""
        blocks = (x[i : i + BLOCK].astype(np.float64) for i in range(0, len(x), BLOCK))
        return np.concatenate([_logsumexp(self.joint(block)) for block in blocks])

    def step(self, x: np.ndarray) -> tuple[Gmm, float]:
        """Return the mixture after one step of expectation-maximisation, and the mean log p(x) before it."""
        count, first, second, total = 0.0, 0.0, 0.0, 0.0
        for i in range(0, len(x), BLOCK):
            block = x[i : i + BLOCK].astype(np.float64)
            joint = self.joint(block)
            norm = _logsumexp(joint)
            share = np.exp(joint - norm[:, None])
            count = count + share.sum(0)
            first, second = first + share.T @ block, second + share.T @ block**2
            total += norm.sum()
        mass = np.asarray(count) + 10 * np.finfo(np.float64).eps
        means = np.asarray(first) / mass[:, None]
        variances = np.maximum(np.asarray(second) / mass[:, None] - means**2, 0.0) + VARIANCE_FLOOR
        return Gmm(mass / mass.sum(), means, variances), float(total / len(x))


def _logsumexp(x: np.ndarray) -> np.ndarray:
    top = x.max(1)
    return top + np.log(np.exp(x - top[:, None]).sum(1))


def start(x: np.ndarray, components: int, seed: int) -> Gmm:
    """Return a mixture whose components are the clusters of k-means over frames x (N, D).

    Raises:
        MasdError: there are fewer frames than components.
    """
    from sklearn.cluster import MiniBatchKMeans

    if len(x) < components:
        raise MasdError(f"gmm.components: {components} are more than there are frames ({len(x)})")
    found = MiniBatchKMeans(components, random_state=seed, batch_size=4096, n_init=1, max_iter=20).fit(x)
    share = np.bincount(found.labels_, minlength=components) + 1.0
    means = found.cluster_centers_.astype(np.float64)
    spread = np.tile(x.astype(np.float64).var(0), (components, 1))
    for k in range(components):
        mine = x[found.labels_ == k]
        if len(mine) > 1:
            spread[k] = mine.astype(np.float64).var(0)
    return Gmm(share / share.sum(), means, spread + VARIANCE_FLOOR)


def fit(x: np.ndarray, components: int, iterations: int, init_frames: int, seed: int, name: str = "") -> Gmm:
    """Fit a mixture to frames x (N, D), from k-means over an even part of them.

    Args:
        x: the frames.
        components: K.
        iterations: steps of expectation-maximisation.
        init_frames: most frames for k-means.
        seed: of k-means.
        name: for the log.
    """
    gmm = start(x[:: -(-len(x) // init_frames)], min(components, len(x)), seed)
    for k in range(iterations):
        gmm, level = gmm.step(x)
        log.info("%s: iteration %d, log-likelihood %.4f a frame", name, k + 1, level)
    return gmm
