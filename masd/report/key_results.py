"""The paper's Key Results, and one model on every corpus, from whichever recipes have been run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from masd.errors import MasdError
from masd.metrics.eer import eer, split
from masd.report.evaluated_runs import Run, find_runs
from masd.report.page_facts import over_seeds
from masd.report.render import markdown


def key_results(egs: Path, reported: Mapping[str, Any], size: str, system: str) -> str:
    """Return two tables as Markdown: EER in per cent, reported and measured, for each corpus of the paper;
    and of each model that was evaluated on several corpora, of the paper or not, what `across` returns.

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
    models = across(egs, size, system)
    if not models and not any(row["runs"] for row in rows):
        raise MasdError(
            f"{egs}: no recipe of the paper, nor any two, have {system} evaluated in exp/{size}; run some, "
            "or choose another --size or --system"
        )
    cautions = [*reported.get("cautions", []), *reported.get("key_results_cautions", [])]
    context = {"rows": rows, "size": size, "system": system, "cautions": cautions, "models": models}
    return markdown("key_results.md", **context, source=reported.get("source", ""))


def across(egs: Path, size: str, system: str) -> list[dict[str, Any]]:
    """Return each model that was evaluated by several recipes, on their sets eval.

    Keys: `model`, `rows` (of a corpus: `name`, `eer`, counts, and `frr` and `far`, the shares of bona fide
    trials rejected and of spoofed ones accepted at the common threshold), `mean` of the EER over corpora,
    and `pooled`, the EER of all trials together, with its one `threshold`. Rates are shares (0 to 1).
    """
    models: dict[str, dict[str, Run]] = {}
    for recipe in sorted(path.parents[1] for path in egs.glob(f"*/exp/{size}")):
        for name in (f"zero_shot_{system}", system):
            for run in _runs(recipe / "exp" / size, name):
                if run.model_digest:
                    models.setdefault(run.model_digest, {}).setdefault(recipe.name, run)
    return [_together(runs) for runs in models.values() if len(runs) > 1]


def _together(runs: Mapping[str, Run]) -> dict[str, Any]:
    parts = {name: split(run.trials.pooled.scores, run.trials.pooled.fake) for name, run in runs.items()}
    pooled, threshold = eer(*(np.concatenate(scores) for scores in zip(*parts.values(), strict=True)))
    rows = [
        {
            "name": name,
            "eer": eer(bona, spoof)[0],
            "frr": float((bona <= threshold).mean()),
            "far": float((spoof > threshold).mean()),
            "bonafide": len(bona),
            "spoof": len(spoof),
        }
        for name, (bona, spoof) in parts.items()
    ]
    mean = float(np.mean([row["eer"] for row in rows]))
    model = next(iter(runs.values())).name
    return {"model": model, "rows": rows, "mean": mean, "pooled": pooled, "threshold": threshold}


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
