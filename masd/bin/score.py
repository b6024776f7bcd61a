"""Stage 6: scores of a set."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import run

log = logging.getLogger(__name__)

BLOCK = 32768  # utterances in memory at a time; smaller sets are scored as one


def score(
    model: Path,
    out: Path,
    embeddings: Path | None = None,
    dump: Path | None = None,
    data: Path | None = None,
    max_fail: float = 0.01,
    command: str = "",
    force: bool = False,
) -> None:
    """Score a set with a fitted model, joined by utterance id.

    Writes OUT/scores (-f / T, higher is more bona fide), OUT/affine_scores (-(a f + b), read alike),
    OUT/failures (`<utt> <reason>` of what could not be scored) and, for a fused system, OUT/attention
    (`<utt> <pcs> <hfer> <sfi>`, weights that sum to 1).

    Args:
        model: model folder, exp/<tag>/model.
        out: folder for the scores.
        embeddings: embeddings of the set, where the system uses them.
        dump: feature dump of the set, where the system uses handcrafted features.
        data: data folder whose utterances are wanted; without it, all that the inputs hold.
        max_fail: share of the utterances, 0 to 1, that may lack inputs.
        command: what was called to get the scores; kept with them, for the results page.
        force: score again though it is done.
    """
    from masd.data.folder import read_folder
    from masd.errors import Failures
    from masd.metrics.scores import write_scores
    from masd.stage.files import Mark, digest, input_digest, write_lines
    from masd.svm.config import system_spec
    from masd.svm.inputs import Source, load_blocks
    from masd.svm.system import System

    system = System.load(model)
    spec = system_spec(system.name)
    source = Source(embeddings if spec.ssl else None, dump if spec.hand else None)
    source.check(system.name, spec, "--")
    given = [path and input_digest(path) for path in (source.embeddings, source.dump, data)]
    work = digest("score", 1, input_digest(model / "model.yaml"), *given)
    mark = Mark(out)
    if not force and mark.fresh(work) and (out / "scores").is_file():
        log.info("%s: scores are up to date", out)
        return
    mark.clear()
    system.check_embeddings(source.embeddings)
    utts = read_folder(data).utts if data is not None else None
    failures = Failures("utterance", max_fail)
    scores: dict[str, float] = {}
    affine: dict[str, float] = {}
    attention: list[str] = []
    feats = system.feats_config() if spec.hand else None
    for inputs in load_blocks(source, spec, utts, failures, feats, BLOCK):
        f = system.decision(system.values(inputs))
        scores.update(zip(inputs.utts, system.scores(f).tolist(), strict=True))
        affine.update(zip(inputs.utts, system.affine_scores(f).tolist(), strict=True))
        weights = system.features.attention(inputs)
        if weights is not None:
            rows = zip(inputs.utts, weights, strict=True)
            attention += [f"{utt} {' '.join(f'{w:.6f}' for w in row)}" for utt, row in rows]
    write_lines(out / "failures", failures.lines())
    failures.check(len(scores) + len(failures.reasons), f"{out} (listed in {out / 'failures'})")
    write_scores(out / "affine_scores", affine)
    (out / "attention").unlink(missing_ok=True)
    if attention:
        write_lines(out / "attention", attention)
    write_scores(out / "scores", scores)
    mark.write(work, utterances=len(scores), failed=len(failures.reasons), command=command)
    log.info("%s: %d utterances scored, %d failed", out, len(scores), len(failures.reasons))


if __name__ == "__main__":
    run(score)
