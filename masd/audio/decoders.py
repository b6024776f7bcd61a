"""Decoding a file's parts to blocks (n, channels) of float32: by libsndfile, or by FFmpeg through PyAV."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import soundfile

from masd.audio.contents import AAC, FLAC, G722, MP3, MP4, OGG, WAV, Kind, after_id3, mpeg_frame
from masd.audio.files import OggLink, Stretch, size_of
from masd.audio.resampling import Resampler
from masd.errors import MasdError

_BLOCK = 1 << 16
# What libsndfile gives as the number of frames of a FLAC stream that does not tell.
_UNKNOWN = 2**62
# Sizes from here on are what programs write that do not know yet how much will follow (sox, ffmpeg).
_STREAMING = 0x7FFF0000
# Some programs count the 44 bytes of the header as data.
_HEADER = 44
_DATA_SIZE = re.compile(r"^\s*(?:data|SSND|riff) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_NEXT_WAV = re.compile(rb"RIFF[\s\S]{4}WAVE(?:fmt |JUNK|LIST|bext)")
_NEXT_FLAC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICS", b"3DI")
# LAME and libsndfile's mpg123: a decoder's own delay, in samples
_MP3_DELAY = 529
# of containers that tell their length: by how much, in seconds, less may come (rounding, delays of coders)
_SLACK = 0.5


class Decoder:
    """The parts of a file one after another, as if they were one; all follow the first's rate and channels.

    Args:
        file: seekable; it stays open.
        kind: what it holds.
        name: what messages begin with.
        joined: whether further parts may follow the first.

    Attributes:
        rate: of the first part, in Hz.
        channels: of the first part.
        format: the container (WAV, FLAC, ...).
        came: samples that were decoded or passed over so far.
    """

    def __init__(self, file: BinaryIO, kind: Kind, name: str, joined: bool = True) -> None:
        self._parts = _parts(file, kind, name, joined)
        self._first = next(self._parts)
        self.rate, self.channels, self.format = self._first.rate, self._first.channels, self._first.format
        self.came = 0

    def blocks(self, first: int = 0) -> Iterator[np.ndarray]:
        """Yield (n, channels) float32 from sample number `first` on.

        Raises:
            MasdError: damaged or cut short.
        """
        self.came = self._first.seek(first)
        for block in self._alike():
            skip = max(0, first - self.came)
            self.came += len(block)
            if skip < len(block):
                yield block[skip:]

    def _alike(self) -> Iterator[np.ndarray]:
        pieces = (piece for part in self._all() for piece in part.pieces())
        for rate, run in itertools.groupby(pieces, key=lambda piece: piece[0]):
            blocks = (_with_channels(block, self.channels) for _, block in run)
            yield from blocks if rate == self.rate else _at_rate(blocks, rate, self.rate, self.channels)

    def _all(self) -> Iterator[SndPart | AvPart]:
        yield self._first
        yield from self._parts

    def close(self) -> None:
        """Let go of the decoder; the file stays open."""
        self._parts.close()


def _with_channels(block: np.ndarray, channels: int) -> np.ndarray:
    same = block.shape[1] == channels
    return block if same else np.repeat(block.mean(axis=1, keepdims=True), channels, axis=1)


def _at_rate(blocks: Iterator[np.ndarray], rate: int, wanted: int, channels: int) -> Iterator[np.ndarray]:
    resamplers = [Resampler(rate, wanted) for _ in range(channels)]
    for block in blocks:
        made = [resampler.push(block[:, c]) for c, resampler in enumerate(resamplers)]
        yield from (np.stack(ys, axis=1) for ys in zip(*made, strict=True))
    yield from (np.stack(ys, axis=1) for ys in zip(*[r.finish() for r in resamplers], strict=True))


def _parts(file: BinaryIO, kind: Kind, name: str, joined: bool) -> Iterator[SndPart | AvPart]:
    if kind is OGG:
        yield from _ogg_parts(file, name)
    elif not kind.sndfile:
        yield from _av_parts(file, kind, name)
    elif kind is WAV:
        yield from _wav_parts(file, name, joined)
    elif kind is FLAC:
        yield from _flac_parts(file, name, joined)
    else:
        yield from _opened(Stretch(file), kind, name)


def _opened(part: Stretch, kind: Kind, name: str) -> Iterator[SndPart | AvPart]:
    """Yield a part by libsndfile, or by FFmpeg where libsndfile does not know its coding."""
    try:
        audio = soundfile.SoundFile(part)
    except (soundfile.SoundFileError, TypeError, ValueError):
        part.seek(0)
        yield from _av_parts(part, kind, name)  # type: ignore[arg-type]
        return
    with audio:
        if audio.format == "MP3":  # found by libsndfile behind something else
            part.seek(0)
            yield from _av_parts(part, MP3, name)  # type: ignore[arg-type]
            return
        yield SndPart(audio, part, kind, name)


def _flac_parts(file: BinaryIO, name: str, joined: bool) -> Iterator[SndPart | AvPart]:
    part = Stretch(file, marker=_NEXT_FLAC if joined else None)
    while True:
        yield from _opened(part, FLAC, name)
        if not joined or part.find_end() >= size_of(file):
            return
        part = Stretch(file, part.stop, marker=_NEXT_FLAC)


def _wav_parts(file: BinaryIO, name: str, joined: bool) -> Iterator[SndPart | AvPart]:
    start, size = 0, size_of(file)
    while True:
        part, follow = _wav_part(file, start, size)
        yield from _opened(part, WAV, name)
        follow = part.find_end() if follow is None else follow
        if not joined or follow + _HEADER > size:
            return
        file.seek(follow)
        if not _NEXT_WAV.match(file.read(16)):
            return
        start = follow


def _wav_part(file: BinaryIO, start: int, size: int) -> tuple[Stretch, int | None]:
    """Return the part at `start`, and where a next one may begin, None if a marker is to be met first."""
    at, riff = start + 12, b""
    file.seek(start)
    riff = file.read(12)
    end = start + 8 + int.from_bytes(riff[4:8], "little")
    while riff[:4] == b"RIFF" and at + 8 <= size:
        file.seek(at)
        chunk = file.read(8)
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] != b"data":
            at += 8 + length + length % 2
            continue
        data, left = at + 8, size - at - 8
        if length >= _STREAMING or (length == 0 and left and end != size):
            return Stretch(file, start, marker=_NEXT_WAV, patch={at + 4 - start: b"\xff" * 4}), None
        follow = next((p for p in (end, data + length + length % 2) if _is_wav(file, p, size)), size)
        return Stretch(file, start, follow if data + length <= size else None), follow
    return Stretch(file, start), size


def _is_wav(file: BinaryIO, at: int, size: int) -> bool:
    if at + _HEADER > size:
        return False
    file.seek(at)
    return bool(_NEXT_WAV.match(file.read(16)))


def _ogg_parts(file: BinaryIO, name: str) -> Iterator[AvPart]:
    start: int | None = after_id3(file)
    while start is not None:
        link = OggLink(file, start)
        yield AvPart(link, OGG, name)
        start = link.next


def _av_parts(file: BinaryIO, kind: Kind, name: str) -> Iterator[AvPart]:
    if not kind.demuxer:
        raise MasdError(f"{name}: not audio that can be decoded, or damaged")
    if kind is MP4:
        _check_boxes(file, name)
    file.seek(0)
    yield AvPart(file, kind, name)


def _check_boxes(file: BinaryIO, name: str) -> None:
    """Raise `MasdError` if a box of an MP4 file reaches beyond the file's end, or it has no index."""
    at, size, kinds = 0, size_of(file), set()
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        kinds.add(head[4:8])
        length = int.from_bytes(head[:4], "big")
        length = int.from_bytes(head[8:], "big") if length == 1 else length or size - at
        if length < 8:
            return
        if at + length > size:
            raise MasdError(f"{name}: cut short: {size} of {at + length} bytes or more are there")
        at += length
    if b"moov" not in kinds:
        raise MasdError(f"{name}: cut short: it has no index (moov)")


