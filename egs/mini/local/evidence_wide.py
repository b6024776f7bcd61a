"""Third part of the evidence study: copies of the training recordings by classical vocoders drawn at random.

One copy a recording, its kind drawn from masd.vocoders.wide, conditioned as everything else is. The data
folder that is written names the kinds as attacks, `wide_<kind>`.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from plan import CONDITION, load_corpus, read_protocol
from versions import draw_rate, item_signs

from masd.audio import write_wav
from masd.audio.condition import condition, load_config
from masd.cli import run
from masd.data.folder import read_folder, write_folder
from masd.data.utterance import load_utterance
from masd.errors import Failures, MasdError
from masd.stage.files import digest
from masd.stage.seeding import generator
from masd.vocoders import get
from masd.vocoders.wide import KINDS, wide_copy

log = logging.getLogger("evidence_wide")


def evidence_wide(
    source: Path, protocol: Path, out: Path, max_fail: float = 0.02, every: int = 1, seed: int = 0
) -> None:
    """Write a data folder of random copies of the training recordings.

    Args:
        source: data folder of the unconditioned sources.
        protocol: the size's list of utterances.
        out: the folder, audio in `out`/wav.<digest>.
        max_fail: share of the recordings, 0 to 1, that may fail.
        every: copy every n-th recording of the protocol alone.
        seed: of the draws.
    """
    folder, config, corpus = read_folder(source), load_config(CONDITION), load_corpus()
    items = [item for item in read_protocol(protocol) if item.set == "train"][::every]
    polarity = item_signs(items, config)
    rates = Counter(corpus["attacks"][a]["rate"] for item in items for a in item.attacks)
    failures, tables = Failures("recording", max_fail), {"wav": {}, "spk": {}, "attack": {}, "source": {}}
    audio = out / f"wav.{digest(seed, config, get('wide').digest())[:8]}"  # other draws, another folder
    for item in items:
        rng = generator(seed, "wide", item.utt)
        kind = str(rng.choice(list(KINDS)))
        utt, x = f"{item.utt}-wide", load_utterance(folder, item.utt)
        path = audio / f"{item.utt}.flac"
        try:
            if not path.is_file():
                y = wide_copy(x, kind, rng)
                through = draw_rate(item.utt, rates, config.seed)
                write_wav(path, condition(y, x, item.utt, "wide", through, config, sign=polarity[item.utt]))
        except MasdError as error:
            failures.add(item.utt, error)
            continue
        for name, value in (
            ("wav", path),
            ("spk", item.speaker),
            ("attack", f"wide_{kind}"),
            ("source", item.utt),
        ):
            tables[name][utt] = str(value)
    failures.check(len(items))
    write_folder(
        out,
        tables["wav"],
        tables["spk"],
        utt2attack=tables["attack"],
        utt2source=tables["source"],
        utt2lab=dict.fromkeys(tables["wav"], "spoof"),
    )
    log.info("%s: %s", out, dict(Counter(tables["attack"].values())))


if __name__ == "__main__":
    run(evidence_wide)
