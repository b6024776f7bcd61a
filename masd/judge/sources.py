"""What is judged: files, folders, pipes, bytes, samples."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from masd.audio import audio_files
from masd.errors import MasdError

Source = str | Path | bytes | np.ndarray | BinaryIO
# libsndfile's kinds of samples, which keep numpy's as they are
KINDS = {"int16": "PCM_16", "int32": "PCM_32", "float32": "FLOAT", "float64": "DOUBLE"}
FASTEST, CHANNELS = 2**31 - 1, 1024  # Hz and number: what libsndfile takes


def opened(source: Source, rate: int | None = None, name: str = "") -> tuple[Path | BinaryIO, str]:
    """Return a path or a file object of what `Judge.judge` takes, and its name.

    Raises:
        MasdError: samples without a rate or of an odd shape or kind, or a rate beside a file.
    """
    if isinstance(source, np.ndarray):
        return _as_file(source, rate, name or "samples"), name or "samples"
    if rate is not None:
        raise MasdError(f"{name or source!s:.80}: a file says its rate itself; give one with samples alone")
    if isinstance(source, (str, Path)):
        name = name or str(source)
        return (sys.stdin.buffer, name) if str(source) == "-" else (Path(source), name)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source), name or "bytes"
    if not hasattr(source, "read") or isinstance(source, io.TextIOBase):
        kind = type(source).__name__
        raise MasdError(f"{name or kind}: give a path, bytes, a binary file or a numpy array, not {kind}")
    return source, name or str(getattr(source, "name", "stream"))


def _as_file(x: np.ndarray, rate: int | None, name: str) -> BinaryIO:
    """Return samples as a file, lossless, so that they are mixed, resampled and looked at as files are."""
    import soundfile

    if rate is None or not 0 < rate <= FASTEST or rate != int(rate):
        raise MasdError(f"{name}: give the sampling rate of samples in Hz, judge(x, 16000); it is {rate}")
    if x.ndim not in (1, 2) or (x.ndim == 2 and not 0 < x.shape[1] <= min(len(x), CHANNELS)):
        raise MasdError(f"{name}: samples are (N,) or (N, channels), these are {x.shape}; transpose them")
    if x.dtype.name not in KINDS:
        raise MasdError(f"{name}: samples of {x.dtype}; give {', '.join(KINDS)}")
    if not len(x):
        raise MasdError(f"{name}: empty, no samples")
    file = io.BytesIO()
    native = x.astype(x.dtype.newbyteorder("="), copy=False)  # soundfile takes the bytes as they are
    soundfile.write(file, native, int(rate), format="W64", subtype=KINDS[x.dtype.name])
    file.seek(0)
    return file


def expand(sources: list[str]) -> Iterator[str | MasdError]:
    """Yield files, those of folders in sorted order; in place of an empty or unreadable folder an error."""
    for source in sources:
        if "\\x" in source and not Path(source).exists():
            yield MasdError(f"{source}: no such file, or its name is not UTF-8; rename the file")
        elif source != "-" and Path(source).is_dir():
            try:
                files = audio_files(source)
            except MasdError as error:
                yield error
                continue
            yield from map(str, files)
            if not files:
                yield MasdError(f"{source}: no audio files in this folder (WAV, FLAC, MP3, Ogg, M4A, ...)")
        else:
            yield source
