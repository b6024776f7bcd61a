"""Front end against librosa: decode FLAC, log-mel, the three handcrafted features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from timing import Row, alternate

from masd.audio import read_audio
from masd.audio.speech import Leveller, speech_of
from masd.feats.config import FeatsConfig
from masd.feats.extract import front_end


def rows(clips: list[Path], repeats: int) -> list[Row]:
    """Return the row; none, with a line of why, where librosa is not installed."""
    try:
        import librosa
    except ImportError:
        print("front end: librosa is not installed (tools/setup_env.sh bench)")
        return []
    config = FeatsConfig()
    librosa_of(librosa, clips[0], config)  # it compiles functions at their first call
    times = alternate(
        {
            "ours": lambda: [front_end(read_audio(p)[0], p.stem, config) for p in clips],
            "librosa": lambda: [librosa_of(librosa, p, config) for p in clips],
            "apart": lambda: [librosa_of(librosa, p, config, apart=True) for p in clips],
            "wide": lambda: [librosa_of(librosa, p, config, np.float64) for p in clips],
        },
        repeats,
    )
    off = [
        differences(front_end(read_audio(p)[0], p.stem, config), librosa_of(librosa, p, config, np.float64))
        for p in clips
    ]
    mel, hand = np.max(off, axis=0)
    ours, theirs, apart, wide = (1000 * least / len(clips) for least, _ in times.values())
    note = (
        f"Best of {repeats} alternating rounds over {len(clips)} clips of 4 s, one thread. Ours computes the "
        "handcrafted features in float64, librosa in float32 unless told otherwise. The goal was set against "
        "three functions of librosa, a transform each; the two rows below, with a shared one, are stricter. "
        f"Against librosa in float64 the log-mel differs by {mel:.1e} at most (natural "
        f"logarithm) and PCS, HFER, SFI by {hand:.1e}."
    )
    what = "front end of 4 s, FLAC to log-mel and 3 handcrafted features, against librosa"
    return [
        Row(what, f"{ours:.1f} ms", f"{apart:.1f} ms", apart / ours, ">= 3", note),
        Row(f"{what}, one transform", f"{ours:.1f} ms", f"{theirs:.1f} ms", theirs / ours),
        Row(f"{what}, one transform, in float64", f"{ours:.1f} ms", f"{wide:.1f} ms", wide / ours),
        Row("largest difference of these features", f"{max(mel, hand):.1e}", "-", max(mel, hand), "<= 1e-3"),
    ]


def librosa_of(
    librosa: object, path: Path, config: FeatsConfig, kind: type = np.float32, apart: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return log-mel (T, n_mels) and [PCS, HFER, SFI] (3,) of a file as librosa computes them.

    Args:
        librosa: the module.
        path: the file.
        config: ours.
        kind: precision of the samples, which librosa keeps.
        apart: compute a transform for each handcrafted feature in place of one for all.
    """
    x, _ = librosa.load(path, sr=config.sample_rate)
    x, level = speech_of(x, path.stem)
    x = Leveller(level, config.dither, config.dither_seed)(x).astype(kind)
    mel = librosa.feature.melspectrogram(
        y=x,
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        win_length=config.win_length,
        window="hamming",
        pad_mode="reflect",
        n_mels=config.n_mels,
        fmin=config.f_min,
        fmax=config.f_max,
        htk=True,
        norm=None,
    )

    def transform() -> np.ndarray:
        return librosa.stft(x, n_fft=config.hand_n_fft, hop_length=config.hand_hop, center=False)

    shared = None if apart else transform()
    phase = np.unwrap(np.angle(transform() if apart else shared), axis=0)
    magnitude = np.abs(transform() if apart else shared)
    flux = np.maximum(np.diff(magnitude, axis=1), 0).sum(axis=0)
    high = librosa.fft_frequencies(sr=config.sample_rate, n_fft=config.hand_n_fft) > config.hfer_cutoff
    energy = (np.abs(transform()) if apart else magnitude) ** 2
    hand = [
        np.abs(np.diff(phase, axis=0)).mean(),
        energy[high].sum() / energy.sum(),
        flux.std() / flux.mean(),
    ]
    return np.log(mel + config.log_floor).T, np.array(hand)


def differences(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float]:
    """Return the largest absolute difference of the log-mel and of the handcrafted features."""
    return tuple(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))
