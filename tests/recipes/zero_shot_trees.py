"""Miniature trees of WaveFake and FoR, in their true layouts, with short recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from paper_recipes import clips

from masd.audio import resample

VOCODERS = ("melgan", "hifiGAN", "waveglow")
SUFFIX = {"melgan": "_gen", "hifiGAN": "_generated", "waveglow": ""}
TTS = "common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech"


def write(path: Path, x: np.ndarray, rate: int = 16000) -> None:
    """Write x (N,) at 16 kHz to a file at another rate; MP3 by its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(resample(x, 16000, rate), -1, 1), rate)


def wavefake(root: Path, sentences: int = 20) -> Path:
    """Lay out WaveFake: `sentences` of LJSpeech, a quarter as many of JSUT, and five TTS prompts."""
    generated = root / "generated_audio"
    japanese = sentences // 4
    real = clips("bonafide", sentences + japanese)
    fake = clips("spoof", sentences + japanese)
    for number, (x, y) in enumerate(zip(real[:sentences], fake, strict=False), 1):
        name = f"LJ001-{number:04d}"
        write(root / "LJSpeech-1.1" / "wavs" / f"{name}.wav", x, 22050)
        for gain, vocoder in enumerate(VOCODERS, 2):
            file = generated / f"ljspeech_{vocoder}" / f"{name}{SUFFIX[vocoder]}.wav"
            write(file, y / gain, 22050)
    for number, (x, y) in enumerate(zip(real[sentences:], fake[sentences:], strict=True), 1):
        name = f"BASIC5000_{number:04d}"
        write(root / "jsut_ver1.1" / "basic5000" / "wav" / f"{name}.wav", x, 48000)
        write(generated / "jsut_parallel_wavegan" / f"{name}_gen.wav", y, 24000)
    for number in range(1, 6):
        for folder in (TTS, f"{TTS}/generated"):
            write(generated / folder / f"gen_{number}.wav", fake[number] * 0.9, 22050)
    return root


def for_norm(root: Path, each: int = 8) -> Path:
    """Lay out for-norm one folder deeper, `each` files of a class and set; one fake of each set is empty."""
    for label, kind in (("real", "bonafide"), ("fake", "spoof")):
        pieces = iter(clips(kind, 3 * each))
        for part in ("training", "validation", "testing"):
            folder = root / "for-norm" / "for-norm" / part / label
            for number in range(1, each + 1):
                stem = f"file{number}.wav_16k.wav_norm.wav_mono.wav_silence"
                write(folder / f"{stem}.wav", next(pieces))
            if label == "fake":
                (folder / "file99.wav").touch()
    return root


def for_2sec(root: Path) -> Path:
    """Add the testing set of for-2sec under its other name, with a rate of its own and an MP3 file."""
    for label, kind in (("real", "bonafide"), ("fake", "spoof")):
        for number, x in enumerate(clips(kind, 4), 1):
            stem = f"file{number}.wav_16k.wav_norm.wav_mono.wav_silence.wav_2sec_full_silence"
            suffix, rate = ("mp3", 22050) if number == 1 else ("wav", 16000)
            write(root / "for-2sec" / "for-2seconds" / "testing" / label / f"{stem}.{suffix}", x, rate)
    return root
