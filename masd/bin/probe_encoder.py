"""Gates on the machinery of a pretrained encoder."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import run
from masd.errors import MasdError

log = logging.getLogger(__name__)

VERSION = 2  # raise it when the measurements come to mean something else


def probe_encoder(
    model: Path,
    dump: Path,
    out: Path,
    vocoded: str = "",
    without_grl: Path | None = None,
    train: Path | None = None,
    train_vocoded: str = "",
    most: int = 400,
    strict: bool = False,
    seed: int = 0,
    force: bool = False,
) -> None:
    """Measure whether a pretrained encoder does what it must; write a JSON file.

    Held-out losses against chance; how an embedding changes with its batch; how much of the length
    mu explains; how far train-mode and eval-mode embeddings are apart; how well a fresh logistic
    regression names the vocoder of a copy, source utterances disjoint between folds.

    Args:
        model: pretraining output folder (encoder.safetensors and encoder.yaml).
        dump: dump of recordings of held-out speakers.
        out: JSON file to write.
        vocoded: dumps of their copies, `NAME=DUMP,NAME=DUMP`.
        without_grl: the same encoder pretrained with `--ssl.grl_lambda 0`, to compare with.
        train: dump of the pretraining set: train mode and eval mode are compared on it.
        train_vocoded: dumps of its copies, `NAME=DUMP,NAME=DUMP`: the vocoder probe has them too.
        most: recordings to measure on, at most.
        strict: end with an error if a gate does not hold.
        seed: root of every random draw.
        force: measure again though it is done.
    """
    from masd.ssl.pretrain import parse_dumps
    from masd.ssl.probe import probe
    from masd.stage.files import digest, input_digest, read_json, write_json

    dumps, train_dumps = parse_dumps(vocoded), parse_dumps(train_vocoded)
    paths = (model, dump, *dumps.values(), *train_dumps.values(), *filter(None, (without_grl, train)))
    inputs = [input_digest(path) for path in paths]
    work = digest("probe", VERSION, inputs, sorted(dumps), sorted(train_dumps), most, seed)
    if force or not out.is_file() or read_json(out).get("digest") != work:
        result = probe(model, dump, dumps, without_grl, train, train_dumps, most, seed)
        write_json(out, result | {"digest": work})
    else:
        log.info("%s: measured already; nothing to do", out)
    failed = []
    for name, gate in read_json(out)["gates"].items():
        verdict = "holds" if gate["holds"] else "DOES NOT HOLD"
        log.info("gate %s: %.4g, below %.4g: %s", name, gate["value"], gate["limit"], verdict)
        failed += [] if gate["holds"] else [name]
    if failed and strict:
        raise MasdError(f"{out}: these gates do not hold: {', '.join(failed)}")


if __name__ == "__main__":
    run(probe_encoder, file=True)
