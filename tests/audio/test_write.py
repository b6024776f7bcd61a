"""Writing audio: exact 16-bit steps, whole or not at all, nothing clipped in silence."""

import numpy as np
import pytest
import soundfile

from masd.audio import read_audio, write_wav
from masd.errors import MasdError


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_what_is_written_is_read_back_to_half_a_step(tmp_path, suffix):
    x = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    x[:2] = (1.0, -1.0)
    path = tmp_path / "sub" / f"a{suffix}"
    write_wav(path, x, 22050)
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (22050, 1, "PCM_16", 5000)
    y, _ = read_audio(path, 22050)
    assert np.abs(y[1:] - x[1:]).max() <= 2.0**-16 + 1e-7
    assert y[0] == 32767 / 32768
    write_wav(tmp_path / f"b{suffix}", y, 22050)
    assert (tmp_path / f"b{suffix}").read_bytes() == path.read_bytes(), (
        "reading and writing again changes nothing"
    )


@pytest.mark.parametrize(
    ("x", "name", "message"),
    [
        (np.array([0.0, np.nan]), "a.wav", "not finite"),
        (np.array([0.0, 1.01]), "a.wav", "would clip"),
        (np.zeros((2, 2)), "a.wav", "shape"),
        (np.zeros(0), "a.wav", "shape"),
        (np.zeros(5), "a.mp3", ".wav or .flac"),
    ],
)
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path, x, name, message):
    with pytest.raises(MasdError, match=message):
        write_wav(tmp_path / name, x)
    assert list(tmp_path.iterdir()) == []
