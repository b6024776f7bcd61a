"""A dump with the acoustic tokens' log-likelihood as a fourth handcrafted feature."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import run
from masd.detectors.config import DetectorConfig

log = logging.getLogger(__name__)


def add_tokens(
    data: Path,
    dump: Path,
    out: Path,
    model: Path | None = None,
    ssl: Path | None = None,
    detector: DetectorConfig = DetectorConfig(),  # noqa: B008 - frozen
    folds: int = 4,
    seed: int = 0,
    allow_pipes: bool = False,
    max_fail: float = 0.01,
    force: bool = False,
) -> None:
    """Write a dump whose handcrafted features have the tokens' log-likelihood beside them.

    For sets that nothing is fitted on give `--model`, a token model. For the training set give `--ssl`: each
    utterance is judged by a model of the other speakers, as those of the other sets are.

    Args:
        data: data folder of the set.
        dump: its dump.
        out: the new dump; log-mels are not copied, so `dump` must stay.
        model: model folder of train_detector --system tokens.
        ssl: pretraining folder, in place of a model.
        detector: settings of the tokens.
        folds: into how many folds speakers are dealt.
        seed: of the folds and models.
        allow_pipes: run commands in wav.scp.
        max_fail: share of the utterances, 0 to 1, that may fail.
        force: make it again though it is there.
    """
    from masd.data.folder import read_folder
    from masd.detectors.detector import TokenDetector, load_detector
    from masd.detectors.feature import cross_scores, extend_dump, work_digest
    from masd.detectors.fit import Job
    from masd.detectors.scoring import score_folder
    from masd.errors import MasdError
    from masd.stage.files import Mark

    if (model is None) == (ssl is None):
        raise MasdError("give a token model, --model DIR, or the encoder for the training set, --ssl DIR")
    work = work_digest(dump, model, ssl, [detector.tokens, folds, seed], data)
    if not force and Mark(out).fresh(work):
        log.info("%s is up to date", out)
        return
    folder = read_folder(data)
    if model is not None:
        tokens = load_detector(model)
        if not isinstance(tokens, TokenDetector):
            raise MasdError(f"{model}: a model of {tokens.system}, not of tokens")
        values = score_folder(tokens, folder, folder.utts, max_fail, allow_pipes).raw
    else:
        job = Job("tokens", folder, folder, out, detector, ssl, seed, allow_pipes, max_fail)
        values = cross_scores(job, folds)
    extend_dump(dump, values, out, work, max_fail)
    log.info("%s: %d utterances", out, len(values))


if __name__ == "__main__":
    run(add_tokens)
