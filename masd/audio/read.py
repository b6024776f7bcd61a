"""Decoding: any file soundfile reads (WAV, FLAC, OGG, MP3, ...), any rate, any number of channels."""

from __future__ import annotations

import functools
import io
import logging
import os
import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from masd.data.folder import DataFolder
from masd.errors import MasdError

log = logging.getLogger(__name__)

SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".sph", ".w64"}
MIN_RATE, MAX_RATE = 4000, 768000
# As in Kaldi's extract-segments, a segment may end a little after its recording.
OVERSHOOT = 0.5
_BLOCK = 1 << 20
# What libsndfile gives as the number of frames of a FLAC stream that does not tell.
_UNKNOWN = 2**62
# Sizes from here on are what programs write that do not know yet how much will follow (sox, ffmpeg).
_STREAMING = 0x7FFF0000
# Some programs count the 44 bytes of the header as data.
_HEADER = 44
_DATA_SIZE = re.compile(r"^\s*(?:data|SSND|riff) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_NO_END = re.compile(r"lacks an end-of-stream bit|without an End-Of-Stream flag")


@dataclass(frozen=True)
class AudioInfo:
    """What a file held before it was mixed down and resampled.

    Attributes:
        name: the file, for messages.
        rate: its sampling rate in Hz.
        channels: its number of channels.
        seconds: the length of what was read.
        format: the container (WAV, FLAC, OGG, MP3, ...).
        warnings: one line each on what is unusual though usable (narrow band, several channels).
    """

    name: str
    rate: int
    channels: int
    seconds: float
    format: str
    warnings: tuple[str, ...] = ()


def read_audio(
    source: str | Path | BinaryIO,
    rate: int = 16000,
    start: float = 0.0,
    end: float | None = None,
    name: str | None = None,
) -> tuple[np.ndarray, AudioInfo]:
    """Read a file, or a part of it, as mono at `rate`.

    Channels are averaged. Only the part asked for is decoded where the format allows it.

    Args:
        source: a path, or a binary file object (standard input too).
        rate: the sampling rate wanted in Hz.
        start: where to begin, in seconds.
        end: where to stop, in seconds; None for the end. It may lie up to 0.5 s after the end.
        name: what messages call the source; the path by default.

    Returns:
        A float32 array of shape (N,) and what the file was.

    Raises:
        MasdError: missing, not UTF-8 named, empty, not audio, cut short, of an absurd rate, or with values
            that are not finite; the message begins with the name.
    """
    name = name or _name(source)
    opened = open_audio(source, name)
    with opened as audio:
        _check_rate(audio, name)
        samples = _read_part(audio, name, start, end)
        info = AudioInfo(
            name,
            audio.samplerate,
            audio.channels,
            len(samples) / audio.samplerate,
            audio.format,
            _warnings(audio, rate),
        )
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise MasdError(f"{name}: holds values that are not finite (NaN or infinity)")
    return resample(mono, info.rate, rate), info


def _name(source: str | Path | BinaryIO) -> str:
    if isinstance(source, (str, Path)):
        return os.fspath(source).encode("utf-8", "backslashreplace").decode()
    return str(getattr(source, "name", "<stream>"))


def open_audio(source: str | Path | BinaryIO, name: str) -> soundfile.SoundFile:
    """Open a path or a binary file object; `MasdError` begins with `name` and says why it is not audio."""
    if isinstance(source, (str, Path)):
        path = Path(source)
        try:
            os.fspath(path).encode()
        except UnicodeEncodeError:
            raise MasdError(f"{name}: the file name is not UTF-8; rename the file") from None
        if not path.is_file():
            raise MasdError(f"{name}: {'is a folder, not a file' if path.is_dir() else 'no such audio file'}")
        if path.stat().st_size == 0:
            raise MasdError(f"{name}: empty file")
        if not os.access(path, os.R_OK):
            raise MasdError(f"{name}: cannot be read (permission denied)")
        handle: str | BinaryIO = os.fspath(path)
    else:
        data = source.read()
        if not data:
            raise MasdError(f"{name}: empty, no audio came")
        handle = io.BytesIO(data)
    try:
        return soundfile.SoundFile(handle)
    except (soundfile.SoundFileError, TypeError, ValueError):
        raise MasdError(
            f"{name}: not audio that can be decoded (WAV, FLAC, OGG and MP3 can), or damaged"
        ) from None


def _read_part(audio: soundfile.SoundFile, name: str, start: float, end: float | None) -> np.ndarray:
    """Decode samples of shape (N, channels); notice files cut short."""
    _check_complete(audio, name)
    first = round(start * audio.samplerate)
    last = audio.frames if end is None else round(end * audio.samplerate)
    if first >= audio.frames or last > audio.frames + OVERSHOOT * audio.samplerate:
        if audio.frames == 0:
            raise MasdError(f"{name}: empty, no samples")
        length = audio.frames / audio.samplerate
        raise MasdError(
            f"{name}: {start:g} to {end or length:g} s asked for, the recording lasts {length:g} s"
        )
    last = min(last, audio.frames)
    try:
        if first:
            audio.seek(first)
        samples = _read_blocks(audio, last - first)
    except soundfile.SoundFileError as error:
        raise MasdError(f"{name}: damaged or cut short ({' '.join(str(error).split())})") from None
    if len(samples) == 0:
        raise MasdError(f"{name}: empty, no samples")
    if len(samples) < last - first:
        raise MasdError(f"{name}: cut short: {len(samples)} of {last - first} samples could be read")
    return samples


def _read_blocks(audio: soundfile.SoundFile, count: int) -> np.ndarray:
    # In blocks: a header may promise any number of samples, and memory is only taken for those that come.
    blocks = []
    while count > 0:
        block = audio.read(min(count, _BLOCK), dtype="float32", always_2d=True)
        blocks.append(block)
        count -= len(block)
        if len(block) < _BLOCK:
            break
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def check_header(audio: soundfile.SoundFile, name: str) -> None:
    """Raise `MasdError` if an opened file's header tells that it is empty, cut short or of an absurd rate."""
    _check_rate(audio, name)
    _check_complete(audio, name)
    if audio.frames == 0:
        raise MasdError(f"{name}: empty, no samples")


def _check_rate(audio: soundfile.SoundFile, name: str) -> None:
    if not MIN_RATE <= audio.samplerate <= MAX_RATE:
        raise MasdError(f"{name}: a sampling rate of {audio.samplerate} Hz is not credible")


def _check_complete(audio: soundfile.SoundFile, name: str) -> None:
    # libsndfile reads what is left of a truncated WAV, AIFF or OGG without complaint; its log tells.
    if audio.frames >= _UNKNOWN:
        raise MasdError(f"{name}: a stream that does not tell its length; decode it to a WAV file first")
    notes = audio.extra_info
    size = _DATA_SIZE.search(notes)
    if size and int(size[2]) + _HEADER < int(size[1]) < _STREAMING:
        raise MasdError(f"{name}: cut short: {size[2]} of {size[1]} bytes of audio are there")
    if _NO_END.search(notes):
        raise MasdError(f"{name}: cut short: the stream has no end mark")


def _warnings(audio: soundfile.SoundFile, rate: int) -> tuple[str, ...]:
    lines = []
    if audio.samplerate < rate:
        lines.append(
            f"narrow band: sampled at {audio.samplerate} Hz, nothing above {audio.samplerate // 2} Hz"
        )
    if audio.channels > 1:
        lines.append(f"{audio.channels} channels, averaged")
    return tuple(lines)


def resample(x: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Change the sampling rate of x (N,) by windowed-sinc interpolation; returns float32 (ceil(N to/from),).

    Kaiser window, 128 zero crossings, flat to 0.95 of the lower Nyquist frequency. Rates without a
    small ratio are approximated within 1e-6 of the ratio (44056:16000), exact for all common ones.
    """
    x = np.asarray(x, np.float32)
    if from_rate == to_rate or len(x) == 0:
        return x
    import torch

    ratio = Fraction(from_rate, to_rate).limit_denominator(1000)
    if ratio == 1:
        return x
    with torch.inference_mode():
        return _resampler(ratio.numerator, ratio.denominator)(
            torch.from_numpy(np.ascontiguousarray(x))
        ).numpy()


# all that `masd.audio.augment.change_speed` asks for: making one takes longer than using it
@functools.lru_cache(maxsize=32)
def _resampler(orig: int, new: int):  # noqa: ANN202 - its type is torchaudio's, imported when needed only
    from torchaudio.transforms import Resample

    return Resample(
        orig,
        new,
        resampling_method="sinc_interp_kaiser",
        lowpass_filter_width=128,
        rolloff=0.974,
        beta=14.769656459379492,
    )


def fit(x: np.ndarray, length: int) -> np.ndarray:
    """Return x (N,) cut, or padded with zeros at its end, to `length` samples."""
    return x[:length] if len(x) >= length else np.pad(x, (0, length - len(x)))


def load_utterance(folder: DataFolder, utt: str, rate: int = 16000, allow_pipes: bool = False) -> np.ndarray:
    """Return the audio of one utterance: float32 (N,), mono, at `rate` Hz; segments and pipes honoured.

    Narrow-band or multi-channel audio is used, and named in one line of the log.

    Args:
        folder: the data folder.
        utt: the utterance id.
        rate: the sampling rate wanted in Hz.
        allow_pipes: whether commands in wav.scp may run; they are the data folder's author's, so only
            for folders that are trusted.

    Raises:
        MasdError: no such utterance, a pipe that is not allowed or fails, or whatever `read_audio` refuses.
    """
    where = folder.recording(utt)
    entry = folder.wav[where.recording]
    end = None if where.end < 0 else where.end
    source: str | BinaryIO = entry
    if entry.endswith("|"):
        if not allow_pipes:
            raise MasdError(
                f"{folder.path}/wav.scp: '{where.recording}' is a command ({entry}); "
                "give --allow-pipes true to run it, if you trust this folder"
            )
        run = _run_recording if folder.segments else _run_command
        source = io.BytesIO(run(entry[:-1].strip()))
    x, info = read_audio(
        source, rate, where.start, end, name=f"{entry} ({utt})" if folder.segments else entry
    )
    for line in info.warnings:
        log.warning("utterance %s: %s", utt, line)
    return x


def _run_command(command: str) -> bytes:
    """Run a wav.scp command in a shell and return what it writes."""
    done = subprocess.run(
        ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode or not done.stdout:
        lines = done.stderr.decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
        what = f"failed with status {done.returncode}" if done.returncode else "wrote nothing"
        raise MasdError(f"command '{command}' {what}: {last}")
    return done.stdout


# Utterances are read in order, so the many segments of one recording run its command once.
_run_recording = functools.lru_cache(maxsize=1)(_run_command)


def audio_files(folder: str | Path) -> list[Path]:
    """Return the audio files under a folder, known by their suffix, in LC_ALL=C order.

    Raises:
        MasdError: no such folder. Files whose names are not UTF-8 are returned; `read_audio` refuses each.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MasdError(f"{folder}: no such folder")
    files = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(files, key=os.fsencode)
