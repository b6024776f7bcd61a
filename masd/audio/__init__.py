"""Decoding, resampling, level, writing.

Waveforms are float32 arrays of shape (N,), mono, full scale 1.0.
"""

from masd.audio.level import SILENCE_PEAK, check_audio, normalise
from masd.audio.read import AudioInfo, audio_files, load_utterance, read_audio, resample
from masd.audio.write import write_wav

__all__ = [
    "SILENCE_PEAK",
    "AudioInfo",
    "audio_files",
    "check_audio",
    "load_utterance",
    "normalise",
    "read_audio",
    "resample",
    "write_wav",
]
