"""What is judged of a recording: where its sound begins, how loud it is, and the dither that belongs to it.

One reading of the samples for feature dumps, for `detect` and for comparison systems, in training and after.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from masd.audio.usable import SILENCE_PEAK, check_audio, check_length
from masd.errors import MasdError
from masd.stage.seeding import generator

FRAME = 0.02  # seconds
LEVEL_WINDOW = 30.0  # seconds from the first sound on, from which level and seed come
LOUD_FRAMES = 10  # the loud level is that of the tenth loudest frame: no click sets it
# A leading stretch so many dB below the loud level is skipped where it lasts longer than so many seconds:
# what is nearly digital silence soon, what may be the noise of a quiet room only where it is long.
SILENCES = ((50.0, 0.5), (40.0, 2.0))
DEPTH = SILENCES[-1][0]
KEPT = 0.1  # seconds of a skipped stretch that stay before the sound
LASTING, AROUND = 3, 5  # sound is a frame that begins with so many of so many sounding ones: no click


@dataclass(frozen=True)
class Level:
    """How loud a recording is, and what seeds its dither; of its level window alone.

    Args:
        peak: the largest absolute value, 1 where all is 0.
        loud: power of the loudest frames, full scale 1; 0 for silence.
        digest: of the samples, whatever the file is called.
    """

    peak: float
    loud: float
    digest: str

    @property
    def silent(self) -> bool:
        """Whether there is no sound."""
        return self.loud == 0.0


class Speech:
    """A recording from its first sound on, read as far as it is asked for.

    Sound begins at the first 20 ms frame above `SILENCE_PEAK` that others follow. The 30 s from there on are
    the level window. Leading silence as `SILENCES` has it is skipped but for its last 0.1 s, and where it
    fills the end of what is judged, the recording ends with its first 0.1 s. Nothing depends on the size of
    the blocks; no more is read than the level window and what is judged before samples are asked for.

    Args:
        blocks: the recording's samples (N_i,) in order, mono.
        rate: their sampling rate in Hz.
        skip: skip silence; else all begins at the first sample, the level window too.
        judged: how many samples are judged, from the first sound on; None for all, whose end stays as it is.

    Attributes:
        level: see `Level`.
        skipped: samples left out at the beginning.
        cut: the sample, of the whole recording, from which on it is left out for silence; else None.
        ended: whether the end has been seen.
    """

    def __init__(
        self, blocks: Iterable[np.ndarray], rate: int, skip: bool = True, judged: int | None = None
    ) -> None:
        self.rate, self.skipped = rate, 0
        self.cut: int | None = None
        self._blocks, self._held, self.ended = iter(blocks), np.zeros(0, np.float32), False
        self._frame = max(1, round(FRAME * rate))
        onset = (self._first_sound() if skip else 0) * self._frame
        end = onset + round(LEVEL_WINDOW * rate)
        window = self._peek(end)[onset:end]
        power, sounds = frame_power(window, rate)
        if first_lasting(sounds) is None:
            self.level = Level(float(np.abs(window).max(initial=0.0)) or 1.0, 0.0, _digest(window))
            return
        count = min(LOUD_FRAMES, int(sounds.sum()))
        loud = float(np.partition(power[sounds], -count)[-count])
        self.level = Level(float(np.abs(window).max()), loud, _digest(window))
        if skip:
            self._drop(self._start(onset, power, sounds))
            if judged is not None:
                self._end(judged)

    def read(self, count: int | None = None) -> np.ndarray:
        """Return the next `count` samples, all that follow for None; fewer at the end."""
        found = self._peek(count)[:count]
        self._held = self._held[len(found) :]
        return found

    def more(self, count: int) -> bool:
        """Whether more than `count` samples follow."""
        return len(self._peek(count + 1)) > count

    def _peek(self, count: int | None) -> np.ndarray:
        """Return what is decoded and not handed out: `count` samples or more where there are as many."""
        parts, total = [self._held], len(self._held)
        while count is None or total < count:
            block = next(self._blocks, None)
            if block is None:
                self.ended = True
                break
            parts.append(np.asarray(block, np.float32))
            total += len(block)
        self._held = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return self._held

    def _first_sound(self) -> int:
        """Return the frame at which sound begins; forget the silence before it while it goes on."""
        kept = (round(KEPT / FRAME) + AROUND - 1) * self._frame
        while True:
            first = first_lasting(frame_power(self._held, self.rate)[1])
            if first is not None:
                return first
            known = len(self._held)
            if len(self._peek(known + 1)) == known:
                return 0
            if known - kept > SILENCES[0][1] * self.rate:
                self._drop((known - kept) // self._frame * self._frame)

    def _start(self, onset: int, power: np.ndarray, sounds: np.ndarray) -> int:
        """Return where what is kept begins, in samples of what is held."""
        start = 0
        for depth, least in SILENCES:
            first = first_lasting(sounds & (power > self.level.loud * 10.0 ** (-depth / 10.0)))
            lead = onset + (first or 0) * self._frame
            if self.skipped + lead > least * self.rate:
                start = max(start, lead - round(KEPT / FRAME) * self._frame)
        return start

    def _end(self, judged: int) -> None:
        """End the recording where silence begins that lasts to the end of the `judged` samples."""
        heard = self._peek(judged)[:judged]
        stop = max(span(heard, self.rate, self.level.loud)[1], round(SILENCES[0][1] * self.rate))
        if stop < len(heard):
            self.cut, self._held, self._blocks = self.skipped + stop, heard[:stop], iter(())

    def _drop(self, count: int) -> None:
        self._held = self._held[count:]
        self.skipped += count


class Leveller:
    """Scales consecutive pieces of one recording to a peak of 1 and adds its dither.

    y_n = x_n / peak + dither g_n, g_n ~ N(0, 1) drawn sample by sample, so that a longer piece begins like
    a shorter one.

    Args:
        level: of the recording; its digest seeds the noise.
        dither: standard deviation of the noise, full scale 1; 0 for none.
        seed: the run's seed.
    """

    def __init__(self, level: Level, dither: float, seed: int = 0) -> None:
        self.peak, self.dither = np.float32(level.peak), np.float32(dither)
        self._noise = generator(seed, "dither", level.digest)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the next samples (N,), float32; x is left as it is."""
        y = np.asarray(x, np.float32) / self.peak
        if self.dither:
            y += self.dither * self._noise.standard_normal(len(x), dtype=np.float32)
        return y


