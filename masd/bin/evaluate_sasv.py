"""Scores of a countermeasure with a speaker verifier (SASV, ASVspoof 5 track 2): a-DCF and min t-DCF."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from masd.cli import run

log = logging.getLogger(__name__)


def evaluate_sasv(
    scores: Path,
    key: Path,
    out: Path,
    verifier: Literal["asvspoof5", "own"] = "asvspoof5",
) -> None:
    """Evaluate tandem scores: a-DCF of the joint score, and min t-DCF (2021 form) of the countermeasure's.

    Writes sasv.json. A system without countermeasure or verifier scores has `-` in those columns; then only
    its a-DCF is given.

    Args:
        scores: tab-separated, with the header `spk filename cm-score asv-score sasv-score`; all scores higher
            for the claimed speaker's bona fide speech.
        key: tab-separated, with the header `spk filename cm-label asv-label` (target, nontarget, spoof).
        out: folder for sasv.json.
        verifier: whose errors the t-DCF is computed with: those that the ASVspoof 5 organisers fixed, or
            those of `asv-score` at its own EER threshold.
    """
    from masd.metrics.sasv import read_tandem, sasv_metrics
    from masd.stage.files import sha256, write_json

    result = sasv_metrics(read_tandem(scores, key), verifier)
    inputs = {"scores": str(scores), "key": str(key), "sha256": [sha256(scores), sha256(key)]}
    write_json(out / "sasv.json", {**result, "inputs": inputs})
    log.info("a-DCF %.5f of %d trials; all of it in %s", result["a_dcf"], result["trials"], out / "sasv.json")


if __name__ == "__main__":
    run(evaluate_sasv)
