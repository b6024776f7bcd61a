"""Families of statistics: sizes that do not depend on the recording, blindness to level, what they see."""

import numpy as np
import pytest

from masd.errors import MasdError
from masd.feats.config import SIZES, FeatsConfig, hand_size
from masd.feats.families import FAMILIES, Analysis, band_means, describe, frame_lines, stft
from masd.feats.handcrafted import handcrafted

RATE = 16000


def speech(seconds=1.3, f0=120.0, seed=0):
    """Return pulses through two resonances, a pause and a little noise: (N,)."""
    from scipy.signal import lfilter

    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    track = f0 * (1 + 0.1 * np.sin(2 * np.pi * 1.5 * np.arange(n) / RATE))
    x = np.diff(np.floor(np.cumsum(track / RATE)), prepend=0.0)
    for centre in (600, 2600):
        x = lfilter([1.0], [1, -1.9 * np.cos(2 * np.pi * centre / RATE), 0.9], x)
    x[int(0.5 * n) : int(0.6 * n)] *= 1e-3
    return x + 0.01 * x.std() * rng.standard_normal(n)


@pytest.fixture(scope="module")
def short_and_long():
    return describe(speech(1.0)), describe(speech(2.1, f0=200.0, seed=1))


def test_sizes_are_fixed_and_figures_finite(short_and_long):
    short, long = short_and_long
    assert list(short) == list(FAMILIES) and {name: v.size for name, v in short.items()} == SIZES
    for name in FAMILIES:
        assert short[name].shape == long[name].shape == (short[name].size,), name
        assert np.isfinite(short[name]).all(), name
        assert np.abs(short[name] - long[name]).max() > 0, name


def test_docstrings_tell_the_sizes(short_and_long):
    for name, family in FAMILIES.items():
        assert f"({short_and_long[0][name].size})" in family.__doc__.replace("\n", " "), name


def test_level_and_offset_change_nothing(short_and_long):
    moved = describe(0.01 * speech(1.0) + 0.003)
    for name in FAMILIES:
        np.testing.assert_allclose(moved[name], short_and_long[0][name], rtol=0.02, atol=0.02, err_msg=name)


def test_polarity_enters_none(short_and_long):
    turned = describe(-speech(1.0))
    for name in FAMILIES:
        np.testing.assert_allclose(turned[name], short_and_long[0][name], rtol=1e-3, atol=1e-3, err_msg=name)


def test_the_mixed_step_of_an_impulse_and_of_noise():
    noise = describe(np.random.default_rng(1).standard_normal(2 * RATE), ["phase_mixed"])["phase_mixed"]
    click = np.zeros(4096)
    click[200] = 1.0
    spectrum = stft(click, 400, 400, 512)[0]  # the click is at the window's centre: no phase step at all
    np.testing.assert_allclose(np.angle(spectrum[1:] * spectrum[:-1].conj()), 0, atol=1e-3)
    tone = describe(np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE), ["phase_mixed"])["phase_mixed"]
    assert tone[2] < 0.3 < noise[2]  # |angle| around 1 kHz: a steady tone's phase steps do not change


def test_frame_lines_find_the_rate_of_a_modulation():
    rng = np.random.default_rng(2)
    x = rng.standard_normal(3 * RATE)
    plain = frame_lines(Analysis(x))
    x = x * (1 + 0.4 * np.cos(2 * np.pi * 62.5 * np.arange(len(x)) / RATE))
    lines = frame_lines(Analysis(x))
    assert np.argmax(lines[:10]) == 1  # 62.5 Hz
    assert lines[1] > plain[1] + 2


def test_band_means_are_means():
    x = np.arange(257.0)[None].repeat(2, 0)
    means = band_means(x, 2)
    np.testing.assert_allclose(means[0], [x[0, :118].mean(), x[0, 118:237].mean()], atol=0.6)


@pytest.mark.parametrize("x", [np.zeros(RATE), np.ones(100), np.full(RATE, np.nan)])
def test_what_cannot_be_described_is_refused(x):
    with pytest.raises(MasdError, match=r"0\.5 s"):
        describe(x)


def test_unknown_family_is_named():
    with pytest.raises(MasdError, match="mel_man"):
        describe(speech(), ["mel_man"])


def test_families_follow_the_three_handcrafted_features():
    config = FeatsConfig(families=("phase_mixed", "frame_lines"), classify_seconds=1.0)
    x = speech(1.5)
    found = handcrafted(x, config)
    assert found.shape == (hand_size(config),) == (3 + 64 + 24,)
    np.testing.assert_array_equal(found[:3], handcrafted(x, FeatsConfig(classify_seconds=1.0)))
    expected = describe(x[:RATE], ["phase_mixed", "frame_lines"])
    np.testing.assert_allclose(found[3:67], expected["phase_mixed"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found[67:], expected["frame_lines"], rtol=1e-2, atol=1e-2)
    assert np.isfinite(handcrafted(x[:5000], config)).all()  # under half a second
    assert not handcrafted(np.zeros(RATE), config).any()
