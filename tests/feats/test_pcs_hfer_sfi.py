"""PCS (Eq. 6), HFER (Eq. 7) and SFI: against numpy's unwrap in loops, closed forms, and their traps."""

import time

import numpy as np
import pytest

from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.feats.extract import features, front_end
from masd.feats.handcrafted import handcrafted
from masd.stage.threads import pinned

CONFIG = FeatsConfig()
N = 2048


def noise(seconds, seed=0):
    return np.random.default_rng(seed).standard_normal(int(seconds * 16000)).astype(np.float32) * 0.1


def lowpassed(seconds, seed=0):
    """Noise with next to nothing above 3 kHz but dither: where single precision has no phase left."""
    n = int(seconds * 16000)
    spectrum = np.fft.rfft(noise(seconds, seed))
    spectrum[int(3000 / 8000 * len(spectrum)) :] *= 1e-6
    x = np.fft.irfft(spectrum, n)
    return (x / np.abs(x).max() + 1e-5 * np.random.default_rng(seed + 1).standard_normal(n)).astype(
        np.float32
    )


def loops(x, cutoff=4000.0, center=False):
    """All three by their definitions, in double precision."""
    x = x[:64000].astype(np.float64)
    if center:
        x = np.pad(x, N // 2)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N) / N)
    steps, high, total, flux, last = [], 0.0, 0.0, [], None
    for t in range((len(x) - N) // 160 + 1):
        spectrum = np.fft.rfft(x[160 * t : 160 * t + N] * window)
        steps.append(np.abs(np.diff(np.unwrap(np.angle(spectrum)))).mean())
        magnitude = np.abs(spectrum)
        for k in range(len(magnitude)):
            total += magnitude[k] ** 2
            high += magnitude[k] ** 2 if k * 16000 / N > cutoff else 0.0
        if last is not None:
            flux.append(sum(max(0.0, a - b) for a, b in zip(magnitude, last, strict=True)))
        last = magnitude
    return np.array([np.mean(steps), high / total, np.std(flux) / np.mean(flux)])


TONE = np.sin(2 * np.pi * 440 * np.arange(8000) / 16000).astype(np.float32)


@pytest.mark.parametrize("x", [noise(0.25), noise(1.0, 1), lowpassed(0.8), lowpassed(4.3), TONE])
def test_all_three_equal_an_independent_computation(x):
    np.testing.assert_allclose(handcrafted(x, CONFIG), loops(x), atol=1e-5, rtol=0)


def test_the_centred_variant_and_another_cutoff_too():
    x = noise(0.7)
    config = FeatsConfig(hand_center=True, hfer_cutoff=2500.0)
    np.testing.assert_allclose(handcrafted(x, config), loops(x, 2500.0, center=True), atol=1e-5, rtol=0)


def test_phase_step_of_an_impulse_is_its_place_in_the_window():
    # X(w) ~ exp(-2 pi i w n / N): every step is 2 pi n / N, wrapped
    for place in (300, 1024, 1500):
        x = np.zeros(4000, np.float32)
        x[place] = 1.0
        config = FeatsConfig(hand_hop=1900)  # two frames; the second may hold the impulse at place - 1900
        assert len(x) >= N + 1900
        expected = [2 * np.pi * place / N]
        first = abs((expected[0] + np.pi) % (2 * np.pi) - np.pi)
        assert handcrafted(x, config)[0] == pytest.approx(first / 2, abs=1e-4)  # the other frame is silent: 0


def test_hfer_of_an_impulse_is_the_share_of_bins_and_of_tones_is_their_side():
    x = np.zeros(4000, np.float32)
    x[1000] = 1.0
    assert handcrafted(x, CONFIG)[1] == pytest.approx(512 / 1025, rel=1e-5)  # bins 513 to 1024 of 1025
    t = np.arange(16000) / 16000
    for frequency, share in ((1000, 0.0), (6000, 1.0)):
        tone = np.sin(2 * np.pi * frequency * t).astype(np.float32)
        assert handcrafted(tone, CONFIG)[1] == pytest.approx(share, abs=1e-6)


def test_hfer_with_the_literal_cutoff_is_identically_zero():
    assert handcrafted(noise(1.0), FeatsConfig(hfer_cutoff=8000.0))[1] == 0.0


def test_flux_of_what_repeats_every_hop_is_zero_and_of_a_pulse_train_is_not():
    period = np.random.default_rng(0).integers(-8, 8, 160) / 16
    assert handcrafted(np.tile(period, 50), CONFIG)[2] == 0.0
    x = noise(1.0)
    x[::4000] += 5.0
    assert handcrafted(x, CONFIG)[2] > handcrafted(noise(1.0), CONFIG)[2]


def test_silence_is_three_zeros():
    assert handcrafted(np.zeros(8000, np.float32), CONFIG).tolist() == [0.0, 0.0, 0.0]


def test_level_does_not_matter():
    x = noise(1.0)
    np.testing.assert_allclose(handcrafted(x * 0.01, CONFIG), handcrafted(x, CONFIG), atol=1e-5)


def test_only_the_first_four_seconds_count_and_nothing_is_padded():
    x = noise(6.0)
    np.testing.assert_array_equal(handcrafted(x, CONFIG), handcrafted(x[:64000], CONFIG))
    short = noise(1.0)
    padded = np.concatenate([short, np.zeros(48000, np.float32)])
    literal = handcrafted(short, FeatsConfig(pad="zero"))
    np.testing.assert_array_equal(literal, handcrafted(padded, CONFIG))
    assert literal[0] < 0.5 * handcrafted(short, CONFIG)[0]  # the trap: PCS then measures length


def test_length_is_not_heard_in_steady_noise():
    short, long = (np.mean([handcrafted(noise(s, i), CONFIG) for i in range(12)], 0) for s in (0.5, 4.0))
    assert abs(short[0] - long[0]) < 0.01 and abs(short[1] - long[1]) < 0.01


def test_too_short_is_refused_and_the_shortest_allowed_is_not():
    with pytest.raises(MasdError, match="2207 samples are too few for two frames of 2048"):
        handcrafted(noise(1.0)[:2207], CONFIG)
    assert np.isfinite(handcrafted(noise(0.25), CONFIG)).all()


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.zeros(0, np.float32), "empty"),
        (np.zeros(16000, np.float32), "silent"),
        (np.full(16000, np.nan, np.float32), "finite"),
        (noise(0.2), "too short"),
    ],
)
def test_the_front_end_refuses_unusable_audio_in_one_line(x, said):
    with pytest.raises(MasdError, match=f"u1: .*{said}"):
        front_end(x, "u1", CONFIG)


