"""The comparison systems on one trial list: one table, and the same numbers as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from masd.errors import MasdError
from masd.report.render import markdown
from masd.stage.files import read_json, read_yaml


@dataclass
class SystemRow:
    """One system; rates are shares (0 to 1).

    Attributes:
        name: its folder's name.
        metrics: metrics.json of its evaluation.
        timing: timing.json of its scores, empty if there is none.
        training: what its model says of the training, empty for released weights.
        calibrated: whether its probabilities are fitted to data.
    """

    name: str
    metrics: dict[str, Any]
    timing: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    calibrated: bool = True

    @property
    def under_trained(self) -> bool:
        """Whether the development loss was still falling when its budget ended."""
        return bool(self.training.get("dev_loss_falling"))

    @property
    def ece(self) -> float | None:
        """ECE at the set's own prior with the model's affine map; None without."""
        affine = [c for c in self.metrics["calibration"] if c["name"].startswith("affine")]
        return affine[0]["ece"][0]["ece"] if affine and self.calibrated else None

    @property
    def remark(self) -> str:
        """What is to be known before the row is compared."""
        if self.under_trained:
            return "under-trained"
        return "" if self.calibrated else "zero-shot, not calibrated"


def read_row(folder: str | Path, model: str | Path | None = None) -> SystemRow:
    """Return a system's row: metrics.json and timing.json of `folder`, model.yaml of `model`.

    Raises:
        MasdError: metrics.json is missing, or the model folder has no model.yaml.
    """
    folder = Path(folder)
    timing = folder / "timing.json"
    row = SystemRow(folder.name, read_json(folder / "metrics.json"), calibrated=model is not None)
    row.timing = read_json(timing) if timing.is_file() else {}
    if model is not None:
        row.training = read_yaml(Path(model) / "model.yaml").get("run") or {}
    return row


def systems_table(rows: Sequence[SystemRow], title: str, command: str = "") -> str:
    """Return the rows as a Markdown page, in the order given: no ranking is meant.

    Raises:
        MasdError: there are no rows, or two were evaluated on different numbers of trials.
    """
    if not rows:
        raise MasdError("no system has been evaluated; run local/run_systems.sh")
    counts = {(r.metrics["counts"]["bonafide"], r.metrics["counts"]["spoof"]) for r in rows}
    if len(counts) > 1:
        raise MasdError(f"systems were evaluated on different trials ({sorted(counts)}); evaluate all again")
    return markdown(
        "systems.md",
        **{"rows": rows, "title": title, "command": command, "counts": counts.pop()},
        attacks=sorted({attack for row in rows for attack in row.metrics["attacks"]}),
        weak=[row.name for row in rows if row.under_trained],
    )
