"""From a recording to a verdict, by any system: windows, silence, what cannot be judged, the label."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from masd.audio.evidence import no_speech
from masd.audio.speech import Speech, seconds_of, span
from masd.audio.stream import AudioStream
from masd.errors import MasdError
from masd.judge.explain import Effects, explain, joined, stretched
from masd.judge.sources import Source, opened
from masd.metrics.scores import log_odds, p_fake
from masd.systems.base import System
from masd.systems.items import Piece
from masd.systems.masd import MasdSystem
from masd.systems.ranges import CLIPPED_SHARE, HEAVILY_CLIPPED, far_band, unknown_sound, unlike_training

WINDOWS_AT_ONCE = 16
LONGER = 1.5  # a recording so many times as long as what is judged of it is told so


@dataclass
class Window:
    """P(fake) of a stretch of a recording, in seconds from the recording's beginning."""

    start: float
    end: float
    p_fake: float


@dataclass
class Verdict:
    """What is said of one recording.

    Args:
        file: as it was given.
        score: -f / T, or by the affine map; higher is more bona fide. Of several windows the mean.
        p_fake: P(fake) at the judge's prior.
        label: `inconclusive` where there are `reasons`, else `spoof` where P(fake) is 0.5 or more, else
            `bonafide`.
        reasons: why nothing can be said: one line for each condition of judgement that does not hold.
        warnings: the reasons, and each other way in which the recording is unlike the training data.
        windows: what was judged, stretch by stretch; one where only the first seconds are.
        effects: what its parts do to the score, where that was asked for; they add up to it.
    """

    file: str
    score: float
    p_fake: float
    label: str
    reasons: list[str]
    warnings: list[str]
    windows: list[Window] = field(default_factory=list)
    effects: Effects | None = None

    @property
    def highest(self) -> Window:
        """The most suspicious window, the first of them: a splice shows here, while the mean hides it."""
        return max(self.windows, key=lambda window: window.p_fake)

    @property
    def part(self) -> bool:
        """Whether part of a recording that is called bona fide may be fake."""
        return self.label == "bonafide" and self.stretch.p_fake >= 0.5

    @property
    def stretch(self) -> Window:
        """The most suspicious stretch of two windows' length, by their mean log-odds.

        One window in many is suspicious by chance; two next to each other are more rarely.
        """
        reach = 2 * max(window.end - window.start for window in self.windows) + 1e-3
        found: list[Window] = []
        for i, first in enumerate(self.windows):
            part = [window for window in self.windows[i:] if window.end - first.start <= reach]
            odds = float(np.mean([log_odds(window.p_fake) for window in part]))
            found.append(Window(first.start, part[-1].end, float(p_fake(np.float64(-odds)))))
            if part[-1] is self.windows[-1]:
                break
        return max(found, key=lambda window: window.p_fake)


@dataclass
class Heard:
    """What was judged of a recording.

    Args:
        first: the first piece.
        missing: why it holds no speech; empty if it does.
        decisions: f of each piece.
        spans: (first sample, number of samples) of each, from the first sound on.
        left_out: windows without speech.
        effects: what parts of each piece do, where that was asked for.
    """

    first: Piece
    missing: str
    decisions: list[float] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    left_out: int = 0
    effects: list[Effects] = field(default_factory=list)

    def add(self, pieces: list[Piece], f: np.ndarray, effects: list[Effects]) -> None:
        """Take what the system says of pieces."""
        self.decisions += f.tolist()
        self.spans += [(piece.start, len(piece.core)) for piece in pieces]
        self.effects += effects


