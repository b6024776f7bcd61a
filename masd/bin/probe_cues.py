"""Stage 1: can cues that are no trace of synthesis tell bona fide from spoofed speech?"""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import run

log = logging.getLogger(__name__)


def probe_cues(
    data: list[Path],
    out: Path,
    gate: bool = False,
    most: int = 500,
    bound: float = 0.65,
    seed: int = 0,
    allow_pipes: bool = False,
    force: bool = False,
) -> None:
    """Ask of data folders whether file format, sampling rate, channels, length, level, peak, mean, near-zero
    samples, silence, bandwidth, noise floor or polarity tell bona fide from spoofed speech.

    Writes `<out>/<set>.json` for each set: of a logistic regression on all cues, cross-validated by source
    recording or speaker, the AUC with its 95 % interval, for all attacks and each; and every single cue's
    AUC. The results page shows it. Labels are read, those of an evaluation set too: what is found there is a
    property of the corpus to be reported, and no choice may follow from it.

    Args:
        data: data folders with utt2lab, e.g. `[data/full/train,data/full/eval]`; utt2attack and utt2source
            are used where they are there.
        out: folder for the results.
        gate: probe all the sets together too, and stop with an error where a cue is found or cannot be
            excluded; for sets that a corpus may be mended by, training and development.
        most: utterances that are drawn of bona fide speech and of each attack at most; 10,000 spoofed in all.
        bound: the AUC from which on a cue tells the classes apart.
        seed: of the draw, the folds and the intervals.
        allow_pipes: run commands that stand in wav.scp.
        force: probe again though it is done; needed where audio was replaced under the same names.
    """
    from masd.report.probe import Settings, probe_sets, refuse_cues, verdict

    # what each file is, the stages that take it say
    logging.getLogger("masd.audio").setLevel(logging.ERROR)
    results = probe_sets(data, out, Settings(most, bound, seed), gate, allow_pipes, force)
    for result in results:
        said = verdict(result)
        (log.warning if said.startswith("Caution") else log.info)("%s", said)
    if gate:
        refuse_cues(results, out)


if __name__ == "__main__":
    run(probe_cues, output="")
