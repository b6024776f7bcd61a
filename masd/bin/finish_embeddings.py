"""Stage 5: join the shards of a set's embeddings."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run


def finish_embeddings(out: Path, num_jobs: int = 1, max_fail: float = 0.01) -> None:
    """Check that every shard of a set's embeddings is there, judge the failures, write lists and mark.

    Args:
        out: folder of the embeddings.
        num_jobs: the number of shards they were made in.
        max_fail: share of the utterances, 0 to 1, that may have failed.
    """
    from masd.svm import embeddings

    embeddings.finish(out, num_jobs, max_fail)


if __name__ == "__main__":
    run(finish_embeddings)
