"""Writing 16-bit audio."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile

from masd.errors import MasdError
from masd.stage.files import atomic

_FORMATS = {".wav": "WAV", ".flac": "FLAC"}


def write_wav(path: str | Path, x: np.ndarray, rate: int = 16000, comment: str = "") -> None:
    """Write a waveform (N,) of full scale 1 as 16-bit WAV or FLAC (by suffix), whole or not at all.

    Samples are round(32768 x), so reading the file gives x to within half a step, 2^-16. A comment goes into
    the file's header, where `soundfile.SoundFile(path).comment` finds it.

    Raises:
        MasdError: the suffix is neither .wav nor .flac, or x is not (N,), empty, not finite, or beyond
            full scale (scale it before; clipping would be an artefact of its own).
    """
    path = Path(path)
    x = np.asarray(x)
    if path.suffix not in _FORMATS:
        raise MasdError(f"{path}: audio is written as .wav or .flac")
    if x.ndim != 1 or len(x) == 0:
        raise MasdError(f"{path}: a waveform of shape (N,) is needed, not {x.shape}")
    if not np.isfinite(x).all():
        raise MasdError(f"{path}: the waveform holds values that are not finite; not written")
    peak = float(np.abs(x).max())
    if peak > 1.0:
        raise MasdError(f"{path}: a peak of {peak:.3f} would clip; scale it to 1 or less; not written")
    steps = np.clip(np.round(x * 32768.0), -32768, 32767).astype(np.int16)
    coded = io.BytesIO()  # libsndfile does not tell a full disk from any other error
    with soundfile.SoundFile(coded, "w", rate, 1, "PCM_16", format=_FORMATS[path.suffix]) as stream:
        if comment:
            stream.comment = comment
        stream.write(steps)
    with atomic(path) as tmp:
        tmp.write_bytes(coded.getvalue())