def seconds_of(x: np.ndarray, rate: int) -> Iterator[np.ndarray]:
    """Yield x (N,) in blocks of a second."""
    for start in range(0, len(x), rate):
        yield x[start : start + rate]


def frame_power(x: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return power (T,) without DC of the whole 20 ms frames of x (N,), and which exceed `SILENCE_PEAK`."""
    size = max(1, round(FRAME * rate))
    frames = x[: len(x) // size * size].reshape(-1, size).astype(np.float64)
    frames -= frames.mean(axis=1, keepdims=True)
    return (frames**2).mean(axis=1), np.abs(frames).max(axis=1, initial=0.0) >= SILENCE_PEAK


def first_lasting(sounds: np.ndarray) -> int | None:
    """Return the first sounding frame of (T,) with which 3 sounding ones of 5 begin, or None."""
    if not sounds.any():
        return None
    many = np.convolve(sounds, np.ones(AROUND, int))[AROUND - 1 :] >= LASTING
    found = np.flatnonzero(sounds & many)
    return int(found[0]) if len(found) else None


def sounding_seconds(x: np.ndarray, rate: int, loud: float) -> float:
    """Return how many seconds of x (N,) are less than `DEPTH` dB below the recording's loud level."""
    power, sounds = frame_power(x, rate)
    return FRAME * int((sounds & (power > loud * 10.0 ** (-DEPTH / 10.0))).sum())


def span(x: np.ndarray, rate: int, loud: float) -> tuple[int, int]:
    """Return (start, stop) of a window (N,) less silence as `SILENCES` has it at either end."""
    power, sounds = frame_power(x, rate)
    size, start, stop = max(1, round(FRAME * rate)), 0, len(x)
    for depth, least in SILENCES:
        loud_frames = sounds & (power > loud * 10.0 ** (-depth / 10.0))
        found = np.flatnonzero(loud_frames)
        if not len(found):
            continue
        first, last = int(found[0]) * size, int(found[-1] + 1) * size
        if first > least * rate:
            start = max(start, first - round(KEPT * rate))
        if len(x) - last > least * rate:
            stop = min(stop, last + round(KEPT * rate))
    return start, stop


def speech_of(
    x: np.ndarray,
    name: str,
    rate: int = 16000,
    min_seconds: float = 0.1,
    skip: bool = True,
    judged: int | None = None,
) -> tuple[np.ndarray, Level]:
    """Return what is judged of a recording in memory, not scaled, and its level.

    Args:
        x: (N,) the whole recording.
        name: the file or utterance, for messages.
        rate: its sampling rate in Hz.
        min_seconds: the shortest length that is accepted, before and after silence is skipped.
        skip: whether it is.
        judged: how many samples are judged; see `Speech`.

    Raises:
        MasdError: empty, not finite, silent or shorter than `min_seconds`.
    """
    check_audio(x, name, rate, min_seconds)
    speech = Speech(seconds_of(x, rate), rate, skip, judged)
    if speech.level.silent:
        raise MasdError(f"{name}: silent")
    kept = speech.read()
    check_length(kept, name, rate, min_seconds)
    return kept, speech.level


def _digest(x: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(x, "<f4").tobytes()).hexdigest()
