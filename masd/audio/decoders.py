"""Decoding a file's parts to blocks (n, channels) of float32: by libsndfile, or by FFmpeg through PyAV."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np
import soundfile

from masd.audio.contents import (
    AAC,
    ASF,
    AVI,
    CAF,
    FLAC,
    FLV,
    MATROSKA,
    MP3,
    MP4,
    OGG,
    WAV,
    Kind,
    after_id3,
    id3_size,
    mpeg_frame,
)
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
# an MP3 decoder's own delay, in samples
_MP3_DELAY = 529
# of containers that tell their length: by how much, in seconds, less may come (rounding, delays of coders)
_SLACK = 0.5
_TELLING = (MP4, MATROSKA, ASF, CAF, FLV, AVI)


class Decoder:
    """The parts of a file one after another, as if they were one; all follow the first's rate and channels.

    Args:
        file: seekable; it stays open.
        kind: what it holds.
        name: what messages begin with.

    Attributes:
        rate: of the first part, in Hz.
        channels: of the first part.
        format: the container (WAV, FLAC, ...).
        came: samples that were decoded or passed over so far.
    """

    def __init__(self, file: BinaryIO, kind: Kind, name: str) -> None:
        self._parts = _parts(file, kind, name, not getattr(file, "alone", False))
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

    def length(self) -> float:
        """Return the seconds of all parts, which are decoded where nothing else tells."""
        return sum(part.length() for part in self._all())

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
        yield from _av_parts(part, kind, name)  # type: ignore[arg-type]
        return
    with audio:
        if not audio.subtype.startswith("MPEG") and not (kind is FLAC and audio.frames >= _UNKNOWN):
            yield SndPart(audio, part, kind, name)
            return
    yield from _av_parts(part, MP3 if audio.format == "MP3" else kind, name)  # type: ignore[arg-type]


def _flac_parts(file: BinaryIO, name: str, joined: bool) -> Iterator[SndPart | AvPart]:
    part = Stretch(file, after_id3(file), marker=_NEXT_FLAC if joined else None)
    while True:
        yield from _opened(part, FLAC, name)
        if not joined or part.find_end(part.tell() - _BLOCK) >= size_of(file):
            return
        part = Stretch(file, part.stop, marker=_NEXT_FLAC)


def _wav_parts(file: BinaryIO, name: str, joined: bool) -> Iterator[SndPart | AvPart]:
    start, size = 0, size_of(file)
    while True:
        part, follow = _wav_part(file, start, size)
        yield from _opened(part, WAV, name)
        follow = part.find_end(part.tell() - _BLOCK) if follow is None else follow
        if not joined or follow + _HEADER > size:
            return
        file.seek(follow)
        if not _NEXT_WAV.match(file.read(16)):
            return
        start = follow


def _wav_part(file: BinaryIO, start: int, size: int) -> tuple[Stretch, int | None]:
    """Return the part at `start`, and where a next one may begin, None if a marker is to be met first."""
    at = start + 12
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
        if length >= _STREAMING or (length == 0 and left and not _chunks(file, data, size)):
            return Stretch(file, start, marker=_NEXT_WAV, patch={at + 4 - start: b"\xff" * 4}), None
        follow = next((p for p in (end, data + length + length % 2) if _is_wav(file, p, size)), size)
        return Stretch(file, start, follow if data + length <= size else None), follow
    return Stretch(file, start), size


def _chunks(file: BinaryIO, at: int, size: int) -> bool:
    """Say whether what stands from here to the end is chunks, not samples."""
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        if not head[:4].isalnum():
            return False
        length = int.from_bytes(head[4:], "little")
        at += 8 + length + length % 2
    return at == size


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
        # where a WAV from a stream ends, the marker says
        self.frames = audio.frames if kind is FLAC or not part.marker else None
        size = _DATA_SIZE.search(audio.extra_info)
        if size and int(size[2]) + _HEADER < int(size[1]) < _STREAMING:
            raise MasdError(f"{name}: cut short: {size[2]} of {size[1]} bytes of audio are there")

    def seek(self, first: int) -> int:
        """Move on to sample `first` if that is exact, and return where reading goes on."""
        if self.frames is None or not 0 < first < self.frames or not self.audio.seekable():
            return 0
        self._bound()
        try:
            self.audio.seek(first)
        except soundfile.SoundFileError:
            raise MasdError(f"{self.name}: damaged or cut short: sample {first} cannot be found") from None
        return first

    def _bound(self) -> None:
        """Make sure that a seek, which tries places up to the end, does not find a frame of a later part."""
        if self.part.marker and self.part.find_end(0) < self.part.told:
            self.part.seek(0)
            self.part.told = self.part.stop
            self.audio = soundfile.SoundFile(self.part)

    def length(self) -> float:
        """Return seconds; of FLAC the last sample is read, for if it is cut short its header does not tell.

        Raises:
            MasdError: it is cut short.
        """
        if self.frames is None:
            return sum(len(block) for _, block in self.pieces()) / self.rate
        if self.format == "FLAC" and self.frames:
            self._bound()
            try:
                self.audio.seek(self.frames - 1)
                last = len(self.audio.read(1))
            except soundfile.SoundFileError:
                last = 0
            if not last:
                promised = f"its header promises {self.frames} samples"
                raise MasdError(f"{self.name}: cut short: {promised}; unpack it again")
        return self.frames / self.rate

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (rate, (n, channels) float32) from where reading is."""
        came = self.audio.tell() if self.audio.seekable() else 0  # GSM 6.10 cannot even tell
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
        first = _first_xing(file) if kind is MP3 else None
        self._told = max(0, first.frames - 2) * first.samples if first else 0  # some count the header, too
        self._joints = Joints(first) if kind in (MP3, AAC) else None
        try:
            self.container = av.open(file, "r", format=kind.demuxer)
        except (av.error.FFmpegError, ValueError) as error:
            self._raise(f"damaged, or cut short ({_reason(error)})")
        if not self.container.streams.audio:
            self._raise(f"a {kind.said} file without an audio stream")
        self.stream = self.container.streams.audio[0]
        if self.stream.codec_context is None:
            self._raise("its audio has a coding that is not known")
        if kind is FLAC:
            self.stream.codec_context.options = {"err_detect": "crccheck+explode"}
        self._decoded = self._decode()
        ahead = next(self._decoded, None)
        if ahead is None:
            self._raise("empty, no samples")
        self._ahead = ahead
        self.rate, self.channels = ahead[0], ahead[1].shape[1]

    def seek(self, first: int) -> int:
        """FFmpeg's seeks are not exact to a sample: everything is decoded from the start."""
        return 0

    def length(self) -> float:
        """Return seconds; the frames of an MP3 are counted, all else is decoded."""
        if self.kind is not MP3:
            return sum(len(block) / rate for rate, block in self.pieces())
        seconds = mp3_seconds(self.file)
        self._check_length(seconds)
        return seconds

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (rate, (n, channels) float32)."""
        seconds = 0.0
        for rate, block in itertools.chain([self._ahead], self._decoded):
            seconds += len(block) / rate
            yield rate, block
        self._check_length(seconds)

    def _decode(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield what is decoded; raise where something cannot be, but at the end of an MP3."""
        import av

        bad, came = "", 0
        try:
            for packet in self.container.demux(self.stream):
                if packet.is_corrupt and self.kind is not MP3:
                    bad = bad or "a packet is not whole"
                try:
                    frames = self._frames(packet)
                except av.error.FFmpegError as error:
                    bad = bad or _reason(error)
                    continue
                if bad and frames:
                    self._raise(f"damaged ({bad})")
                for frame in frames:
                    block = _samples(frame)
                    if self.kind is FLAC and frame.time not in (None, came / frame.sample_rate):
                        self._raise("damaged: some of it cannot be decoded")
                    came += len(block)
                    yield frame.sample_rate, self._joints.trim(block) if self._joints else block
        except av.error.FFmpegError as error:
            bad = bad or _reason(error)
        if problem := getattr(self.file, "problem", ""):
            self._raise(problem)
        if bad and self.kind is not MP3:
            self._raise(f"damaged or cut short ({bad})")

    def _frames(self, packet: Any) -> list[Any]:
        import av

        if self._joints and packet.size:
            data = bytes(packet)
            clean = self._joints.clean(data)
            if len(clean) < len(data):
                return self.stream.codec_context.decode(av.Packet(clean)) if clean else []
        return packet.decode()

    def _check_length(self, seconds: float) -> None:
        """Raise `MasdError` if less came than the container tells."""
        told = 0.0
        if self._told:
            told = self._told / self.rate
        elif self.kind in _TELLING and len(self.container.streams) == 1:
            told = (self.container.duration or 0) / 1e6
        if seconds < told - _SLACK:
            self._raise(f"cut short: {seconds:.2f} of {told:.2f} s could be read")

    def _raise(self, what: str) -> NoReturn:
        raise MasdError(f"{self.name}: {what}")


