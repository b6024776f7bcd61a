"""What is not speech is told from it by rules that can be checked by hand."""

import numpy as np
import pytest
from scipy.signal import lfilter

from masd.audio.evidence import no_speech
from masd.audio.speech import Speech
from masd.stage.seeding import generator

RATE = 16000
T = np.arange(4 * RATE) / RATE


def white(name="white"):
    return generator(0, name).normal(size=len(T))


def sound(kind):
    on = (2 * T) % 1 < 0.5
    return {
        "white noise": white(),
        "pink noise": lfilter([1.0], [1.0, -0.95], white()),
        "a tone": np.sin(2 * np.pi * 440 * T),
        "a tone that comes and goes": np.sin(2 * np.pi * 1000 * T) * on,
        "bursts of noise": white() * on,
        "waves": white() * (1 + 0.9 * np.sin(np.pi * T)),
        "hum": sum(np.sin(2 * np.pi * 50 * k * T) / k for k in range(1, 10)),
        "a sweep": np.sin(2 * np.pi * (100 * T + 400 * T**2)),
        "a square": np.sign(np.sin(2 * np.pi * 440 * T)),
    }[kind]


def reason(x):
    x = (0.5 * x / np.abs(x).max()).astype(np.float32)
    speech = Speech([x], RATE)
    return no_speech(speech.read(), RATE, speech.level.loud)


def voice(noise=0.05):
    """Harmonics of a voice in syllables, over noise."""
    tone = sum(np.sin(2 * np.pi * 120 * k * T) / k for k in range(1, 30))
    return tone * np.clip(np.sin(2 * np.pi * 3 * T) + 0.4, 0, None) + noise * white()


@pytest.mark.parametrize(
    "kind",
    [
        *("white noise", "pink noise", "a tone", "a tone that comes and goes", "bursts of noise"),
        *("waves", "hum", "a sweep", "a square"),
    ],
)
@pytest.mark.parametrize("lead", [0, 5])
def test_no_speech_is_told(kind, lead):
    """Also after silence, which is no change of level that speaks for speech."""
    assert reason(np.concatenate([np.zeros(lead * RATE), sound(kind)])).startswith("no speech")


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3])
def test_speech_passes_at_any_level_and_in_noise(noise):
    assert reason(voice(noise)) == ""
    speech = Speech([(1e-3 * voice(noise)).astype(np.float32)], RATE)
    assert no_speech(speech.read(), RATE, speech.level.loud) == ""


def test_too_little_speech_is_told_with_its_length():
    x = np.concatenate([voice()[: RATE // 4], 1e-5 * white()])
    assert reason(x).startswith("too little speech: 0.2")
