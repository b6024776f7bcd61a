"""A dump with the acoustic tokens' log-likelihood as a fourth handcrafted feature."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import run
from masd.systems.config import TokensConfig

log = logging.getLogger(__name__)


def add_tokens(
    data: Path,
    dump: Path,
    out: Path,
    model: Path | None = None,
    ssl: Path | None = None,
    tokens: TokensConfig = TokensConfig(),  # noqa: B008 - frozen
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
        model: model folder of train --system tokens.
        ssl: pretraining folder, in place of a model.
        tokens: settings of the tokens.
        folds: into how many folds speakers are dealt.
        seed: of the folds and models.
        allow_pipes: run commands in wav.scp.
        max_fail: share of the utterances, 0 to 1, that may fail.
        force: make it again though it is there.
    """
    from masd.data.folder import read_folder
    from masd.errors import MasdError
    from masd.stage.files import Mark
    from masd.systems import load
    from masd.systems.config import Settings
    from masd.systems.token_feature import cross_scores, extend_dump, likelihoods, work_digest
    from masd.systems.tokens import TokenSystem
    from masd.systems.train import Job

    if (model is None) == (ssl is None):
        raise MasdError("give a token model, --model DIR, or the encoder for the training set, --ssl DIR")
    work = work_digest(dump, model, ssl, [tokens, folds, seed], data)
    if not force and Mark(out).fresh(work):
        log.info("%s is up to date", out)
        return
    folder = read_folder(data)
    job = Job(
        "tokens", folder, folder, out, Settings(tokens=tokens), ssl=ssl, seed=seed, allow_pipes=allow_pipes,
        max_fail=max_fail,
    )  # fmt: skip
    if model is None:
        values = cross_scores(job, folds)
    else:
        system = load(model)
        if not isinstance(system, TokenSystem):
            raise MasdError(f"{model}: a model of {system.name}, not of tokens")
        values = likelihoods(system, job, folder, folder.utts)
    extend_dump(dump, values, out, work, max_fail)
    log.info("%s: %d utterances", out, len(values))


if __name__ == "__main__":
    run(add_tokens)
