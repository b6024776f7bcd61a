"""Recordings of the mini corpus: which files a speaker has, and how one becomes a source utterance."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from masd.audio import audio_files, read_audio
from masd.errors import MasdError
from masd.stage.files import digest


def speaker_files(corpus: dict[str, Any], speaker: str, downloads: Path) -> dict[str, Path]:
    """Return {name: file} of a speaker's recordings in the order of their names.

    Raises:
        MasdError: a package of the speaker is not unpacked under `downloads`/debian.
    """
    skip = re.compile(corpus["skip"])
    found = {}
    for source in corpus["speakers"][speaker]["sources"]:
        package = downloads / "debian" / source["package"]
        if not package.is_dir():
            raise MasdError(f"{package}: package not unpacked; run stage 0 (local/fetch.py) first")
        root = package / source["root"]
        found.update({p.relative_to(root).as_posix(): p for p in root.glob(source["files"])})
    return {name: found[name] for name in sorted(found) if not skip.search(f"/{name}")}


def folder_speakers(folder: Path) -> dict[str, dict[str, Path]]:
    """Return {speaker: {name: file}} of a user's own `DIR/<speaker>/**/*.wav` (or flac, ogg, mp3).

    Raises:
        MasdError: the folder is missing, or holds no speaker with recordings.
    """
    if not folder.is_dir():
        raise MasdError(f"{folder}: no such folder; --corpus wants DIR/<speaker>/<recording>.wav")
    speakers = {}
    for sub in sorted(p for p in folder.iterdir() if p.is_dir()):
        if re.search(r"\s", sub.name):
            raise MasdError(f"{sub}: a blank in the name of a speaker's folder; rename it")
        files = {p.relative_to(folder).as_posix(): p for p in audio_files(sub)}
        if files:
            speakers[sub.name] = files
    if not speakers:
        raise MasdError(f"{folder}: no recordings; --corpus wants DIR/<speaker>/<recording>.wav")
    return speakers


def listing(folder: Path) -> str:
    """Return a digest of which recordings a user's folder holds: their names and bytes."""
    files = {name: path for speaker in folder_speakers(folder).values() for name, path in speaker.items()}
    return digest({name: path.stat().st_size for name, path in files.items()})


def decode(path: Path, rate: int, high_pass_hz: float) -> np.ndarray:
    """Return a recording as mono float32 (N,) at `rate` Hz, without anything below `high_pass_hz`.

    Raises:
        MasdError: the file is missing or cannot be decoded.
    """
    x = read_audio(path, rate=rate)[0]
    if len(x) < rate // 10:
        raise MasdError(f"{path}: shorter than 0.1 s")
    return high_pass(x, rate, high_pass_hz)


def high_pass(x: np.ndarray, rate: int, hz: float) -> np.ndarray:
    """Return `x` (N,) without what is below `hz`, its phase unchanged."""
    from scipy.signal import butter, sosfiltfilt

    return np.asarray(sosfiltfilt(butter(4, hz, "highpass", fs=rate, output="sos"), x), np.float32)


class SpeechTrimmer:
    """Finds where speech begins and ends, by the voice activity detector in the silero-vad wheel."""

    def __init__(self, rate: int) -> None:
        import torch
        from silero_vad import load_silero_vad

        torch.set_num_threads(1)
        self.rate = rate
        self.model = load_silero_vad(onnx=True)

    def __call__(self, x: np.ndarray) -> tuple[int, int] | None:
        """Return the first and one past the last speech sample of `x` (N,), None where there is no speech.

        The signal is brought to a peak of 0.5 first, since faint recordings are missed otherwise.
        """
        import torch
        from silero_vad import get_speech_timestamps

        peak = float(np.abs(x).max())
        if peak < 1e-4:
            return None
        parts = get_speech_timestamps(torch.from_numpy(x * (0.5 / peak)), self.model, sampling_rate=self.rate)
        return (int(parts[0]["start"]), int(parts[-1]["end"])) if parts else None
