"""Second-order statistics of local descriptors: what they are blind to, and what they see."""

import numpy as np
import pytest

from masd.feats.families import Analysis, describe
from masd.feats.local_statistics import TONES, Resolution, log_covariances, tones

RATE = 16000
NAMES = ["covariance", "covariance_loud", "patch_covariance"]


def noise(seconds=2.0, seed=0):
    """Return white noise whose level goes up and down: (N,)."""
    n = int(seconds * RATE)
    swell = 0.2 + np.sin(2 * np.pi * 2.0 * np.arange(n) / RATE) ** 2
    return swell * np.random.default_rng(seed).standard_normal(n)


def test_log_covariance_is_the_logarithm_of_the_covariance():
    from scipy.linalg import logm

    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((3, 3))
    channels = np.einsum("cd,dtf->ctf", mixing, rng.standard_normal((3, 200, 66))) + 5.0
    found = log_covariances(channels).reshape(3, 6)[0]
    matrix = np.zeros((3, 3))
    matrix[np.triu_indices(3)] = found
    matrix = (matrix + matrix.T) / np.sqrt(2)
    matrix[np.diag_indices(3)] = found[[0, 3, 5]]
    logs = []
    for low, high in ((0, 10), (10, 20)):  # of 66 bins to 8 kHz: halves of 0 to 2467 Hz
        expected = np.cov(channels[:, :, low:high].reshape(3, -1), bias=True)
        logs.append(logm(expected + 1e-3 * np.trace(expected) / 3 * np.eye(3)))
    np.testing.assert_allclose(matrix, (logs[0] + logs[1]) / 2, rtol=1e-6)


def test_a_filter_over_the_recording_changes_little():
    from scipy.signal import lfilter

    x = noise()
    filtered, other = lfilter([1.0, -0.7], [1.0], x), noise(seed=1)
    first, second, third = (describe(y, ["covariance"])["covariance"] for y in (x, filtered, other))
    assert np.linalg.norm(first - second) < 0.6 * np.linalg.norm(first - third)


@pytest.mark.parametrize("name", NAMES)
def test_smoothed_cells_are_seen(name):
    """Noise of a slowly changing spectrum against noise: far further apart than two draws of noise."""
    x = noise()
    held = x.reshape(-1, 40)[:, :20]  # every stretch of 20 samples said twice
    held = np.concatenate([held, held], axis=1).ravel()
    here, there, changed = (describe(y, [name])[name] for y in (x, noise(seed=1), held))
    assert np.linalg.norm(here - changed) > 2 * np.linalg.norm(here - there)


def test_loud_frames_are_told_apart():
    """Another background, 40 dB down in the second half, hardly changes what is loud."""
    loud, hiss = noise(1.0), 0.01 * noise(1.0, seed=2)
    hum = 0.01 * np.sin(2 * np.pi * 440 / RATE * np.arange(RATE))
    a, b = (describe(np.concatenate([loud, rest]), NAMES) for rest in (hiss, hum + 0.01 * hiss))
    moved = {name: np.linalg.norm(a[name] - b[name]) for name in NAMES}
    assert moved["covariance"] > 1.2 * moved["covariance_loud"]


def test_phase_of_a_tone_at_a_bin_does_not_advance():
    x = np.cos(2 * np.pi * 40 / 512 * np.arange(RATE)).astype(np.float32)
    cosine, sine = Resolution(x, 512).channels[3:5, :, 39]  # of the 40th bin: the first is left out
    np.testing.assert_allclose(cosine, 1, atol=1e-3)
    np.testing.assert_allclose(sine, 0, atol=1e-2)


def test_tones_find_the_rate_whose_multiples_stand_out():
    rng = np.random.default_rng(3)
    x, rate = rng.standard_normal(3 * RATE), 750.0 / 2
    t = np.arange(len(x)) / RATE
    x += sum(0.1 * np.cos(2 * np.pi * k * rate * t + k * k) for k in range(1, 20))
    plain, found = tones(Analysis(rng.standard_normal(3 * RATE))), tones(Analysis(x))
    means = found[: 3 * len(TONES) : 3] - plain[: 3 * len(TONES) : 3]
    assert TONES[int(np.argmax(means))] in (375.0, 1500.0, 3000.0)
    assert means[TONES.index(375.0)] > 2
    assert means[TONES.index(86.1328125)] < 1


def test_half_a_second_is_enough():
    found = describe(noise(0.5), [*NAMES, "tones"])
    assert all(np.isfinite(values).all() for values in found.values())
