"""What is judged of a recording: leading silence skipped, level and dither by the samples alone."""

import numpy as np
import pytest

from masd.audio.speech import LEVEL_WINDOW, Leveller, Speech, seconds_of, sounding_seconds, speech_of
from masd.errors import MasdError
from masd.stage.seeding import generator

RATE = 16000


def noise(seconds, size=0.3, name="noise"):
    return generator(0, name).uniform(-size, size, int(seconds * RATE)).astype(np.float32)


def syllables(seconds, name="voice"):
    t = np.arange(int(seconds * RATE)) / RATE
    return (noise(seconds, 0.5, name) * np.clip(np.sin(6 * np.pi * t) + 0.3, 0, 1)).astype(np.float32)


def levelled(x, dither=1e-3, seed=0, rate=RATE):
    kept, level = speech_of(x, "u", rate)
    return Leveller(level, dither, seed)(kept)


def test_the_peak_is_one_and_the_dither_is_of_the_stated_size():
    x = noise(1)
    kept = x.copy()
    clean = levelled(x, 0.0)
    assert np.abs(clean).max() == 1.0 and clean.dtype == np.float32
    np.testing.assert_allclose(clean, x / np.abs(x).max(), rtol=1e-6)
    dither = levelled(x) - clean
    assert np.std(dither) == pytest.approx(1e-3, rel=0.03)
    assert abs(np.mean(dither)) < 3e-5
    np.testing.assert_array_equal(x, kept)


def test_dither_belongs_to_the_samples_and_the_seed_and_to_nothing_else():
    """Not to a name, nor to the state of anybody's generator; other samples have other noise."""
    x, other = noise(1), noise(1, name="other")
    first = levelled(x)
    np.random.seed(5)
    np.testing.assert_array_equal(first, levelled(x.copy()))
    assert np.abs(first - levelled(x, seed=1)).max() > 1e-4
    own = [levelled(wave) - levelled(wave, 0) for wave in (x, other)]
    assert np.abs(np.corrcoef(own[0], own[1])[0, 1]) < 0.03


def test_level_does_not_matter():
    np.testing.assert_allclose(levelled(noise(1), 0), levelled(0.125 * noise(1), 0), atol=1e-6)


