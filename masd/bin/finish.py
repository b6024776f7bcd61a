"""Join the shards of a stage's work: utt2dur, copy-synthesis, dump, embeddings, scores."""

from __future__ import annotations

from pathlib import Path

from masd.cli import Command, run_commands, say


def utt2dur(data: Path, num_jobs: int = 1, max_fail: float = 0.0) -> None:
    """Stage 1: write utt2dur of a data folder.

    What cannot be read leaves the folder and is listed in `<data>/failures`.

    Args:
        data: data folder.
        num_jobs: the number of shards the durations were read in.
        max_fail: share of the utterances, 0 to 1, that may be unreadable.
    """
    from masd.data.durations import finish_durations

    folder = finish_durations(data, num_jobs, max_fail)
    hours = sum(float(s) for s in folder.tables["utt2dur"].values()) / 3600
    say(f"{data}: {len(folder.utt2spk)} utterances, {hours:.2f} h")


def copy_synthesis(
    data: Path, vocoder: str, out: Path, num_jobs: int = 1, max_fail: float = 0.01, force: bool = False
) -> None:
    """Stage 2: check that every shard is there, judge the failures, write the copies' folder and its mark.

    Args:
        data: data folder of the recordings.
        vocoder: name of the vocoder.
        out: data folder of the copies.
        num_jobs: the number of shards they were made in.
        max_fail: share of the utterances, 0 to 1, that may have failed.
        force: write the folder again though it is there.
    """
    from masd.vocoders.copy_synthesis import finish

    finish(data, vocoder, out, num_jobs, max_fail, force)


def dump(out: Path, num_jobs: int = 1, max_fail: float = 0.01) -> None:
    """Stage 3: check that every shard of a dump is there, judge the failures, write lists and mark.

    Args:
        out: dump folder.
        num_jobs: the number of shards it was made in.
        max_fail: share of the utterances, 0 to 1, that may have failed.
    """
    from masd.feats.dump import finish_dump

    finish_dump(out, num_jobs, max_fail)


def embeddings(out: Path, num_jobs: int = 1, max_fail: float = 0.01) -> None:
    """Stages 5, 6: check that every shard of embeddings is there, judge the failures, write lists and mark.

    Args:
        out: folder of the embeddings.
        num_jobs: the number of shards they were made in.
        max_fail: share of the utterances, 0 to 1, that may have failed.
    """
    from masd.systems.embeddings import finish

    finish(out, num_jobs, max_fail)


def scores(out: Path, num_jobs: int = 1, max_fail: float = 0.01, command: str = "") -> None:
    """Stage 6: check that every shard of a set's scores is there, judge the failures, write scores and mark.

    Args:
        out: folder of the scores, as score was told.
        num_jobs: the number of shards they were made in.
        max_fail: share of the utterances, 0 to 1, that may have failed.
        command: what was called to get the scores; kept with them, for the results page.
    """
    from masd.systems.score import ScoreShards

    ScoreShards(out).finish(num_jobs, max_fail, command)


COMMANDS = (
    Command(utt2dur, output=""),
    Command(copy_synthesis),
    Command(dump),
    Command(embeddings),
    Command(scores),
)

if __name__ == "__main__":
    run_commands(COMMANDS)
