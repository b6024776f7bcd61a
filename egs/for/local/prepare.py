"""Stage 1 of FoR (Fake-or-Real): its own sets, from a listing of the audio, which is not opened."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from locate import CORPUS, LAYOUT, find

from masd.audio import audio_files
from masd.cli import run
from masd.data.corpus import Findings, check_counts, choose_each, id_of, write_prepared
from masd.errors import MasdError
from masd.stage.files import read_yaml, write_changed

log = logging.getLogger(__name__)

SETS = {"train": "training", "dev": "validation", "eval": "testing"}
CLASSES = {"real": "bonafide", "fake": "spoof"}
SUFFIXES = (".wav", ".mp3", ".flac", ".ogg")


class Item(NamedTuple):
    """An utterance; `source` is what its name begins with, which its other versions share.

    FoR does not say who speaks. `speaker` is the folder, so that nothing is grouped by unknown voices.
    """

    utt: str
    path: str
    speaker: str
    version: str
    label: str
    source: str


def prepare(
    corpus: str,
    part: Path,
    out: Path,
    versions: str = "",
    zero_shot: bool = True,
    published: Path = Path("conf/published.yaml"),
    strict: bool = True,
) -> None:
    """Write `<out>/eval`, and for training `<out>/{train,dev,pretrain,pretrain_dev}`: the corpus's own sets.

    Also writes `<out>/breakdown`, what stage 7 breaks results down by.

    Args:
        corpus: folder with one or more versions, or a version itself.
        part: conf/corpus_<size>.yaml, how much of the corpus is taken.
        out: data/<size>.
        versions: which, separated by blanks or commas; all that are there but for-original by default.
        zero_shot: whether the test set is all that is wanted.
        published: the published counts.
        strict: stop where the corpus is not as published; else go on with what there is.

    Raises:
        MasdError: a version is not where it should be, or (strict) not complete.
    """
    findings, amount, counts = Findings(CORPUS, strict), read_yaml(part), read_yaml(published)
    sets: dict[str, list[Item]] = {name: [] for name in SETS if name == "eval" or not zero_shot}
    for version, home in find(corpus, versions).items():
        for name, items in sets.items():
            folder = SETS[name]
            items += read_set(version, home, folder, counts.get(version, {}).get(folder, {}), findings)
    findings.settle()
    for name, items in sets.items():
        if amount["per_class"]:
            items = choose_each(
                items, lambda item: (item.version, item.label), amount["per_class"], amount["seed"], name
            )
        write_set(out / name, items)
        if name != "eval":
            real = [item for item in items if item.label == "bonafide"]
            write_set(out / ("pretrain" if name == "train" else "pretrain_dev"), real)
    write_changed(out / "breakdown", "version,codec\n")


def read_set(
    version: str, home: Path, part: str, published: dict[str, int], findings: Findings
) -> list[Item]:
    """Return the utterances of one version and set; empty files are left out and said to be.

    Raises:
        MasdError: a folder is missing.
    """
    items = []
    counts = {}
    for folder, label in CLASSES.items():
        path = home / part / folder
        files = list_with_sizes(path)
        counts[folder] = len(files)
        empty = [name for name, size in files.items() if size == 0]
        if empty:
            log.warning("%s: %d empty files are left out, the first %s", path, len(empty), empty[0])
        if len(empty) == len(files):
            findings.add(f"{path}: no audio in it; a copy of {CORPUS} with an empty folder is in circulation")
        ids: dict[str, str] = {}
        for name in sorted(files.keys() - set(empty)):
            key = id_of(name)  # some names have blanks
            if key in ids:
                raise MasdError(f"{path}/{name}: its id {key} is taken by '{ids[key]}'; rename one of them")
            ids[key] = name
            source = f"{part}-{folder}-{key.partition('.')[0]}"
            source = f"{version}-{source}" if version == "for-rerec" else source
            speaker = f"{version}-{part}-{folder}"
            items.append(Item(f"{speaker}-{key}", f"{path}/{name}", speaker, version, label, source))
    check_counts(findings, f"{version}/{part}", counts, published)
    return items


def list_with_sizes(path: Path) -> dict[str, int]:
    """Return the size in bytes of each audio file directly in a folder, by name.

    Raises:
        MasdError: no such folder.
    """
    try:
        return {file.name: file.stat().st_size for file in audio_files(path, SUFFIXES, deep=False)}
    except MasdError as error:
        raise MasdError(f"{error}; {CORPUS} looks like {LAYOUT}") from None


def write_set(path: Path, items: list[Item]) -> None:
    """Write a data folder."""
    if not items:
        raise MasdError(f"{path}: no utterance is left for it; --corpus has none")
    spoof = {i.utt: i.label == "spoof" for i in items}
    write_prepared(
        path,
        {i.utt: i.path for i in items},
        {i.utt: i.speaker for i in items},
        utt2lab={i.utt: i.label for i in items},
        utt2attack={utt: "tts" if fake else "-" for utt, fake in spoof.items()},
        utt2version={i.utt: i.version for i in items},
        utt2codec={i.utt: i.path.rpartition(".")[2].lower() for i in items},
        utt2source={i.utt: i.source for i in items},
    )
    counts = Counter(spoof.values())
    log.info("%s: %d bona fide, %d spoof", path, counts[False], counts[True])


if __name__ == "__main__":
    run(prepare, output="")
