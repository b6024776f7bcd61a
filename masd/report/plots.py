"""Plots of the results page, each drawn for light and for dark pages."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from masd.metrics.eer import det, eer, split
from masd.report.introspection import with_name
from masd.report.scored_trials import Trials
from masd.report.table_two import Row

if TYPE_CHECKING:
    from masd.report.introspection import Explanation, Projection

# it logs every table of the fonts it cuts down for PDF
logging.getLogger("fontTools").setLevel(logging.WARNING)

DET_TICKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9)
STYLES = Path(__file__).parent / "templates"


def render(draw: Callable[..., None], height: float, *what: Any) -> dict[str, bytes]:
    """Return a plot as {suffix of its file: content}: PNG for light and for dark pages, PDF for papers.

    Args:
        draw: called with the axes to draw into and `what`; it takes the colours of their cycle.
        height: of the figure in inches; the width is 5.2.
        what: is drawn.
    """
    files = {}
    for suffix, style in ((".png", "light"), ("_dark.png", "dark"), (".pdf", "light")):
        with matplotlib.style.context(STYLES / f"{style}.mplstyle"):
            figure = Figure(figsize=(5.2, height))
            FigureCanvasAgg(figure)
            draw(figure.add_subplot(), *what)
            stream = io.BytesIO()
            undated = {"CreationDate": None} if suffix == ".pdf" else {"Software": None}
            figure.savefig(stream, format=suffix[-3:], metadata=undated)
        files[suffix] = stream.getvalue()
    return files


def _probit(share: np.ndarray) -> np.ndarray:
    from scipy.special import ndtri

    return ndtri(np.clip(share, 1e-6, 1 - 1e-6))


def _thinned(frr: np.ndarray, far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return some 2,000 points of a DET curve, dense where the axes are; a set may have half a million."""
    from scipy.special import ndtr

    grid = ndtr(np.linspace(-4.5, 4.5, 1000))
    found = [np.searchsorted(frr, grid), np.searchsorted(-far, -grid[::-1]), [0, len(frr) - 1]]
    rows = np.unique(np.clip(np.concatenate(found), 0, len(frr) - 1))
    return frr[rows], far[rows]


