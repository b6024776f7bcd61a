"""What audio is no use to anybody."""

import numpy as np
import pytest

from masd.audio import check_audio
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
