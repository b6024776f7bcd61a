"""The paper's Key Results, one line a corpus, from whichever recipes have been run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from masd.errors import MasdError
from masd.report.evaluated_runs import Run, find_runs
from masd.report.page_content import over_seeds
from masd.report.render import markdown


def key_results(egs: Path, reported: Mapping[str, Any], size: str, system: str) -> str:
    """Return the table as Markdown: EER in per cent, reported and measured, for each corpus of the paper.

    Args:
        egs: the folder of the recipes.
        reported: conf/reported.yaml of the paper's numbers; its list `key_results` names the recipes.
        size: which `<recipe>/exp/<size>` is looked at.
        system: the system, a row of Table II.

    Raises:
        MasdError: the numbers name no recipes, or no recipe has been run.
    """
    rows = [_row(egs / str(row["recipe"]), row, size, system) for row in reported.get("key_results", [])]
    if not rows:
        raise MasdError("the reported numbers have no list key_results of recipes")
    if not any(row["runs"] for row in rows):
        raise MasdError(
            f"{egs}: no recipe of the paper has {system} evaluated in exp/{size}; run one, or choose another "
            "--size or --system"
        )
    cautions = [*reported.get("cautions", []), *reported.get("key_results_cautions", [])]
    context = {"rows": rows, "size": size, "system": system, "cautions": cautions}
    return markdown("key_results.md", **context, source=reported.get("source", ""))


def _row(recipe: Path, row: Mapping[str, Any], size: str, system: str) -> dict[str, Any]:
    zero_shot = row.get("zero_shot")
    runs = _runs(recipe / "exp" / size, f"zero_shot_{system}" if zero_shot else system)
    return {
        "name": row["name"],
        "kind": "zero-shot" if zero_shot else "in domain",
        "recipe": recipe,
        "reported": row["eer"],
        "runs": runs,
        "first": runs[0].metrics if runs else None,
        "measured": over_seeds(runs, lambda metrics: metrics["pooled"]["eer"]),
        "seeds": ", ".join("-" if run.seed is None else str(run.seed) for run in runs),
    }


def _runs(exp: Path, system: str) -> list[Run]:
    """Return a system's evaluated runs; none where the recipe has not been run."""
    if not any(exp.glob("*/*/eval/metrics.json")):
        return []
    return [run for run in find_runs(exp, "eval") if run.system == system and run.ours]