def det_plot(ax: Axes, curves: Mapping[str, Trials]) -> None:
    """DET curves on normal-deviate axes, {name: trials}; a dot marks each EER.

    Curves of systems without an error lie outside the axes: a sentence says so, or the frame would be blank.
    """
    parts = {name: split(trials.scores, trials.fake) for name, trials in curves.items()}
    smallest = min(min(b.size, s.size) for b, s in parts.values())
    rates = {name: eer(*part)[0] for name, part in parts.items()}
    # curves are drawn down to what the trials can tell, and to a twentieth of the best EER
    low = float(np.clip(max(0.5 / smallest, min(rates.values()) / 20), 5e-4, 0.02))
    top = min(0.95, max(0.5, 2 * max(rates.values())))

    for name, (bona, spoof) in parts.items():
        frr, far = _thinned(*det(bona, spoof)[:2])
        rate = rates[name]
        (line,) = ax.plot(_probit(far), _probit(frr), lw=1.6, label=f"{name}: EER {100 * rate:.2f} %")
        ax.plot(*_probit(np.array([[rate], [rate]])), "o", ms=5, color=line.get_color())
    ticks = [t for t in DET_TICKS if low <= t <= top]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(_probit(np.array(ticks)), [f"{100 * t:g}" for t in ticks])
    limits = _probit(np.array([low, top]))
    ax.plot(limits, limits, ":", lw=1, color=matplotlib.rcParams["grid.color"], zorder=1)
    ax.set(xlim=limits, ylim=limits, aspect="equal")
    perfect = [name for name, rate in rates.items() if rate == 0]
    if perfect:
        told = f"no error, so no curve: {', '.join(perfect)}"
        place = {"ha": "center", "va": "center", "wrap": True, "transform": ax.transAxes}
        ax.text(0.5, 0.5 if len(perfect) == len(rates) else 0.95, told, **place)
    ax.set(xlabel="spoofed accepted (%)", ylabel="bona fide rejected (%)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=1 if len(parts) < 5 else 2)


def histogram_plot(ax: Axes, trials: Trials, threshold: float | None) -> None:
    """Score histograms, each kind of trial scaled to area 1, with the development threshold."""
    names = {"bonafide": "bona fide", "spoof": "spoofed", "apart": "apart"}
    names |= {"seen": "seen attacks", "unseen": "unseen attacks"}
    lo, hi = np.quantile(trials.scores, [0.002, 0.998])
    edges = np.linspace(lo, hi if hi > lo else lo + 1, 31)
    for pool, name in names.items():
        scores = trials.scores[trials.pool == pool]
        if scores.size:
            ax.hist(np.clip(scores, lo, hi), edges, density=True, histtype="step", lw=1.6, label=name)
    for place, style, name in ((0.0, ":", "P(fake) = 0.5"), (threshold, "--", "development threshold")):
        if place is not None and lo <= place <= hi:
            ax.axvline(place, ls=style, lw=1.2, color=matplotlib.rcParams["axes.edgecolor"], label=name)
    ax.set(xlabel="score (higher: more bona fide)", ylabel="density", yticks=[])
    ax.legend()


def reliability_plot(ax: Axes, calibrations: Sequence[Mapping[str, Any]]) -> None:
    """Share of fakes against mean P(fake) per bin, a panel for each calibration.

    A dot's area is the bin's share of the trials.
    """
    figure, columns = ax.figure, min(len(calibrations), 3)
    lines = -(-len(calibrations) // columns)
    ax.remove()
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flat
    for panel, entry in zip_longest(panels, calibrations):
        if entry is None:
            panel.set_axis_off()
            continue
        diagram = entry["reliability"]
        bins = zip(diagram["confidence"], diagram["frequency"], diagram["share"], strict=True)
        x, y, share = np.array([each for each in bins if each[0] is not None]).T
        panel.plot([0, 1], [0, 1], ":", lw=1.2, color=matplotlib.rcParams["axes.edgecolor"])
        panel.vlines(x, x, y, lw=1, alpha=0.5)
        panel.scatter(x, y, s=6 + 150 * share, alpha=0.7)
        panel.set(
            xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), aspect="equal"
        )
        name = re.sub(r"( \(T = .*)?$", "", entry["name"]).replace(", fitted", "\nfitted")
        panel.set_title(f"{name}\nECE {100 * entry['ece'][0]['ece']:.1f} %", fontsize=8)
    figure.supxlabel("mean P(fake) in the bin", fontsize=10)
    figure.supylabel("share of fakes in the bin", fontsize=10)


def _interval_bars(
    ax: Axes, labels: Sequence[str], parts: Sequence[Mapping[str, Any]], colours: Sequence[str]
) -> None:
    """Draw horizontal bars of the EERs with their 95 % intervals over source recordings."""
    for row, (part, colour) in enumerate(zip(parts, colours, strict=True)):
        rate, interval = 100 * part["eer"], part["by_source"]
        ax.barh(row, rate, 0.62, color=colour, alpha=0.75)
        if interval:
            bar = [[max(0, rate - 100 * interval["lo"])], [max(0, 100 * interval["hi"] - rate)]]
            ax.errorbar(rate, row, xerr=bar, color=matplotlib.rcParams["text.color"], capsize=3, lw=1.1)
    _named_rows(ax, labels)
    ax.set_xlim(left=0)


def _named_rows(ax: Axes, labels: Sequence[str]) -> None:
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)


def attacks_plot(ax: Axes, metrics: Mapping[str, Any]) -> None:
    """EER of each attack with its interval, coloured by kind."""
    attacks, names = metrics["attacks"], metrics.get("attack_names", {})
    kinds = list(dict.fromkeys(part["pool"] for part in attacks.values()))
    colours = [f"C{kinds.index(part['pool'])}" for part in attacks.values()]
    _interval_bars(ax, [with_name(attack, names) for attack in attacks], list(attacks.values()), colours)
    ax.set(xlabel="EER (%) against all bona fide")
    if len(kinds) > 1:
        patches = [Patch(color=f"C{i}", alpha=0.75, label=kind) for i, kind in enumerate(kinds)]
        ax.legend(handles=patches, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(kinds))


def conditions_plot(ax: Axes, name: str, cells: Sequence[Mapping[str, Any]]) -> None:
    """EER of each value of a condition with its interval."""
    _interval_bars(ax, [" × ".join(cell["values"]) for cell in cells], cells, ["C0"] * len(cells))
    ax.set(xlabel=f"EER (%) by {name.replace('*', ' × ')}")


def coverage_plot(ax: Axes, coverage: Sequence[Mapping[str, Any]]) -> None:
    """EER among the most confident trials against the share of trials kept."""
    x, y = ([100 * p[key] for p in coverage] for key in ("coverage", "eer"))
    ax.plot(x, y, "o-", ms=3.5, lw=1.4)
    ax.set(xlabel="coverage: most confident trials kept (%)", ylabel="EER (%)", xlim=(0, 102))
    ax.set_ylim(bottom=0)


