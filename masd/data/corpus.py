"""What the preparation of a published corpus shares: finding it, reading its protocol, checking its counts.

A corpus that is not as published is reported line by line (`Findings`); one line stops a strict run.
Nothing here opens an audio file: folders are listed, and durations come later (`masd.bin.data utt2dur`).
Protocols are read and folders listed on every call, for a folder may have been filled since; what comes of it
is written where it differs from what is there.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from masd.audio.walk import audio_paths
from masd.data.folder import write_folder
from masd.data.keys import Key
from masd.errors import MasdError
from masd.stage.files import read_lines, write_changed
from masd.stage.seeding import generator
from masd.stage.tables import scan_table

log = logging.getLogger(__name__)

T = TypeVar("T")
SHOWN = 3  # how many missing files a line names
PRETRAIN = {"train": "pretrain", "dev": "pretrain_dev"}


class Findings:
    """What is not as the corpus was published: an error when strict, else lines of the log.

    Args:
        corpus: its name, for messages.
        strict: whether `settle` raises.
    """

    def __init__(self, corpus: str, strict: bool = True) -> None:
        self.corpus = corpus
        self.strict = strict
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        """Record one thing that is not as published."""
        self.lines.append(line)

    def settle(self) -> None:
        """Log every line; if strict and there is one, raise `MasdError` with the first."""
        for line in self.lines:
            log.warning("%s", line)
        if self.lines and self.strict:
            more = f" (and {len(self.lines) - 1} more, in the log)" if len(self.lines) > 1 else ""
            raise MasdError(
                f"{self.lines[0]}{more}; {self.corpus} is not complete here: mend it, "
                "or go on with what there is by --strict false"
            )
        self.lines = []


def find_root(given: str | Path, parts: Sequence[str], corpus: str, layout: str, option: str) -> Path:
    """Return the folder that holds all `parts`: the one given, one in it, or one of the two above it.

    Args:
        given: what the user said.
        parts: paths inside the folder that is looked for.
        corpus: its name, for messages.
        layout: what it should look like, for messages.
        option: the option it was given by, for messages.

    Raises:
        MasdError: nothing was given, no such folder, or parts are missing; the line names what was looked
            for and where, in the folder that has most of it.
    """
    if not str(given) or str(given) == ".":
        raise MasdError(f"no {option} given: it says where {corpus} is ({layout})")
    given = Path(given)
    if not given.is_dir():
        what = "is a file; unpack it first" if given.is_file() else "no such folder"
        raise MasdError(f"{option} {given}: {what}; {corpus} looks like {layout}")
    inside = sorted(path for path in given.iterdir() if path.is_dir())
    candidates = [given, *inside, *list(given.absolute().parents)[:2]]
    found = {path: [part for part in parts if (path / part).exists()] for path in candidates}
    best = max(candidates, key=lambda path: len(found[path]))
    missing = [part for part in parts if part not in found[best]]
    if not found[best]:
        raise MasdError(
            f"{option} {given}: neither {parts[0]} nor anything else of {corpus} is in it; "
            f"it looks like {layout}"
        )
    if missing:
        raise MasdError(
            f"{option} {given}: no {best / missing[0]}, though {found[best][0]} is there: a part is missing "
            f"or its folder was renamed; {corpus} looks like {layout}"
        )
    return best


def read_rows(path: str | Path, columns: Collection[int], form: str) -> list[list[str]]:
    """Return the fields of each line of a protocol, parted by blanks; empty lines are errors too.

    A line may have as many fields as one of `columns`, and looks like `form`, which messages show.

    Raises:
        MasdError: the file is missing, empty, not UTF-8, has Windows line ends, was cut short, or a line has
            another number of fields; the message names file and line.
    """
    if not Path(path).is_file():
        raise MasdError(f"{path}: no such file; its lines look like '{form}'")
    rows = [line.split() for line in read_lines(path)]
    if not rows:
        raise MasdError(f"{path}: empty; its lines look like '{form}'")
    for number, row in enumerate(rows, 1):
        if len(row) not in columns:
            wanted = " or ".join(map(str, sorted(columns)))
            raise MasdError(f"{path}:{number}: {len(row)} columns, not {wanted} as in '{form}'")
    return rows


def unique(path: str | Path, ids: Iterable[str]) -> None:
    """Raise `MasdError` that names the first id which stands twice in a protocol."""
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            raise MasdError(f"{path}: '{one}' stands there twice; take the corpus's own file again")
        seen.add(one)


def list_audio(folder: str | Path, suffixes: Collection[str]) -> dict[str, str]:
    """Return name without suffix to path of the audio files directly in a folder.

    Only the listing is read (`masd.audio.walk.audio_paths`): a million entries take seconds. Suffixes are in
    lower case, with their dot.

    Raises:
        MasdError: no such folder, or two files of one name with different suffixes.
    """
    found: dict[str, str] = {}
    for path in audio_paths(folder, suffixes, deep=False):
        stem = os.path.splitext(os.path.basename(path))[0]
        if stem in found:
            raise MasdError(f"{path}: {found[stem]} is there too; keep one of them")
        found[stem] = path
    return found


def id_of(name: str) -> str:
    """Return a file's name as an utterance id may be: without white space, each run of it one `_`."""
    return "_".join(name.split())