class SndPart:
    """A part that libsndfile decodes."""

    def __init__(self, audio: soundfile.SoundFile, part: Stretch, kind: Kind, name: str) -> None:
        self.audio, self.part, self.name = audio, part, name
        self.rate, self.channels, self.format = audio.samplerate, audio.channels, audio.format
        # a FLAC stream may not tell; where a WAV from a stream ends, the marker says
        told = audio.frames < _UNKNOWN and (kind is FLAC or not part.marker)
        self.frames = audio.frames if told else None
        size = _DATA_SIZE.search(audio.extra_info)
        if size and int(size[2]) + _HEADER < int(size[1]) < _STREAMING:
            raise MasdError(f"{name}: cut short: {size[2]} of {size[1]} bytes of audio are there")

    def seek(self, first: int) -> int:
        """Move on to sample `first` if that is exact, and return where reading goes on."""
        if self.frames is None or not 0 < first < self.frames:
            return 0
        try:
            self.audio.seek(first)
        except soundfile.SoundFileError:
            raise MasdError(f"{self.name}: damaged or cut short: sample {first} cannot be found") from None
        return first

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (rate, (n, channels) float32) from where reading is."""
        came = self.audio.tell()
        while True:
            try:
                block = self.audio.read(_BLOCK, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                reason = " ".join(str(error).split())
                raise MasdError(f"{self.name}: damaged or cut short ({reason})") from None
            if not len(block):
                break
            came += len(block)
            yield self.rate, block
        if self.frames is not None and came < self.frames:
            raise MasdError(f"{self.name}: cut short: {came} of {self.frames} samples could be read")


class AvPart:
    """A part that FFmpeg decodes: of several streams the first one of audio."""

    def __init__(self, file: Any, kind: Kind, name: str) -> None:
        import av

        self.file, self.kind, self.name = file, kind, name
        self.format = kind.name
        self._xing = _first_xing(file) if kind is MP3 else None
        try:
            self.container = av.open(file, "r", format=kind.demuxer)
        except (av.error.FFmpegError, ValueError) as error:
            self._raise(f"damaged, or cut short ({_reason(error)})")
        if not self.container.streams.audio:
            self._raise(f"a {kind.said} file without an audio stream")
        self.stream = self.container.streams.audio[0]
        if self.stream.codec_context is None:
            self._raise("its audio has a coding that is not known")
        self._decoded = self._decode()
        frame = next(self._decoded, None)
        if frame is None:
            self._raise("empty, no samples")
        self._ahead = frame
        self.rate, self.channels = frame.sample_rate, frame.layout.nb_channels

    def seek(self, first: int) -> int:
        """FFmpeg's seeks are not exact to a sample: everything is decoded from the start."""
        return 0

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (rate, (n, channels) float32)."""
        seconds = 0.0
        for frame in itertools.chain([self._ahead], self._decoded):
            seconds += frame.samples / frame.sample_rate
            yield frame.sample_rate, _samples(frame)
        self._check_length(seconds)

    def _decode(self) -> Iterator[Any]:
        """Yield decoded frames; raise where something cannot be decoded, but at the end of an MP3."""
        import av

        bad, packets = "", 0
        try:
            for packet in self.container.demux(self.stream):
                packets += packet.size > 0
                if packet.is_corrupt and self.kind is not MP3:
                    bad = bad or "a packet is not whole"
                try:
                    frames = packet.decode()
                except av.error.FFmpegError as error:
                    bad = bad or ("" if self._is_tag(packet) else _reason(error))
                    continue
                for frame in frames:
                    if bad:
                        self._raise(f"damaged ({bad})")
                    yield frame
        except av.error.FFmpegError as error:
            bad = bad or _reason(error)
        problem = getattr(self.file, "problem", "")
        if problem:
            self._raise(problem)
        if bad and self.kind is not MP3:
            self._raise(f"damaged or cut short ({bad})")
        if self.kind is MP4 and 0 < packets < self.stream.frames:
            self._raise(f"cut short: {packets} of {self.stream.frames} packets are there")

    def _is_tag(self, packet: Any) -> bool:
        data = bytes(packet)
        return self.kind in (MP3, AAC) and (data.startswith(_TAGS) or not data.strip(b"\0"))

    def _check_length(self, seconds: float) -> None:
        """Raise `MasdError` if less came than the container tells."""
        if self._xing:
            told = self._xing / self.rate
        elif self.kind.name in ("MP4", "MATROSKA", "ASF", "CAF", "FLV", "AVI") and len(self.container.streams) == 1:
            told = (self.container.duration or 0) / 1e6
        else:
            return
        if seconds < told - _SLACK:
            self._raise(f"cut short: {seconds:.2f} of {told:.2f} s could be read")

    def _raise(self, what: str) -> None:
        raise MasdError(f"{self.name}: {what}")


def _samples(frame: Any) -> np.ndarray:
    """Return a frame as (n, channels) float32, full scale 1."""
    x = frame.to_ndarray()
    x = x.T if frame.format.is_planar else x.reshape(-1, frame.layout.nb_channels)
    if x.dtype == np.uint8:
        return (x.astype(np.float32) - 128) / 128
    if x.dtype.kind == "i":
        return x.astype(np.float32) / np.float32(2.0 ** (8 * x.dtype.itemsize - 1))
    return x.astype(np.float32, copy=False)


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def _first_xing(file: BinaryIO) -> int | None:
    """Return how many samples an MP3 file's Xing header promises, None if it has none."""
    file.seek(after_id3(file))
    data = file.read(1 << 12)
    file.seek(0)
    frame = mpeg_frame(data)
    if not frame or data[frame[4] : frame[4] + 4] not in (b"Xing", b"Info"):
        return None
    flags = int.from_bytes(data[frame[4] + 4 : frame[4] + 8], "big")
    count = int.from_bytes(data[frame[4] + 8 : frame[4] + 12], "big") if flags & 1 else 0
    return max(0, count - 2) * frame[1] or None