def ablation_plot(ax: Axes, rows: Sequence[Row]) -> None:
    """Mean EER of each system with its interval; small dots are the seeds."""
    ink = matplotlib.rcParams["text.color"]
    for number, row in enumerate(rows):
        mean, lo, hi = (100 * v for v in (row.mean, row.interval.lo, row.interval.hi))
        ax.errorbar(
            mean, number, xerr=[[max(0, mean - lo)], [max(0, hi - mean)]], fmt="o", capsize=3, color="C0"
        )
        ax.plot([100 * e for e in row.eers], [number + 0.22] * len(row.eers), ".", ms=4, color=ink, alpha=0.7)
    _named_rows(ax, [row.system for row in rows])
    ax.set(xlabel="EER (%): mean and 95 % interval; small dots: seeds")
    ax.set_xlim(left=0)


def training_plot(ax: Axes, history: Sequence[Mapping[str, Any]]) -> None:
    """Each loss over its level of chance by epoch: solid on held-out speakers, dashed in training."""
    names = {name for record in history for name in record["dev"] if name.startswith("loss_")}
    losses = sorted(name for name in names if all(r["dev"].get(f"chance_{name}") for r in history))
    for number, name in enumerate(losses):
        for part, style in (("dev", "-"), ("train", "--")):
            known = [r for r in history if name in r[part] and r[part].get(f"chance_{name}")]
            shares = [record[part][name] / record[part][f"chance_{name}"] for record in known]
            label = name.removeprefix("loss_") if part == "dev" else None
            looks = {"marker": ".", "lw": 1.4, "color": f"C{number}", "label": label}
            ax.plot([record["epoch"] for record in known], shares, style, **looks)
    ax.axhline(1, ls=":", lw=1.2, color=matplotlib.rcParams["axes.edgecolor"])
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="epoch", ylabel="loss / chance")
    if losses:
        ax.legend(ncols=2)


def shares_plot(ax: Axes, rows: Mapping[str, np.ndarray], parts: Sequence[str], label: str) -> None:
    """Weights that sum to 1 as stacked bars, {row: (J,)}, one colour a part."""
    weights = np.array(list(rows.values()))
    starts = np.cumsum(weights, axis=1) - weights
    for start, width, name in zip(starts.T, weights.T, parts, strict=True):
        bars = ax.barh(range(len(rows)), width, 0.66, left=start, alpha=0.85, label=name)
        told = [f"{share:.2f}" if share > 0.09 else "" for share in width]
        ax.bar_label(bars, told, label_type="center", fontsize=8, color=matplotlib.rcParams["axes.facecolor"])
    _named_rows(ax, list(rows))
    ax.grid(visible=False)
    ax.set(xlabel=label, xlim=(0, 1))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(parts))


def projection_plot(ax: Axes, found: Projection) -> None:
    """Utterances on the first two principal components of the SVM's inputs, by kind."""
    kinds = ["bona fide", *sorted(set(found.kinds.tolist()) - {"bona fide"})]
    marks = "osv^D<>ph*"
    for index, kind in enumerate(kinds):
        at = found.points[found.kinds == kind]
        style = {"s": 9, "alpha": 0.55, "lw": 0, "marker": marks[index % len(marks)]}
        ax.scatter(at[:, 0], at[:, 1], color=f"C{index % 7}", label=kind, **style)
    first, second = (f"component {i + 1} ({100 * s:.0f} % of variance)" for i, s in enumerate(found.shares))
    ax.set(xlabel=first, ylabel=second)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=4, markerscale=2)


def explanation_plot(ax: Axes, found: Explanation) -> None:
    """One utterance: its log-mel, and the effect of each stretch of time, each band and each measure."""
    figure = ax.figure
    ax.remove()
    mel_ax, time_ax, part_ax = figure.subplots(3, 1, height_ratios=[1.4, 1, 1.1])
    seconds = len(found.mel) * found.hop
    place = (0, seconds, 0, found.mel.shape[1])
    mel_ax.imshow(found.mel.T, origin="lower", aspect="auto", extent=place, cmap="magma")
    mel_ax.grid(visible=False)
    mel_ax.set(ylabel="mel bin", title=f"{found.utt} ({found.kind}), score {found.effects.score:.2f}")
    mel_ax.title.set_fontsize(10)
    starts, stops, effects = (np.array(column) for column in zip(*found.effects.windows, strict=True))
    colours = np.where(effects >= 0, "C0", "C1")
    time_ax.bar((starts + stops) / 2, effects, stops - starts, color=colours, alpha=0.85)
    time_ax.set(xlim=(0, seconds), xlabel="time (s)", ylabel="effect")
    bands, measures = found.effects.bands, found.effects.measures
    parts = {**{f"{name} band": v for name, v in bands.items()}, **measures}
    values = np.array(list(parts.values()))
    part_ax.barh(range(len(parts)), values, 0.66, color=np.where(values >= 0, "C0", "C1"), alpha=0.85)
    _named_rows(part_ax, list(parts))
    part_ax.set(xlabel="effect on the score: right speaks for bona fide, left for fake")
