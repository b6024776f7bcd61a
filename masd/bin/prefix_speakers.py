"""Put the speaker before each utterance id, for Kaldi's own tools."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run


def prefix_speakers(data: Path, out: Path) -> None:
    """Write a data folder with ids `<spk>-<utt>`, which Kaldi's validator accepts.

    Kaldi's tools want the order of utterances to be that of speakers. MASD does not need this: keys and
    scores of a corpus go by its own ids.

    Args:
        data: data folder.
        out: data folder to write.
    """
    from masd.data import transform

    made = transform.prefix_speakers(data, out)
    print(f"{out}: {len(made.utt2spk)} utterances, {len(set(made.utt2spk.values()))} speakers")


if __name__ == "__main__":
    run(prefix_speakers)
