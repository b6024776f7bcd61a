"""Stage 5: fusion, SVM and calibration of one system."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import run
from masd.svm.config import FitConfig, SystemName

log = logging.getLogger(__name__)


def fit_svm(
    system: SystemName,
    train_data: Path,
    dev_data: Path,
    out: Path,
    train_embeddings: Path | None = None,
    dev_embeddings: Path | None = None,
    train_dump: Path | None = None,
    dev_dump: Path | None = None,
    ssl: Path | None = None,
    fit: FitConfig = FitConfig(),  # noqa: B008 - never changed
    seed: int = 0,
    max_fail: float = 0.01,
    share_speakers: bool = False,
    force: bool = False,
) -> None:
    """Fit one row of Table II: fusion where it has one, RBF SVM, temperature, affine map, dev threshold.

    Writes OUT/model, a folder that stands alone, and OUT/fusion.jsonl, a line an epoch.

    Args:
        system: which row.
        train_data: data folder with utt2lab, utt2spk and utt2attack.
        dev_data: data folder that gives the threshold, of other speakers and recordings.
        out: experiment folder.
        train_embeddings: embeddings of the training set; or an scp of plain vectors made elsewhere.
        dev_embeddings: embeddings of the development set.
        train_dump: feature dump of the training set, for f_hand and for what `detect` calls unusual.
        dev_dump: feature dump of the development set.
        ssl: pretraining folder the embeddings come from; none for vectors made elsewhere.
        fit: every choice of fitting, e.g. `--fit.c 10`.
        seed: of everything random.
        max_fail: share of the utterances of either set, 0 to 1, that may lack inputs.
        share_speakers: let a speaker be in both sets, as in a corpus of one speaker; no recording may be.
        force: fit again though it is done.
    """
    from masd.svm.fitting import Job, fit_to_folder

    sources = (train_embeddings, dev_embeddings, train_dump, dev_dump, ssl)
    job = Job(system, train_data, dev_data, *sources, share_speakers=share_speakers)
    fit_to_folder(job, out, fit, seed, max_fail, force)


if __name__ == "__main__":
    run(fit_svm)
