"""Stages 0 and 1 of one's own recordings: a folder with real and fake, or a CSV file that lists them."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from pathlib import Path, PurePath

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from masd.audio import audio_files
from masd.cli import Command, run_commands
from masd.data.corpus import Findings, check_present, find_root, write_sets
from masd.data.folder import LABELS
from masd.data.keys import Key, file_key
from masd.errors import MasdError
from masd.stage.files import read_yaml, write_changed
from masd.stage.seeding import generator

log = logging.getLogger(__name__)

LAYOUT = "DIR/real/[<speaker>/]*.wav and DIR/fake/<generator>/[<speaker>/]*.wav"
SHARES = {"train": 0.6, "dev": 0.2, "eval": 0.2}
SETS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "val", "valid", "validation", "development"), "dev"),
    **dict.fromkeys(("eval", "test", "testing", "evaluation"), "eval"),
}
SET_COLUMNS = ("set", "split", "subset", "partition")
MOST = 40  # values of a condition that results are broken down by


def locate(corpus: str = "", csv: str = "") -> None:
    """Say how many recordings there are, or what is wrong with them."""
    key, _ = find(corpus, csv, Findings("the corpus", strict=False))
    counts = Counter(key.attack.values())
    bonafide = counts.pop("-", 0)
    log.info("%s: %d bona fide, %d spoof by %d generators", key.name, bonafide, counts.total(), len(counts))


def prepare(
    part: Path,
    out: Path,
    corpus: str = "",
    csv: str = "",
    split: bool = False,
    unseen: str = "",
    zero_shot: bool = True,
    strict: bool = True,
) -> None:
    """Write `<out>/eval`, for training `<out>/{train,dev,pretrain,pretrain_dev}` too, `<out>/breakdown`, and
    `<out>/split`, which says how the sets came to be and where each speaker or recording is.

    Args:
        part: conf/corpus_<size>.yaml, how much of the corpus is taken.
        out: data/<size>.
        corpus: folder with real and fake, or the one that paths in the CSV file begin at.
        csv: CSV file in place of the folders.
        split: eval is a fifth of the recordings, not all; where the CSV file says, it is what it says.
        unseen: generators in eval alone, separated by blanks; of three or more a fifth is drawn.
        zero_shot: whether eval is all that is wanted.
        strict: stop where recordings are missing.

    Raises:
        MasdError: no such recordings, or they make no such sets.
    """
    findings, amount = Findings("the corpus", strict), read_yaml(part)
    key, audio = find(corpus, csv, findings)
    findings.settle()
    place, how = set_of(key, split, amount["seed"])
    hidden = generators(key, place, unseen, amount["seed"])
    sets = {
        name: key.take(
            utt
            for utt, at in place.items()
            if at == name and (name == "eval" or key.attack[utt] not in hidden)
        )
        for name in SHARES
        if name == "eval" or not zero_shot
    }
    for name, one in sets.items():
        for label in LABELS:
            if name != "eval" and label not in one.label.values():
                raise MasdError(f"{one.name}: no {label} recording is left for {name}; {how}")
    if hidden:
        how += f"; in eval alone: {', '.join(sorted(hidden))}"
    write_changed(out / "split", f"# {how}\n" + "".join(f"{utt} {at}\n" for utt, at in place.items()))
    log.info("%s", how)
    write_sets(out, sets, audio, amount, ",".join(conditions(key)))


def find(corpus: str, csv: str, findings: Findings) -> tuple[Key, dict[str, str]]:
    """Return the key of the recordings, and utterance to path."""
    key, audio = listed(Path(csv), corpus) if csv else in_folders(corpus)
    have = audio if not csv else {utt for utt, path in audio.items() if os.path.isfile(path)}
    return key.take(check_present(findings, key.name, key.label, have, corpus or Path(csv).parent)), audio


def in_folders(corpus: str) -> tuple[Key, dict[str, str]]:
    """Return the key that folders say; equal names below real and below a generator are of one source."""
    root = find_root(corpus, ["real", "fake"], "the corpus", LAYOUT, "--corpus")
    key, audio = Key(str(root), {}, {}, {"spk": {}, "source": {}, "codec": {}}), {}
    for path in audio_files(root / "real") + audio_files(root / "fake"):
        kind, *between = map(word, path.relative_to(root).parts[:-1])
        if kind == "fake" and not between:
            raise MasdError(f"{path}: whose is it? Move it to its generator's folder; wanted is {LAYOUT}")
        attack = between.pop(0) if kind == "fake" else "-"
        source = "-".join([*between, word(path.stem)])
        utt = source if kind == "real" else f"{source}-{attack}"
        if utt in audio:
            raise MasdError(f"{path}: its id {utt} is taken by {audio[utt]}; rename one, or remove it")
        audio[utt] = str(path)
        # the kind of file would give fakes away if theirs were another
        key.tables["codec"][utt] = path.suffix[1:].lower()
        key.label[utt], key.attack[utt] = "bonafide" if kind == "real" else "spoof", attack
        key.tables["source"][utt] = source
        if between:
            key.tables["spk"][utt] = "-".join(between)
    return key, audio


def listed(csv: Path, corpus: str) -> tuple[Key, dict[str, str]]:
    """Return the key in a CSV file; paths begin where it is, or at `corpus`."""
    key = file_key(csv)
    path = {utt: Path(corpus or csv.parent, at) for utt, at in key.tables.pop("path", {}).items()}
    path = {utt: path.get(utt, Path(corpus or csv.parent, utt)) for utt in key.label}
    codec = {utt: at.suffix[1:].lower() for utt, at in path.items()}
    key.tables = {name: {u: word(v) for u, v in t.items()} for name, t in key.tables.items()}
    key.tables.setdefault("codec", codec)
    key.attack = {utt: word(attack) for utt, attack in key.attack.items()}
    return key.rename(id_in), {id_in(utt): str(at) for utt, at in path.items()}


def id_in(name: str) -> str:
    """Return the id of a path or name in a CSV file."""
    return word(str(PurePath(name.removeprefix("./")).with_suffix("")).strip("/").replace("/", "-"))


def word(text: str) -> str:
    """Return a text as one word, as ids and lists of generators have them."""
    return re.sub(r"[\s,]+", "_", text.strip())


def conditions(key: Key) -> list[str]:
    """Return the tables that results are broken down by: not names, and not one value a recording."""
    names = [name for name in key.tables if name not in ("spk", "source", *SET_COLUMNS)]
    return [n for n in names if re.fullmatch(r"\w+", n) and len(set(key.tables[n].values())) <= MOST]


def set_of(key: Key, split: bool, seed: int) -> tuple[dict[str, str], str]:
    """Return utterance to set, and in words how that came to be.

    Raises:
        MasdError: a set that is named is none of train, dev and eval, or there is too little to split.
    """
    column = next((name for name in SET_COLUMNS if name in key.tables), None)
    if column:
        for utt, name in key.tables[column].items():
            if name.lower() not in SETS:
                raise MasdError(f"{key.name}: {utt} is in {column} '{name}'; known are {', '.join(SETS)}")
        return {u: SETS[n.lower()] for u, n in key.tables[column].items()}, f"sets are those of {key.name}"
    if not split:
        return dict.fromkeys(key.label, "eval"), "eval is all recordings"
    known = len(key.tables.get("spk", {})) == len(key.label)
    apart = "speaker" if known else "recording (not all speakers are named)"
    groups = together(key)
    if len(groups) < len(SHARES):
        raise MasdError(f"{key.name}: {len(groups)} of independent speakers or recordings make no three sets")
    share = np.array(list(SHARES.values()))
    filled, total = np.zeros((3, 2)), Counter(key.label.values())
    place = {}
    order = generator(seed, "split").permutation(len(groups))
    for group in sorted((groups[i] for i in order), key=len, reverse=True):
        counts = Counter(key.label[utt] for utt in group)
        part = np.array([counts[label] / max(total[label], 1) for label in LABELS])
        best = int(np.argmax((1 - filled / share[:, None]) @ part))
        filled[best] += part
        place |= dict.fromkeys(group, list(SHARES)[best])
    return {utt: place[utt] for utt in key.label}, f"sets are disjoint by {apart}, drawn with seed {seed}"


def together(key: Key) -> list[list[str]]:
    """Return groups of utterances such that no two groups have a speaker or a source recording in common."""
    nodes: dict[object, int] = {utt: number for number, utt in enumerate(key.label)}
    pairs = [
        (nodes[utt], nodes.setdefault((name, value), len(nodes)))
        for name in ("spk", "source")
        for utt, value in key.tables.get(name, {}).items()
    ]
    a, b = np.array(pairs, dtype=int).reshape(-1, 2).T
    _, group = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(len(nodes),) * 2))
    found: dict[int, list[str]] = {}
    for utt, number in zip(key.label, group.tolist(), strict=False):
        found.setdefault(number, []).append(utt)
    return list(found.values())


def generators(key: Key, place: dict[str, str], unseen: str, seed: int) -> set[str]:
    """Return the generators of eval alone; none where sets are given or eval is all there is."""
    known = sorted(set(key.attack.values()) - {"-"})
    odd = [name for name in unseen.split() if name not in known]
    if odd:
        raise MasdError(f"--unseen {odd[0]}: the generators are {', '.join(known)}")
    if unseen or set(place.values()) == {"eval"} or any(name in key.tables for name in SET_COLUMNS):
        return set(unseen.split())
    count = 0 if len(known) < 3 else max(1, len(known) // 5)
    return {known[i] for i in generator(seed, "unseen").permutation(len(known))[:count]}


if __name__ == "__main__":
    run_commands((Command(locate, output=""), Command(prepare, output="")))
