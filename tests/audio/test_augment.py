"""Augmentation: RawBoost's published properties, codecs, bands, speed and noise."""

import numpy as np
import pytest

from masd.audio.augment import (
    CODECS,
    AugmentConfig,
    RawBoostConfig,
    add_noise,
    augment,
    change_speed,
    coloured_noise,
    convolutive_noise,
    impulsive_noise,
    notch_filter,
    recordings,
    reverberated,
    telephone_band,
    through_codec,
    with_background,
)
from masd.audio.write import write_wav
from masd.errors import MasdError

RATE = 16000


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def speechlike():
    t = np.arange(RATE) / RATE
    tones = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 40))
    return (0.3 * tones * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * t))).astype(np.float32)


def snr(clean, noisy):
    return 20 * np.log10(np.linalg.norm(clean) / np.linalg.norm(noisy - clean))


def test_coloured_noise_has_the_drawn_ratio_and_does_not_follow_the_signal(speechlike):
    config = RawBoostConfig(snr=(20.0, 20.0))
    noisy = coloured_noise(speechlike, config, rng(), RATE)
    assert snr(speechlike, noisy) == pytest.approx(20, abs=1e-6)
    assert abs(np.corrcoef(speechlike, noisy - speechlike)[0, 1]) < 0.05


def test_impulsive_noise_hits_at_most_its_share_and_grows_with_the_signal(speechlike):
    x = 0.2 * speechlike / np.abs(speechlike).max()
    shares = []
    for seed in range(20):
        y = impulsive_noise(x, RawBoostConfig(), rng(seed))
        hit = np.abs(y - x) > 1e-12
        shares.append(hit.mean())
        assert (np.abs(y - x)[hit] <= 2 * np.abs(x)[hit] + 1e-12).all()  # g = 2, |u v| <= 1
    assert max(shares) <= 0.1
    assert np.mean(shares) == pytest.approx(0.05, abs=0.02)  # uniform from 0 to 10 %


def test_convolutive_noise_is_filtering_alone_at_order_one_and_adds_harmonics_above(speechlike):
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    flat = RawBoostConfig(bands=0, orders=1)
    np.testing.assert_allclose(convolutive_noise(tone, flat, rng(), RATE), tone, atol=1e-9)

    def level(config, f):
        spectrum = np.abs(np.fft.rfft(convolutive_noise(tone, config, rng(3), RATE)))
        return spectrum[f] / spectrum[1000]

    third = RawBoostConfig(bands=0, orders=3, bias=(6.0, 6.0))
    assert level(third, 3000) > 0.01
    assert level(RawBoostConfig(bands=0, orders=1), 3000) < 1e-6
    loud = convolutive_noise(3 * speechlike, RawBoostConfig(), rng(), RATE)
    assert np.abs(loud).max() <= 1
    assert abs(loud.mean()) < 1e-6


def test_notch_filters_have_the_drawn_gain_at_most_and_stop_a_band():
    from scipy import signal

    config = RawBoostConfig(bands=1, centre=(2000, 2000), width=(1000, 1000), taps=(99, 99), gain=(-6, -6))
    f, h = signal.freqz(notch_filter(config, config.gain, rng(), RATE), 1, worN=4096, fs=RATE)
    assert np.abs(h).max() == pytest.approx(10 ** (-6 / 20), rel=0.01)
    assert np.abs(h[np.argmin(np.abs(f - 2000))]) < 0.05


@pytest.mark.parametrize("algorithm", range(1, 9))
def test_every_algorithm_changes_the_signal_keeps_its_length_and_is_repeatable(speechlike, algorithm):
    config = AugmentConfig(rawboost=algorithm)
    one = augment(speechlike, config, rng(1))
    assert one.shape == speechlike.shape
    assert one.dtype == np.float32
    assert not np.array_equal(one, speechlike)
    np.testing.assert_array_equal(one, augment(speechlike, config, rng(1)))


def test_nothing_is_done_by_default(speechlike):
    assert not AugmentConfig().active
    np.testing.assert_array_equal(augment(speechlike, AugmentConfig(), rng()), speechlike)


@pytest.mark.parametrize("codec", CODECS)
def test_codecs_keep_length_and_the_telephone_band(speechlike, codec):
    y = through_codec(speechlike, codec)
    assert y.shape == speechlike.shape
    low = telephone_band(speechlike)
    assert np.corrcoef(telephone_band(y), low)[0, 1] > 0.9
    assert not np.array_equal(y, speechlike)


def test_the_telephone_band_ends_where_a_telephone_does():
    t = np.arange(RATE) / RATE
    for f, passes in ((100, False), (1000, True), (3000, True), (5000, False)):
        x = np.sin(2 * np.pi * f * t).astype(np.float32)
        gain = np.linalg.norm(telephone_band(x)) / np.linalg.norm(x)
        assert (gain > 0.7) if passes else (gain < 0.1), f


def test_speed_changes_length_and_pitch():
    x = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    y = change_speed(x, 1.1)
    assert len(y) == pytest.approx(RATE / 1.1, abs=2)
    peak = np.argmax(np.abs(np.fft.rfft(y, RATE)))
    assert peak == pytest.approx(1100, abs=2)


