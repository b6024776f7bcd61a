"""Log-mel: the formula against numpy loops and torchaudio's own transform."""

import numpy as np
import pytest
import torch

from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.feats.logmel import logmel


def speechlike(seconds, seed=0):
    """Noise with a falling spectrum and a syllable rhythm, as float32 of peak 1 over a little dither."""
    rng = np.random.default_rng(seed)
    n = int(seconds * 16000)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) / (1 + np.arange(n // 2 + 1) / n * 100), n)
    x = noise * np.abs(np.sin(2 * np.pi * 3 * np.arange(n) / 16000))
    return (x / np.abs(x).max() + 1e-5 * rng.standard_normal(n)).astype(np.float32)


def mel_triangles():
    """64 HTK filters of 0 to 8 kHz at the 201 frequencies of a 400-point FFT, by their definition."""
    points = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 66)
    edges = 700 * (10 ** (points / 2595) - 1)
    filters = np.zeros((201, 64))
    for k in range(201):
        for m in range(64):
            low, centre, high = edges[m : m + 3]
            f = 40.0 * k
            filters[k, m] = max(0.0, min((f - low) / (centre - low), (high - f) / (high - centre)))
    return filters


def loop_logmel(x):
    x = np.pad(x.astype(np.float64), 200, mode="reflect")
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 400)
    filters, rows = mel_triangles(), []
    for t in range((len(x) - 400) // 160 + 1):
        power = np.abs(np.fft.fft(x[160 * t : 160 * t + 400] * window)[:201]) ** 2
        rows.append(np.log(power @ filters + 1e-9))
    return np.array(rows)


@pytest.mark.parametrize("seconds", [0.25, 0.9987, 4.0])
def test_equals_an_independent_computation(seconds):
    x = speechlike(seconds)
    mel = logmel(x, FeatsConfig())
    assert mel.shape == (1 + len(x) // 160, 64) and mel.dtype == np.float32
    np.testing.assert_allclose(mel, loop_logmel(x), atol=1e-3, rtol=0)


def test_equals_torchaudios_transform():
    from torchaudio.transforms import MelSpectrogram

    x = speechlike(2.0, seed=1)
    transform = MelSpectrogram(
        16000,
        400,
        400,
        160,
        0.0,
        8000.0,
        n_mels=64,
        window_fn=torch.hamming_window,
        mel_scale="htk",
        norm=None,
    )
    theirs = (transform(torch.from_numpy(x)).T + 1e-9).log().numpy()
    np.testing.assert_allclose(logmel(x, FeatsConfig()), theirs, atol=1e-4, rtol=0)


def test_every_filter_sees_a_frequency():
    noise = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    assert logmel(noise, FeatsConfig()).min() > np.log(1e-9) + 5
    assert (mel_triangles().sum(0) > 0).all()


def test_silence_gives_the_floor_and_nothing_infinite():
    mel = logmel(np.zeros(8000, np.float32), FeatsConfig())
    np.testing.assert_allclose(mel, np.log(1e-9), rtol=1e-6)


def test_zero_padding_and_the_longest_length_are_literal():
    x = speechlike(1.5)
    padded = np.concatenate([x, np.zeros(64000 - len(x), np.float32)])
    literal = FeatsConfig(pad="zero")
    assert (
        np.array_equal(logmel(x, literal), logmel(padded, FeatsConfig())) and len(logmel(x, literal)) == 401
    )
    long = speechlike(5.0)
    assert np.array_equal(logmel(long, literal), logmel(long, FeatsConfig()))
    assert np.array_equal(logmel(long, FeatsConfig(max_seconds=4.0)), logmel(long[:64000], FeatsConfig()))


def test_a_frame_does_not_depend_on_what_comes_later():
    x = speechlike(3.0)
    np.testing.assert_allclose(
        logmel(x, FeatsConfig())[:99], logmel(x[:16000], FeatsConfig())[:99], rtol=1e-6
    )


def test_what_is_too_short_or_not_one_channel_is_refused():
    with pytest.raises(MasdError, match="200 samples are too few"):
        logmel(np.ones(200, np.float32), FeatsConfig())
    with pytest.raises(MasdError, match="one dimension"):
        logmel(np.ones((2, 16000), np.float32), FeatsConfig())
