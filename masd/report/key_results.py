"""The paper's Key Results, one line a corpus, from whichever recipes have been run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from masd.errors import MasdError
from masd.report.document import Document, Section, Table, Text
from masd.report.experiments import Run, find_runs

HEADER = ["corpus", "model", "EER, reported", "EER, measured", "95 %", "seeds", "bona fide", "spoofed", "ECE"]


def key_results(egs: Path, reported: Mapping[str, Any], size: str, system: str) -> Document:
    """Return the table: EER in per cent, reported and measured, for each corpus of the paper.

    Args:
        egs: the folder of the recipes.
        reported: conf/reported.yaml of the paper's numbers; its list `key_results` names the recipes.
        size: which `<recipe>/exp/<size>` is looked at.
        system: the system, a row of Table II.

    Raises:
        MasdError: the numbers name no recipes, or no recipe has been run.
    """
    rows, hints = [], []
    for row in reported.get("key_results", []):
        exp = egs / str(row["recipe"]) / "exp" / size
        tag = f"zero_shot_{system}" if row.get("zero_shot") else system
        runs = _runs(exp, tag)
        kind = "zero-shot" if row.get("zero_shot") else "in domain"
        rows.append([str(row["name"]), kind, f"{row['eer']:.2f}", *_measured(runs)])
        if not runs:
            hints.append(
                f"{row['name']}: not run; {egs / str(row['recipe'])}/run.sh --size {size} measures it."
            )
    if not rows:
        raise MasdError("the reported numbers have no list key_results of recipes")
    if len(hints) == len(rows):
        raise MasdError(
            f"{egs}: no recipe of the paper has {system} evaluated in exp/{size}; run one, or choose another "
            "--size or --system"
        )
    note = (
        "In per cent. Measured: mean and deviation over seeds, on the trials counted here; 95 % interval of "
        "the first seed. ECE at the set's own prior: T = 1 -> temperature."
    )
    told = [*reported.get("cautions", []), *reported.get("key_results_cautions", [])]
    cautions = [Text(f"Caution: {text}") for text in told]
    source = [Text(f"Reported: {reported['source']}.")] if "source" in reported else []
    blocks = [Table(HEADER, rows, note), *(Text(hint) for hint in hints), *cautions, *source]
    return Document(f"Key results, {system}, size {size}", [Section("Four corpora", blocks)])


def _runs(exp: Path, system: str) -> list[Run]:
    """Return a system's evaluated runs; none where the recipe has not been run."""
    if not any(exp.glob("*/*/eval/metrics.json")):
        return []
    return [run for run in find_runs(exp, "eval") if run.system == system and run.ours]


def _measured(runs: Sequence[Run]) -> list[str]:
    if not runs:
        return ["-"] * 6
    numbers = 100 * np.array([run.metrics["pooled"]["eer"] for run in runs])
    spread = f" ± {numbers.std(ddof=1):.2f}" if len(runs) > 1 else ""
    first = runs[0].metrics
    bounds = first["pooled"].get("by_source")
    interval = f"[{100 * bounds['lo']:.2f}, {100 * bounds['hi']:.2f}]" if bounds else "-"
    seeds = ", ".join("-" if run.seed is None else str(run.seed) for run in runs)
    ece = " -> ".join(f"{100 * one['ece'][0]['ece']:.2f}" for one in first["calibration"][:2]) or "-"
    counts = first["counts"]
    return [
        f"{numbers.mean():.2f}{spread}",
        interval,
        seeds,
        str(counts["bonafide"]),
        str(counts["spoof"]),
        ece,
    ]
