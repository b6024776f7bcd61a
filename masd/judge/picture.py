"""A recording as a picture: its spectrogram with the bands, P(fake) over time, and what moved the score."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from masd.audio.stream import AudioStream
from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.feats.logmel import logmel
from masd.judge.output import WORDS
from masd.judge.sources import Source, opened
from masd.judge.verdict import Verdict
from masd.models.bands import NAMES, band_ranges
from masd.stage.files import atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# finer than what models hear: pitch shows
CONFIG = FeatsConfig(n_fft=1024, win_length=640, n_mels=96)
COLUMNS = 800  # at most
RANGE = 16.0  # nats below the loudest that are shown, 70 dB
QUIETEST = -4.0  # what counts as loudest where nothing is
GENUINE, FAKE, INK, QUIET = "#0b6e6e", "#b4430f", "#1c2326", "#68757a"


@dataclass
class Spectrogram:
    """A whole recording's log-mel, for the eye.

    Attributes:
        values: (96, T) 0 to 255, rows from 0 to 8 kHz on the mel scale; T is 800 at most.
        seconds: how long it is.
        cuts: the rows at which the bands mid and high begin.
    """

    values: np.ndarray
    seconds: float
    cuts: tuple[int, int]


def spectrogram(source: Source, name: str = "", longest: float = 3600.0) -> Spectrogram:
    """Return the spectrogram of a recording, as `AudioStream` mixes and resamples it.

    Args:
        source: a path, bytes or a binary file object.
        name: what messages call it.
        longest: seconds that it may last.

    Raises:
        MasdError: it cannot be read, or is longer than that, or shorter than a spectrum.
    """
    audio, name = opened(source, name=name)
    blocks: list[np.ndarray] = []
    with AudioStream(audio, CONFIG.sample_rate, name=name) as stream:
        for block in stream:
            blocks.append(block)
            if (len(blocks) - 1) * CONFIG.sample_rate + len(block) > longest * CONFIG.sample_rate:
                raise MasdError(f"{name}: longer than {longest:g} s; cut it into parts")
    x = np.concatenate(blocks)
    if len(x) <= CONFIG.n_fft // 2:
        raise MasdError(f"{name}: too short: {len(x) / CONFIG.sample_rate:.3f} s")
    mel = logmel(x, CONFIG)
    at = np.arange(0, len(mel), -(-len(mel) // COLUMNS))
    loudest = np.maximum.reduceat(mel, at, axis=0)
    shown = np.clip((loudest - max(mel.max(), QUIETEST)) / RANGE + 1.0, 0.0, 1.0)
    (_, low), (_, mid), _ = band_ranges("multi", CONFIG.n_mels, CONFIG.f_min, CONFIG.f_max)
    return Spectrogram(np.round(255 * shown.T).astype(np.uint8), len(x) / CONFIG.sample_rate, (low, mid))


def draw(verdict: Verdict, heard: Spectrogram) -> bytes:
    """Return a PNG of a verdict whose effects are known; it needs matplotlib.

    Args:
        verdict: of a judge that explains.
        heard: the recording's spectrogram.
    """
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    effects = verdict.effects
    assert effects is not None, "the judge explains"
    bands = [
        (f"{name} band" if name in NAMES["multi"] else "no one band", v) for name, v in effects.bands.items()
    ]
    parts = [*bands, *effects.measures.items()]
    quiet = {
        "text.parse_math": False,
        "axes.edgecolor": QUIET,
        "xtick.color": QUIET,
        "ytick.color": QUIET,
        "text.color": INK,
    }
    with matplotlib.style.context(["default", quiet, {"axes.labelcolor": INK, "font.size": 9}]):
        figure = Figure(figsize=(8, 5.2 + 0.21 * len(parts)), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        sizes = [2.2, 1, 1, 0.4 + 0.21 * len(parts)]
        picture, timeline, stretches, bars = figure.subplots(4, 1, height_ratios=sizes)
        _spectrogram(picture, heard)
        for window in verdict.windows:
            colour = FAKE if window.p_fake >= 0.5 else GENUINE
            timeline.bar(window.start, window.p_fake, window.end - window.start, align="edge", color=colour)
        timeline.axhline(0.5, color=QUIET, lw=0.8, ls=":")
        timeline.set(xlim=(0, heard.seconds), ylim=(0, 1), ylabel="P(fake)")
        starts, stops, moved = (np.array(column) for column in zip(*effects.windows, strict=True))
        stretches.bar(starts, moved, stops - starts, align="edge", color=_colours(moved), ec="w", lw=0.5)
        stretches.axhline(0, color=QUIET, lw=0.8)
        stretches.set(xlim=(0, heard.seconds), ylabel="effect", xlabel="time (s)")
        values = np.array([value for _, value in parts])
        bars.barh(range(len(parts)), values, 0.7, color=_colours(values))
        bars.axhline(len(effects.bands) - 0.5, color=QUIET, lw=0.8)
        bars.axvline(0, color=QUIET, lw=0.8)
        bars.set_yticks(range(len(parts)), [name for name, _ in parts])
        bars.invert_yaxis()
        bars.set(xlabel="effect on the score: left speaks for fake, right for genuine")
        for axes in (timeline, stretches, bars):
            axes.spines[["top", "right"]].set_visible(False)
        word = f"{WORDS[verdict.label]}, P(fake) {verdict.p_fake:.2f}"
        sums = f"score {effects.score:+.2f} = {effects.baseline:+.2f} (average figures) + effects of a kind"
        figure.suptitle(f"{verdict.file[-60:]}: {word}\n{sums}", fontsize=10)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def write(path: Path, verdict: Verdict, heard: Spectrogram) -> None:
    """Write the PNG that `draw` makes."""
    drawn = draw(verdict, heard)
    with atomic(path) as tmp:
        tmp.write_bytes(drawn)


def _spectrogram(axes: Axes, heard: Spectrogram) -> None:
    rows, place = len(heard.values), (0.0, heard.seconds, 0.0, float(len(heard.values)))
    axes.imshow(heard.values, origin="lower", aspect="auto", extent=place, cmap="magma")
    for cut in heard.cuts:
        axes.axhline(cut, color="w", lw=0.8, ls="--")
    edges = (0, *heard.cuts, rows)
    axes.set_yticks(edges, ["0", "1", "4", "8 kHz"])
    for name, low, high in zip(NAMES["multi"], edges[:-1], edges[1:], strict=True):
        axes.text(0.008, (low + high) / 2 / rows, name, color="w", va="center", transform=axes.transAxes)


def _colours(values: np.ndarray) -> np.ndarray:
    return np.where(values >= 0, GENUINE, FAKE)
