"""One evaluation from its files: what is asked, the computation, and the digests that pin it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from masd.data.keys import Key, file_key, folder_key, key_tables
from masd.errors import MasdError
from masd.metrics.dcf import DetectionCosts
from masd.report.breakdown import parse_breakdown, read_conditions
from masd.report.metrics_json import (
    Bootstrap,
    breakdowns,
    evaluate_trials,
    fit_on_development,
    read_calibration,
    tandem,
)
from masd.report.render import markdown
from masd.report.scored_trials import (
    Trials,
    attack_names,
    join_apart,
    load_trials,
    read_excused,
    write_trials,
)
from masd.stage.files import sha256, write_json, write_text

log = logging.getLogger(__name__)

REVERSED_AUC = 0.25  # below it, scores of unknown origin are taken to be turned round


@dataclass
class Request:
    """What is evaluated; paths are as the entry point was given them (see `masd.bin.evaluate`)."""

    scores: Path
    data: Path | None = None
    key: Path | None = None
    subset: str = ""
    model: Path | None = None
    trials: Path | None = None
    excused: list[Path] = field(default_factory=list)
    seen_attacks: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    apart_scores: Path | None = None
    apart_data: Path | None = None
    apart_trials: Path | None = None
    affine_scores: Path | None = None
    asv_scores: Path | None = None
    dev_scores: Path | None = None
    dev_data: Path | None = None
    dev_key: Path | None = None
    dev_excused: list[Path] = field(default_factory=list)
    breakdown: str = ""
    prior: float | None = None
    costs: DetectionCosts = field(default_factory=DetectionCosts)
    polarity: str = "bonafide"
    bootstrap: Bootstrap = field(default_factory=Bootstrap)

    def __post_init__(self) -> None:
        if (self.data is None) == (self.key is None):
            raise MasdError("give the trials' labels as --data FOLDER or as --key FILE, one of the two")
        if (self.apart_scores is None) != (self.apart_data is None):
            raise MasdError("--apart-scores and --apart-data go together; give both or neither")
        if self.dev_scores is not None and (self.dev_data is None) == (self.dev_key is None):
            raise MasdError("--dev-scores needs the development set's labels: --dev-data or --dev-key")
        if self.dev_scores is None and (self.dev_data or self.dev_key):
            raise MasdError("--dev-data and --dev-key say what --dev-scores are of; give those too")

    @classmethod
    def from_dict(
        cls, values: dict[str, Any], where: str | Path, place: Callable[[str | Path], Path] = Path
    ) -> Request:
        """Return the request that metrics.json (`where`) of an earlier evaluation holds.

        `place` tells where a file or folder is now that the request names.

        Raises:
            MasdError: it holds none, or one of another version.
        """
        kinds = {f.name: str(f.type) for f in dataclasses.fields(cls)}
        try:
            if values.keys() != kinds.keys():
                raise KeyError(", ".join(sorted(values.keys() ^ kinds.keys())))
            made: dict[str, Any] = {}
            for name, value in values.items():
                if kinds[name] == "list[Path]":
                    made[name] = [place(v) for v in value]
                elif "Path" in kinds[name]:
                    made[name] = None if value is None else place(value)
                else:
                    made[name] = value
            made["costs"] = DetectionCosts(**made["costs"])
            made["bootstrap"] = Bootstrap(**made["bootstrap"])
            return cls(**made)
        except (KeyError, TypeError, AttributeError) as error:
            raise MasdError(f"{where}: does not say how it was made ({error}); run evaluate again") from None

    def files(self) -> list[Path]:
        """Return every file that the figures depend on."""
        paths = [self.scores, self.key, self.trials, self.affine_scores, self.asv_scores, *self.excused]
        paths += [self.model and self.model / "model.yaml", self.dev_scores, self.dev_key, *self.dev_excused]
        paths += [self.apart_scores, self.apart_trials]
        for folder in (self.data, self.apart_data, self.dev_data):
            if folder is not None:
                if not (folder / "utt2lab").is_file():
                    raise MasdError(f"{folder}/utt2lab: cannot be read; give a data folder with labels")
                paths += key_tables(folder)
        return [path for path in paths if path is not None]

    def digests(self) -> dict[str, str]:
        """Return {file: sha256} of `files`."""
        return {str(path): sha256(path) for path in self.files()}


def compute(request: Request) -> tuple[Trials, dict[str, Any]]:
    """Return the joined trials and every figure of an evaluation, as plain values.

    Raises:
        MasdError: the files do not fit together; the trial, attack or condition is named.
    """
    failed = read_excused(request.excused)
    whole = folder_key(request.data) if request.data else file_key(request.key or "")
    key = whole.subset(request.subset) if request.subset else whole
    others = whole.label.keys() - key.label.keys()
    joined = load_trials(
        *(request.scores, key, request.trials, failed, request.seen_attacks, request.apart, others),
        polarity=request.polarity,
    )
    conditions = parse_breakdown(request.breakdown)
    values = read_conditions(key, conditions, joined)
    by_condition = breakdowns(joined, conditions, values, request.bootstrap, request.costs)
    apart_key = folder_key(request.apart_data) if request.apart_data else None
    if request.apart_scores and apart_key:
        apart = (request.apart_scores, apart_key, request.apart_trials)
        joined = join_apart(joined, *apart, failed, request.polarity)
    calibration = read_calibration(request.model, request.affine_scores)
    dev = _development(request, joined)
    if dev is not None:
        fit_on_development(calibration, dev, request.costs)
    metrics = evaluate_trials(joined, calibration, request.bootstrap, request.prior, request.costs)
    if request.model is None:
        _check_polarity(metrics, request.scores)
    if conditions:
        metrics["breakdowns"] = by_condition
    if request.asv_scores:
        metrics["tandem"] = tandem(joined, request.asv_scores)
    named = [attack_names(known, joined) for known in (apart_key, key) if known]
    metrics["attack_names"] = {attack: name for found in named for attack, name in found.items()}
    metrics["counts"]["excused"] = len(failed - set(joined.utts.tolist()))
    if others:
        metrics["counts"]["other_subsets"] = len(others)
    return joined, metrics


def _check_polarity(metrics: dict[str, Any], scores: Path) -> None:
    """Refuse scores of unknown origin that are far better turned round; chance alone does not do that."""
    auc = metrics["pooled"]["auc"]
    if auc < REVERSED_AUC:
        raise MasdError(
            f"{scores}: spoofed trials score higher than bona fide ones (AUC {auc:.3f}); scores or labels "
            "are reversed: correct the key, or say --polarity spoof if higher scores mean fake"
        )
    if auc < 0.5:
        log.warning("%s: AUC %.3f is worse than chance; are scores or labels reversed?", scores, auc)


def _development(request: Request, joined: Trials) -> Trials | None:
    """Return the development trials, which share none with those evaluated."""
    if request.dev_scores is None:
        return None
    key: Key = folder_key(request.dev_data) if request.dev_data else file_key(request.dev_key or "")
    excused = read_excused(request.dev_excused)
    dev = load_trials(request.dev_scores, key, excused=excused, polarity=request.polarity)
    both = np.intersect1d(dev.utts, joined.utts)
    if both.size:
        raise MasdError(
            f"{request.dev_scores}: trial {both[0]} is also evaluated; thresholds and calibrations are "
            "fitted on other trials than those they are judged on"
        )
    return dev


def write_evaluation(out: Path, trials: Trials, metrics: dict[str, Any], title: str) -> None:
    """Write trials.tsv, metrics.json and metrics.txt into `out`."""
    write_trials(out / "trials.tsv", trials)
    write_json(out / "metrics.json", metrics)
    write_text(out / "metrics.txt", markdown("metrics.txt", metrics=metrics, title=title))
