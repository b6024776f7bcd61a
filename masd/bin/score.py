"""Stage 6: scores of a set by any system."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from masd.cli import listed, run

log = logging.getLogger(__name__)


def score(
    out: Path,
    data: Path | None = None,
    model: Path | None = None,
    embeddings: Path | None = None,
    dump: Path | None = None,
    system: str = "",
    type: str = "",
    checkpoint: Path | None = None,
    enrolment: str = "",
    enrolment_data: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    batch: int = 8,
    allow_pipes: bool = False,
    max_fail: float = 0.01,
    command: str = "",
    job: int = 1,
    num_jobs: int = 1,
    force: bool = False,
) -> None:
    """Score a set, or a part of it, with a trained system, or with the authors' released weights.

    Systems hear the recordings of the data folder; MASD's rows take dump and embeddings in their place where
    these are given. Writes OUT/scores (-f / T, higher is more bona fide), OUT/affine_scores (-(a f + b))
    where the model is calibrated, OUT/failures (`<utt> <reason>`), for a fused row OUT/attention (`<utt>
    <pcs> <hfer> <sfi>`, weights that sum to 1), and of recordings OUT/timing.json: processor seconds in the
    system, seconds of audio, and their ratio (decoding left out). Of several jobs each scores its part, and
    finish scores writes these. What a stopped call has scored is kept.

    Args:
        out: folder for the scores.
        data: data folder of the set; without it, all that stored inputs hold.
        model: model folder that train made.
        embeddings: embeddings of the set, for rows that use them.
        dump: feature dump of the set, for rows that use handcrafted features.
        system: one whose authors released weights (docs/systems.md), with `checkpoint`: scores are
            differences of logits.
        type: `module:Class` of a system of your own, whose code the model folder cannot name by itself.
        checkpoint: released weights, in place of a model folder: a file, or hf:OWNER/NAME/FILE on the
            Hugging Face hub.
        enrolment: ASV protocols that say by what speakers are enrolled (samo), `FILE,FILE`; without them, by
            all that `enrolment_data` has of each.
        enrolment_data: data folder of enrolment recordings; speakers who are not enrolled take the nearest
            attractor of training.
        device: where networks compute; `auto` takes a GPU where there is one.
        batch: how many recordings are scored at once.
        allow_pipes: run commands in wav.scp.
        max_fail: share of the utterances, 0 to 1, that may fail; with several jobs, finish scores is told.
        command: what was called to get the scores, kept for the results page, as finish scores is told.
        job: which part, from 1.
        num_jobs: number of parts.
        force: score again though it is done.
    """
    from masd.data.folder import read_folder, spk2utt
    from masd.errors import MasdError
    from masd.stage.devices import device_class, device_of
    from masd.stage.files import digest, input_digest, read_yaml
    from masd.systems import open_system
    from masd.systems.folder import model_yaml
    from masd.systems.items import Stored
    from masd.systems.score import ScoreShards, open_set

    protocols = [Path(name) for name in listed(enrolment)]
    if protocols and enrolment_data is None:
        raise MasdError("--enrolment: give the folder of its recordings too, --enrolment-data DIR")
    if checkpoint is not None:
        from masd.systems.released import fetched

        checkpoint = fetched(checkpoint)
    stored = Stored(embeddings, dump)
    source = input_digest(model_yaml(model)) if model else checkpoint and input_digest(checkpoint)
    given = [path and input_digest(path) for path in (embeddings, dump, *protocols, enrolment_data)]
    if data is not None:
        lists = ("wav.scp", "segments", "utt2spk")
        given += [[name, input_digest(data / name)] for name in lists if (data / name).exists()]
    stated = read_yaml(model / "model.yaml") if model else {"type": "network"}
    kind = stated.get("type") if isinstance(stated, dict) else None  # what is no model is refused below
    where = "cpu" if kind in ("masd", "gmm", "tokens") else device_of(device, job)
    shards = ScoreShards(out, digest("score", 5, system, source, given, device_class(where)))
    if not force and shards.done():
        log.info("%s: scores are up to date", out)
        return
    opened = open_system(model, system, type, checkpoint)
    opened.place(where)
    if enrolment_data is not None:
        from masd.systems.network import enrol, read_enrolment

        recordings = read_folder(enrolment_data)
        speakers = read_enrolment(protocols) if protocols else spk2utt(recordings.utt2spk)
        enrol(opened, recordings, speakers, allow_pipes)
    folder = read_folder(data) if data is not None else None
    shards.score(opened, open_set(opened, folder, stored, allow_pipes, batch), folder, job, num_jobs, force)
    if num_jobs == 1:
        shards.finish(num_jobs, max_fail, command)


if __name__ == "__main__":
    run(score)