def test_absurd_values_never_leave_the_front_end():
    with pytest.raises(MasdError, match="not finite"):
        features(1e30 * noise(1.0), CONFIG)


def test_the_front_end_hears_neither_level_nor_name():
    x = noise(1.0)
    mel, hand = front_end(x, "u1", CONFIG)
    assert mel.dtype == hand.dtype == np.float32 and mel.shape == (101, 64) and hand.shape == (3,)
    # other samples, other noise
    np.testing.assert_allclose(front_end(x * 0.25, "u1", CONFIG)[0], mel, atol=5e-3)
    np.testing.assert_array_equal(front_end(x, "u2", CONFIG)[0], mel)
    np.testing.assert_array_equal(front_end(x, "u2", CONFIG)[1], hand)
    other = x.copy()
    other[-1] += 1e-3
    assert not np.array_equal(front_end(other, "u1", CONFIG)[0][:50], mel[:50])


def test_four_seconds_take_a_third_of_what_librosa_takes():
    # librosa's log-mel and handcrafted features: 16 + 33 ms per 4 s on one core of the same kind
    x, taken = noise(4.0), []
    with pinned():
        for _ in range(15):
            begin = time.thread_time()
            features(x, CONFIG)
            taken.append(time.thread_time() - begin)
    assert min(taken) < 49e-3 / 3