def test_speed_augmentation_changes_length_within_its_range(speechlike):
    config = AugmentConfig(speed=1.0, speed_range=0.1)
    lengths = [len(augment(speechlike, config, rng(seed))) for seed in range(8)]
    assert len(set(lengths)) > 4
    assert RATE / 1.1 - 2 <= min(lengths) < RATE < max(lengths) <= RATE / 0.9 + 2


def test_noise_has_its_ratio_and_slope():
    x = np.ones(1 << 16)
    noise = add_noise(x, 10.0, 1.0, rng()) - x
    assert snr(x, x + noise) == pytest.approx(10, abs=1e-6)
    power = np.abs(np.fft.rfft(noise)) ** 2
    f = np.arange(len(power))
    slope = np.polyfit(np.log(f[10:]), np.log(power[10:]), 1)[0]
    assert slope == pytest.approx(-1, abs=0.05)


def test_settings_that_cannot_be_are_refused():
    for settings in ({"rawboost": 9}, {"codecs": ("amr",)}, {"noise": 1.5}):
        with pytest.raises(MasdError, match=r"augment\."):
            AugmentConfig(**settings)


@pytest.fixture
def noises(tmp_path):
    """A folder like MUSAN's: a long recording of steps, and a short one, at another rate."""
    (tmp_path / "musan/noise/free-sound").mkdir(parents=True)
    write_wav(tmp_path / "musan/noise/free-sound/long.wav", np.repeat(np.arange(1, 11) / 20, RATE), RATE)
    write_wav(tmp_path / "musan/noise/short.wav", rng(1).normal(size=800) / 10, 8000)
    return (str(tmp_path / "musan/noise"),)


def test_recorded_noise_is_a_stretch_of_a_file_at_the_stated_ratio(speechlike, noises):
    x, heard = speechlike[: RATE // 2], set()
    for seed in range(30):
        added = with_background(x, noises, 7.0, rng(seed)) - x
        assert snr(x, x + added) == pytest.approx(7, abs=1e-4)
        steps = added / np.abs(added).max()
        if np.ptp(steps[100:-100]) < 0.5:  # of the long one: a stretch of one step, or of two
            heard.add("long")
        else:  # a tenth of a second, five times
            heard.add("short")
            assert added[:1600] == pytest.approx(added[1600:3200], abs=1e-6)
    assert heard == {"long", "short"}


def test_impulse_responses_keep_energy_and_time(speechlike, tmp_path):
    response = np.zeros(3000)
    response[[200, 1000]] = 0.8, 0.4  # the direct sound after 200 samples, an echo 800 later
    write_wav(tmp_path / "room.wav", response, RATE)
    y = reverberated(speechlike, (str(tmp_path),), rng())
    expected = speechlike + 0.5 * np.concatenate([np.zeros(800), speechlike[:-800]])
    assert y == pytest.approx(expected * np.linalg.norm(speechlike) / np.linalg.norm(expected), abs=1e-4)
    assert len(y) == len(speechlike)


def test_folders_of_noise_and_rooms_are_keys_of_their_own(speechlike, noises, tmp_path):
    config = AugmentConfig(background=1.0, background_folders=noises, background_snr=(3.0, 3.0))
    assert config.active
    y = augment(speechlike, config, rng(4))
    assert y.dtype == np.float32 and snr(speechlike, y) == pytest.approx(3, abs=1e-3)
    assert (augment(speechlike, config, rng(4)) == y).all()
    with pytest.raises(
        MasdError, match=r"augment\.reverb: of which recordings\? Give augment\.reverb_folders"
    ):
        AugmentConfig(reverb=0.5)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MasdError, match=r"empty: no recording in it"):
        recordings((str(tmp_path / "empty"),))
    with pytest.raises(MasdError, match=r"nowhere: no such folder"):
        augment(speechlike, AugmentConfig(reverb=1.0, reverb_folders=(str(tmp_path / "nowhere"),)), rng())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"noise_snr": (30.0, 10.0)}, r"noise_snr: \(30\.0, 10\.0\) is no range"),
        ({"background_snr": (float("nan"), 1.0)}, "background_snr: .* is no range"),
        ({"bit_rates": (-1.0, 0.5)}, "bit_rates: .* are no shares"),
        ({"bit_rates": (0.5, 0.1)}, "bit_rates: .* is no range"),
        ({"codec": 1.0, "codecs": ()}, r"codec: of which\? Give augment\.codecs"),
        ({"speed": 1.0, "speed_range": 2.0}, "speed_range: 2.0 is no share below 1"),
    ],
)
def test_what_nothing_can_be_drawn_from_is_refused(values, said):
    with pytest.raises(MasdError, match=rf"augment\.{said}"):
        AugmentConfig(**values)


def test_a_silent_impulse_response_is_named(tmp_path):
    write_wav(tmp_path / "ir.wav", np.zeros(800, np.float32), 16000)
    config = AugmentConfig(reverb=1.0, reverb_folders=(str(tmp_path),))
    with pytest.raises(MasdError, match=r"ir\.wav: silent, no impulse response"):
        augment(np.ones(1600, np.float32), config, np.random.default_rng(0))
