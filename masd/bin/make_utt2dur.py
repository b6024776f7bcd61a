"""Stage 1: durations of a data folder from the headers of its audio files, one shard."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run


def make_utt2dur(data: Path, job: int = 1, num_jobs: int = 1, force: bool = False) -> None:
    """Read the durations of a data folder's recordings from their headers; nothing is decoded.

    Ends with `python3 -m masd.bin.finish_utt2dur` once all shards are there.

    Args:
        data: data folder.
        job: which shard, from 1.
        num_jobs: how many shards.
        force: read again though it is done; needed where audio was replaced under the same names.
    """
    from masd.data.durations import duration_shard

    duration_shard(data, job, num_jobs, force)


if __name__ == "__main__":
    run(make_utt2dur, output="")
