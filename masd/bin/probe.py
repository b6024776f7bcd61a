"""Guards: cues that are no trace of synthesis (stage 1), the machinery of an encoder (stage 4)."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import Command, run_commands
from masd.errors import MasdError

log = logging.getLogger(__name__)

ENCODER_VERSION = 2  # raise it when the measurements of an encoder come to mean something else


def cues(
    data: list[Path],
    out: Path,
    gate: bool = False,
    most: int = 500,
    bound: float = 0.65,
    seed: int = 0,
    allow_pipes: bool = False,
    force: bool = False,
) -> None:
    """Ask of data folders whether file format, sampling rate, channels, length, level, peak, mean, near-zero
    samples, silence, bandwidth, noise floor or polarity tell bona fide from spoofed speech.

    Writes `<out>/<set>.json` for each set: of a logistic regression on all cues, cross-validated by source
    recording or speaker, the AUC with its 95 % interval, for all attacks and each; and every single cue's
    AUC. The results page shows it. Labels are read, those of an evaluation set too: what is found there is a
    property of the corpus to be reported, and no choice may follow from it.

    Args:
        data: data folders with utt2lab, e.g. `[data/full/train,data/full/eval]`; utt2attack and utt2source
            are used where they are there.
        out: folder for the results.
        gate: probe all the sets together too, and stop with an error where a cue is found or cannot be
            excluded; for sets that a corpus may be mended by, training and development.
        most: utterances that are drawn of bona fide speech and of each attack at most; 10,000 spoofed in all.
        bound: the AUC from which on a cue tells the classes apart.
        seed: of the draw, the folds and the intervals.
        allow_pipes: run commands that stand in wav.scp.
        force: probe again though it is done; needed where audio was replaced under the same names.
    """
    from masd.report.cue_probe import Settings, probe_sets, refuse_cues, verdict

    # what each file is, the stages that take it say
    logging.getLogger("masd.audio").setLevel(logging.ERROR)
    results = probe_sets(data, out, Settings(most, bound, seed), gate, allow_pipes, force)
    for result in results:
        said = verdict(result)
        (log.warning if said.startswith("Caution") else log.info)("%s", said)
    if gate:
        refuse_cues(results, out)


def encoder(
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
    work = digest("probe", ENCODER_VERSION, inputs, sorted(dumps), sorted(train_dumps), most, seed)
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


COMMANDS = (Command(cues, output=""), Command(encoder, file=True))

if __name__ == "__main__":
    run_commands(COMMANDS)
