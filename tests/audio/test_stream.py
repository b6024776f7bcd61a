"""Streams: content tells what a file is; joined and unfinished ones are read whole; damage is named."""

import io
import os
import re
import threading

import av
import numpy as np
import pytest
import soundfile

import masd.audio.files
from masd.audio import AudioStream, read_audio, resample
from masd.audio.stream import Clipping
from masd.data.durations import header_seconds
from masd.errors import MasdError

RATE = 16000


def voice(seconds=2.0, rate=RATE, seed=0):
    """A buzz of 150 Hz that swells, with a little noise."""
    t = np.arange(int(seconds * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 12)) * (1 + np.sin(6 * np.pi * t))
    noise = np.random.default_rng(seed).standard_normal(len(t))
    return (0.08 * buzz + 0.003 * noise).astype(np.float32)


def by_ffmpeg(x, rate, container, codec, video=False, bit_rate=None, **options):
    """Return the bytes of a file that FFmpeg makes of x (N,)."""
    stream = io.BytesIO()
    with av.open(stream, "w", format=container, options=options) as out:
        pictures = out.add_stream("mpeg4", rate=10, width=64, height=64) if video else None
        audio = out.add_stream(codec, rate=rate, layout="mono") if codec else None
        if pictures:
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            out.mux(pictures.encode(frame))
            out.mux(pictures.encode(None))
        if audio:
            audio.bit_rate = bit_rate or 64000
            pcm = np.round(x * 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, 0
            out.mux(audio.encode(frame))
            out.mux(audio.encode(None))
    return stream.getvalue()


def by_sndfile(x, rate, container, subtype=None):
    stream = io.BytesIO()
    soundfile.write(stream, x, rate, format=container, subtype=subtype)
    return stream.getvalue()


def read(data, rate=RATE, name="x", **part):
    return read_audio(io.BytesIO(data), rate, name=name, **part)


def sized(wav, riff, data):
    """Return a WAV with other sizes in its header."""
    at = wav.find(b"data") + 4
    return wav[:4] + riff.to_bytes(4, "little") + wav[8:at] + data.to_bytes(4, "little") + wav[at + 4 :]


@pytest.mark.parametrize(
    ("container", "codec", "rate", "kind"),
    [
        ("ipod", "aac", 44100, "MP4"),
        ("mp4", "aac", RATE, "MP4"),
        ("ipod", "alac", RATE, "MP4"),
        ("mov", "pcm_s16le", 22050, "MP4"),
        ("3gp", "libopencore_amrnb", 8000, "MP4"),
        ("amr", "libopencore_amrnb", 8000, "AMR"),
        ("adts", "aac", 24000, "AAC"),
        ("webm", "libopus", 48000, "MATROSKA"),
        ("matroska", "flac", RATE, "MATROSKA"),
        ("asf", "wmav2", 44100, "ASF"),
        ("caf", "pcm_s16be", RATE, "CAF"),
        ("flv", "aac", 44100, "FLV"),
        ("wv", "wavpack", RATE, "WAVPACK"),
        ("mpegts", "aac", 44100, "TS"),
        ("ogg", "flac", RATE, "OGG"),
        ("mp2", "mp2", RATE, "MP3"),
        ("wav", "g722", RATE, "WAV"),
        ("wav", "libmp3lame", RATE, "WAV"),
        ("w64", "pcm_s16le", RATE, "W64"),
    ],
)
def test_kinds_are_known_by_their_content_and_read_whole(tmp_path, container, codec, rate, kind):
    bit_rate = 12200 if "amr" in codec else None
    data = by_ffmpeg(voice(rate=rate), rate, container, codec, bit_rate=bit_rate)
    y, info = read(data)
    assert (info.format, info.rate) == (kind, rate)
    assert 1.99 < len(y) / RATE < 2.13, "all of it; coders add a delay of up to two frames"
    assert np.sqrt(np.mean(y**2)) == pytest.approx(np.sqrt(np.mean(voice() ** 2)), rel=0.25)
    (tmp_path / "x").write_bytes(data)
    assert header_seconds(tmp_path / "x") == pytest.approx(info.seconds, abs=1e-6)


def test_raw_g722_is_known_by_its_suffix(tmp_path):
    (tmp_path / "a.g722").write_bytes(by_ffmpeg(voice(), RATE, "g722", "g722"))
    y, info = read_audio(tmp_path / "a.g722")
    assert (len(y), info.rate, info.format) == (2 * RATE, RATE, "G722")
    assert np.corrcoef(y[100:-100], np.roll(voice(), 22)[100:-100])[0, 1] > 0.99


def test_the_first_audio_stream_of_a_video_is_read_and_one_without_is_named():
    with_audio = by_ffmpeg(voice(), RATE, "matroska", "aac", video=True)
    assert len(read(with_audio)[0]) >= 2 * RATE
    with pytest.raises(MasdError, match="without an audio stream"):
        read(by_ffmpeg(None, RATE, "mp4", "", video=True))


@pytest.mark.parametrize("rate", [8000, RATE, 48000])
@pytest.mark.parametrize("bit_rate", [6000, 24000])
def test_valid_opus_of_low_rates_is_read_to_the_sample(rate, bit_rate):
    y, info = read(by_ffmpeg(voice(rate=rate), rate, "ogg", "libopus", bit_rate=bit_rate))
    assert len(y) == 2 * RATE and info.format == "OGG"


@pytest.mark.parametrize("rate", [RATE, 44100])
def test_mp3_with_a_xing_header_has_its_length_to_the_sample(rate):
    x = voice(rate=rate)
    for data in (by_ffmpeg(x, rate, "mp3", "libmp3lame"), by_sndfile(x, rate, "MP3")):
        y, info = read(data, rate)
        assert len(y) == len(x) and info.seconds == 2.0
        np.testing.assert_allclose(y, soundfile.read(io.BytesIO(data), dtype="float32")[0], atol=1e-5)


def test_mp3_without_xing_header_is_read_to_its_end_and_never_cut_short(tmp_path):
    data = by_ffmpeg(voice(5.0), RATE, "mp3", "libmp3lame", write_xing="0")
    for name, size in (("whole", len(data)), ("cut in a frame", len(data) - 50), ("half", len(data) // 2)):
        content = data[:size]
        seconds = 5.0 * len(content) / len(data)
        path = tmp_path / f"{name}.mp3"
        path.write_bytes(content)
        y, _ = read_audio(path)
        assert len(y) / RATE == pytest.approx(seconds, abs=0.1)
        assert header_seconds(path) == pytest.approx(len(y) / RATE, abs=0.04)


def test_joined_mp3s_are_read_whole_without_their_paddings():
    x = voice(rate=24000)
    tagged, bare = (by_ffmpeg(x, 24000, "mp3", "libmp3lame", write_xing=flag) for flag in "10")
    y, info = read(tagged * 3, 24000)
    np.testing.assert_allclose(y, np.tile(read(tagged, 24000)[0], 3), atol=0.05)
    assert info.seconds == 6.0 and AudioStream(io.BytesIO(tagged * 3)).length() == pytest.approx(6.0)
    assert len(read(bare + tagged, 24000)[0]) == len(read(bare, 24000)[0]) + len(x)
    art = b"TAG" + bytes(125) + b"ID3\4\0\0\0\0\1\0" + b"\x55" * 128
    assert len(read(tagged + art + tagged, 24000)[0]) == 2 * len(x)


@pytest.mark.parametrize("container", ["FLAC", "WAV", "OGG"])
def test_joined_streams_are_read_whole(tmp_path, container):
    one, two = voice(2.0), voice(3.0, seed=1)
    first, second = by_sndfile(one, RATE, container), by_sndfile(two, RATE, container)
    apart = np.concatenate([read(first)[0], read(second)[0], read(first)[0]])
    path = tmp_path / "x"
    path.write_bytes(first + second + first)
    y, info = read_audio(path)
    np.testing.assert_array_equal(y, apart)
    assert header_seconds(path) == pytest.approx(info.seconds)
    for start in (0.5, 2.5, 6.0):
        np.testing.assert_array_equal(read_audio(path, start=start)[0], apart[round(start * RATE) :])


def test_joined_opus_and_parts_of_other_rates_follow_the_first():
    opus = by_ffmpeg(voice(), RATE, "ogg", "libopus")
    assert len(read(opus * 2)[0]) == 4 * RATE
    y, _ = read(by_sndfile(voice(rate=24000), 24000, "FLAC") + by_sndfile(voice(), RATE, "FLAC"), 24000)
    assert len(y) == 4 * 24000


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_wavs_of_unknown_length_are_read_whole_joined_or_not(size):
    x = voice()
    wav = by_sndfile(x, RATE, "WAV")
    for riff in (size, len(wav) - 8):
        np.testing.assert_allclose(read(sized(wav, riff, size))[0], x, atol=5e-5)
    np.testing.assert_allclose(read(sized(wav, size, size) * 3)[0], np.tile(x, 3), atol=5e-5)
    empty = sized(wav[:44], 48, 0) + b"LIST\4\0\0\0abcd"
    with pytest.raises(MasdError, match="empty, no samples"):
        read(empty)


@pytest.mark.parametrize("coding", ["GSM610", "ULAW", "MS_ADPCM", "IMA_ADPCM", "G721_32", "NMS_ADPCM_16"])
def test_codings_of_telephones_in_wav_are_read_whole_and_in_part(coding):
    """In GSM 6.10 libsndfile neither seeks nor tells where it is: that was a traceback."""
    x = voice(rate=8000)
    wav = by_sndfile(x, 8000, "WAV", coding)
    y, _ = read(wav, 8000)
    assert 0 <= len(y) - len(x) < 1024 and np.corrcoef(y[: len(x)], x)[0, 1] > 0.95
    np.testing.assert_array_equal(read(wav, 8000, start=0.5, end=1.5)[0], y[4000:12000])


def damaged():
    """Return {what: (bytes, message)}."""
    x = voice(3.0)
    flac, ogg, mp3 = by_sndfile(x, RATE, "FLAC"), by_sndfile(x, RATE, "OGG"), by_sndfile(x, RATE, "MP3")
    mp4, bare = by_ffmpeg(x, RATE, "mp4", "aac"), by_ffmpeg(x, RATE, "mp3", "libmp3lame", write_xing="0")
    mka, wav = by_ffmpeg(x, RATE, "matroska", "aac"), by_sndfile(x, RATE, "WAV")
    noise = np.random.default_rng(0).bytes(2000)
    return {
        "wav": (wav[: len(wav) // 2], "cut short: .* bytes of audio are there"),
        "second wav": (wav + wav[: len(wav) // 2], "cut short"),
        "flac": (flac[: len(flac) // 2], "cut short"),
        "flac with noise": (flac[:30000] + noise + flac[32000:], "damaged"),
        "mp3 with a length": (mp3[: len(mp3) // 2], "cut short: 1.* of 3.* s"),
        "mp3 with noise": (bare[:9000] + noise + bare[9000:], "damaged"),
        "ogg in a page": (ogg[: len(ogg) // 2], "cut short"),
        "ogg with a flipped bit": (ogg[:9000] + bytes([ogg[9000] ^ 1]) + ogg[9001:], "checksum"),
        "ogg without its last page": (ogg[: ogg.rindex(b"OggS")], "no end mark"),
        "mp4": (mp4[: len(mp4) // 2], "cut short"),
        "mp4 without index": (mp4[: mp4.index(b"moov") - 4], "no index"),
        "matroska": (mka[: len(mka) // 2], "cut short|damaged"),
    }


@pytest.mark.parametrize("what", damaged())
def test_true_damage_is_named(what):
    data, message = damaged()[what]
    with pytest.raises(MasdError, match=f"^a b: .*(?:{message})") as error:
        read(data, name="a b")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\3\4" + bytes(99), "zip archive"),
        (b"\n<!DOCTYPE html><title>404", "HTML page"),
        (b"<html><body>", "HTML page"),
        (b'{"error": 404}', "text"),
        (b"#EXTM3U\nhttp://example.org/a.ts\n", "text"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\0\5\x16\7" + bytes(20), "AppleDouble"),
        (b"\x89PNG\r\n", "image"),
        (bytes(500), "zeros only"),
    ],
)
def test_what_is_no_audio_is_called_by_its_name(content, message):
    with pytest.raises(MasdError, match=f"^x.wav: not audio but .*{message}"):
        read(content, name="x.wav")


@pytest.mark.parametrize(
    ("name", "container", "codec", "line"),
    [
        ("a.mp3", "adts", "aac", "called .mp3, but is AAC (ADTS) inside"),
        ("a.wav", "webm", "libopus", "called .wav, but is Matroska or WebM inside"),
        ("a.flac", "wav", "pcm_s16le", "called .flac, but is WAV inside"),
    ],
)
def test_a_wrong_name_is_said_and_the_file_read(tmp_path, name, container, codec, line):
    (tmp_path / name).write_bytes(by_ffmpeg(voice(rate=48000), 48000, container, codec))
    y, info = read_audio(tmp_path / name)
    assert len(y) > 1.9 * RATE and info.warnings == (line,)


def test_pipes_and_objects_that_cannot_seek_are_read(tmp_path, monkeypatch):
    wav = by_sndfile(voice(), RATE, "WAV")
    os.mkfifo(tmp_path / "pipe")

    def write():
        with open(tmp_path / "pipe", "wb") as stream:
            stream.write(wav)

    thread = threading.Thread(target=write)
    thread.start()
    y, _ = read_audio(tmp_path / "pipe")
    thread.join()
    np.testing.assert_allclose(y, voice(), atol=5e-5)
    ends = os.pipe()
    os.write(ends[1], wav[:60000])
    os.close(ends[1])
    monkeypatch.setattr(masd.audio.files, "MAX_PIPED", 50000)
    with open(ends[0], "rb") as stream, pytest.raises(MasdError, match="came through the pipe"):
        read_audio(stream, name="-")
    with pytest.raises(MasdError, match="is a device"):
        read_audio("/dev/zero")


def test_a_stream_gives_the_bits_of_the_whole_however_far_it_is_read(monkeypatch):
    x = np.round(32767 * voice(3.7, 44100)).astype(np.int16)
    whole = [read(by_sndfile(x, 44100, kind))[0] for kind in ("WAV", "FLAC", "AIFF")]
    np.testing.assert_array_equal(whole[0], whole[1])
    np.testing.assert_array_equal(whole[0], whole[2])
    with AudioStream(io.BytesIO(by_sndfile(x, 44100, "FLAC"))) as stream:
        first = next(iter(stream))
        assert stream.info.seconds < 2.5, "no more is decoded than is asked for and the filter needs"
    np.testing.assert_array_equal(first, whole[0][:RATE])
    with AudioStream(io.BytesIO(by_sndfile(x, 44100, "WAV"))) as stream:
        assert [len(block) for block in stream] == [RATE, RATE, RATE, len(whole[0]) - 3 * RATE]


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_blocks_resample_as_one_convolution_does(rate):
    import torch
    from torchaudio.transforms import Resample

    x, kaiser = voice(2.3, rate), {"resampling_method": "sinc_interp_kaiser", "beta": 14.769656459379492}
    at_once = Resample(rate, RATE, lowpass_filter_width=128, rolloff=0.974, **kaiser)
    y = at_once(torch.from_numpy(x)).numpy()
    # torchaudio's filters are made of times in single precision, these are not
    np.testing.assert_allclose(resample(x, rate, RATE), y, atol=1e-5)


def test_channels_that_cancel_are_not_averaged():
    x = voice()
    y, info = read(by_sndfile(np.stack([0.9 * x, -0.9 * x + 1e-4], 1), RATE, "WAV"))
    np.testing.assert_allclose(np.abs(y), np.abs(0.9 * x), atol=3e-4)
    assert info.warnings[-1] == "channels cancel each other: the louder one is used"
    y, info = read(by_sndfile(np.stack([x, np.zeros_like(x)], 1), RATE, "WAV"))
    np.testing.assert_allclose(y, x / 2, atol=5e-5)


def clipped_share(x):
    """The share of a whole waveform that lies in flat runs of 3 or more at either extreme."""
    count, peak = 0, np.abs(x).max()
    for side in (x, -x):
        if side.max() >= 0.5 * peak:
            top = side >= side.max() - 1e-4 * peak
            edges = np.flatnonzero(np.diff(np.concatenate([[0], top.astype(np.int8), [0]])))
            runs = edges[1::2] - edges[::2]
            count += int(runs[runs >= 3].sum())
    return count / len(x)


@pytest.mark.parametrize("level", [0.3, 1.0, 3.0])
def test_clipping_counted_in_blocks_is_that_of_the_whole(level):
    x = np.clip(level * voice(3.0), -0.4, 0.5)
    counted = Clipping()
    for block in np.array_split(x, 37):
        counted.add(block)
    assert counted.share == pytest.approx(clipped_share(x), abs=1e-9)


def test_audio_in_archives_is_read(tmp_path):
    import kaldiio

    waves = {f"u{i}": (RATE, np.round(32767 * voice(1 + i, seed=i)).astype(np.int16)) for i in range(3)}
    kaldiio.save_ark(f"{tmp_path}/wav.ark", waves, scp=f"{tmp_path}/wav.scp")
    kaldiio.save_ark(f"{tmp_path}/audio.ark", waves, scp=f"{tmp_path}/audio.scp", write_function="soundfile")
    flacs = [(f"u{i} ".encode(), by_sndfile(x, rate, "FLAC")) for i, (rate, x) in enumerate(waves.values())]
    at, lines = 0, []
    for utt, data in flacs:
        lines.append(f"{utt.decode()}{tmp_path}/flac.ark:{at + len(utt)}\n")
        at += len(utt) + len(data)
    (tmp_path / "flac.ark").write_bytes(b"".join(utt + data for utt, data in flacs))
    (tmp_path / "flac.scp").write_text("".join(lines))
    for scp in ("wav.scp", "audio.scp", "flac.scp"):
        for line in (tmp_path / scp).read_text().splitlines():
            utt, entry = line.split()
            np.testing.assert_array_equal(read_audio(entry)[0], waves[utt][1] / np.float32(32768))
            assert header_seconds(entry) == 1 + int(utt[1])
            assert len(read_audio(entry, start=0.25, end=0.5)[0]) == RATE // 4
    with pytest.raises(MasdError, match="no audio begins at this byte"):
        read_audio(f"{tmp_path}/wav.ark:7")
    (tmp_path / "cut.ark").write_bytes((tmp_path / "wav.ark").read_bytes()[:9000])
    with pytest.raises(MasdError, match=re.escape("cut.ark:3: cut short")):
        read_audio(f"{tmp_path}/cut.ark:3")


def test_a_part_shorter_than_a_sample_is_named(tmp_path):
    soundfile.write(tmp_path / "a.wav", voice(), RATE)
    with pytest.raises(MasdError, match=r"a\.wav: 0\.5 to 0\.50001 s is not as long as one sample"):
        read_audio(tmp_path / "a.wav", start=0.5, end=0.50001)


def test_memory_stays_even():
    """An hour of stereo at 48 kHz in blocks takes what a minute takes."""
    import tracemalloc

    def peak(seconds):
        wav = sized(by_sndfile(np.zeros((1, 2)), 48000, "WAV"), 0xFFFFFFFF, 0xFFFFFFFF)
        ends = io.BytesIO(wav + bytes(4 * 48000 * seconds))
        tracemalloc.start()
        with AudioStream(ends) as stream:
            assert sum(map(len, stream)) == pytest.approx(RATE * seconds, abs=2)
        return tracemalloc.get_traced_memory()[1]

    peak(2)
    assert peak(30) < 1.2 * peak(10) + 1e6