def before(kind, seconds):
    t = np.arange(int(seconds * RATE)) / RATE
    steady = generator(0, "steady").normal(size=len(t))
    click = np.zeros(len(t))
    click[len(t) // 2 : len(t) // 2 + 100] = 0.9
    return {
        "zeros": 0 * t,
        "DC": 0 * t + 0.05,
        "noise": 6e-4 * steady,
        "hum": 1e-3 * np.sin(2 * np.pi * 50 * t),
        "click": click,
        "least bits": np.round(steady) / 32768,
    }[kind].astype(np.float32)


@pytest.mark.parametrize("kind", ["zeros", "DC", "noise", "hum", "click", "least bits"])
def test_leading_silence_is_skipped_whatever_it_is_made_of(kind):
    lead, x = before(kind, 5), syllables(3)
    kept, level = speech_of(np.concatenate([lead, x]), "u")
    assert 0 <= len(kept) - len(x) <= 0.14 * RATE
    found, there = (sounding_seconds(wave, RATE, level.loud) for wave in (kept, x))
    assert found == pytest.approx(there, abs=0.08)


@pytest.mark.parametrize(
    "x",
    [
        syllables(3),
        np.concatenate([np.zeros(7000, np.float32), syllables(2)]),
        np.concatenate([noise(1.5, 3e-3), syllables(2)]),  # the noise of a room, 40 dB below
        np.concatenate([syllables(1), np.zeros(5 * RATE, np.float32), syllables(1)]),
    ],
)
def test_short_and_noisy_pauses_and_later_silence_stay(x):
    """Published recordings begin with some tenths of a second of room; what they are judged by stays."""
    np.testing.assert_array_equal(speech_of(x, "u")[0], x)


@pytest.mark.parametrize("kind", ["zeros", "DC", "noise", "least bits"])
@pytest.mark.parametrize("more", [0.0, 2.0])
def test_silence_that_fills_the_end_of_what_is_judged_is_cut_off(kind, more):
    """1.5 s of genuine speech before 2.5 s of DC were called spoof; what comes after is beyond the judged."""
    lead, x = np.zeros(5 * RATE, np.float32), syllables(1.5)
    whole = np.concatenate([lead, x, before(kind, 3), syllables(more)])
    speech = Speech(seconds_of(whole, RATE), RATE, judged=4 * RATE)
    kept = speech.read()
    assert abs(len(kept) - len(x)) <= 0.3 * RATE and speech.cut == speech.skipped + len(kept)
    np.testing.assert_array_equal(speech_of(whole, "u", judged=4 * RATE)[0], kept)
    assert not speech.more(0)


@pytest.mark.parametrize(
    "x",
    [
        np.concatenate([syllables(2), np.zeros(7000, np.float32)]),
        np.concatenate([syllables(2), noise(1.5, 3e-3)]),
        np.concatenate([syllables(1), np.zeros(2 * RATE, np.float32), syllables(1)]),
        np.concatenate([syllables(4), np.zeros(2 * RATE, np.float32)]),
    ],
)
def test_short_silence_at_the_end_pauses_and_what_is_not_judged_stay(x):
    np.testing.assert_array_equal(speech_of(x, "u", judged=4 * RATE)[0], x)


def test_half_a_second_always_stays():
    x = np.concatenate([syllables(0.2), np.zeros(3 * RATE, np.float32)])
    assert len(speech_of(x, "u", judged=4 * RATE)[0]) == RATE // 2


@pytest.mark.parametrize("size", [1, 777, RATE, 50 * RATE])
@pytest.mark.parametrize("lead", [0.0, 0.3, 7.31])
def test_nothing_depends_on_the_size_of_blocks(size, lead):
    x = np.concatenate([np.zeros(int(lead * RATE), np.float32), noise(0.4, 2e-4), syllables(2)])
    x = x[-3 * RATE // 4 :] if size == 1 else x
    whole = Speech([x], RATE)
    parts = Speech((x[i : i + size] for i in range(0, len(x), size)), RATE)
    assert (parts.level, parts.skipped) == (whole.level, whole.skipped)
    found = np.concatenate([parts.read(99), parts.read(4000), parts.read()])
    np.testing.assert_array_equal(found, whole.read())


def test_no_more_is_read_than_the_level_window_and_what_is_asked_for():
    taken = []
    blocks = (taken.append(len(block)) or block for block in seconds_of(syllables(60), RATE))
    speech = Speech(blocks, RATE)
    assert len(taken) == LEVEL_WINDOW
    assert len(speech.read(4 * RATE)) == 4 * RATE and len(taken) == LEVEL_WINDOW
    speech.read(30 * RATE)
    assert len(taken) == 34


def test_level_and_noise_are_those_of_the_beginning():
    """So that a recording of two hours is judged after thirty seconds as it would be after two hours."""
    x = syllables(40)
    x[35 * RATE] = 1.0
    part, whole = Speech([x[: 31 * RATE]], RATE), Speech([x], RATE)
    assert part.level == whole.level
    long, short = Leveller(whole.level, 1e-3), Leveller(whole.level, 1e-3)
    np.testing.assert_array_equal(
        long(x[: 5 * RATE]), np.concatenate([short(x[:333]), short(x[333 : 5 * RATE])])
    )


def test_silence_before_speech_costs_no_memory():
    held = []

    class Watched(Speech):
        def _peek(self, count):
            found = super()._peek(count)
            held.append(len(found))
            return found

    speech = Watched([*[np.zeros(RATE, np.float32)] * 600, syllables(1)], RATE)
    assert max(held) <= 3 * RATE and speech.skipped >= 599 * RATE


def test_without_skipping_all_begins_at_the_first_sample():
    x = np.concatenate([np.zeros(5 * RATE, np.float32), syllables(1)])
    speech = Speech(seconds_of(x, RATE), RATE, skip=False)
    np.testing.assert_array_equal(speech.read(), x)
    assert speech.level.peak == np.abs(x).max() and speech.skipped == 0


@pytest.mark.parametrize("kind", ["zeros", "click", "DC"])
def test_what_has_no_sound_is_refused(kind):
    with pytest.raises(MasdError, match="u: silent"):
        speech_of(before(kind, 2), "u")


def test_too_little_after_silence_is_refused():
    with pytest.raises(MasdError, match=r"u: too short: 0\.\d+ s, at least 0.5 s"):
        speech_of(np.concatenate([np.zeros(RATE, np.float32), syllables(0.2)]), "u", min_seconds=0.5)
