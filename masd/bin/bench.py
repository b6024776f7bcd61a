"""A score file by the names of a benchmark's protocol, as Speech DF Arena takes it."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run, say
from masd.errors import MasdError


def bench(scores: Path, data: Path, protocol: Path, out: Path) -> None:
    """Write the scores of a set by the names of a benchmark's protocol: `<file_name> <score>` a line.

    Speech DF Arena's protocols list paths of its own machine; they are joined to the recordings of the data
    folder by name, with as few of the last folders as make names unique. Scores are higher for bona fide
    speech there too. speech_spoof_bench takes score files as they are, and runs models itself
    (docs/results.md).

    Args:
        scores: score file of the set.
        data: its data folder, whose wav.scp says which recording an utterance is.
        protocol: the benchmark's list, `file_name,label` or any other key with a header.
        out: score file to write.
    """
    from masd.data.folder import read_folder
    from masd.data.keys import file_key
    from masd.metrics.scores import ScoreFile, align, join, read_scores, write_scores

    folder, names = read_folder(data), file_key(protocol).label
    given = read_scores(scores)
    by_path = {folder.wav[folder.recording(utt).recording]: x for utt, x in given.items()}
    if len(by_path) < len(given):
        raise MasdError(f"{data}: two utterances of one recording; a protocol has a score for each recording")
    utts, values = join(align(ScoreFile(by_path, {}), names, scores).scores, names, where=scores)
    write_scores(out, dict(zip(utts, values.tolist(), strict=True)))
    say(f"{out}: {len(utts)} scores by the names of {protocol}")


if __name__ == "__main__":
    run(bench, file=True)