class Judge:
    """Judges recordings with a system, decoding no more of each than that takes.

    Args:
        system: the system.
        windows: judge windows over the whole recording that hold speech, and take the mean of f.
        calibration: which map from f to the score, `temperature` (Eq. 10) or `affine`.
        prior: P(fake) before anything is heard; one half where none is given.
        explained: also say what moved each score (`masd.judge.explain`).
        hop: seconds from one window's beginning to the next one's; a window's length without it.

    Raises:
        MasdError: the system cannot judge recordings; the prior is no probability, or the system is not
            calibrated and cannot take one; the score of a system that is not MASD's is to be explained; the
            hop is longer than a window, or there are no windows.
    """

    def __init__(
        self,
        system: System,
        windows: bool = False,
        calibration: Literal["temperature", "affine"] = "temperature",
        prior: float | None = None,
        explained: bool = False,
        hop: float | None = None,
    ) -> None:
        system.check_hears()
        if explained and not isinstance(system, MasdSystem):
            raise MasdError("--explain true: only MASD's own models can do that")
        self.system, self.windows, self.explained = system, windows, explained
        if calibration not in ("temperature", "affine"):
            raise MasdError(f"calibration {calibration}: temperature or affine")
        self.hearing, self.affine = system.hearing, calibration == "affine"
        self.samples = self.hearing.window if windows else self.hearing.samples
        longest = self.hearing.window / self.hearing.rate
        shortest = self.hearing.hop / self.hearing.rate
        if hop is not None and not (windows and shortest <= hop <= longest):
            raise MasdError(
                f"--hop {hop:g}: windows begin {shortest:g} to {longest:g} s apart; and leave --windows true"
            )
        self.step = self.samples if hop is None else round(hop * self.hearing.rate)
        self.posterior = system.calibration.posterior
        if prior is not None and not self.posterior.calibrated:
            raise MasdError("--prior: P(fake) of these weights is not calibrated, there is no prior to move")
        if prior is not None and not 0.0 < prior < 1.0:
            raise MasdError(f"--prior {prior:g}: must lie strictly between 0 and 1")
        self.prior = 0.5 if prior is None else prior

    def score(self, f: float) -> float:
        """Return the score of f: -f / T, or the affine map's."""
        made = self.system.calibration
        return float(made.affine_scores(f) if self.affine else made.scores(f))

    def judge(self, source: Source, rate: int | None = None, name: str = "") -> Verdict:
        """Judge one recording.

        Args:
            source: an audio file's path, `-` for standard input, its bytes, a binary file object, or samples:
                (N,) or (N, channels), floats of full scale 1 or integers of full scale.
            rate: the sampling rate of samples in Hz; files say their own.
            name: what messages and the verdict call it; the path by default.

        Raises:
            MasdError: it cannot be read, is empty or too short to be analysed, or the system gives no finite
                score for it; the line names it.
        """
        audio, name = opened(source, rate, name)
        with AudioStream(audio, self.hearing.rate, name=name) as stream:
            speech = self._speech(stream)
            heard = self._hear(speech)
            if stream.info.seconds < self.hearing.least:
                raise MasdError(
                    f"{name}: too short: {stream.info.seconds:.3f} s, "
                    f"at least {self.hearing.least:g} s are needed"
                )
            if not heard.decisions:
                self._decide(heard, [heard.first])
            reasons, warnings = self._notes(stream, speech, heard)
        f = float(np.mean(heard.decisions))
        score, p = self.score(f), self.p_fake(f)
        if not (np.isfinite(score) and np.isfinite(p)):
            raise MasdError(f"{name}: the model gives no finite score; it is damaged, make or fetch it again")
        label = "inconclusive" if reasons else "spoof" if p >= 0.5 else "bonafide"
        windows = self._windows(heard, speech.skipped)
        return Verdict(name, score, p, label, reasons, warnings, windows, self._explain(heard, windows))

    def p_fake(self, f: float) -> float:
        """Return P(fake) of f at the judge's prior."""
        return float(p_fake(np.float64(-self.posterior.logit(f, self.prior))))

    def _windows(self, heard: Heard, skipped: int) -> list[Window]:
        """Return the pieces that were judged, of a recording whose first `skipped` samples were not."""
        rate, found = self.hearing.rate, []
        for (start, count), f in zip(heard.spans, heard.decisions, strict=True):
            seconds = [round((skipped + at) / rate, 3) for at in (start, start + count)]
            found.append(Window(*seconds, self.p_fake(f)))
        return found

    def _explain(self, heard: Heard, windows: list[Window]) -> Effects | None:
        if not heard.effects:
            return None
        if len(windows) > 1:
            return joined(heard.effects, [(window.start, window.end) for window in windows])
        return stretched(self.system, heard.first, heard.effects[0], windows[0].start, self.affine)

    def pieces(self, x: np.ndarray) -> list[Piece]:
        """Return what is judged of a recording in memory (N,), as it was read."""
        speech = self._speech(seconds_of(x, self.hearing.rate))
        level, _ = self.system.levelled(speech.level)
        return list(self._pieces(lambda count: level(speech.read(count))))

    def _speech(self, blocks: Iterable[np.ndarray]) -> Speech:
        return Speech(blocks, self.hearing.rate, self.hearing.skip, None if self.windows else self.samples)

    def _hear(self, speech: Speech) -> Heard:
        """Judge all pieces with speech in them, some at a time."""
        level, loud = self.system.levelled(speech.level)
        pieces = self._pieces(lambda count: level(speech.read(count)))
        heard: Heard | None = None
        while group := list(itertools.islice(pieces, WINDOWS_AT_ONCE)):
            missing = [no_speech(piece.core, self.hearing.rate, loud) for piece in group]
            kept = [piece for piece, why in zip(group, missing, strict=True) if not why]
            if self.windows:
                kept = [self._sounding(piece, loud) for piece in kept]
            if heard is None or (heard.missing and kept):
                left_out = heard.left_out if heard else 0
                heard = Heard(kept[0], "") if kept else Heard(group[0], missing[0])
                heard.left_out = left_out
            heard.left_out += len(group) - len(kept)
            if kept:
                self._decide(heard, kept)
        assert heard is not None, "there is always a first piece"
        return heard

    def _decide(self, heard: Heard, pieces: list[Piece]) -> None:
        f = self.system.decide(pieces)
        effects = []
        if self.explained:
            scored = zip(pieces, f.tolist(), strict=True)
            effects = [explain(self.system, piece, self.score(one), self.affine) for piece, one in scored]
        heard.add(pieces, f, effects)

    def _sounding(self, piece: Piece, loud: float) -> Piece:
        """Return a window without long silence at its ends, which would weigh as much as speech."""
        start, stop = span(piece.core, self.hearing.rate, loud)
        start = start // self.hearing.hop * self.hearing.hop
        low = max(0, piece.before + start - self.hearing.margin)
        high = piece.before + stop + (self.hearing.margin if stop == len(piece.core) else 0)
        before = piece.before + start - low
        return Piece(piece.x[low:high], before, stop - start, window=True, start=piece.start + start)

    def _pieces(self, read: Callable[[int], np.ndarray]) -> Iterator[Piece]:
        size, margin = self.samples, self.hearing.margin
        if self.windows:
            yield from windows_of(read, size, self.hearing.hop, margin, self.shortest, self.step)
        else:
            yield Piece(_at_least(read(size + margin), self.shortest), 0, size)

    @property
    def shortest(self) -> int:
        """Samples that a piece must have to be judged at all; what has fewer is filled up with zeros."""
        return round(self.hearing.least * self.hearing.rate)

    def _notes(self, stream: AudioStream, speech: Speech, heard: Heard) -> tuple[list[str], list[str]]:
        """Return reasons for saying nothing, and all warnings."""
        info, lines = stream.info, list(stream.info.warnings)
        if speech.level.silent:
            return ["silent: nothing to judge"], [*lines, "silent: nothing to judge"]
        ranges = self.system.info.get("ranges") or {}
        measured = self.system.measure(heard.first)
        share = stream.clipped_share
        clipped = f"clipped: {100 * share:.2f} % of the samples are cut off"
        narrow = next((line for line in lines if line.startswith("narrow band")), "")
        rate = narrow if info.rate < self.hearing.rate else ""
        band = "" if rate or heard.missing else far_band(ranges, measured, self.hearing.rate)
        strange = "" if heard.missing else unknown_sound(ranges, measured)
        reasons = [heard.missing, rate, band, strange, clipped if share > HEAVILY_CLIPPED else ""]
        if speech.skipped:
            lines.append(f"begins with {speech.skipped / self.hearing.rate:.1f} s of silence, skipped")
        if speech.cut is not None:
            lines.append(f"silence from {speech.cut / self.hearing.rate:.1f} s on: judged up to there")
        if heard.left_out and self.windows:
            lines.append(f"windows without speech left out: {heard.left_out}")
        lines += [clipped] if share > CLIPPED_SHARE else []
        lines += self._length(stream, speech)
        more = unlike_training(ranges, measured)
        lines += [line for line in more if not ((narrow or band) and line.startswith("narrow band"))]
        reasons = [line for line in reasons if line]
        return reasons, reasons + [line for line in lines if line not in reasons]

    def _length(self, stream: AudioStream, speech: Speech) -> list[str]:
        judged = self.samples / self.hearing.rate
        if self.windows or not speech.more(round((LONGER - 1) * self.samples)):
            return []
        total = stream.info.seconds
        known = f"{total:.1f}" if speech.ended else f"more than {int(total)}"
        return [f"only the first {judged:g} of {known} s judged (--windows true hears all)"]


