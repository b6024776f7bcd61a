"""A dump with further families of statistics beside the handcrafted features."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import run

log = logging.getLogger(__name__)


def add_families(
    data: Path,
    dump: Path,
    out: Path,
    families: list[str],
    allow_pipes: bool = False,
    max_fail: float = 0.01,
    force: bool = False,
) -> None:
    """Write a dump whose handcrafted features have families of statistics beside them.

    The fusion then attends over one token for each figure, and systems without fusion take them as they are.
    docs/evidence.md says which families are worth it.

    Args:
        data: data folder of the set.
        dump: its dump.
        out: the new dump; log-mels are not copied, so `dump` must stay.
        families: names of `masd.feats.families.FAMILIES`, in this order.
        allow_pipes: run commands in wav.scp.
        max_fail: share of the utterances, 0 to 1, that may fail.
        force: make it again though it is there.
    """
    import numpy as np

    from masd.audio import load_utterance
    from masd.data.folder import read_folder
    from masd.detectors.feature import extend_dump, work_digest
    from masd.errors import Failures, MasdError
    from masd.feats.dump import open_dump
    from masd.feats.families import VERSION, check_names, describe
    from masd.files import Mark

    check_names(families)
    work = work_digest(dump, None, None, ["families", VERSION, families], data)
    if not force and Mark(out).fresh(work):
        log.info("%s is up to date", out)
        return
    folder, source = read_folder(data), open_dump(dump)
    failures, values = Failures("utterance", max_fail), {}
    for utt in source.utts:
        try:
            # as long as the other handcrafted features see it
            x = load_utterance(folder, utt, source.config.sample_rate, allow_pipes)
            found = describe(x[: round(source.config.classify_seconds * source.config.sample_rate)], families)
        except MasdError as error:
            failures.add(utt, error)
        else:
            values[utt] = np.concatenate([found[name] for name in families])
    failures.check(len(source.utts), data)
    extend_dump(dump, values, out, work, max_fail)
    log.info("%s: %d utterances", out, len(values))


if __name__ == "__main__":
    run(add_families)
