"""Embeddings of the frozen encoder, once an utterance: each band's mean and per-frame Gram matrices.

A finished folder holds

- `mu.scp`: (J, D), the mean of each band; `gram.scp`: (T', J (J + 1) / 2), per frame the upper triangle
  of the bands' Gram matrix: all that f_SSL needs under any alpha (`masd.models.pooling.from_compact`);
- `embeddings.yaml`: the encoder's digest, the bands' weights and the feature configuration;
- `mu.crc`, `gram.crc`: checksums; `failures`: `<utt> <reason>`; `.done.json`: the mark.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from masd.data.archive import Reader, Writer
from masd.data.folder import shard
from masd.errors import Failures, MasdError
from masd.feats.config import classify_frames
from masd.feats.dump import open_dump
from masd.stage.devices import device_class, device_of
from masd.stage.files import digest, input_digest, sha256, write_yaml
from masd.stage.lock import sole
from masd.stage.progress import Progress
from masd.stage.shards import ArchiveShards
from masd.stage.threads import pinned
from masd.svm.inputs import embed, evaluation_encoder

if TYPE_CHECKING:
    from masd.models.encoder import Encoder

log = logging.getLogger(__name__)

VERSION = 3  # raise it when the same encoder comes to give other numbers
LISTS = ("gram.scp", "mu.scp", "embeddings.yaml", "gram.crc", "mu.crc", "failures")


def extract_shard(
    model: str | Path,
    dump: str | Path,
    out: str | Path,
    fmt: str = "ark",
    batch: int = 32,
    device: str = "cpu",
    job: int = 1,
    num_jobs: int = 1,
    force: bool = False,
) -> None:
    """Embed one contiguous part of a dump; skip it if that is done.

    `device` is auto, cpu or cuda. The encoder is frozen and in evaluation mode; of each utterance it sees the
    frames that cover `classify_seconds`. On the CPU each is embedded alone; on a GPU batches are made of
    utterances of like length, always the same ones. Shards made on a CPU and on a GPU are not joined.

    Raises:
        MasdError: model or dump are missing, the dump was made with another feature configuration, or another
            process makes this shard.
    """
    out, model, device = Path(out), Path(model), device_of(device, job)
    weights = sha256(model / "encoder.safetensors")
    inputs = weights, sha256(model / "encoder.yaml"), input_digest(dump)
    kind = device_class(device)
    work = digest("embeddings", VERSION, *inputs, fmt, batch, kind)
    shards = _shards(out)
    if not force and shards.done(work, job, num_jobs):
        return
    with sole(out, str(job)), pinned():
        encoder, config = evaluation_encoder(model)
        feats = open_dump(dump, config, families=False).feats
        utts = shard(feats.utts, job, num_jobs)
        mark = shards.begin(job, num_jobs)
        failures = Failures("utterance")
        with Writer(out, "mu", job, fmt) as mu, Writer(out, "gram", job, fmt) as gram:
            frames = classify_frames(config)
            _embed_all(encoder.to(device), feats, utts, frames, (mu, gram), failures, (batch, device))
        about = {
            "encoder": weights,
            "bands": encoder.num_bands,
            "alpha": encoder.alpha.detach().cpu().double().tolist(),
            "features": config,
            "device": kind,
        }
        shards.end(mark, work, job, num_jobs, len(utts), failures, about=about, format=fmt)


def _shards(out: Path) -> ArchiveShards:
    again = "./run.sh --stage 5 (or extract_embeddings and finish embeddings)"
    return ArchiveShards(out, again, ("mu", "gram"), LISTS)


def _embed_all(
    encoder: Encoder,
    feats: Reader,
    utts: Sequence[str],
    frames: int,
    writers: tuple[Writer, Writer],
    failures: Failures,
    how: tuple[int, str],
) -> None:
    size, device = how
    order = sorted(utts, key=lambda utt: (min(frames, feats.num_frames(utt)), utt))
    progress = Progress(log, len(order))
    for start in range(0, len(order), size):
        mels = {}
        for utt in order[start : start + size]:
            try:
                mels[utt] = feats.crop(utt, 0, frames)
            except MasdError as error:
                failures.add(utt, error, feats.file(utt))
        for utt, found in zip(mels, embed(encoder, list(mels.values()), device) if mels else [], strict=True):
            if all(np.isfinite(part).all() for part in found):
                for writer, part in zip(writers, found, strict=True):
                    writer.write(utt, part)
            else:
                failures.add(utt, "the encoder's output is not finite")
        progress(min(start + size, len(order)), len(failures.reasons))


def finish(out: str | Path, num_jobs: int, max_fail: float = 0.01) -> None:
    """Check that all shards are there, write the set's lists and its mark, and clear away the shards' own.

    Raises:
        MasdError: a shard is missing or made from other inputs, more than `max_fail` of the utterances
            failed, or another process joins them.
    """
    shards = _shards(Path(out))

    def write_lists(first: dict[str, Any]) -> None:
        write_yaml(shards.out / "embeddings.yaml", first["about"])
        shards.join("gram.scp", num_jobs)
        shards.join("mu.scp", num_jobs)

    shards.finish(num_jobs, max_fail, write_lists)
