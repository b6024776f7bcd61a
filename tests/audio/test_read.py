"""Decoding: every format, rate and channel count; damaged files give one line that names them."""

import io
import logging
import os
import struct

import numpy as np
import pytest
import soundfile

from masd.audio import audio_files, read_audio, resample, write_wav
from masd.data.folder import write_folder
from masd.data.utterance import load_utterance
from masd.errors import MasdError

RATE = 16000


def noise(seconds=1.0, rate=RATE, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * rate)).astype(np.float32)


def tone(hz, rate, seconds=1.0):
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate).astype(np.float32)


def encoded(x, rate, container, subtype=None):
    stream = io.BytesIO()
    soundfile.write(stream, x, rate, format=container, subtype=subtype)
    return stream.getvalue()


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_any_format_and_rate_gives_16_khz_mono_of_the_same_length_and_pitch(tmp_path, suffix, rate):
    path = tmp_path / f"a.{suffix}"
    x = 0.5 * tone(440, rate, 2.0)
    soundfile.write(path, np.stack([x, x], 1), rate)
    y, info = read_audio(path)
    assert y.dtype == np.float32 and y.ndim == 1
    # FFmpeg does not cut a Vorbis stream of a single page to the sample
    assert abs(len(y) - 2 * RATE) <= (512 if suffix == "ogg" else 2)
    assert (info.rate, info.channels, info.seconds) == (rate, 2, pytest.approx(2.0, abs=0.03))
    spectrum = np.abs(np.fft.rfft(y[:RATE] * np.hanning(RATE)))
    assert spectrum.argmax() == 440
    assert np.abs(y[4000:-4000]).max() == pytest.approx(0.5, abs=0.06)


def test_channels_are_averaged_and_said_so(tmp_path):
    left, right = noise(seed=1), noise(seed=2)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    y, info = read_audio(tmp_path / "a.wav")
    np.testing.assert_allclose(y, (left + right) / 2, atol=1e-7)
    assert info.warnings == ("2 channels, averaged",)


def test_8_khz_is_read_with_a_warning_of_narrow_band(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(rate=8000), 8000)
    y, info = read_audio(tmp_path / "a.wav")
    assert len(y) == RATE and "narrow band" in info.warnings[0]
    power = np.abs(np.fft.rfft(y * np.hanning(RATE))) ** 2
    assert power[4200:].sum() < 1e-6 * power.sum()


@pytest.mark.parametrize("rate", [22050, 24000, 44100, 48000])
def test_resampling_keeps_the_band_and_lets_no_alias_through(rate):
    for hz in (100, 3000, 7400):
        y = resample(tone(hz, rate), rate, RATE)[2000:-2000]
        np.testing.assert_allclose(y, tone(hz, RATE)[2000 : 2000 + len(y)], atol=2e-3)
    for hz in (8300, 10000):
        assert np.abs(resample(tone(hz, rate), rate, RATE)[2000:-2000]).max() < 1e-5


def test_odd_rates_cost_no_memory():
    assert abs(len(resample(noise(rate=15999), 15999, RATE)) - RATE) <= 1
    assert abs(len(resample(noise(rate=44056), 44056, RATE)) - RATE) <= 1


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_a_file_cut_short_is_refused(tmp_path, container):
    data = encoded(noise(2.0), RATE, container)
    path = tmp_path / f"cut.{container.lower()}"
    path.write_bytes(data[: int(0.6 * len(data))])
    with pytest.raises(MasdError, match=r"cut\..*cut short") as error:
        read_audio(path)
    one_line(error)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF])
def test_wav_from_a_stream_whose_header_does_not_know_its_length_is_whole(size):
    data = bytearray(encoded(noise(), RATE, "WAV", "PCM_16"))
    at = data.find(b"data")
    data[at + 4 : at + 8] = struct.pack("<I", size)
    assert len(read_audio(io.BytesIO(bytes(data)))[0]) == RATE


