"""LFCC-GMM: mixtures of diagonal Gaussians, one for bona fide and one for spoofed speech."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from masd.errors import MasdError
from masd.stage.files import config_from
from masd.stage.seeding import derive, generator
from masd.systems.base import WaveformSystem
from masd.systems.config import GmmConfig
from masd.systems.folder import AGAIN, check_shapes

if TYPE_CHECKING:
    from masd.feats.lfcc import Lfcc
    from masd.systems.train import Job

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
    """Fit a mixture to frames x (N, D), from k-means over an even part of them, `init_frames` at most."""
    gmm = start(x[:: -(-len(x) // init_frames)], min(components, len(x)), seed)
    for k in range(iterations):
        gmm, level = gmm.step(x)
        log.info("%s: iteration %d, log-likelihood %.4f a frame", name, k + 1, level)
    return gmm


class GmmSystem(WaveformSystem):
    """LFCC-GMM: the mean log-likelihood ratio of the frames of the recording, of its first 30 s.

    Args:
        config: front end.
        bonafide: mixture of bona fide speech.
        spoof: mixture of spoofed speech.
    """

    type = "gmm"

    def __init__(self, name: str, config: GmmConfig, bonafide: Gmm, spoof: Gmm) -> None:
        super().__init__(name)
        self.config, self.bonafide, self.spoof = config, bonafide, spoof
        self.front_end = lfcc(config)

    @classmethod
    def uses(cls, job: Job) -> Any:
        """Return the settings."""
        return job.settings.gmm

    @classmethod
    def fit(cls, job: Job, work: str, force: bool = False) -> GmmSystem:
        """Fit the two mixtures and calibrate on the development set."""
        started, config = time.monotonic(), job.settings.gmm
        front_end, mixtures = lfcc(config), []
        for label in ("bonafide", "spoof"):
            utts = [utt for utt in job.train.utts if job.train.lab(utt) == label]
            frames = (lfcc_frames(front_end, x) for _, x in job.speech(job.train, utts, cls.hearing))
            x = sampled(frames, config.max_frames // max(len(utts), 1), job.seed)
            log.info("%s: %d frames of %d utterances", label, len(x), len(utts))
            seed = derive(job.seed, label) % 2**31
            mixtures.append(fit(x, config.components, config.iterations, config.init_frames, seed, label))
        system = cls(job.system, config, *mixtures)
        return job.calibrate(system, job.raw_dev(system), started)

    def raw(self, waves: Sequence[np.ndarray], speakers: Sequence[str]) -> np.ndarray:
        """Return mean log p(x | bona fide) - log p(x | spoof) of each recording."""
        frames = [lfcc_frames(self.front_end, x[: self.hearing.samples]) for x in waves]
        ratio = [self.bonafide.log_likelihood(x) - self.spoof.log_likelihood(x) for x in frames]
        return np.array([one.mean() for one in ratio])

    def parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the front end's settings and both mixtures."""
        both = (("bonafide", self.bonafide), ("spoof", self.spoof))
        tensors = {f"{name}.{key}": value for name, gmm in both for key, value in vars(gmm).items()}
        return {"gmm": self.config}, tensors

    @classmethod
    def of(
        cls, name: str, settings: dict[str, Any], tensors: dict[str, np.ndarray], folder: Path
    ) -> GmmSystem:
        """Return the system that `parts` described."""
        from masd.feats.lfcc import LfccConfig

        config = config_from(GmmConfig, settings["gmm"], folder / "model.yaml")
        keys = ("weights", "means", "variances")
        for kind in ("bonafide", "spoof"):
            size = LfccConfig().dim
            shapes = dict(zip(keys, (("k",), ("k", size), ("k", size)), strict=True))
            check_shapes(tensors, {f"{kind}.{key}": shape for key, shape in shapes.items()}, folder)
            if not all((tensors[f"{kind}.{key}"] > 0).all() for key in ("weights", "variances")):
                raise MasdError(
                    f"{folder}: the {kind} mixture's weights or variances are not above 0; {AGAIN}"
                )
        mixtures = [Gmm(*(tensors[f"{kind}.{key}"] for key in keys)) for kind in ("bonafide", "spoof")]
        return cls(name, config, *mixtures)


def lfcc(config: GmmConfig) -> Lfcc:
    """Return the front end of a GMM's settings."""
    from masd.feats.lfcc import Lfcc, LfccConfig

    return Lfcc(LfccConfig(window=config.window, hop=config.hop, n_fft=config.n_fft, f_max=config.f_max))


def lfcc_frames(front_end: Lfcc, x: np.ndarray) -> np.ndarray:
    """Return LFCC (T, 60), float32, of a waveform (N,)."""
    import torch

    with torch.inference_mode():
        return front_end(torch.from_numpy(np.ascontiguousarray(x, np.float32))[None])[0].numpy()


def sampled(parts: Iterator[np.ndarray], most: int, seed: int) -> np.ndarray:
    """Return rows of all parts (T_i, D), at most `most` of each, drawn at random.

    Raises:
        MasdError: there are no parts.
    """
    kept = []
    for number, part in enumerate(parts):
        if len(part) > most:
            rows = generator(seed, "frames", number).choice(len(part), max(most, 1), replace=False)
            part = part[np.sort(rows)]
        kept.append(part)
    if not kept:
        raise MasdError("no training utterance of one of the classes can be used")
    return np.concatenate(kept)