def write_sets(
    out: Path, sets: Mapping[str, Key], audio: Mapping[str, str], amount: Mapping[str, Any], breakdown: str
) -> None:
    """Write `<out>/<set>` of each set, the bona fide part of train and dev as `<out>/pretrain` and
    `<out>/pretrain_dev`, and `<out>/breakdown`, what stage 7 breaks results down by.

    Trials whose speaker the key does not name have one a set and class, so that nothing is grouped by
    unknown voices.

    Args:
        out: data/<size>.
        sets: set to its trials.
        audio: trial to path.
        amount: conf/corpus_<size>.yaml: `each`, how many trials of each class and value of the conditions
            `by` are taken, 0 for all; `seed`, of that choice.
        breakdown: conditions of the keys, as `evaluate --breakdown` takes them.

    Raises:
        MasdError: nothing is left for a set, or a key has no such condition.
    """
    conditions = re.findall(r"\w+", breakdown)
    for name, key in sets.items():
        if amount["each"]:
            by = [key.condition(condition) for condition in amount["by"]]

            def group(utt: str, tables: list[dict[str, str]] = by, key: Key = key) -> tuple[str, ...]:
                return key.label[utt], *(table.get(utt, "-") for table in tables)

            key = key.take(choose_each(key.label, group, amount["each"], amount["seed"], name))
        _write_key(out / name, key, audio, conditions)
        if name in PRETRAIN:
            real = key.take(utt for utt, label in key.label.items() if label == "bonafide")
            _write_key(out / PRETRAIN[name], real, audio, conditions)
    write_changed(out / "breakdown", f"{breakdown}\n")


def _write_key(path: Path, key: Key, audio: Mapping[str, str], conditions: Iterable[str]) -> None:
    if not key.label:
        raise MasdError(f"{path}: no trial is left for it, of {key.name}")
    named = key.tables.get("spk", {})
    speaker = {utt: id_of(named.get(utt) or f"{path.name}-{label}") for utt, label in key.label.items()}
    tables = {"attack": key.attack, **{name: key.condition(name) for name in conditions}}
    tables |= {name: key.tables[name] for name in ("source", "fake") if name in key.tables}
    words = {
        f"utt2{name}": {utt: id_of(table.get(utt, "")) or "-" for utt in key.label}
        for name, table in tables.items()
    }
    write_prepared(path, {utt: audio[utt] for utt in key.label}, speaker, utt2lab=key.label, **words)
    counts = Counter(key.label.values())
    log.info("%s: %d bona fide, %d spoof", path, counts["bonafide"], counts["spoof"])


def write_prepared(
    path: str | Path,
    wav: Mapping[str, str | Path],
    utt2spk: Mapping[str, str],
    **tables: Mapping[str, object],
) -> None:
    """Write the data folder of a set, as `write_folder` does, and leave it alone if its lists are these.

    Its utt2dur, which is made later, stays while the recordings are the same.
    """
    listed, durations = (scan_table(Path(path) / name) for name in ("wav.scp", "utt2dur"))
    same = listed.table == {name: str(file) for name, file in wav.items()}
    if same and not listed.problems and not durations.problems:
        tables["utt2dur"] = durations.table
    write_folder(path, wav, utt2spk, **tables)


def check_counts(
    findings: Findings, name: str, counts: Mapping[str, int], published: Mapping[str, int]
) -> None:
    """Record each figure of a set (`{"bonafide": 2580, "speakers": 20}`) that is not the published one."""
    for what, number in published.items():
        if counts.get(what, 0) != number:
            findings.add(f"{name}: {counts.get(what, 0)} {what}, published are {number}")


def check_present(
    findings: Findings, name: str, wanted: Iterable[str], have: Collection[str], where: str | Path
) -> list[str]:
    """Return the ids of a protocol that have audio, in their order, and record how many have none, and which.

    Raises:
        MasdError: none has.
    """
    wanted = list(wanted)
    present = [utt for utt in wanted if utt in have]
    missing = [utt for utt in wanted if utt not in have]
    if missing:
        shown = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        line = f"{name}: {len(missing)} of {len(wanted)} files of the protocol are not in {where} ({shown})"
        if not present:
            raise MasdError(f"{line}; unpack that part of the corpus there")
        findings.add(line)
    return present


def complete(
    findings: Findings,
    name: str,
    key: Key,
    audio: Collection[str],
    where: str | Path,
    published: Mapping[str, int],
) -> Key:
    """Return the trials of a key that have audio; counts that are not the published ones, and what is
    missing, are recorded (see `check_counts` and `check_present`; `trials` counts both classes)."""
    counts = Counter(key.label.values())
    check_counts(findings, name, {**counts, "trials": counts.total()}, published)
    return key.take(check_present(findings, name, key.label, audio, where))


def evaluation_only(corpus: str, zero_shot: bool) -> None:
    """Raise `MasdError` where a system is to be trained on a corpus that has no training part."""
    if not zero_shot:
        raise MasdError(
            f"--zero-shot false: {corpus} is an evaluation set and has no training part; train on ASVspoof "
            "2019 LA (egs/asvspoof2019_la) and give that model by --model"
        )


def choose_each(
    items: Iterable[T], group: Callable[[T], Hashable], count: int, seed: int, name: str
) -> list[T]:
    """Return at most `count` items of each group, in their order; a group's choice depends on no other's.

    Args:
        items: what to choose from.
        group: what groups an item (its attack, its speaker).
        count: how many of each group.
        seed: of the choice.
        name: what is chosen (`train`), so that sets are chosen independently.
    """
    groups: dict[Hashable, list[int]] = {}
    items = list(items)
    for index, item in enumerate(items):
        groups.setdefault(group(item), []).append(index)
    kept: list[int] = []
    for key, indices in groups.items():
        order = generator(seed, "choose", name, str(key)).permutation(len(indices))[:count]
        kept += [indices[i] for i in order]
    return [items[i] for i in sorted(kept)]
