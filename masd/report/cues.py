"""What a recording tells besides how it was spoken: its file, length, level, silence, bandwidth and sign."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from masd.data.folder import DataFolder
from masd.errors import MasdError

FACTS = ("format", "sampling rate", "channels")
NUMBERS = (
    *("length", "level", "peak", "mean", "near-zero samples", "silence", "leading silence"),
    *("trailing silence", "bandwidth", "roll-off", "noise floor", "polarity"),
)
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Cues:
    """The cues of one utterance: `numbers` (F,) in the order of `NUMBERS`, `facts` in that of `FACTS`."""

    numbers: np.ndarray
    facts: tuple[str, ...]


def utterance_cues(folder: DataFolder, utt: str, allow_pipes: bool = False) -> Cues:
    """Return the cues of one utterance of a data folder; segments and pipes are honoured.

    Raises:
        MasdError: whatever `masd.data.utterance.load_utterance` refuses.
    """
    from masd.data.utterance import load_utterance  # a results page needs no decoder

    return Cues(describe(load_utterance(folder, utt, allow_pipes=allow_pipes)), file_facts(folder.file(utt)))


def file_facts(entry: str) -> tuple[str, str, str]:
    """Return container and coding, sampling rate (Hz) and channels of an entry of wav.scp, by its header.

    Of a pipe nothing is known; of a file that is not read by itself (audio inside an ark), its suffix.
    """
    from masd.audio import AudioStream

    if entry.endswith("|"):
        return UNKNOWN, UNKNOWN, UNKNOWN
    try:
        with AudioStream(entry) as audio:
            info = audio.info
    except MasdError:
        return Path(re.sub(r":\d+$", "", entry)).suffix.lower() or UNKNOWN, UNKNOWN, UNKNOWN
    return f"{info.format} {_coding(entry)}".strip(), str(info.rate), str(info.channels)


def _coding(path: str) -> str:
    """Return libsndfile's name of a file's coding (PCM_16, VORBIS), empty where it does not read it."""
    import soundfile

    try:
        return soundfile.info(path).subtype
    except (soundfile.SoundFileError, TypeError, ValueError):
        return ""


def describe(x: np.ndarray, rate: int = 16000) -> np.ndarray:
    """Return what is measured of an utterance (N,), (F,) in the order of `NUMBERS`.

    Seconds; RMS level and peak over RMS in dB; |mean| over RMS in dB, -80 at least; share of samples within
    2 steps of 16 bits around 0; share of 20 ms frames 30 dB or more under the loudest twentieth, and seconds
    of them before the first and after the last louder one; in kHz the highest frequency within 60 dB of the
    maximum of the long-term spectrum, and the one that has 99 % of the energy below it; level of the quietest
    twentieth of the frames over the RMS, in dB; skewness of the slope of 300 to 1000 Hz, which a wire turned
    round would negate.
    """
    size = rate // 50
    seconds = len(x) / rate
    x = np.pad(x.astype(np.float64), (0, max(0, size - len(x))))
    level = np.sqrt(np.mean(x**2)) + 1e-12
    energy = 10 * np.log10(np.mean(x[: len(x) // size * size].reshape(-1, size) ** 2, axis=1) + 1e-12)
    quiet = energy < np.quantile(energy, 0.95) - 30
    heard = np.flatnonzero(~quiet)
    bandwidth, roll_off = _spectrum(x, rate)
    return np.array(
        [
            seconds,
            20 * np.log10(level),
            20 * np.log10(np.abs(x).max() / level + 1e-12),
            20 * np.log10(max(abs(x.mean()) / level, 1e-4)),
            np.mean(np.abs(x) <= 2 / 32768),
            quiet.mean(),
            heard[0] * size / rate,
            (len(quiet) - 1 - heard[-1]) * size / rate,
            bandwidth,
            roll_off,
            np.quantile(energy, 0.05) - 20 * np.log10(level),
            _polarity(x, rate),
        ]
    )


def _spectrum(x: np.ndarray, rate: int) -> tuple[float, float]:
    from scipy.signal import welch

    hertz, power = welch(x, rate, nperseg=min(512, len(x)))
    below = np.cumsum(power)
    highest = hertz[np.flatnonzero(power >= power.max() * 1e-6)[-1]]
    return highest / 1000, hertz[np.searchsorted(below, 0.99 * below[-1])] / 1000


def _polarity(x: np.ndarray, rate: int) -> float:
    from scipy.signal import butter, sosfiltfilt
    from scipy.stats import skew

    slope = np.diff(sosfiltfilt(butter(2, (300, 1000), "bandpass", fs=rate, output="sos"), x))
    return float(skew(slope)) if slope.std() > 0 else 0.0
