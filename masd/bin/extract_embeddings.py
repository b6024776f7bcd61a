"""Stage 5: embeddings of a dump by the frozen encoder, one shard."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from masd.cli import run


def extract_embeddings(
    model: Path,
    dump: Path,
    out: Path,
    feats_format: Literal["ark", "h5"] = "ark",
    batch: int = 32,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    job: int = 1,
    num_jobs: int = 1,
    force: bool = False,
) -> None:
    """Embed a feature dump: per utterance each band's mean and per-frame Gram matrices.

    Ends with `python3 -m masd.bin.finish embeddings` once all shards are there.

    Args:
        model: folder with encoder.safetensors and encoder.yaml, as pretraining leaves it.
        dump: feature dump, made with the encoder's feature configuration.
        out: folder for mu.scp and gram.scp.
        feats_format: Kaldi ark and scp, or HDF5.
        batch: utterances a step.
        device: `auto` takes a GPU where there is one.
        job: which shard, from 1.
        num_jobs: how many shards.
        force: embed again though it is done.
    """
    from masd.systems.embeddings import extract_shard

    extract_shard(model, dump, out, feats_format, batch, device, job, num_jobs, force)


if __name__ == "__main__":
    run(extract_embeddings)
