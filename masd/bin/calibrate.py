"""Calibrate scores, or fuse those of several systems: fitted on a development set, applied to other sets."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from masd.cli import listed, run

if TYPE_CHECKING:
    import numpy as np

    from masd.systems.score_files import Labelled

log = logging.getLogger(__name__)


def calibrate(
    scores: str,
    out: Path,
    dev_scores: str,
    dev_data: Path | None = None,
    dev_key: Path | None = None,
    dev_subset: str = "",
    method: Literal["temperature", "platt", "affine", "isotonic"] = "platt",
    prior: float = 0.5,
) -> None:
    """Turn scores into log P(bona fide) / P(fake), fitted on a development set or held-out training data.

    Several systems' score files are fused by logistic regression, LLR = sum_s w_s score_s + b. Writes
    OUT/scores, in which P(fake) = 1 / (1 + exp(score)) at the stated prior (log-likelihood ratios at 0.5, and
    of a fusion), and OUT/calibration.yaml, which says what was fitted on what: of a fusion the weights, and
    the development EER of each system and of the fusion, the latter on what it was trained on.

    Args:
        scores: score file to calibrate, or several to fuse, separated by commas; none of the trials may be
            among the development ones.
        out: folder for what is written.
        dev_scores: the same systems' scores of the development set, in the same order.
        dev_data: data folder of the development set.
        dev_key: key of the development set, in place of `dev_data`.
        dev_subset: only the trials of this subset.
        method: of a single system: `temperature` (s / T, Eq. 10: the prior is that of the development set),
            `platt` (a s + b), `affine` (the same with classes weighted to `prior`), `isotonic` (monotone
            steps).
        prior: the share of fakes that the probabilities are for; of a fusion, that the classes are weighted
            to.
    """
    from masd.errors import MasdError
    from masd.metrics.scores import write_scores
    from masd.stage.files import plain, sha256, write_yaml
    from masd.systems.score_files import read_labelled, read_together, refuse_common

    if not 0 < prior < 1:
        raise MasdError(f"--prior {prior:g}: must lie strictly between 0 and 1")
    files, dev_files = ([Path(word) for word in listed(each)] for each in (scores, dev_scores))
    if len(files) != len(dev_files) or not files:
        raise MasdError(
            f"--scores names {len(files)} files and --dev-scores {len(dev_files)}; name each system in both, "
            "in the same order"
        )
    dev = read_labelled(dev_files, dev_data, dev_key, dev_subset, "dev-")
    utts, given = read_together(files)
    refuse_common(dev.utts, utts, files[0])
    made, about = _fused(dev, given, prior) if len(files) > 1 else _mapped(dev, given[0], method, prior)
    about["fitted_on"] = [
        {"scores": str(path), "sha256": sha256(path), "trials": len(dev.utts)} for path in dev_files
    ]
    write_yaml(out / "calibration.yaml", plain(about))
    write_scores(out / "scores", dict(zip(utts, made.tolist(), strict=True)))
    log.info("%s: %d scores of %d systems", out / "scores", len(utts), len(files))


def _mapped(
    dev: Labelled, scores: np.ndarray, method: str, prior: float
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return log-odds (N,) of one system's scores, and what is said of their map."""
    from masd.metrics.dcf import cllr, min_dcf
    from masd.metrics.eer import split
    from masd.systems.calibration import fit_map

    fitted = fit_map(method, dev.scores[0], dev.fake, prior)
    own = method == "temperature"
    before, after = (split(values, dev.fake) for values in (dev.scores[0], fitted.ratio(dev.scores[0])))
    about = {
        "map": fitted,
        "applied_at_prior": fitted.prior if own else prior,
        "development": {
            "bonafide": int((~dev.fake).sum()),
            "spoof": int(dev.fake.sum()),
            "cllr_before": cllr(*before),
            "cllr_after": cllr(*after),
            "min_dcf": min_dcf(*before),
        },
    }
    return fitted.log_odds(scores, None if own else prior), about


def _fused(dev: Labelled, scores: np.ndarray, prior: float) -> tuple[np.ndarray, dict[str, Any]]:
    """Return fused log-likelihood ratios (N,) of systems' scores (S, N), and what is said of the fusion."""
    from masd.metrics.eer import eer, split
    from masd.systems.calibration import fit_fusion

    fusion = fit_fusion(dev.scores, dev.fake, prior)
    rates = [eer(*split(row, dev.fake))[0] for row in (*dev.scores, fusion.ratio(dev.scores))]
    about = {"fusion": fusion, "dev_eer": rates[:-1], "dev_eer_fused": rates[-1]}
    return fusion.ratio(scores), about


if __name__ == "__main__":
    run(calibrate)