def test_flac_that_does_not_tell_its_length_is_whole_and_damage_is_found():
    x = noise()
    data = bytearray(encoded(x, RATE, "FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    np.testing.assert_allclose(read_audio(io.BytesIO(bytes(data)))[0], x, atol=2e-5)
    for bad in (data[: 2 * len(data) // 3], data[:9000] + b"\0" * 100 + data[9100:]):
        with pytest.raises(MasdError, match=r"x\.flac: damaged"):
            read_audio(io.BytesIO(bytes(bad)), name="x.flac")


def test_a_header_that_promises_billions_of_samples_takes_no_memory():
    data = bytearray(encoded(noise(0.1), RATE, "FLAC"))
    data[21] |= 0x0F  # total samples: 36 bits
    data[22:26] = b"\xff\xff\xff\xff"
    with pytest.raises(MasdError, match=r"x\.flac"):
        read_audio(io.BytesIO(bytes(data)), name="x.flac")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.wav", b"", "empty file"),
        ("text.wav", b"this is not audio, only text\n" * 50, "not audio but text"),
        ("noise.mp3", bytes(range(256)) * 20, "not audio"),
        ("x.raw", b"\0" * 999, "not audio"),
        ("header.wav", encoded(np.zeros(0, np.float32), RATE, "WAV"), "empty, no samples"),
    ],
)
def test_what_is_no_audio_gives_one_line_that_names_the_file(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MasdError, match=message) as error:
        read_audio(tmp_path / name)
    assert name in one_line(error)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, value):
    x = noise()
    x[500] = value
    soundfile.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
    with pytest.raises(MasdError, match=r"a\.wav: holds values that are not finite"):
        read_audio(tmp_path / "a.wav")


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(MasdError, match=r"none\.wav: no such audio file"):
        read_audio(tmp_path / "none.wav")
    with pytest.raises(MasdError, match="is a folder"):
        read_audio(tmp_path)


def test_a_file_name_that_is_not_utf8_gives_a_line_that_can_be_printed(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    with open(path, "wb") as stream:
        stream.write(encoded(noise(), RATE, "WAV"))
    (found,) = audio_files(tmp_path)
    with pytest.raises(MasdError, match="not UTF-8; rename") as error:
        read_audio(found)
    one_line(error).encode("utf-8")


def test_absurd_rates_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(), 100)
    with pytest.raises(MasdError, match="100 Hz is not credible"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_part_is_what_the_whole_has_there(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(2.0), RATE)
    whole, _ = read_audio(path)
    part, info = read_audio(path, start=0.5, end=1.25)
    np.testing.assert_allclose(part, whole[8000:20000], atol=1e-6)
    assert info.seconds == 0.75


def test_parts_may_overshoot_the_end_a_little_as_in_kaldi(tmp_path):
    write_wav(tmp_path / "a.wav", noise(1.0))
    assert len(read_audio(tmp_path / "a.wav", start=0.5, end=1.3)[0]) == 8000
    for start, end in ((0.5, 1.6), (1.0, 1.2)):
        with pytest.raises(MasdError, match="the recording lasts 1 s"):
            read_audio(tmp_path / "a.wav", start=start, end=end)


def test_audio_files_are_found_by_suffix_in_byte_order(tmp_path, caplog):
    for name in ("b.wav", "B.FLAC", "a/x.mp3", "é.ogg", "notes.txt", "a.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [str(p.relative_to(tmp_path)) for p in audio_files(tmp_path)] == [
        "B.FLAC",
        "a/x.mp3",
        "b.wav",
        "é.ogg",
    ]
    assert [r.getMessage() for r in caplog.records] == [f"{tmp_path}: 2 files left out: .json 1, .txt 1"]
    with pytest.raises(MasdError, match="no such folder"):
        audio_files(tmp_path / "none")


def test_linked_folders_are_entered_and_what_systems_leave_behind_is_not(tmp_path, caplog):
    for name in ("c/a.wav", "c/._a.wav", "c/.DS_Store", "c/__MACOSX/b.wav", "c/.git/x.wav", "t/deep/b.m4a"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "c" / "linked").symlink_to(tmp_path / "t")
    (tmp_path / "t" / "ring").symlink_to(tmp_path / "c")
    found = [str(p.relative_to(tmp_path / "c")) for p in audio_files(tmp_path / "c")]
    assert found == ["a.wav", "linked/deep/b.m4a"] and not caplog.records
    assert [p.name for p in audio_files(tmp_path / "c", {".wav"}, deep=False)] == ["a.wav"]


def test_a_link_to_itself_stops_no_walk(tmp_path):
    """It ended the whole command; as a dead link's, its name is refused when it is read."""
    (tmp_path / "a.wav").write_bytes(b"x")
    for name in ("ring", "ring.wav"):
        (tmp_path / name).symlink_to(name)
    assert [p.name for p in audio_files(tmp_path)] == ["a.wav", "ring.wav"]


def pipe_folder(tmp_path, command, **segments):
    x = noise(2.0)
    write_wav(tmp_path / "a.wav", x)
    utts = segments or {"rec": None}
    write_folder(tmp_path / "d", {"rec": f"{command} |"}, dict.fromkeys(utts, "s"), segments)
    from masd.data.folder import read_folder

    return read_folder(tmp_path / "d"), x


def test_pipes_run_only_when_allowed(tmp_path):
    folder, x = pipe_folder(tmp_path, f"touch {tmp_path}/ran; cat '{tmp_path}/a.wav'")
    with pytest.raises(MasdError, match="--allow-pipes true"):
        load_utterance(folder, "rec")
    assert not (tmp_path / "ran").exists()
    y = load_utterance(folder, "rec", allow_pipes=True)
    np.testing.assert_allclose(y, x, atol=2e-5)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("echo bad luck >&2; exit 3", "failed with status 3: bad luck"),
        ("true", "wrote nothing"),
        ("echo text", "not audio"),
        ("no-such-program-at-all", "failed with status 127"),
    ],
)
def test_a_pipe_that_fails_gives_one_line(tmp_path, command, message):
    folder, _ = pipe_folder(tmp_path, command)
    with pytest.raises(MasdError, match=message) as error:
        load_utterance(folder, "rec", allow_pipes=True)
    one_line(error)


