"""Plots of the results page, each drawn for light and for dark pages."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from masd.metrics.eer import det, split
from masd.report.ablation import Row
from masd.report.trials import Trials

DPI = 160
COLOURS = {
    "light": ["#0b62a8", "#c2410c", "#15803d", "#86389c", "#8a6100", "#0e7490", "#be185d"],
    "dark": ["#6bb5f2", "#f79a5b", "#69c98a", "#cf9be6", "#e3c15c", "#5fd0e0", "#f58bb5"],
}
PAGES = {
    "light": {"ink": "#1c1e21", "soft": "#6a717a", "page": "#ffffff", "grid": "#e3e6ea"},
    "dark": {"ink": "#e4e7eb", "soft": "#a0a8b2", "page": "#16181b", "grid": "#33383e"},
}
DET_TICKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
Draw = Callable[[Axes], None]


def render(draw: Draw, height: float = 3.8) -> tuple[bytes, bytes]:
    """Return a plot as PNG for light and for dark pages.

    Args:
        draw: draws into the axes it is given, with the colours of its property cycle.
        height: of the figure in inches; the width is 5.2.
    """
    light, dark = (_png(draw, height, theme) for theme in ("light", "dark"))
    return light, dark


def _png(draw: Draw, height: float, theme: str) -> bytes:
    page = PAGES[theme]
    style = {
        "axes.prop_cycle": matplotlib.cycler(color=COLOURS[theme]),
        "axes.edgecolor": page["soft"],
        "axes.labelcolor": page["ink"],
        "axes.facecolor": page["page"],
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.facecolor": page["page"],
        "grid.color": page["grid"],
        "text.color": page["ink"],
        "xtick.color": page["soft"],
        "ytick.color": page["soft"],
        "xtick.labelcolor": page["ink"],
        "ytick.labelcolor": page["ink"],
        "legend.frameon": False,
        "legend.fontsize": 9,
        "font.size": 10,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(5.2, height), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure.add_subplot())
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def _probit(share: np.ndarray) -> np.ndarray:
    from scipy.special import ndtri

    return ndtri(np.clip(share, 1e-6, 1 - 1e-6))


def det_plot(curves: Mapping[str, Trials]) -> Draw:
    """DET curves on normal-deviate axes, {name: trials}; a dot marks each EER."""
    parts = {name: split(trials.scores, trials.fake) for name, trials in curves.items()}
    smallest = min(min(b.size, s.size) for b, s in parts.values())
    low = float(np.clip(0.5 / smallest, 5e-4, 0.02))

    def draw(ax: Axes) -> None:
        top = 0.5
        for name, (bona, spoof) in parts.items():
            frr, far, _ = det(bona, spoof)
            at = int(np.argmin(np.abs(frr - far)))
            rate = (frr[at] + far[at]) / 2
            top = max(top, min(0.9, 1.3 * rate))
            (line,) = ax.plot(_probit(far), _probit(frr), lw=1.6, label=f"{name}: EER {100 * rate:.2f} %")
            ax.plot(*_probit(np.array([[rate], [rate]])), "o", ms=5, color=line.get_color())
        ticks = [t for t in DET_TICKS if low <= t <= top]
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(_probit(np.array(ticks)), [f"{100 * t:g}" for t in ticks])
        limits = _probit(np.array([low, top]))
        ax.plot(limits, limits, ":", lw=1, color=matplotlib.rcParams["grid.color"], zorder=1)
        ax.set(xlim=limits, ylim=limits, aspect="equal")
        ax.set(xlabel="spoofed accepted (%)", ylabel="bona fide rejected (%)")
        ax.legend(loc="upper right")

    return draw


def histogram_plot(trials: Trials, threshold: float | None) -> Draw:
    """Score histograms, each kind of trial scaled to area 1, with the development threshold."""
    names = {"bonafide": "bona fide", "spoof": "spoofed", "seen": "seen attacks", "unseen": "unseen attacks"}
    names["apart"] = "apart"
    lo, hi = np.quantile(trials.scores, [0.002, 0.998])
    edges = np.linspace(lo, hi if hi > lo else lo + 1, 31)

    def draw(ax: Axes) -> None:
        for pool, name in names.items():
            scores = trials.scores[trials.pool == pool]
            if scores.size:
                ax.hist(np.clip(scores, lo, hi), edges, density=True, histtype="step", lw=1.6, label=name)
        for place, style, name in ((0.0, ":", "P(fake) = 0.5"), (threshold, "--", "development threshold")):
            if place is not None and lo <= place <= hi:
                ax.axvline(place, ls=style, lw=1.2, color=matplotlib.rcParams["axes.edgecolor"], label=name)
        ax.set(xlabel="score (higher: more bona fide)", ylabel="density", yticks=[])
        ax.legend()

    return draw


def reliability_plot(calibrations: Sequence[Mapping[str, Any]]) -> Draw:
    """Share of fakes against mean P(fake) per bin, for each calibration; a dot's area is the bin's share."""

    def draw(ax: Axes) -> None:
        ax.plot([0, 1], [0, 1], ":", lw=1.2, color=matplotlib.rcParams["axes.edgecolor"])
        for entry in calibrations:
            diagram = entry["reliability"]
            bins = zip(diagram["confidence"], diagram["frequency"], diagram["share"], strict=True)
            points = np.array([[c, f, s] for c, f, s in bins if c is not None])
            label = f"{entry['name']}: ECE {100 * entry['ece'][0]['ece']:.1f} %"
            (line,) = ax.plot(points[:, 0], points[:, 1], lw=1.3, label=label)
            ax.scatter(
                points[:, 0], points[:, 1], s=8 + 200 * points[:, 2], color=line.get_color(), alpha=0.6
            )
        ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        ax.set(xlabel="mean P(fake) in the bin", ylabel="share of fakes in the bin")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13))

    return draw


def attacks_plot(metrics: Mapping[str, Any]) -> Draw:
    """EER of each attack with its 95 % interval over source recordings, coloured by kind."""
    attacks = metrics["attacks"]
    names = metrics.get("attack_names", {})

    def draw(ax: Axes) -> None:
        colours = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
        kinds = list(dict.fromkeys(part["pool"] for part in attacks.values()))
        labels = [f"{a} {names[a]}" if names.get(a, a) != a else a for a in attacks]
        for row, part in enumerate(attacks.values()):
            rate, interval = 100 * part["eer"], part["by_source"]
            colour = colours[kinds.index(part["pool"])]
            first = next(i for i, p in enumerate(attacks.values()) if p["pool"] == part["pool"]) == row
            ax.barh(row, rate, 0.62, color=colour, alpha=0.75, label=part["pool"] if first else None)
            if interval:
                bar = [
                    [rate - 100 * min(interval["lo"], part["eer"])],
                    [100 * max(interval["hi"], part["eer"]) - rate],
                ]
                ax.errorbar(rate, row, xerr=bar, color=matplotlib.rcParams["text.color"], capsize=3, lw=1.1)
        ax.set_yticks(range(len(labels)), labels)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set(xlabel="EER (%) against all bona fide")
        ax.set_xlim(left=0)
        if len(kinds) > 1:
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=len(kinds))

    return draw


def coverage_plot(coverage: Sequence[Mapping[str, Any]]) -> Draw:
    """EER among the most confident trials against the share of trials kept."""

    def draw(ax: Axes) -> None:
        x, y = ([100 * p[key] for p in coverage] for key in ("coverage", "eer"))
        ax.plot(x, y, "o-", ms=3.5, lw=1.4)
        ax.set(xlabel="coverage: most confident trials kept (%)", ylabel="EER (%)", xlim=(0, 102))
        ax.set_ylim(bottom=0)

    return draw


def ablation_plot(rows: Sequence[Row]) -> Draw:
    """Mean EER of each system with its interval; small dots are the seeds."""

    def draw(ax: Axes) -> None:
        ink = matplotlib.rcParams["text.color"]
        for number, row in enumerate(rows):
            mean, lo, hi = (100 * v for v in (row.mean, row.interval.lo, row.interval.hi))
            ax.errorbar(
                mean, number, xerr=[[max(0, mean - lo)], [max(0, hi - mean)]], fmt="o", capsize=3, color="C0"
            )
            ax.plot(
                [100 * e for e in row.eers], [number + 0.22] * len(row.eers), ".", ms=4, color=ink, alpha=0.7
            )
        ax.set_yticks(range(len(rows)), [row.system for row in rows])
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set(xlabel="EER (%): mean and 95 % interval; small dots: seeds")
        ax.set_xlim(left=0)

    return draw


def training_plot(history: Sequence[Mapping[str, Any]]) -> Draw:
    """Each loss over its level of chance by epoch: solid on held-out speakers, dashed in training."""
    names = sorted({n for record in history for n in record["dev"] if f"chance_{n}" in record["dev"]})
    losses = [name for name in names if name.startswith("loss_")]

    def draw(ax: Axes) -> None:
        for number, name in enumerate(losses):
            for part, style in (("dev", "-"), ("train", "--")):
                points = [(r["epoch"], r[part].get(name), r[part].get(f"chance_{name}")) for r in history]
                kept = [
                    (epoch, value / chance) for epoch, value, chance in points if value is not None and chance
                ]
                label = name.removeprefix("loss_") if part == "dev" else None
                if kept:
                    ax.plot(
                        *zip(*kept, strict=True), style, marker=".", lw=1.4, color=f"C{number}", label=label
                    )
        ax.axhline(1, ls=":", lw=1.2, color=matplotlib.rcParams["axes.edgecolor"])
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel="epoch", ylabel="loss / chance")
        ax.legend(ncols=2)

    return draw
