"""Fuse the score files of several systems by logistic regression trained on the development set."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import run

log = logging.getLogger(__name__)


def fuse_scores(
    scores: str,
    dev_scores: str,
    out: Path,
    dev_data: Path | None = None,
    dev_key: Path | None = None,
    dev_subset: str = "",
    prior: float = 0.5,
) -> None:
    """Fuse systems: LLR = sum_s w_s score_s + b, trained on the development set alone.

    Writes OUT/scores (log-likelihood ratios, higher is more bona fide) and OUT/fusion.yaml (weights, and the
    development EER of each system and of the fusion, the latter on what it was trained on).

    Args:
        scores: score files to fuse, one a system, separated by commas.
        dev_scores: the same systems' scores of the development set, in the same order.
        out: folder for what is written.
        dev_data: data folder of the development set.
        dev_key: key of the development set, in place of `dev_data`.
        dev_subset: only the trials of this subset.
        prior: the share of fakes that the classes are weighted to in training.
    """
    from masd.errors import MasdError
    from masd.metrics.eer import eer, split
    from masd.metrics.scores import write_scores
    from masd.stage.files import plain, sha256, write_yaml
    from masd.svm.score_files import paths, read_labelled, read_together, refuse_common
    from masd.svm.score_fusion import fit_fusion

    files, dev_files = paths(scores), paths(dev_scores)
    if len(files) != len(dev_files) or len(files) < 2:
        raise MasdError(
            f"--scores names {len(files)} files and --dev-scores {len(dev_files)}; name two or more systems, "
            "each in both and in the same order"
        )
    dev = read_labelled(dev_files, dev_data, dev_key, dev_subset, "dev-")
    utts, given = read_together(files)
    refuse_common(dev.utts, utts, files[0])
    fusion = fit_fusion(dev.scores, dev.fake, prior)
    rates = [eer(*split(row, dev.fake))[0] for row in (*dev.scores, fusion.ratio(dev.scores))]
    systems = [
        {"scores": str(a), "dev_scores": str(b), "dev_sha256": sha256(b), "weight": weight, "dev_eer": rate}
        for a, b, weight, rate in zip(files, dev_files, fusion.weights, rates[:-1], strict=True)
    ]
    about = {"systems": systems, "offset": fusion.offset, "prior": prior, "dev_eer_fused": rates[-1]}
    write_yaml(out / "fusion.yaml", plain(about))
    write_scores(out / "scores", dict(zip(utts, fusion.ratio(given).tolist(), strict=True)))
    log.info("%s: %d scores of %d systems", out / "scores", len(utts), len(files))


if __name__ == "__main__":
    run(fuse_scores)
