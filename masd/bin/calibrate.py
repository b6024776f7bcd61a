"""Calibrate scores: fit on a development set, write log-odds of other sets."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from masd.cli import run

log = logging.getLogger(__name__)


def calibrate(
    scores: Path,
    out: Path,
    dev_scores: Path,
    dev_data: Path | None = None,
    dev_key: Path | None = None,
    dev_subset: str = "",
    method: Literal["temperature", "platt", "affine", "isotonic"] = "platt",
    prior: float = 0.5,
) -> None:
    """Turn scores into log P(bona fide) / P(fake), fitted on a development set or held-out training data.

    Writes OUT/scores, in which P(fake) = 1 / (1 + exp(score)) at the stated prior (log-likelihood ratios at
    0.5), and OUT/calibration.yaml, which says what was fitted on what.

    Args:
        scores: score file to calibrate; none of its trials may be among the development ones.
        out: folder for what is written.
        dev_scores: the same system's scores of the development set.
        dev_data: data folder of the development set.
        dev_key: key of the development set, in place of `dev_data`.
        dev_subset: only the trials of this subset.
        method: `temperature` (s / T, Eq. 10: the prior is that of the development set), `platt` (a s + b),
            `affine` (the same with classes weighted to `prior`), `isotonic` (monotone steps).
        prior: the share of fakes that the probabilities are for.
    """
    import numpy as np

    from masd.errors import MasdError
    from masd.metrics.dcf import cllr, min_dcf
    from masd.metrics.eer import split
    from masd.metrics.scores import write_scores
    from masd.stage.files import plain, sha256, write_yaml
    from masd.svm.calibration import fit_map
    from masd.svm.score_files import read_labelled, read_together, refuse_common

    if not 0 < prior < 1:
        raise MasdError(f"--prior {prior:g}: must lie strictly between 0 and 1")
    dev = read_labelled([dev_scores], dev_data, dev_key, dev_subset, "dev-")
    utts, given = read_together([scores])
    refuse_common(dev.utts, utts, scores)
    fitted = fit_map(method, dev.scores[0], dev.fake, prior)
    made = fitted.log_odds(given[0], None if method == "temperature" else prior)
    before, after = (split(values, dev.fake) for values in (dev.scores[0], fitted.ratio(dev.scores[0])))
    about = {
        "map": fitted,
        "applied_at_prior": fitted.prior if method == "temperature" else prior,
        "fitted_on": {"scores": str(dev_scores), "sha256": sha256(dev_scores), "trials": len(dev.utts)},
        "development": {
            "bonafide": int((~dev.fake).sum()),
            "spoof": int(dev.fake.sum()),
            "cllr_before": cllr(*before),
            "cllr_after": cllr(*after),
            "min_dcf": min_dcf(*before),
        },
    }
    write_yaml(out / "calibration.yaml", plain(about))
    write_scores(out / "scores", dict(zip(utts, np.asarray(made).tolist(), strict=True)))
    log.info("%s: %d scores, %s fitted on %d trials", out / "scores", len(utts), method, len(dev.utts))


if __name__ == "__main__":
    run(calibrate)
