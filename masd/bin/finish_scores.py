"""Stage 6: join the shards of a comparison system's scores."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run


def finish_scores(out: Path, num_jobs: int = 1, max_fail: float = 0.01, command: str = "") -> None:
    """Check that every shard of a set's scores is there, judge the failures, write the scores and the mark.

    Args:
        out: folder of the scores, as score_detector was told.
        num_jobs: the number of shards they were made in.
        max_fail: share of the utterances, 0 to 1, that may have failed.
        command: what was called to get the scores; kept with them, for the results page.
    """
    from masd.detectors.score_shards import ScoreShards

    ScoreShards(out).finish(num_jobs, max_fail, command)


if __name__ == "__main__":
    run(finish_scores)
