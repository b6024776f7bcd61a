"""The results page: RESULTS.md, its appendix, report.html and the plots as files."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from masd.errors import MasdError
from masd.models.bands import NAMES
from masd.report import render
from masd.report.evaluated_runs import (
    Run,
    common_utts,
    comparable,
    find_runs,
    of_system,
    restricted,
    runs_of_folders,
)
from masd.report.metrics_json import Bootstrap
from masd.report.page_facts import Page, content, read_history
from masd.report.sentences import meaning, verdicts
from masd.report.table_two import table_rows
from masd.stage.files import atomic, read_yaml, write_text

log = logging.getLogger(__name__)


def gather(
    exp: Path | None,
    system: str,
    eval_set: str,
    reported: Path | None,
    bootstrap: int,
    seed: int = 0,
    prepare: Callable[[Run], Run] = lambda run: run,
    evaluated: Sequence[tuple[str, Path]] = (),
    only: Collection[Path] | None = None,
    **info: Any,
) -> Page:
    """Collect what the page is made of; `info` are further attributes of `Page`.

    Systems that were evaluated on other trials than the page's are left out and named (`Page.left_out`).

    Args:
        exp: exp/<size>; None for `evaluated` alone.
        system: the system the page is about; empty for the first.
        eval_set: the evaluation set's name.
        reported: YAML file of the paper's numbers.
        bootstrap: draws for each interval of Table II.
        seed: of the draws.
        prepare: called with each run before anything is computed of it.
        evaluated: (system, folder that evaluate wrote) of systems elsewhere.
        only: the files below `exp` that the page is made of, where later ones may have come; all without.
        info: further attributes of `Page`.

    Raises:
        MasdError: nothing was evaluated, or the system was not.
    """
    found = (find_runs(exp, eval_set, only) if exp else []) + runs_of_folders(evaluated)
    if not found:
        raise MasdError("nothing to report on; give --exp FOLDER, --evaluated NAME=FOLDER or both")
    runs = [prepare(run) for run in found]
    numbers = read_yaml(reported) if reported else {}
    if not isinstance(numbers, dict):
        raise MasdError(f"{reported}: must be a mapping of tables to numbers")
    main = of_system(runs, system or runs[0].system)
    runs, left_out = comparable(runs, main)
    main = of_system(runs, main[0].system)
    draws = Bootstrap(bootstrap, seed)
    rows = table_rows(runs, numbers.get("ablation", []), draws)
    return Page(
        exp or runs[0].results, runs, main, rows, numbers, draws, left_out=left_out, only=only, **info
    )


def appendix_path(report: Path) -> Path:
    """Return where the appendix of a page lies, given the folder of its report."""
    return report / "appendix.md"


def pages(page: Page, title: str, figures: Collection[str] = ()) -> tuple[str, str]:
    """Return RESULTS.md and its appendix as Markdown; `figures`, if they are to be in it, by their names."""
    near = os.path.relpath(appendix_path(page.report), page.out.parent)
    context = {"page": page, "title": title, "figures": figures, "appendix": near, "meaning": meaning(page)}
    context |= {"verdicts": verdicts(page), **content(page)}
    return render.markdown("results.md", **context), render.markdown("appendix.md", **context)


def write_pages(page: Page, title: str, explain: str = "") -> None:
    """Write RESULTS.md, and into `page.report` its appendix, report.html and each plot as PNG and PDF.

    The score of the utterance `explain` is explained; empty, of the spoof the system is surest of.
    """
    images = draw_plots(page, explain)
    for name, plot in images.items():
        for suffix, image in plot.items():
            with atomic(page.report / f"{name}{suffix}") as tmp:
                tmp.write_bytes(image)
    write_text(page.report / "report.html", render.html(*pages(page, title, images), images))
    text, appendix = pages(page, title)
    write_text(appendix_path(page.report), appendix)
    write_text(page.out, text)


def draw_plots(page: Page, explain: str = "") -> dict[str, dict[str, bytes]]:
    """Return every plot the page can show by its name, see `plots.render`."""
    from masd.report import plots

    run = page.first
    trials, metrics, maps = run.trials, run.metrics, run.metrics["calibration"]
    curves = {"pooled": trials.pooled}
    for pool in ("seen", "unseen", "apart"):
        if pool in metrics:
            curves[pool] = trials.against_all_bonafide(trials.pool == pool)
    drawn: dict[str, tuple[Any, ...]] = {
        "det": (plots.det_plot, 5.4, curves),
        "histogram": (plots.histogram_plot, 3.8, trials, _threshold(metrics)),
        "reliability": (plots.reliability_plot, 0.6 + 2.2 * -(-len(maps) // 3), maps),
        "attacks": (plots.attacks_plot, 1.5 + 0.36 * len(metrics["attacks"]), metrics),
        "ablation": (plots.ablation_plot, 1.3 + 0.4 * len(page.rows), page.rows),
    }
    if any(point["eer"] for point in metrics["coverage"]):  # without an error the frame would be blank
        drawn["coverage"] = plots.coverage_plot, 3.2, metrics["coverage"]
    if len(page.rows) > 1:
        common = common_utts(page.runs)
        firsts = {row.system: next(r for r in page.runs if r.system == row.system) for row in page.rows}
        pooled = {name: restricted(r.trials, common).pooled for name, r in firsts.items()}
        drawn["det_systems"] = plots.det_plot, 5.8, pooled
    for part in metrics.get("breakdowns", []):
        cells = [cell for cell in part["cells"] if "eer" in cell]
        if cells and part["name"] != "attack":  # drawn already
            name = f"condition_{part['name'].replace('*', '_')}"
            drawn[name] = plots.conditions_plot, 1.3 + 0.32 * len(cells), part["name"], cells
    for folder in page.encoders:
        others = re.search(r"_s\d+$", folder.name) and not folder.name.endswith(f"_s{run.seed}")
        if not others and (history := read_history(folder)):
            drawn[f"training_{folder.name}"] = plots.training_plot, 3.4, history
    return {name: plots.render(*each) for name, each in (drawn | _insight_plots(page, explain)).items()}


def _insight_plots(page: Page, explain: str) -> dict[str, tuple[Any, ...]]:
    """Return the plots of what the main system looks at; those whose inputs are gone are left out."""
    from masd.report import introspection, plots

    out = {}
    if page.attention:
        names = page.first.metrics.get("attack_names", {})
        named = {introspection.with_name(kind, names): row for kind, row in page.attention.items()}
        height = 1.4 + 0.34 * len(named)
        out["attention"] = plots.shares_plot, height, named, introspection.MEASURES, "mean attention"
    if page.alpha and len(next(iter(page.alpha.values()))) == len(NAMES["multi"]):
        bands = [f"{name} band" for name in NAMES["multi"]]
        height = 1.4 + 0.34 * len(page.alpha)
        out["bands"] = plots.shares_plot, height, page.alpha, bands, "weight of the band"
    try:
        out["projection"] = plots.projection_plot, 4.8, introspection.projection(page.first)
    except MasdError as error:
        log.info("the plot projection is left out: %s", error)
    try:
        out["explanation"] = plots.explanation_plot, 6.0, introspection.explain(page.first, explain)
    except MasdError as error:
        if explain:
            raise
        log.info("the plot explanation is left out: %s", error)
    return out


def _threshold(metrics: Mapping[str, Any]) -> float | None:
    found = (d["threshold"] for d in metrics["decisions"] if d["at"] == "development threshold")
    return next(found, None)
