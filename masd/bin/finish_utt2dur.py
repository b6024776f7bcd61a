"""Stage 1: join the shards of a data folder's durations."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run


def finish_utt2dur(data: Path, num_jobs: int = 1, max_fail: float = 0.0) -> None:
    """Write utt2dur of a data folder; what cannot be read leaves it and is listed in `<data>/failures`.

    Args:
        data: data folder.
        num_jobs: the number of shards the durations were read in.
        max_fail: share of the utterances, 0 to 1, that may be unreadable.
    """
    from masd.data.durations import finish_durations

    folder = finish_durations(data, num_jobs, max_fail)
    hours = sum(float(s) for s in folder.tables["utt2dur"].values()) / 3600
    print(f"{data}: {len(folder.utt2spk)} utterances, {hours:.2f} h")


if __name__ == "__main__":
    run(finish_utt2dur, output="")
