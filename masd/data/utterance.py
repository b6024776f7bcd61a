"""The audio of an utterance of a data folder: its recording, segment and command honoured."""

from __future__ import annotations

import functools
import io
import logging
import subprocess
from typing import BinaryIO

import numpy as np

from masd.audio import read_audio
from masd.data.folder import DataFolder
from masd.errors import MasdError

log = logging.getLogger(__name__)


def load_utterance(folder: DataFolder, utt: str, rate: int = 16000, allow_pipes: bool = False) -> np.ndarray:
    """Return the audio of one utterance: float32 (N,), mono, at `rate` Hz; segments and pipes honoured.

    Narrow-band or multi-channel audio is used, and named in one line of the log.

    Commands in wav.scp are the data folder's author's: `allow_pipes` is for folders that are trusted.

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