class Joints:
    """Where files were joined to one stream of MPEG or ADTS frames: their tags and Xing headers are no audio.

    The encoder's delay and padding that a Xing header tells are cut off, as FFmpeg does for a lone one.

    Args:
        first: the first header, which FFmpeg passes over.
        passed: whether the delay is passed over with it, as FFmpeg's decoder does.
    """

    def __init__(self, first: Xing | None, passed: bool = True) -> None:
        self._tag = 0  # bytes of a tag that are still to come
        self._came = self._skip = self._stop = self._total = 0
        if first:
            self._begin(first)
            self._came = self._skip if passed else 0

    def _begin(self, xing: Xing) -> None:
        self._came, self._total = 0, xing.frames * xing.samples
        self._skip = xing.delay + _MP3_DELAY if xing.delay else 0
        self._stop = self._total - max(0, xing.padding - _MP3_DELAY)

    def clean(self, data: bytes) -> bytes:
        """Return a packet without tags and fillings before its frame; nothing if no audio is left."""
        while data and (self._tag or data[0] != 0xFF):
            self._tag = self._tag or _tag_size(data)
            if not self._tag:
                return data
            data, self._tag = data[self._tag :], max(0, self._tag - len(data))
        xing = read_xing(data)
        if xing is None:
            return data
        self._begin(xing)
        self._tag = max(0, xing.size - len(data))
        return b""

    def trim(self, block: np.ndarray) -> np.ndarray:
        """Return the decoded (n, channels) without delay and padding."""
        at, self._came = self._came, self._came + len(block)
        if at >= self._total:
            return block
        return block[max(0, self._skip - at) : max(0, self._stop - at)]


