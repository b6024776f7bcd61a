"""Whole recordings and utterances: any format of `masd.audio.stream`, any rate, any number of channels."""

from __future__ import annotations

import functools
import io
import logging
import subprocess
from pathlib import Path
from typing import BinaryIO

import numpy as np

from masd.audio.stream import AudioInfo, AudioStream
from masd.data.folder import DataFolder
from masd.errors import MasdError

log = logging.getLogger(__name__)


def read_audio(
    source: str | Path | BinaryIO,
    rate: int = 16000,
    start: float = 0.0,
    end: float | None = None,
    name: str | None = None,
) -> tuple[np.ndarray, AudioInfo]:
    """Read a file, or a part of it, as mono at `rate`.

    As `masd.audio.stream.AudioStream` gives it, in one array.

    Args:
        source: a path (a pipe, or `x.ark:9`, too), or a binary file object.
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
    with AudioStream(source, rate, start, end, name) as stream:
        blocks = list(stream)
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks), stream.info


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
