"""Stage 2: join the shards of a copy-synthesis into a data folder."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run


def finish_copy_synthesis(
    data: Path, vocoder: str, out: Path, num_jobs: int = 1, max_fail: float = 0.01, force: bool = False
) -> None:
    """Check that every shard is there, judge the failures, write the data folder of the copies and its mark.

    Args:
        data: data folder of the recordings.
        vocoder: name of the vocoder.
        out: data folder of the copies.
        num_jobs: the number of shards they were made in.
        max_fail: share of the utterances, 0 to 1, that may have failed.
        force: write the folder again though it is there.
    """
    from masd.vocoders.copy import finish

    finish(data, vocoder, out, num_jobs, max_fail, force)


if __name__ == "__main__":
    run(finish_copy_synthesis)
