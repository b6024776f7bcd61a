"""The comparison systems on one trial list: one table, and the same numbers as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from masd.errors import MasdError
from masd.report.document import Table, percent
from masd.report.tables import bounds
from masd.stage.files import read_json, read_yaml

UNDER_TRAINED = "under-trained"


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


def read_row(folder: str | Path, model: str | Path | None = None) -> SystemRow:
    """Read a system's row: metrics.json and timing.json of `folder`, model.yaml of `model`.

    Raises:
        MasdError: metrics.json is missing, or the model folder has no model.yaml.
    """
    folder = Path(folder)
    timing = folder / "timing.json"
    row = SystemRow(folder.name, read_json(folder / "metrics.json"), calibrated=model is not None)
    row.timing = read_json(timing) if timing.is_file() else {}
    if model is not None:
        training = read_yaml(Path(model) / "model.yaml").get("training")
        row.training = training if isinstance(training, dict) else {}  # fit_svm lists its training sets there
    return row


def systems_table(rows: list[SystemRow]) -> Table:
    """Return the rows as a table, in the order given: no ranking is meant.

    Raises:
        MasdError: there are no rows, or two were evaluated on different numbers of trials.
    """
    if not rows:
        raise MasdError("no system has been evaluated; run local/run_systems.sh")
    counts = {(r.metrics["counts"]["bonafide"], r.metrics["counts"]["spoof"]) for r in rows}
    if len(counts) > 1:
        raise MasdError(f"systems were evaluated on different trials ({sorted(counts)}); evaluate all again")
    attacks = sorted({attack for row in rows for attack in row.metrics["attacks"]})
    header = ["system", "parameters", "utterance-steps", "training, min", "EER", "95 %", "seen", "unseen"]
    header += [*attacks, "ECE", "real-time factor", "remark"]
    return Table(header, [_cells(row, attacks) for row in rows], _note(rows, *counts.pop()))


def _cells(row: SystemRow, attacks: list[str]) -> list[str]:
    metrics, training = row.metrics, row.training
    seconds, steps = training.get("seconds"), training.get("utterance_steps")
    affine = next((c for c in metrics["calibration"] if c["name"].startswith("affine")), None)
    factor = row.timing.get("real_time_factor")
    count = row.timing.get("parameters")
    remark = UNDER_TRAINED if row.under_trained else "" if row.calibrated else "zero-shot, not calibrated"
    return [
        row.name,
        "-" if count is None else f"{count:,}",
        "-" if steps is None else f"{steps:,}",
        "-" if seconds is None else f"{seconds / 60:.1f}",
        percent(metrics["pooled"]["eer"]),
        bounds(metrics["pooled"]["by_source"]),
        *(percent(metrics[pool]["eer"]) if pool in metrics else "-" for pool in ("seen", "unseen")),
        *(percent(metrics["attacks"].get(a, {}).get("eer")) for a in attacks),
        percent(affine["ece"][0]["ece"]) if row.calibrated and affine else "-",
        "-" if factor is None else f"{factor:.3f}",
        remark,
    ]


def _note(rows: list[SystemRow], bonafide: int, spoof: int) -> str:
    note = (
        f"{bonafide} bona fide and {spoof} spoofed trials, the same for every row. EER, ECE in per cent; "
        "95 % intervals over source recordings. ECE at the set's own prior with the model's affine map. "
        "Real-time factor: seconds of a core in the detector for a second of audio, decoding left out. "
        "Utterance-steps and minutes (by the clock) are of supervised training alone."
    )
    weak = [row.name for row in rows if row.under_trained]
    if weak:
        note += (
            f" {UNDER_TRAINED.capitalize()}: the development loss of {', '.join(weak)} was still falling "
            "when the budget ended, so that no ranking follows from this table."
        )
    return note
