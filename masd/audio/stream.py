"""Recordings as streams: decoded only as far as they are asked for, mixed to mono, resampled, in even memory.

What a file is, its first bytes tell (`masd.audio.contents`), and then, in this order:

1. WAV (RF64, W64), FLAC, AIFF, AU, SPHERE: libsndfile; what it does not know of these (a WAV of G.722 or
   MP3, ...): FFmpeg, through PyAV.
2. MP3, Ogg, AAC, MP4, Matroska and WebM, ASF, AMR, CAF, AVI, FLV, WavPack, raw G.722: FFmpeg.
3. What has none of their marks: libsndfile, if it knows it (VOC, IRCAM, PVF, ...), else it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from masd.audio.contents import misnamed, sniff, suffix_of
from masd.audio.decoders import Decoder
from masd.audio.files import open_bytes
from masd.audio.resampling import Resampler
from masd.audio.usable import SILENCE_PEAK
from masd.errors import MasdError

MIN_RATE, MAX_RATE = 4000, 768000
MAX_WHOLE = 3600  # seconds that are read into one array: a small file may hold days of silence
# As in Kaldi's extract-segments, a segment may end a little after its recording.
OVERSHOOT = 0.5
CLIPPED_RUN = 3
_CANCEL = 1e-3  # 30 dB


@dataclass(frozen=True)
class AudioInfo:
    """What a file held before it was mixed down and resampled.

    Attributes:
        name: the file, for messages.
        rate: its sampling rate in Hz.
        channels: its number of channels.
        seconds: the length of what was read.
        format: the container (WAV, FLAC, OGG, MP3, ...).
        warnings: a line each on what is unusual though usable (narrow band, several channels, a wrong name).
    """

    name: str
    rate: int
    channels: int
    seconds: float
    format: str
    warnings: tuple[str, ...] = ()


class AudioStream:
    """A recording, or a part of it, as mono at `rate`, one second after another.

    The mean of the channels is taken; where it lies 30 dB or more below them (they cancel), the louder one.
    Neither that nor the samples depend on how far the stream is read. Close it, or use it in a `with`.

    Args:
        source: a path (a pipe, or `x.ark:9`, too), or a binary file object, which is not closed.
        rate: the sampling rate wanted in Hz.
        start: where to begin, in seconds.
        end: where to stop, in seconds; None for the end. It may lie up to 0.5 s after the end.
        name: what messages call the source; the path by default.

    Raises:
        MasdError: missing, not UTF-8 named, empty, not audio, cut short, of an absurd rate, and, while it is
            read, damaged or with values that are not finite; the message begins with the name.
    """

    def __init__(
        self,
        source: str | Path | BinaryIO,
        rate: int = 16000,
        start: float = 0.0,
        end: float | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or source_name(source)
        self.rate, self.start, self.end = rate, start, end
        suffix = suffix_of(str(source) if isinstance(source, (str, Path)) else self.name)
        self._file = open_bytes(source, self.name)
        try:
            kind = sniff(self._file, self.name, suffix)
            self._decoder = Decoder(self._file, kind, self.name)
            native = self._decoder.rate
            if not MIN_RATE <= native <= MAX_RATE:
                raise MasdError(f"{self.name}: a sampling rate of {native} Hz is not credible")
        except BaseException:
            self._file.close()
            raise
        self._notes = _notes(native, rate, self._decoder.channels, misnamed(kind, suffix))
        self._clipping, self._came = Clipping(), 0
        self._channel: int | None = None

    @property
    def info(self) -> AudioInfo:
        """What the file is; `seconds` is what has been decoded so far."""
        d = self._decoder
        return AudioInfo(self.name, d.rate, d.channels, self._came / d.rate, d.format, tuple(self._notes))

    @property
    def clipped_share(self) -> float:
        """The share of what has been decoded that lies in flat runs of 3 or more at either extreme."""
        return self._clipping.share

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield float32 blocks of exactly one second, and a shorter one at the end."""
        return _rechunk(self._resampled(), self.rate)

    def length(self) -> float:
        """Return the length of the whole recording in seconds; decoded is as little as its kind allows.

        Raises:
            MasdError: empty, cut short, or, where all is decoded, damaged.
        """
        seconds = self._decoder.length()
        if not seconds:
            raise MasdError(f"{self.name}: empty, no samples")
        return seconds

    def _resampled(self) -> Iterator[np.ndarray]:
        resampler = Resampler(self._decoder.rate, self.rate)
        for block in _rechunk(self._wanted(), resampler.block if not resampler.same else self._decoder.rate):
            mono = self._mono(block)
            if not np.isfinite(mono).all():
                raise MasdError(f"{self.name}: holds values that are not finite (NaN or infinity)")
            self._clipping.add(mono)
            self._came += len(mono)
            yield from resampler.push(mono)
        yield from resampler.finish()

    def _wanted(self) -> Iterator[np.ndarray]:
        """Yield (n, channels) of the part that is asked for; check that it is there."""
        rate = self._decoder.rate
        first = round(self.start * rate)
        last = None if self.end is None else round(self.end * rate)
        if last is not None and last <= first:
            raise MasdError(f"{self.name}: {self.start:g} to {self.end:g} s is not as long as one sample")
        at = first
        for block in self._decoder.blocks(first):
            block = block if last is None else block[: last - at]
            at += len(block)
            if len(block):
                yield block
            if last is not None and at >= last:
                return
        if at == 0 and first == 0:
            raise MasdError(f"{self.name}: empty, no samples")
        if at == first or (last is not None and last > at + OVERSHOOT * rate):
            length = self._decoder.came / rate
            raise MasdError(
                f"{self.name}: {self.start:g} to {self.end or length:g} s asked for, "
                f"the recording lasts {length:g} s"
            )

    def _mono(self, block: np.ndarray) -> np.ndarray:
        if block.shape[1] == 1:
            return np.ascontiguousarray(block[:, 0])
        mean = block.mean(axis=1, dtype=np.float32)
        if self._channel is None and np.abs(block).max() > SILENCE_PEAK:
            power = np.square(block, dtype=np.float64).mean(axis=0)
            cancel = np.square(mean, dtype=np.float64).mean() <= _CANCEL * power.mean()
            self._channel = int(power.argmax()) if cancel else -1
            if cancel:
                self._notes.append("channels cancel each other: the louder one is used")
        return mean if self._channel in (None, -1) else np.ascontiguousarray(block[:, self._channel])

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()
        self._file.close()

    def __enter__(self) -> AudioStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_audio(
    source: str | Path | BinaryIO,
    rate: int = 16000,
    start: float = 0.0,
    end: float | None = None,
    name: str | None = None,
) -> tuple[np.ndarray, AudioInfo]:
    """Return a file, or a part of it, as mono at `rate` Hz, float32 (N,), and what the file was.

    The arguments are those of `AudioStream`.

    Raises:
        MasdError: as `AudioStream` does, or more than an hour is asked for.
    """
    blocks: list[np.ndarray] = []
    with AudioStream(source, rate, start, end, name) as stream:
        for block in stream:  # of a second each
            blocks.append(block)
            if len(blocks) > MAX_WHOLE:
                raise MasdError(
                    f"{stream.name}: longer than an hour, more than is held in memory; cut it (segments)"
                )
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks), stream.info


