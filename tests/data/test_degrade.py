"""Degraded copies: each of its own draw, in any number of processes, with the lists of what they copy."""

from pathlib import Path

import numpy as np
import pytest

from masd.audio import read_audio, write_wav
from masd.audio.augment import AugmentConfig, augment, equalised, in_a_room, low_passed
from masd.bin.data import DEGRADE
from masd.data.degrade import degraded_set
from masd.data.folder import read_folder, write_folder
from masd.errors import MasdError
from masd.stage.seeding import generator

RATE = 16000


def noise(seed=0, seconds=1.0):
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32) * 0.1


@pytest.fixture
def folder(tmp_path):
    wavs = {f"u{k}": tmp_path / f"u{k}.wav" for k in range(4)}
    for k, path in enumerate(wavs.values()):
        write_wav(path, noise(k), RATE)
    labels = {utt: "bonafide" if k % 2 else "spoof" for k, utt in enumerate(wavs)}
    return write_folder(
        tmp_path / "data", wavs, dict.fromkeys(wavs, "s"), utt2lab=labels, utt2repo=dict.fromkeys(wavs, "r")
    )


def test_copies_keep_lists_and_do_not_depend_on_processes(folder, tmp_path):
    settings = (2, DEGRADE, 0)
    made = degraded_set(folder.path, tmp_path / "a", tmp_path / "wav_a", *settings, 1, 0.0)
    assert made.utts == sorted(f"{utt}-v{k}" for utt in folder.utts for k in (1, 2))
    assert all(made.lab(f"{utt}-v1") == folder.lab(utt) for utt in folder.utts)
    assert set(made.tables["utt2repo"].values()) == {"r"}
    again = degraded_set(folder.path, tmp_path / "b", tmp_path / "wav_b", *settings, 2, 0.0)
    for utt in made.utts:
        one, other = (read_audio(data.wav[utt], RATE)[0] for data in (made, again))
        np.testing.assert_array_equal(one, other)
        source = read_audio(folder.wav[utt[:2]], RATE)[0]
        assert len(one) == len(source) and np.abs(one).max() == pytest.approx(0.9, abs=1e-3)
    first, second = (read_audio(made.wav[f"u0-v{k}"], RATE)[0] for k in (1, 2))
    assert np.abs(first - second).max() > 0.01


def test_a_recording_that_cannot_be_used_is_left_out_and_counted(folder, tmp_path):
    read_folder(folder.path)
    (tmp_path / "u2.wav").write_bytes(b"RIFF")
    made = degraded_set(folder.path, tmp_path / "a", tmp_path / "wav", 1, DEGRADE, 0, 1, 0.25)
    assert made.utts == ["u0-v1", "u1-v1", "u3-v1"]
    with pytest.raises(MasdError, match="1 of 4"):
        degraded_set(folder.path, tmp_path / "a", tmp_path / "wav", 1, DEGRADE, 0, 1, 0.0)


def test_bands_rooms_and_equalisers_do_what_they_say():
    x = noise(seconds=4)
    power = np.abs(np.fft.rfft(low_passed(x, 4000))) ** 2
    assert power[len(power) // 2 + 800 :].sum() < 1e-3 * power[: len(power) // 2].sum()
    click = np.zeros(RATE)
    click[100] = 1.0
    answer = in_a_room(click, np.random.default_rng(0))
    assert answer[100] == pytest.approx(1, abs=0.2)
    assert np.abs(answer[:100]).max() < 1e-9 < answer[101:].max()
    gain = np.abs(np.fft.rfft(equalised(np.roll(click, 4000), np.random.default_rng(1))))
    assert 10 ** (-8.5 / 20) < gain.min() < gain.max() < 10 ** (8.5 / 20) and gain.max() / gain.min() > 1.2


def test_rates_keep_length_and_what_both_hold():
    x = noise()
    y = augment(x, AugmentConfig(rates=1.0), generator(0, "rates"))
    assert len(y) == len(x) and np.abs(y - x).max() > 1e-3


def test_another_tag_names_the_same_copies(folder, tmp_path):
    plain = degraded_set(folder.path, tmp_path / "a", tmp_path / "wav_a", 1, DEGRADE, 0, 1, 0.0)
    named = degraded_set(folder.path, tmp_path / "b", tmp_path / "wav_b", 1, DEGRADE, 0, 1, 0.0, "opus")
    for utt in folder.utts:
        first, second = Path(plain.wav[f"{utt}-v1"]), Path(named.wav[f"{utt}-opus1"])
        assert first.read_bytes() == second.read_bytes()
