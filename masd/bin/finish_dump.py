"""Stage 3: join the shards of a feature dump."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run


def finish_dump(out: Path, num_jobs: int = 1, max_fail: float = 0.01) -> None:
    """Check that every shard of a dump is there, judge the failures, write the set's lists and its mark.

    Args:
        out: dump folder.
        num_jobs: the number of shards it was made in.
        max_fail: share of the utterances, 0 to 1, that may have failed.
    """
    from masd.feats import dump

    dump.finish_dump(out, num_jobs, max_fail)


if __name__ == "__main__":
    run(finish_dump)
