"""A fitted model on recordings: the recipe's stages 3, 5 and 6 in memory, one recording at a time."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from masd.audio import AudioInfo, audio_files, check_length, is_silent, normalise, read_audio
from masd.errors import MasdError
from masd.feats.config import HAND_NAMES, FeatsConfig, classify_frames, classify_samples, hand_size
from masd.metrics.scores import p_fake
from masd.seeding import generator
from masd.svm.explain import Effects
from masd.svm.inputs import Inputs, embed, stack_compact
from masd.svm.ranges import CLIPPED_SHARE, bandwidth, clipped_share, unlike_training
from masd.svm.system import System

WINDOWS_AT_ONCE = 16
LONGER = 1.5  # a recording so many times as long as what is judged of it is told so
STRETCH = 0.5  # seconds of a stretch that is taken away to explain a score
LEAST = 0.5  # seconds that must be left of it


@dataclass
class Verdict:
    """What is said of one recording.

    Args:
        file: as it was given.
        score: higher is more bona fide.
        p_fake: 1 / (1 + exp(score)).
        label: `spoof` where the score is at or below the development threshold, else `bonafide`.
        warnings: one line for each way in which the recording is unlike the training data.
        effects: what its parts do to the score, where that was asked for.
    """

    file: str
    score: float
    p_fake: float
    label: str
    warnings: list[str]
    effects: Effects | None = None


class Detector:
    """Judges recordings with a model folder.

    A recording named as its utterance id gets the score that the recipe's stages give it: the same
    front end (the dither is seeded by the file's stem), encoder, alpha, SVM and temperature.

    Args:
        folder: model folder, exp/<tag>/model.
        windows: score windows over the whole recording and average, instead of the first seconds.
        calibration: which map from f to the score, `temperature` (Eq. 10) or `affine`.
        fast: run the encoder's ONNX graph that export_model made.
        explained: also say what moved each score.

    Raises:
        MasdError: the folder is no model, or one that takes embeddings made elsewhere, or has no graph;
            windows are to be explained.
    """

    def __init__(
        self,
        folder: str | Path,
        windows: bool = False,
        calibration: Literal["temperature", "affine"] = "temperature",
        fast: bool = False,
        explained: bool = False,
    ) -> None:
        if windows and explained:
            raise MasdError(
                "--explain true explains the score of a recording's first seconds, not of windows"
            )
        self.explained = explained
        self.system = System.load(folder)
        config = self.system.feats_config()
        if config is None:
            raise MasdError(
                f"{folder}: takes embeddings made elsewhere, not audio; score it with masd.bin.score"
            )
        self.config: FeatsConfig = config
        hand = self.system.features.hand
        if hand is not None and len(hand.mean) != hand_size(config):
            raise MasdError(f"{folder}: takes acoustic tokens too, not audio alone; use masd.bin.score")
        if fast and not self.system.features.spec.ssl:
            raise MasdError(f"{folder}: has no encoder that could be a graph; leave --fast out")
        self.encoder = self.system.encoder(fast) if self.system.features.spec.ssl else None
        self.windows = windows
        self.affine = calibration == "affine"
        key = "dev_eer_affine" if self.affine else "dev_eer"
        self.threshold = float(self.system.info["thresholds"][key])

    def judge(self, source: str | Path) -> Verdict:
        """Judge one audio file, or standard input for `-`.

        Raises:
            MasdError: it cannot be read, is empty or too short to be analysed; the line names it.
        """
        name, audio = str(source), Path(source) if str(source) != "-" else io.BytesIO(sys.stdin.buffer.read())
        x, info = read_audio(audio, self.config.sample_rate, name=name)
        check_length(x, name, self.config.sample_rate, self.config.min_seconds)
        utt = "stdin" if name == "-" else Path(name).stem
        inputs, measured = self.inputs(x, utt)
        f = float(self.system.decision(self.system.values(inputs)).mean())
        score = float(self.system.affine_scores(f) if self.affine else self.system.scores(f))
        warnings = self._warnings(x, info, audio, measured)
        label = "spoof" if score <= self.threshold else "bonafide"
        why = self.explain(x, utt) if self.explained else None
        return Verdict(name, score, float(p_fake(np.float64(score))), label, warnings, why)

    def inputs(self, x: np.ndarray, utt: str) -> tuple[Inputs, dict[str, float]]:
        """Return the inputs of one recording (one row, or one a window), and what is compared to training.

        Args:
            x: (N,) the whole recording at the model's rate, as it was read.
            utt: what seeds the dither.
        """
        from masd.feats.handcrafted import handcrafted
        from masd.feats.logmel import logmel

        x = self._levelled(x, utt)
        config = dataclasses.replace(self.config, max_seconds=None) if self.windows else self.config
        mel = logmel(x, config).numpy()
        frames, samples, hop = classify_frames(config), classify_samples(config), config.hop_length
        starts = window_starts(len(x), samples, hop) if self.windows else [0]
        mels = [mel[start // hop : start // hop + frames] for start in starts]
        hand = np.stack([handcrafted(x[start : start + samples], config) for start in starts]).astype(
            np.float32
        )
        inputs = Inputs([utt] * len(starts), hand=hand)
        if self.encoder is not None:
            found = []
            for first in range(0, len(mels), WINDOWS_AT_ONCE):
                found += embed(self.encoder, mels[first : first + WINDOWS_AT_ONCE])
            inputs.compact = stack_compact([mu for mu, _ in found], [gram for _, gram in found])
        measured = {"seconds": len(x) / config.sample_rate, "bandwidth": bandwidth(mels[0], config)}
        return inputs, measured | dict(zip(HAND_NAMES, hand[0, :3].tolist(), strict=True))

    def explain(self, x: np.ndarray, utt: str) -> Effects:
        """Return what bands, measures and stretches of `STRETCH` seconds do to the score of `inputs(x, utt)`.

        A band's log-mel cells, its figures, a measure or a family of statistics are set to the mean of the
        set that the encoder or the SVM was trained on (see `System.neutral_mel`); a stretch is cut out of the
        recording, and everything measured on what is left.
        """
        from masd.feats.handcrafted import handcrafted
        from masd.feats.logmel import logmel
        from masd.svm import explain as parts

        config, hand = self.config, self.system.features.hand
        x, judged = self._levelled(x, utt), classify_samples(config)

        def variant(part: str | tuple[float, float], y: np.ndarray) -> parts.Variant:
            mel = logmel(y, config).numpy()[: classify_frames(config)]
            return parts.Variant(part, mel, handcrafted(y[:judged], config) if hand is not None else None)

        whole = variant("", x)
        neutral, of_hand = self.system.neutral_mel(whole.mel), self.system.hand_neutral
        variants = parts.without_bands(whole.mel, whole.hand, config, neutral, of_hand)
        if of_hand is not None:
            variants += parts.without_measures(whole.mel, whole.hand, config, of_hand)
        rate = config.sample_rate
        variants += [
            variant((start / rate, stop / rate), cut)
            for start, stop, cut in stretches(x[:judged], round(STRETCH * rate), round(LEAST * rate))
        ]
        return parts.effects(self.system, self.encoder, whole, variants, self.affine)

    def _levelled(self, x: np.ndarray, utt: str) -> np.ndarray:
        if np.abs(x).max() > 0:
            return normalise(x, utt, self.config.dither, self.config.dither_seed)
        # digital silence has no peak to scale to: what is judged is the dither
        noise = generator(self.config.dither_seed, "dither", utt).standard_normal(len(x), dtype=np.float32)
        return np.float32(self.config.dither) * noise

    def _warnings(
        self, x: np.ndarray, info: AudioInfo, audio: Path | BinaryIO, measured: dict[str, float]
    ) -> list[str]:
        lines = list(info.warnings)
        if is_silent(x):
            # nothing else that is measured on silence means anything
            return [*lines, "silent: nothing to judge"]
        if info.rate != self.config.sample_rate:
            if isinstance(audio, io.BytesIO):
                audio.seek(0)
            x = read_audio(audio, info.rate, name=info.name)[0]
        share = clipped_share(x)
        if share > CLIPPED_SHARE:
            lines.append(f"clipped: {100 * share:.2f} % of the samples are cut off")
        judged = self.config.classify_seconds
        if not self.windows and info.seconds > LONGER * judged:
            lines.append(f"only the first {judged:g} of {info.seconds:.1f} s judged (--windows hears all)")
        known = any(line.startswith("narrow band") for line in lines)
        more = unlike_training(self.system.info.get("ranges") or {}, measured)
        return lines + [line for line in more if not (known and line.startswith("narrow band"))]


def window_starts(total: int, window: int, hop: int) -> list[int]:
    """Return where windows begin, in samples: multiples of `hop` from 0, evenly, so that all is covered.

    Args:
        total: length of the recording.
        window: length of a window.
        hop: of the log-mel, so that windows can be cut from it.
    """
    count = -(-total // window)
    if count <= 1:
        return [0]
    last = (total - window) // hop
    return [hop * round(last * i / (count - 1)) for i in range(count)]


def stretches(x: np.ndarray, size: int, least: int, fade: int = 160) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (start, stop, what is left) of x (N,) for every `size` samples, while `least` samples are left.

    The ends are joined by fading one into the other over `fade` samples, so that no edge is heard.
    """
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    for start in range(0, len(x), size):
        stop = min(start + size, len(x))
        left, right = x[:start], x[stop:]
        if len(left) + len(right) < least + fade:
            return
        if len(left) >= fade and len(right) >= fade:
            both = left[-fade:] * (1 - ramp) + right[:fade] * ramp
            yield start, stop, np.concatenate([left[:-fade], both, right[fade:]])
        else:
            yield start, stop, left if len(left) > len(right) else right


def expand(sources: list[str]) -> Iterator[str | MasdError]:
    """Yield files, those of folders in sorted order; in place of an empty folder an error."""
    for source in sources:
        if "\\x" in source and not Path(source).exists():
            yield MasdError(f"{source}: no such file, or its name is not UTF-8; rename the file")
        elif source != "-" and Path(source).is_dir():
            files = audio_files(source)
            yield from map(str, files)
            if not files:
                yield MasdError(f"{source}: no audio files in this folder (WAV, FLAC, MP3, Ogg, M4A, ...)")
        else:
            yield source
