"""Both kinds of features of one utterance."""

from __future__ import annotations

import numpy as np

from masd.audio.speech import Leveller, speech_of
from masd.errors import MasdError
from masd.feats.config import FeatsConfig, classify_samples
from masd.feats.handcrafted import handcrafted
from masd.feats.logmel import logmel


def features(x: np.ndarray, config: FeatsConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return both kinds of features of a waveform as the front end's level and dither left it.

    These are the log-mel spectrogram (T, n_mels) and the handcrafted features, [PCS, HFER, SFI] (3,) but for
    `config.families`, both float32; x is (N,) float32.

    Raises:
        MasdError: too short, or the result is not finite.
    """
    mel, hand = logmel(x, config), handcrafted(x, config).astype(np.float32)
    if not (np.isfinite(mel).all() and np.isfinite(hand).all()):
        raise MasdError("features are not finite; the audio holds NaN, infinity or absurd values")
    return mel, hand


def front_end(x: np.ndarray, utt: str, config: FeatsConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return `features` of an utterance x (N,): from its first sound to its last, peak-normalised, dithered.

    Raises:
        MasdError: empty, silent, not finite or shorter than `min_seconds`.
    """
    judged = classify_samples(config)
    kept, level = speech_of(x, utt, config.sample_rate, config.min_seconds, config.skip_silence, judged)
    return features(Leveller(level, config.dither, config.dither_seed)(kept), config)