def test_segments_of_files_and_of_pipes_are_cut_where_they_say(tmp_path):
    segments = {"u1": ("rec", 0.25, 1.0), "u2": ("rec", 1.0, -1)}
    piped, x = pipe_folder(tmp_path, f"echo >> {tmp_path}/count; cat {tmp_path}/a.wav", **segments)
    filed = write_folder(tmp_path / "f", {"rec": tmp_path / "a.wav"}, {"u1": "s", "u2": "s"}, segments)
    for folder in (piped, filed):
        np.testing.assert_allclose(load_utterance(folder, "u1", allow_pipes=True), x[4000:16000], atol=2e-5)
        np.testing.assert_allclose(load_utterance(folder, "u2", allow_pipes=True), x[16000:], atol=2e-5)
    assert len((tmp_path / "count").read_text()) == 1, "one recording's command ran once for its segments"


def test_unusual_audio_is_named_in_the_log_and_used(tmp_path, caplog):
    soundfile.write(tmp_path / "a.wav", np.zeros((8000, 2)) + 0.1, 8000)
    folder = write_folder(tmp_path / "d", {"u": tmp_path / "a.wav"}, {"u": "s"})
    with caplog.at_level(logging.WARNING):
        assert len(load_utterance(folder, "u")) == RATE
    assert [r.getMessage() for r in caplog.records] == [
        "utterance u: narrow band: sampled at 8000 Hz, nothing above 4000 Hz",
        "utterance u: 2 channels, averaged",
    ]


def test_an_utterance_that_is_not_there_is_named(tmp_path):
    write_wav(tmp_path / "a.wav", noise())
    folder = write_folder(tmp_path / "d", {"u": tmp_path / "a.wav"}, {"u": "s"})
    with pytest.raises(MasdError, match="no utterance 'v'"):
        load_utterance(folder, "v")