class Clipping:
    """Counts the samples that lie in flat runs of 3 or more at either extreme, block by block.

    A recording that was cut off at full scale stays flat there; one that only comes close does not.
    """

    def __init__(self) -> None:
        self._sides, self._total, self._peak = (_Side(), _Side()), 0, 0.0

    def add(self, x: np.ndarray) -> None:
        """Take the next samples (n,)."""
        self._total += len(x)
        self._peak = max(self._peak, float(np.abs(x).max(initial=0.0)))
        for side, values in zip(self._sides, (x, -x), strict=True):
            side.add(values, 1e-4 * self._peak)

    @property
    def share(self) -> float:
        """The share of all samples so far."""
        if not self._peak > 0:
            return 0.0
        # the zero line of a one-sided signal is flat, but no limit
        return sum(side.count for side in self._sides if side.top >= 0.5 * self._peak) / self._total


class _Side:
    def __init__(self) -> None:
        self.top, self._closed, self._open = -np.inf, 0, 0

    def add(self, x: np.ndarray, slack: float) -> None:
        top = float(x.max(initial=-np.inf))
        if top > self.top + slack:  # what was the top until now lies below it
            self._closed = self._open = 0
        self.top = max(self.top, top)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], (x >= self.top - slack).astype(np.int8), [0]])))
        runs = (edges[1::2] - edges[::2]).tolist()
        if runs and edges[0] == 0:
            runs[0] += self._open
        else:
            self._close(self._open)
        self._open = runs.pop() if runs and edges[-1] == len(x) else 0
        for run in runs:
            self._close(run)

    def _close(self, run: int) -> None:
        self._closed += run if run >= CLIPPED_RUN else 0

    @property
    def count(self) -> int:
        return self._closed + (self._open if self._open >= CLIPPED_RUN else 0)


def _rechunk(blocks: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yield pieces of exactly `size` rows, and the rest."""
    held: list[np.ndarray] = []
    count = 0
    for block in blocks:
        while count + len(block) >= size:
            piece, block = block[: size - count], block[size - count :]
            yield np.concatenate([*held, piece]) if held else piece
            held, count = [], 0
        if len(block):
            held.append(block)
            count += len(block)
    if held:
        yield np.concatenate(held) if len(held) > 1 else held[0]


def _notes(native: int, rate: int, channels: int, misnamed: str) -> list[str]:
    lines = []
    if native < rate:
        lines.append(f"narrow band: sampled at {native} Hz, nothing above {native // 2} Hz")
    if channels > 1:
        lines.append(f"{channels} channels, averaged")
    return lines + ([misnamed] if misnamed else [])


def source_name(source: str | Path | BinaryIO) -> str:
    """Return what messages call a source."""
    if isinstance(source, (str, Path)):
        return str(source).encode("utf-8", "backslashreplace").decode()
    return str(getattr(source, "name", "<stream>"))
