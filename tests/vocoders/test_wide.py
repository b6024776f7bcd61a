"""Copies by vocoders with random parameters: length, level, repeatability, variety."""

import importlib.util
import sys

import numpy as np
import pytest
from vocoder_samples import speech

from masd.errors import MasdError
from masd.vocoders import get
from masd.vocoders.wide import KINDS, wide_copy


def usable():
    return [k for k in KINDS if k != "world" or importlib.util.find_spec("pyworld")]


@pytest.mark.parametrize("kind", usable())
def test_a_copy_keeps_length_and_level_and_follows_its_generator(kind):
    x = speech()
    y = wide_copy(x, kind, np.random.default_rng(3))
    assert y.shape == x.shape and y.dtype == np.float32
    assert np.sqrt(np.mean(y**2)) == pytest.approx(np.sqrt(np.mean(x**2)), rel=1e-3)
    np.testing.assert_array_equal(y, wide_copy(x, kind, np.random.default_rng(3)))
    assert np.abs(y - wide_copy(x, kind, np.random.default_rng(4))).max() > 1e-4
    assert np.sqrt(np.mean((y - x) ** 2)) > 0.01 * np.sqrt(np.mean(x**2))


@pytest.mark.parametrize("kind", ["phase_noise", "mel_magnitude", "upsampling"])
def test_these_stay_close_to_the_waveform(kind):
    x = speech()
    near = [np.corrcoef(x, wide_copy(x, kind, np.random.default_rng(k)))[0, 1] for k in range(5)]
    assert np.median(near) > 0.5


@pytest.mark.skipif(not importlib.util.find_spec("pyworld"), reason="one kind in six is WORLD")
def test_as_a_vocoder_each_utterance_has_its_own_draw():
    x, vocoder = speech(), get("wide")
    copies = {utt: vocoder(x, 16000, utt) for utt in ("a", "b", "c")}
    np.testing.assert_array_equal(copies["a"], get("wide")(x, 16000, "a"))
    for one, other in (("a", "b"), ("b", "c"), ("a", "c")):
        assert np.abs(copies[one] - copies[other]).max() > 1e-4
    assert all(y.shape == x.shape for y in copies.values())


def test_what_cannot_be_copied_is_refused():
    with pytest.raises(MasdError, match="unknown"):
        wide_copy(speech(), "vocaloid", np.random.default_rng(0))
    with pytest.raises(MasdError, match="silent"):
        wide_copy(np.zeros(8000), "lpc", np.random.default_rng(0))


def test_missing_pyworld_is_found_before_any_copy_is_made(monkeypatch):
    monkeypatch.setitem(sys.modules, "masd.vocoders.world", None)
    with pytest.raises(ImportError):
        get("wide").prepare()


def test_copies_are_stale_when_a_vocoder_that_made_some_of_them_changes(monkeypatch):
    before = get("wide").digest()
    assert get("wide").digest() == before
    monkeypatch.setattr(type(get("lpc")), "revision", type(get("lpc")).revision + 1)
    assert get("wide").digest() != before