def windows_of(
    read: Callable[[int], np.ndarray],
    size: int,
    hop: int,
    margin: int = 0,
    shortest: int = 0,
    step: int = 0,
) -> Iterator[Piece]:
    """Yield windows of `size` samples one after another; the last is moved back to end with the recording.

    Args:
        read: gives the next so many samples, fewer at the end.
        size: length of a window.
        hop: all begin at multiples of it.
        margin: samples on either side that go with each.
        shortest: a recording with fewer samples is filled up with zeros.
        step: samples from one window's beginning to the next one's, `size` without it.
    """
    step = max(step // hop * hop, hop) if step else size
    held, at, start = read(size + margin), 0, 0  # `at` is where what is held begins
    held = _at_least(held, shortest)
    while True:
        low = max(start - margin, 0)
        yield Piece(held[low - at : start + size + margin - at], start - low, size, True, start=start)
        more = read(step)
        held, at = np.concatenate([held[low - at :], more]), low
        total = at + len(held)
        last = max(total - size, 0) // hop * hop
        following = start + step if total >= start + step + size else last
        if following <= start:
            return
        keep = max(following - margin, at)
        held, at, start = held[keep - at :], keep, following


def _at_least(x: np.ndarray, samples: int) -> np.ndarray:
    return x if len(x) >= samples else np.pad(x, (0, samples - len(x)))
