"""F0, excitation, linear prediction and mel-cepstra, against closed forms."""

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from masd.feats.lpc import analyse
from masd.feats.pitch import frames, pitch
from masd.vocoders.excitation import excitation
from masd.vocoders.lpc import overlap_add
from masd.vocoders.mlsa import mel_cepstra, mlsa_filter, warped_cosines

RATE = 16000


@pytest.mark.parametrize("f0", [75.0, 120.0, 215.0, 330.0])
def test_pitch_of_a_pulse_train(f0):
    n = np.arange(RATE)
    pulses = np.diff(np.floor(n * f0 / RATE), prepend=0.0)
    x = lfilter([1.0], [1, -1.6, 0.8], pulses)
    track = pitch(x.astype(np.float32), RATE, 80)[10:-10]
    assert np.all(track > 0)
    assert np.median(track) == pytest.approx(f0, rel=0.01)


def test_noise_and_silence_are_unvoiced():
    noise = np.random.default_rng(0).standard_normal(RATE)
    assert np.mean(pitch(noise, RATE, 80) > 0) < 0.05
    tone = np.concatenate([np.zeros(8000), np.sin(2 * np.pi * 150 * np.arange(8000) / RATE)])
    track = pitch(tone, RATE, 80)
    assert np.all(track[:80] == 0) and np.all(track[110:190] > 0)


def test_frames_are_centred_on_multiples_of_the_hop():
    cut = frames(np.arange(1.0, 101.0), 8, 10)
    assert cut.shape == (11, 8)
    assert cut[3, 4] == 31.0 and cut[0, 3] == 0.0


def test_excitation_has_unit_power_no_mean_and_one_pulse_a_period():
    f0 = np.concatenate([np.full(100, 100.0), np.zeros(100)])
    e = excitation(f0, 80, 16000, RATE, seed=3)
    voiced, unvoiced = e[200:7800], e[8200:15800]
    assert np.mean(voiced**2) == pytest.approx(1.0, rel=0.03)
    assert np.mean(unvoiced**2) == pytest.approx(1.0, rel=0.05)
    assert abs(voiced.mean()) < 0.02
    assert np.ptp(np.diff(np.flatnonzero(voiced > 1))) <= 2
    assert np.diff(np.flatnonzero(voiced > 1)).mean() == pytest.approx(160, abs=0.5)
    assert np.array_equal(e, excitation(f0, 80, 16000, RATE, seed=3))


def test_prediction_filters_solve_the_normal_equations():
    cut = lfilter([1], [1, -1.2, 0.6], np.random.default_rng(0).standard_normal((3, 400)))
    a, gain = analyse(cut, 20)
    for row, g, frame in zip(a, gain, cut, strict=True):
        windowed = frame * np.hanning(400)
        r = np.array([windowed[k:] @ windowed[: 400 - k] for k in range(21)]) / np.sum(np.hanning(400) ** 2)
        r[0] = r[0] * (1 + 1e-9) + 1e-12
        want = -solve_toeplitz(r[:20], r[1:])
        assert np.allclose(row[1:], want, atol=1e-6)
        assert g**2 == pytest.approx(r[0] + want @ r[1:], rel=1e-6)


def test_overlap_add_without_a_filter_gives_the_source_back():
    source = np.random.default_rng(0).standard_normal(1000)
    a = np.zeros((8, 3))
    a[:, 0] = 1.0
    assert np.allclose(overlap_add(source, a, np.ones(8), 160), source)


def test_overlap_add_of_a_fixed_filter_is_that_filter():
    source = np.random.default_rng(0).standard_normal(1000)
    a = np.tile([1.0, -0.9, 0.5], (8, 1))
    assert np.allclose(
        overlap_add(source, a, np.full(8, 2.0), 160), 2 * lfilter([1], a[0], source), atol=1e-8
    )


def test_mlsa_filter_has_the_exponential_of_the_warped_cepstrum_as_its_response():
    rng = np.random.default_rng(0)
    cepstrum = rng.standard_normal(25) * 0.9 ** np.arange(25)
    impulse = np.zeros(4096)
    impulse[0] = 1.0
    h = mlsa_filter(impulse, np.tile(cepstrum, (60, 1)), 80, 0.42, tolerance=1e-10)
    z = np.exp(-1j * np.linspace(0, np.pi, 2049))
    allpass = (z - 0.42) / (1 - 0.42 * z)
    want = np.exp(sum(c * allpass**m for m, c in enumerate(cepstrum)))
    assert np.allclose(np.fft.rfft(h), want, rtol=1e-6, atol=1e-6 * np.abs(want).max())
    assert np.allclose(np.log(np.abs(want)), warped_cosines(2049, 24, 0.42) @ cepstrum)


def test_mel_cepstra_of_a_spectrum_that_has_some_are_those():
    rng = np.random.default_rng(1)
    cepstra = rng.standard_normal((5, 25)) * 0.8 ** np.arange(25)
    power = np.exp(2 * cepstra @ warped_cosines(257, 24, 0.42).T)
    assert np.allclose(mel_cepstra(power, 24, 0.42), cepstra, atol=1e-6)


def test_mel_cepstra_minimise_the_unbiased_criterion():
    """Noise periodograms: at the minimum I / |H|^2 has mean 1 against every basis function."""
    rng = np.random.default_rng(2)
    shape = np.exp(2 * warped_cosines(257, 24, 0.42) @ (rng.standard_normal(25) * 0.6 ** np.arange(25)))
    power = shape * rng.exponential(size=(4, 257))
    basis = warped_cosines(257, 24, 0.42)
    ratio = power / np.exp(2 * mel_cepstra(power, 24, 0.42, steps=12) @ basis.T)
    weight = np.ones(257)
    weight[[0, -1]] = 0.5
    gradient = (weight * (1 - ratio)) @ basis / weight.sum()
    assert np.abs(gradient).max() < 1e-3
