"""Embeddings of the frozen encoder, once an utterance: each band's mean and per-frame Gram matrices.

A finished folder holds

- `mu.scp`: (J, D), the mean of each band; `gram.scp`: (T', J (J + 1) / 2), per frame the upper triangle
  of the bands' Gram matrix: all that f_SSL needs under any alpha (`masd.models.pooling.from_compact`);
- `embeddings.yaml`: the encoder's digest, the bands' weights and the feature configuration;
- `failures`: `<utt> <reason>`; `.done.json`: the mark.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from masd.data.archive import Reader, Writer
from masd.data.folder import shard
from masd.data.tables import write_table
from masd.errors import Failures, MasdError
from masd.feats.config import classify_frames
from masd.feats.dump import open_dump
from masd.files import Mark, digest, input_digest, read_text, sha256, write_lines, write_yaml
from masd.svm.inputs import embed, evaluation_encoder

if TYPE_CHECKING:
    from masd.models.encoder import Encoder

log = logging.getLogger(__name__)

VERSION = 2  # raise it when the same encoder comes to give other numbers
LISTS = ("gram.scp", "mu.scp", "embeddings.yaml", "failures")
_SHARD_FILE = re.compile(r"(?:mu|gram)\.(\d+)\.(?:ark|h5|scp)")
_SHARD_MARK = re.compile(r"\.done\.(\d+)\.json")
_SECONDS_BETWEEN_LINES = 10.0


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

    The encoder is frozen and in evaluation mode; of each utterance it sees the frames that cover
    `classify_seconds`. Batches are made of utterances of like length, always the same ones.

    Raises:
        MasdError: model or dump are missing, or the dump was made with another feature configuration.
    """
    out, model = Path(out), Path(model)
    weights = sha256(model / "encoder.safetensors")
    work = digest(
        "embeddings", VERSION, weights, sha256(model / "encoder.yaml"), input_digest(dump), fmt, batch
    )
    mark, piece = Mark(out, str(job)), digest(work, job, num_jobs)
    if not force and (Mark(out).fresh(work) or mark.fresh(piece)):
        log.info("%s: shard %d of %d is there already; nothing to do", out, job, num_jobs)
        return
    encoder, config = evaluation_encoder(model)
    feats = open_dump(dump, config).feats
    utts = shard(feats.utts, job, num_jobs)
    out.mkdir(parents=True, exist_ok=True)
    withdraw(out)
    mark.clear()
    failures = Failures("utterance")
    with Writer(out, "mu", job, fmt) as mu, Writer(out, "gram", job, fmt) as gram:
        frames = classify_frames(config)
        _embed_all(encoder.to(device), feats, utts, frames, (mu, gram), failures, (batch, device))
    about = {
        "encoder": weights,
        "bands": encoder.num_bands,
        "alpha": encoder.alpha.detach().cpu().double().tolist(),
        "features": config,
    }
    mark.write(
        piece,
        work=work,
        num_jobs=num_jobs,
        total=len(utts),
        failures=failures.reasons,
        about=about,
        format=fmt,
    )


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
    begin = last = time.monotonic()
    for start in range(0, len(order), size):
        mels = {}
        for utt in order[start : start + size]:
            try:
                mels[utt] = feats.crop(utt, 0, frames)
            except MasdError as error:
                failures.add(utt, error)
        for utt, found in zip(mels, embed(encoder, list(mels.values()), device) if mels else [], strict=True):
            if all(np.isfinite(part).all() for part in found):
                for writer, part in zip(writers, found, strict=True):
                    writer.write(utt, part)
            else:
                failures.add(utt, "the encoder's output is not finite")
        now, done = time.monotonic(), min(start + size, len(order))
        if now - last >= _SECONDS_BETWEEN_LINES or done == len(order):
            log.info("%d of %d utterances, %.1f a second", done, len(order), done / max(now - begin, 1e-9))
            last = now


def withdraw(out: Path) -> None:
    """Take back the set-level lists before any shard they name is replaced, the mark first."""
    Mark(out).clear()
    for name in LISTS:
        (out / name).unlink(missing_ok=True)


def finish(out: str | Path, num_jobs: int, max_fail: float = 0.01) -> None:
    """Check that all shards are there, write the set's lists and its mark, and clear away the shards' own.

    Raises:
        MasdError: a shard is missing or made from other inputs, or more than `max_fail` of the
            utterances failed.
    """
    out = Path(out)
    if num_jobs < 1:
        raise MasdError(f"{out}: --num-jobs {num_jobs}: there is at least one")
    if Mark(out).path.is_file():
        _tidy(out, Mark(out).read())
        log.info("%s: finished already", out)
        return
    marks = [_shard_mark(out, job, num_jobs) for job in range(1, num_jobs + 1)]
    first = marks[0]
    for job, info in enumerate(marks, 1):
        if info["work"] != first["work"]:
            raise MasdError(
                f"{out}: shards 1 and {job} differ in input; run extract_embeddings again for all"
            )
    failures = Failures("utterance", max_fail)
    for info in marks:
        failures.reasons.update(info["failures"])
    total = sum(info["total"] for info in marks)
    write_lines(out / "failures", failures.lines())
    failures.check(total, f"{out} (listed in {out}/failures)")
    if len(failures.reasons) == total:
        raise MasdError(f"{out}: not one of {total} utterances could be embedded")
    write_yaml(out / "embeddings.yaml", first["about"])
    for name in ("gram", "mu"):
        table: dict[str, str] = {}
        for job in range(1, num_jobs + 1):
            table |= _read_list(out / f"{name}.{job}.scp")
        write_table(out / f"{name}.scp", table)
    done = {"num_jobs": num_jobs, "format": first["format"]}
    Mark(out).write(first["work"], total=total, failed=len(failures.reasons), **done)
    _tidy(out, done)
    log.info("%s: %d utterances, %d failed", out, total - len(failures.reasons), len(failures.reasons))


def _shard_mark(out: Path, job: int, num_jobs: int) -> dict[str, Any]:
    mark = Mark(out, str(job))
    info = mark.read() if mark.path.is_file() else {}
    if info.get("num_jobs") != num_jobs:
        raise MasdError(
            f"{out}: shard {job} of {num_jobs} is not finished; run extract_embeddings --job {job} again"
        )
    return info


def _read_list(path: Path) -> dict[str, str]:
    # a shard's list is in the order of its batches, and may be empty
    return dict(line.split(maxsplit=1) for line in read_text(path).splitlines())


def _tidy(out: Path, done: dict[str, Any]) -> None:
    """Remove the shards' lists and marks, and archives of earlier runs with more jobs or another format."""
    for path in list(out.iterdir()):
        piece = _SHARD_FILE.fullmatch(path.name)
        kept = piece and int(piece[1]) <= done["num_jobs"] and path.suffix == f".{done['format']}"
        left = path.name.startswith((".mu.", ".gram.")) and ".tmp" in path.name
        if (piece and not kept) or left or _SHARD_MARK.fullmatch(path.name):
            path.unlink(missing_ok=True)
