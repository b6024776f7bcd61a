"""Keys of trials: a data folder, or the key file of a challenge as it is released."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from masd.data.folder import LABELS
from masd.data.tables import read_table
from masd.errors import MasdError
from masd.files import read_lines

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
REAL = ("bonafide", "bona-fide", "none", "real")  # what keys call the attack of bona fide speech, beside `-`
HEADER = {
    "filename": "utt",
    "trial": "utt",
    "trial_anon": "utt",
    "utt": "utt",
    "cm-label": "label",
    "cm_label": "label",
    "label": "label",
    "key": "label",
    "spk": "spk",
    "speaker": "spk",
    "tar_spk_anon": "spk",
    "attack": "attack",
    "attack_anon": "attack",
    "attack_label": "attack",
}


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
    """Return the key in a file: a challenge's protocol or metadata, or `<utt> <label> [<attack>]` lines.

    Known by the number of columns: ASVspoof 2019 LA (5), ASVspoof 2021 LA and DF (8 and 13), ASVspoof 5
    (10, or 6 in its first release), plain (2, 3); or by a header line that names `filename` and `cm-label`
    (the evaluation package of ASVspoof 5).

    Raises:
        MasdError: Windows line ends, a form not known, a line of another length, a trial listed twice, or
            a label that is neither bonafide nor spoof; the line is named.
    """
    path = Path(path)
    lines = read_lines(path)
    if not lines:
        raise MasdError(f"{path}: empty")
    columns = _header(lines[0].split()) or FORMS.get(len(lines[0].split()))
    if columns is None:
        raise MasdError(
            f"{path}:1: {len(lines[0].split())} columns without a header are no key known here; give the "
            "challenge's protocol or trial_metadata, or `<utt> <label> <attack>` lines"
        )
    first = 2 if _header(lines[0].split()) else 1
    rows = _rows(path, lines[first - 1 :], columns, first)
    if len(columns) == 8 and next(iter(rows)).startswith("DF_"):
        columns = (*columns[:3], "source", *columns[4:])
    table = {name: {utt: row[i] for utt, row in rows.items()} for i, name in enumerate(columns)}
    for name in ("-", "utt"):
        table.pop(name, None)
    label, attack = table.pop("label"), table.pop("attack", {})
    return _checked(Key(str(path), label, attack, table))


def _header(words: Sequence[str]) -> tuple[str, ...] | None:
    """Return the columns a header line names, None where the line is no header."""
    columns = tuple(HEADER.get(word.lower(), word.lower()) for word in words)
    return columns if {"utt", "label"} <= set(columns) and not set(words) & set(LABELS) else None


def _rows(path: Path, lines: Sequence[str], columns: Sequence[str], first: int) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    at = columns.index("utt")
    for number, line in enumerate(lines, start=first):
        fields = line.split()
        if len(fields) != len(columns):
            raise MasdError(f"{path}:{number}: {len(fields)} columns, {len(columns)} in the first line")
        if fields[at] in rows:
            raise MasdError(f"{path}:{number}: trial {fields[at]} is listed twice")
        rows[fields[at]] = fields
    if not rows:
        raise MasdError(f"{path}: a header and no trials")
    return rows


def _checked(key: Key) -> Key:
    for utt, label in key.label.items():
        if label not in LABELS:
            raise MasdError(f"{key.name}: trial {utt} has label {label}; it must be bonafide or spoof")
        attack = key.attack.get(utt, "-")
        if attack != "-" and (label == "bonafide") != (attack.lower() in REAL):
            raise MasdError(
                f"{key.name}: trial {utt} is labelled {label} and has attack {attack}; is the key reversed?"
            )
    named = {utt: attack for utt, attack in key.attack.items() if attack != "-"}
    key.attack = {
        utt: "-" if label == "bonafide" else named.get(utt, "spoof") for utt, label in key.label.items()
    }
    return key