def _tag_size(data: bytes) -> int:
    """Return how many bytes of tags (ID3, APE) or zeros stand at the start."""
    if data[:3] == b"ID3" and len(data) >= 10:
        return id3_size(data)
    if data[:3] == b"TAG":
        return 128
    if data[:8] == b"APETAGEX" and len(data) >= 32:
        return int.from_bytes(data[12:16], "little") + 32 * (data[23] >> 7)
    return len(data) - len(data.lstrip(b"\0"))


def mp3_seconds(file: Any) -> float:
    """Return how long an MP3 file is, by the headers of its frames."""
    import av

    joints, seconds = Joints(_first_xing(file), passed=False), 0.0
    with av.open(file, "r", format="mp3") as container:
        for packet in container.demux(audio=0):
            frame = mpeg_frame(joints.clean(bytes(packet)[: packet.size]))
            if frame:
                nothing = np.broadcast_to(np.float32(0), (frame[1], 1))
                seconds += len(joints.trim(nothing)) / frame[3]
    return seconds


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


class Xing(NamedTuple):
    """What a Xing header tells: its bytes, frames that follow, delay and padding and a frame in samples."""

    size: int
    frames: int
    delay: int
    padding: int
    samples: int


def _first_xing(file: BinaryIO) -> Xing | None:
    file.seek(after_id3(file))
    xing = read_xing(file.read(1 << 12))
    file.seek(0)
    return xing


def read_xing(data: bytes) -> Xing | None:
    """Return the Xing header that an MPEG frame holds in place of audio, None if it holds none."""
    if b"Xing" not in data[:48] and b"Info" not in data[:48]:
        return None
    frame = mpeg_frame(data)
    if not frame or data[frame[4] : frame[4] + 4] not in (b"Xing", b"Info"):
        return None
    at = frame[4] + 8
    flags = int.from_bytes(data[at - 4 : at], "big")
    frames = int.from_bytes(data[at : at + 4], "big") if flags & 1 else 0
    at += 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    lame = data[at : at + 24].ljust(24, b"\0")
    known = lame[:4] in (b"LAME", b"Lavf", b"Lavc")
    delay, padding = (lame[21] << 4 | lame[22] >> 4, (lame[22] & 15) << 8 | lame[23]) if known else (0, 0)
    return Xing(frame[0], frames, delay, padding, frame[1])
