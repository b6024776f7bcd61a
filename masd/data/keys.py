"""Keys of trials: a data folder, or the key file of a challenge as it is released."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from masd.data.folder import LABELS
from masd.data.sheets import (
    IS_FAKE,
    IS_REAL,
    LABEL,
    SPK,
    UTT,
    Form,
    could_be_label,
    label_of,
    named_columns,
    no_label,
    read_sheet,
    spelling,
)
from masd.errors import MasdError
from masd.stage.tables import read_table

log = logging.getLogger(__name__)

# columns of headerless keys, by the number of columns; `-` is a column that is not used
FORMS: Mapping[int, tuple[str, ...]] = {
    2: ("utt", "label"),
    3: ("utt", "label", "attack"),
    # ASVspoof 2019 LA, cm_protocols
    5: ("spk", "utt", "-", "attack", "label"),
    # ASVspoof 5, first release of the protocols
    6: ("spk", "utt", "gender", "codec", "attack", "label"),
    # ASVspoof 2021 LA, and DF in its first release (whose third and fourth column are codec and source)
    8: ("spk", "utt", "codec", "transmission", "attack", "label", "trim", "subset"),
    # ASVspoof 5
    10: ("spk", "utt", "gender", "codec", "codec_q", "codec_seed", "attack_tag", "attack", "label", "-"),
    # ASVspoof 2021 DF
    13: (
        *("spk", "utt", "codec", "source", "attack", "label", "trim", "subset"),
        *("vocoder", "task", "team", "gender_pair", "language"),
    ),
}
MISSING = ("-", "", "na", "nan")  # an attack or speaker that is not named
ROLES = {
    "utt": UTT,
    "label": LABEL,
    "is_fake": IS_FAKE,
    "is_real": IS_REAL,
    "spk": SPK,
    "attack": ("attack", "attackid", "attackanon", "attacklabel", "attacktype"),
}
LABELLED = ("label", "is_fake", "is_real")
MLAAD = {"path", "modelname", "architecture"}  # its meta.csv has no label: all of it is fake
EXPECTED = (
    "no key known here; give the challenge's protocol or trial_metadata, `<utt> <label> [<attack>]` lines, "
    "or CSV with a header that names file and label"
)


@dataclass
class Key:
    """What is known of N trials; every table is {utterance: value}.

    Attributes:
        name: where it comes from, for messages.
        label: `bonafide` or `spoof`.
        attack: attack id, `-` for bona fide.
        tables: further conditions by name: `spk`, `source`, `codec`, `subset`, ...
    """

    name: str
    label: dict[str, str]
    attack: dict[str, str]
    tables: dict[str, dict[str, str]] = field(default_factory=dict)

    def take(self, utts: Iterable[str]) -> Key:
        """Return the key of some of the trials."""
        kept = list(utts)
        tables = {
            name: {utt: table[utt] for utt in kept if utt in table} for name, table in self.tables.items()
        }
        return Key(self.name, {u: self.label[u] for u in kept}, {u: self.attack[u] for u in kept}, tables)

    def rename(self, new: Callable[[str], str]) -> Key:
        """Return the key with other ids.

        Raises:
            MasdError: two trials would have the same one.
        """
        ids: dict[str, str] = {}
        for utt in self.label:
            first = ids.setdefault(new(utt), utt)
            if first != utt:
                raise MasdError(f"{self.name}: {first} and {utt} would both be {new(utt)}; rename one")

        def renamed(table: dict[str, str]) -> dict[str, str]:
            return {name: table[utt] for name, utt in ids.items() if utt in table}

        tables = {name: renamed(table) for name, table in self.tables.items()}
        return Key(self.name, renamed(self.label), renamed(self.attack), tables)

    def extend(self, more: Key) -> None:
        """Add the trials of another key; of a trial in both, what the other says."""
        self.label |= more.label
        self.attack |= more.attack
        for name, table in more.tables.items():
            self.tables.setdefault(name, {}).update(table)

    def subset(self, name: str) -> Key:
        """Return the trials of one subset (`eval` of ASVspoof 2021).

        Raises:
            MasdError: the key names no subsets, or not this one.
        """
        table = self.tables.get("subset")
        if table is None:
            raise MasdError(f"{self.name}: names no subsets; leave out --subset {name}")
        kept = [utt for utt in self.label if table.get(utt) == name]
        if not kept:
            present = ", ".join(sorted(set(table.values())))
            raise MasdError(f"{self.name}: has no subset {name}; there are {present}")
        return self.take(kept)

    def condition(self, name: str) -> dict[str, str]:
        """Return {utterance: value} of one condition; `attack` is one.

        Raises:
            MasdError: the key has no such condition; those it has are named.
        """
        known = {"attack": self.attack, **self.tables}
        if name not in known:
            raise MasdError(f"{self.name}: knows no condition {name}; there are {', '.join(sorted(known))}")
        return known[name]


def key_tables(folder: Path) -> list[Path]:
    """Return the tables of a data folder that a key is made of: utt2<name> but for utt2dur, sorted."""
    found = sorted(folder.glob("utt2*"))
    return [p for p in found if re.fullmatch(r"utt2\w+", p.name) and p.is_file() and p.name != "utt2dur"]


def folder_key(data: str | Path) -> Key:
    """Return the key of a data folder: utt2lab, utt2attack, utt2spk and every other utt2<name>.

    Raises:
        MasdError: there is no utt2lab, a list is malformed, or a label is neither bonafide nor spoof.
    """
    folder = Path(data)
    label = read_table(folder / "utt2lab")
    tables = {p.name[4:]: read_table(p) for p in key_tables(folder)}
    del tables["lab"]
    return _checked(Key(f"{folder}/utt2lab", label, tables.pop("attack", {}), tables))


def file_key(path: str | Path) -> Key:
    """Return the key in a file: a challenge's protocol or metadata, `<utt> <label> [<attack>]` lines, or a
    table with a header.

    Without a header known by the number of columns: ASVspoof 2019 LA (5), ASVspoof 2021 LA and DF (8 and 13),
    ASVspoof 5 (10, or 6 in its first release), plain (2, 3). With one, by the columns' names: the evaluation
    package of ASVspoof 5, In-the-Wild, MLAAD, Speech DF Arena, AntiDeepfake (see `masd.data.sheets`).

    Raises:
        MasdError: a form not known, a line of another length, a trial listed twice, or a label that says
            neither bona fide nor fake; the line is named.
    """
    path = Path(path)
    columns, lines = read_sheet(path, _form, EXPECTED)
    if "pfake" in map(spelling, columns):
        raise MasdError(f"{path}: holds a detector's verdicts, no key: its labels are not what is true")
    rows: dict[str, list[str]] = {}
    label: dict[str, str] = {}
    at, labelled = columns.index("utt"), next((name for name in LABELLED if name in columns), None)
    if labelled is None:
        log.info("%s: no labels, as in MLAAD, which holds fakes alone: all are taken as spoof", path)
    for number, fields in lines:
        utt, word = fields[at], fields[columns.index(labelled)] if labelled else "spoof"
        found = label_of(word, labelled or "label")
        if utt in rows:
            raise MasdError(f"{path}:{number}: trial {utt} is listed twice")
        if not utt or found is None:
            raise MasdError(
                f"{path}:{number}: " + (f"trial {utt} {no_label(word)}" if utt else "no trial id")
            )
        rows[utt], label[utt] = fields, found
    if not rows:
        raise MasdError(f"{path}: a header and no trials")
    if len(columns) == 8 and next(iter(rows)).startswith("DF_"):
        columns = (*columns[:3], "source", *columns[4:])
    table = {name: {utt: row[i] for utt, row in rows.items()} for i, name in enumerate(columns)}
    for name in ("-", "", "utt", *LABELLED):
        table.pop(name, None)
    if "spk" in table:
        table["spk"] = {utt: spk for utt, spk in table["spk"].items() if spk.lower() not in MISSING}
    return _checked(Key(str(path), label, table.pop("attack", {}), table))


def _form(fields: Sequence[str]) -> Form | None:
    """Return the form of a key that a first line of these fields has."""
    columns = named_columns(fields, ROLES)
    if "utt" in columns and any(name in columns for name in LABELLED):
        if not any(map(label_of, fields)):
            return Form(columns, header=True)
    elif set(map(spelling, fields)) >= MLAAD:
        return Form(named_columns(fields, ROLES | {"attack": ("modelname",)}), header=True)
    known = FORMS.get(len(fields))
    if known is None or not could_be_label(fields[known.index("label")]):
        return None
    return Form(known, header=False)


def _checked(key: Key) -> Key:
    for utt, label in key.label.items():
        if label not in LABELS:
            raise MasdError(f"{key.name}: trial {utt} has label {label}; it must be bonafide or spoof")
        attack = key.attack.get(utt, "-")
        real = attack.lower() == "none" or label_of(attack) == "bonafide"
        if attack.lower() not in MISSING and (label == "bonafide") != real:
            raise MasdError(
                f"{key.name}: trial {utt} is labelled {label} and has attack {attack}; is the key reversed?"
            )
    named = {utt: attack for utt, attack in key.attack.items() if attack.lower() not in MISSING}
    key.attack = {
        utt: "-" if label == "bonafide" else named.get(utt, "spoof") for utt, label in key.label.items()
    }
    return key
