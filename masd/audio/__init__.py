"""Decoding, resampling, level, writing.

Waveforms are float32 arrays of shape (N,), mono, full scale 1.0.
"""

from masd.audio.resampling import resample
from masd.audio.stream import AudioInfo, AudioStream, read_audio
from masd.audio.usable import check_audio, check_length, fit
from masd.audio.walk import audio_files
from masd.audio.write import write_wav

__all__ = [
    "AudioInfo",
    "AudioStream",
    "audio_files",
    "check_audio",
    "check_length",
    "fit",
    "read_audio",
    "resample",
    "write_wav",
]
