"""One table of ratios, each measured in this run beside its baseline (`tests/benchmarks/run.py --help`)."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from masd.cli import run

ALL = ("front_end", "detection", "training", "svm", "jobs")


def benchmark(
    data: Path,
    out: Path,
    model: Path | None = None,
    dump_data: list[Path] | None = None,
    rows: list[Literal["front_end", "detection", "training", "svm", "jobs"]] | None = None,
    clips: int = 10,
    repeats: int = 5,
    svm_scale: float = 0.1,
) -> None:
    """Measure speed and print a Markdown table; what it takes part in is pinned to one thread.

    Times are of the processor, so that other work on the machine distorts them little, but for the last row,
    which is by the clock and says how much of its cores it got.

    Args:
        data: data folder with recordings, at least `clips` of 4 s or more.
        out: file for the table.
        model: model folder, one of export_model with a graph for the rows of the faster mode.
        dump_data: data folders for the rows of dumps in two jobs, `data` by default. Start-up counts, so that
            a few thousand utterances tell more of it than of the work.
        rows: which measurements; all by default.
        clips: recordings of 4 s.
        repeats: rounds; each measures a row and its baseline one after the other.
        svm_scale: share of 25,380 vectors fitted and of 611,829 scored.
    """
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    wanted = rows or list(ALL)
    found = []
    with TemporaryDirectory() as folder:
        if {"front_end", "detection"} & set(wanted):
            made = make_clips(data, Path(folder), clips)
        if "front_end" in wanted:
            import front_end

            found += front_end.rows(made, repeats)
        if "detection" in wanted and model is not None:
            import detection

            found += detection.rows(model, made, repeats)
    if "training" in wanted:
        import training

        found += training.rows(repeats)
    if "svm" in wanted:
        import svm

        found += svm.rows(repeats, svm_scale)
    if "jobs" in wanted:
        import jobs

        found += jobs.rows(dump_data or [data], min(repeats, 2))
    report(found, out)


def report(found: list, out: Path) -> None:
    """Print the table with the machine it was measured on, and write it to `out`."""
    from timing import table

    from masd.report.provenance import hardware, versions
    from masd.stage.files import write_text

    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    text = f"{table(found)}\n\n{hardware()}; {versions()}. Load of the machine at the end: {load}.\n"
    write_text(out, text)
    print(text)


def make_clips(data: Path, folder: Path, count: int) -> list[Path]:
    """Write the first 4 s of `count` recordings as FLAC and return the files.

    Raises:
        MasdError: there are not so many that long.
    """
    import soundfile

    from masd.data.folder import read_folder
    from masd.data.utterance import load_utterance
    from masd.errors import MasdError

    source, made = read_folder(data), []
    for utt in source.utts:
        x = load_utterance(source, utt)
        if len(x) >= 64000:
            made.append(folder / f"{utt}.flac")
            soundfile.write(made[-1], x[:64000], 16000)
        if len(made) == count:
            return made
    raise MasdError(f"{data}: only {len(made)} recordings of 4 s or more, {count} are asked for")


if __name__ == "__main__":
    run(benchmark, file=True)
