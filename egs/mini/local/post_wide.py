"""Stage 2 of --system plus: train's copies by random vocoders, conditioned as everything else is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from condition import load_config
from finish_sets import tables
from make_sets import make
from plan import load_corpus, read_protocol
from versions import Version, audio_folder, copied, draw_rate, item_signs

from masd.cli import run
from masd.data.folder import write_folder
from masd.errors import Failures

NAME = "wide"


def post_wide(protocol: Path, data: Path, max_fail: float = 0.01) -> None:
    """Write `<data>/train_wide` from `<data>/train_wide_raw`.

    Args:
        protocol: the list of utterances.
        data: the data folder of the size.
        max_fail: the share of utterances that may be rejected.
    """
    config, corpus = load_config(), load_corpus()
    out = audio_folder(data, protocol, config) / NAME
    items = [item for item in read_protocol(protocol) if item.set == "train"]
    copies, polarity = copied(data / "train_wide_raw"), item_signs(items, config)
    rates = Counter(corpus["attacks"][a]["rate"] for item in items for a in item.attacks)
    part = [
        Version(
            *(f"{NAME}-{i.utt}", i.speaker, i.set, NAME, i.utt),
            *(copies[i.utt], data / "source" / "wav" / f"{i.utt}.flac"),
            *(draw_rate(i.utt, rates, config.seed), out / f"{i.utt}.flac", polarity[i.utt]),
        )
        for i in items
        if i.utt in copies
    ]
    failures = Failures("utterance", max_fail)
    for version in part:
        make(version, config, corpus["rate"], failures)
    failures.check(len(part), data / "train_wide_raw")
    write_folder(data / "train_wide", **tables({v.utt: v for v in part if v.out.is_file()}, config))


if __name__ == "__main__":
    run(post_wide, output="")
