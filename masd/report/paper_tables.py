"""Tables I and III of the paper, with what was measured beside what it reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from masd.report.document import Section, Table, Text

if TYPE_CHECKING:
    from masd.report.experiments import Run
    from masd.report.sections import Page

TABLES = {"comparison": "Table I", "self_supervised": "Table III"}
FIGURES = {"accuracy": "accuracy", "eer": "EER", "f1": "F1"}


def paper_tables(page: Page) -> Section | None:
    """Return the paper's tables of systems; measured is a row whose `system` was evaluated by this project.

    A score file made elsewhere stands in the page's main table alone, whatever it is called.

    Tables none of whose rows names a system (`system: full`) are left out: there is nothing to compare.
    """
    blocks: list[Text | Table] = []
    for key, title in TABLES.items():
        rows = page.reported.get(key, [])
        if any("system" in row for row in rows):
            blocks += [
                Text(f"{title}:"),
                _table(rows, page.runs, str(page.reported.get("set", "its own set"))),
            ]
    return Section("The paper's comparisons (Tables I and III)", [*blocks]) if blocks else None


def _table(rows: Sequence[Mapping[str, Any]], runs: Sequence[Run], reported_on: str) -> Table:
    shown = [key for key in FIGURES if any(key in row for row in rows)]
    header = [
        "system",
        *(f"{FIGURES[k]}, reported" for k in shown),
        *(f"{FIGURES[k]}, measured" for k in shown),
    ]
    cells = []
    for row in rows:
        members = [run for run in runs if run.system == row.get("system") and run.ours]
        paper = [f"{row[key]:.2f}" if row.get(key) is not None else "-" for key in shown]
        cells.append([str(row["name"]), *paper, *(_measured(members, key) for key in shown)])
    measured = {row.get("system") for row in rows}
    weak = sorted(
        {run.name for run in runs if run.system in measured and _training(run).get("dev_loss_falling")}
    )
    note = (
        f"In per cent; reported by the paper on {reported_on}, measured on {runs[0].set}: mean and deviation "
        "over seeds, accuracy and F1 (fake positive) at P(fake) = 0.5. A row without a measured figure was "
        "not run here."
    )
    if weak:
        note += f" Under-trained, so that nothing follows from their figures: {', '.join(weak)}."
    return Table(header, cells, note)


def _training(run: Run) -> Mapping[str, Any]:
    """Return what a comparison system's model says of its training; of MASD's, nothing."""
    training = run.model.get("training")
    return training if isinstance(training, dict) else {}


def _measured(runs: Sequence[Run], key: str) -> str:
    """Return a figure of a system's runs, in per cent; `-` if it has none."""
    if not runs:
        return "-"
    first = [run.metrics["pooled"] if key == "eer" else run.metrics["decisions"][0] for run in runs]
    numbers = 100 * np.array([one[key] for one in first], dtype=np.float64)
    spread = f" ± {numbers.std(ddof=1):.2f}" if len(numbers) > 1 else ""
    return f"{numbers.mean():.2f}{spread}"
