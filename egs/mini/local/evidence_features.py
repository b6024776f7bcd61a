"""First part of the evidence study: the families of utterance statistics of one set, into one npz file.

Only the utterances that the protocol lists for train or dev are read, whatever the folders hold: bona fide
speech and the copies by that set's attacks. The same call thus describes a set before conditioning
(data/<size>/source and data/<size>/copies/<vocoder>) and after it (data/<size>/train).
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from plan import load_corpus, read_protocol

from masd.cli import run
from masd.data.folder import read_folder
from masd.data.utterance import load_utterance
from masd.errors import MasdError
from masd.feats.families import FAMILIES, describe
from masd.stage.files import atomic

log = logging.getLogger("evidence_features")


def evidence_features(
    data: list[Path],
    protocol: Path,
    set: str,
    out: Path,
    families: list[str] | None = None,
    every: int = 1,
    reuse: Path | None = None,
) -> None:
    """Write the statistics of a set's utterances.

    Args:
        data: data folders with utt2lab, utt2attack and utt2source.
        protocol: the size's list of utterances.
        set: train or dev; eval is refused, since nothing may be chosen by it.
        out: npz of source, attack, speaker (`-` for bona fide) and one array (N, D) a family.
        families: which are computed, all by default.
        every: take every n-th recording of the protocol alone, to save time.
        reuse: npz of an earlier call on the same audio: what it holds is not computed again.
    """
    if set not in ("train", "dev"):
        raise MasdError(f"--set {set}: the evidence study reads train and dev alone")
    corpus = load_corpus()["attacks"].items()
    tags = {attack["tag"]: name for name, attack in corpus if "tag" in attack}
    items = [item for item in read_protocol(protocol) if item.set == set][::every]
    wanted = {(item.utt, attack): item.speaker for item in items for attack in ("-", *item.attacks)}
    sources, known = {item.utt: item.speaker for item in items}, load_rows(reuse) if reuse else {}
    rows: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for path in data:
        folder = read_folder(path)
        for utt in folder.utts:
            attack, source = folder.attack(utt), folder.source(utt)
            key = source, tags.get(attack, attack)
            if key in rows or not (key in wanted or (source in sources and attack.startswith("wide_"))):
                continue
            rows[key] = known.get(key, {})
            if missing := [name for name in families or FAMILIES if name not in rows[key]]:
                rows[key] |= describe(load_utterance(folder, utt), missing)
            if len(rows) % 100 == 0:
                log.info("%d of %d utterances", len(rows), len(wanted))
    if not rows:
        raise MasdError(f"none of the protocol's {set} utterances is in {', '.join(map(str, data))}")
    keys = sorted(rows)
    with atomic(out) as tmp:
        np.savez(
            tmp,
            source=np.array([source for source, _ in keys]),
            attack=np.array([attack for _, attack in keys]),
            speaker=np.array([sources[source] for source, _ in keys]),
            **{name: np.stack([rows[key][name] for key in keys]) for name in rows[keys[0]]},
        )
    log.info("%s: %d utterances", out, len(keys))


def load_rows(path: Path) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """Return {(source, attack): {family: (D,)}} of a file that was written here."""
    with np.load(path) as data:
        known = {name: data[name] for name in data.files}
    names = [name for name in known if name not in ("source", "attack", "speaker")]
    keys = zip(known["source"].tolist(), known["attack"].tolist(), strict=True)
    return {key: {name: known[name][k] for name in names} for k, key in enumerate(keys)}


if __name__ == "__main__":
    run(evidence_features, file=True)
