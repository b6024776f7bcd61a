"""What counts as no speech; peak normalisation and seeded dither."""

import numpy as np
import pytest

from masd.audio import check_audio, normalise
from masd.errors import MasdError


def noise(n=16000):
    return np.random.default_rng(0).uniform(-0.3, 0.3, n).astype(np.float32)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(0, np.float32), "u: empty"),
        (np.full(16000, np.nan, np.float32), "u: .*not finite"),
        (noise(1000), r"u: too short: 0.062 s, at least 0.1 s"),
        (np.zeros(16000, np.float32), "u: silent"),
        (np.full(16000, 0.25, np.float32), "u: silent"),
        (noise() * 1e-4, "u: silent"),
    ],
)
def test_audio_nothing_can_be_said_about_is_refused(x, message):
    with pytest.raises(MasdError, match=message):
        check_audio(x, "u")


def test_quiet_and_short_speech_passes_at_the_limits():
    check_audio(noise(1600), "u")
    check_audio(noise() * 0.01, "u")
    check_audio(noise(800), "u", rate=8000, min_seconds=0.1)


def test_the_peak_is_one_and_the_dither_is_of_the_stated_size():
    x = noise()
    clean = normalise(x, "u", 0.0)
    assert np.abs(clean).max() == 1.0 and clean.dtype == np.float32
    np.testing.assert_allclose(clean, x / np.abs(x).max(), rtol=1e-6)
    dither = normalise(x, "u", 1e-3) - clean
    assert np.std(dither) == pytest.approx(1e-3, rel=0.03)
    assert abs(np.mean(dither)) < 3e-5


def test_dither_belongs_to_the_utterance_and_the_seed_and_to_nothing_else():
    x = noise()
    first = normalise(x, "u", 1e-3)
    np.random.seed(5)
    np.testing.assert_array_equal(first, normalise(x, "u", 1e-3))
    assert np.abs(first - normalise(x, "v", 1e-3)).max() > 1e-4
    assert np.abs(first - normalise(x, "u", 1e-3, seed=1)).max() > 1e-4
    assert (
        np.abs(
            np.corrcoef(first - normalise(x, "u", 0), normalise(x, "v", 1e-3) - normalise(x, "v", 0))[0, 1]
        )
        < 0.03
    )


def test_level_does_not_matter_and_the_input_is_left_alone():
    x = noise()
    kept = x.copy()
    np.testing.assert_allclose(normalise(x, "u", 1e-4), normalise(0.125 * x, "u", 1e-4), atol=1e-6)
    np.testing.assert_array_equal(x, kept)


def test_silence_has_no_peak():
    with pytest.raises(MasdError, match="u: silent"):
        normalise(np.zeros(100), "u", 1e-5)
