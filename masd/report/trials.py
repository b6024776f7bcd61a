"""The trials of one evaluation: scores joined to labels, attacks, speakers and source recordings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from masd.data.folder import LABELS
from masd.data.tables import read_table
from masd.errors import MasdError
from masd.files import read_text, write_lines
from masd.metrics.scores import join, read_scores

COLUMNS = ("utt", "label", "attack", "speaker", "source", "pool", "score")


@dataclass
class Trials:
    """N scored trials sorted by id; every array is (N,).

    Attributes:
        utts: ids.
        scores: higher is more bona fide.
        fake: true for spoofed.
        attack: attack id, `-` for bona fide.
        speaker: speaker id, empty where the corpus names none.
        source: id of the source recording; copies of one recording share it.
        pool: `bonafide`, `seen`, `unseen`, `spoof` (not known whether seen) or `apart`.
    """

    utts: np.ndarray
    scores: np.ndarray
    fake: np.ndarray
    attack: np.ndarray
    speaker: np.ndarray
    source: np.ndarray
    pool: np.ndarray

    def take(self, rows: np.ndarray) -> Trials:
        """Return the trials at `rows` (indices or a mask)."""
        return Trials(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def against_all_bonafide(self, spoofed: np.ndarray) -> Trials:
        """Return the spoofed trials of a mask (N,) together with all bona fide ones."""
        return self.take(~self.fake | (spoofed & self.fake))

    @property
    def pooled(self) -> Trials:
        """All trials but those of attacks reported apart."""
        return self.take(self.pool != "apart")

    @property
    def attacks(self) -> list[str]:
        """The attacks present, sorted."""
        return sorted(set(self.attack[self.fake].tolist()))


def read_key(data: str | Path, trials: str | Path | None = None) -> dict[str, tuple[str, str]]:
    """Return {utt: (label, attack)} of a data folder, or of a list of `<utt> <label> <attack>` lines.

    Raises:
        MasdError: a label is neither bonafide nor spoof, a trial is listed twice, or list and folder
            disagree about a trial; the trial is named.
    """
    labels = read_table(Path(data) / "utt2lab")
    attacks = _table(data, "utt2attack")
    folder = {utt: (lab, attacks.get(utt, "spoof" if lab == "spoof" else "-")) for utt, lab in labels.items()}
    key = folder if trials is None else _read_list(Path(trials))
    where = trials or f"{data}/utt2lab"
    for utt, (label, attack) in key.items():
        if label not in LABELS:
            raise MasdError(f"{where}: trial {utt} has label {label}; it must be bonafide or spoof")
        if folder.get(utt, (label, attack)) != (label, attack):
            raise MasdError(
                f"{where}: trial {utt} is {label} {attack}, but {' '.join(folder[utt])} in {data}"
            )
    return key


def _read_list(path: Path) -> dict[str, tuple[str, str]]:
    key: dict[str, tuple[str, str]] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        fields = line.split()
        if len(fields) != 3:
            raise MasdError(
                f"{path}:{number}: expected `<utt> <label> <attack>`, found {len(fields)} columns"
            )
        if fields[0] in key:
            raise MasdError(f"{path}:{number}: trial {fields[0]} is listed twice")
        key[fields[0]] = (fields[1], fields[2])
    return key


def _table(data: str | Path, name: str) -> dict[str, str]:
    path = Path(data) / name
    return read_table(path) if path.is_file() else {}


def read_excused(paths: Iterable[str | Path]) -> set[str]:
    """Return the ids in the first column of lists of failed utterances."""
    return {line.split()[0] for path in paths for line in read_text(path).splitlines() if line.strip()}


def load_trials(
    scores: str | Path,
    data: str | Path,
    trials: str | Path | None = None,
    excused: Collection[str] = (),
    seen: Collection[str] = (),
    apart: Collection[str] = (),
) -> Trials:
    """Join a score file to its key.

    Args:
        scores: score file.
        data: data folder with utt2lab, and where there are utt2attack, utt2spk, utt2source.
        trials: the trial list; all of utt2lab without one.
        excused: trials that may be without a score.
        seen: attacks known from training; if any are given, all others count as unseen.
        apart: attacks kept out of every pooled figure.

    Raises:
        MasdError: missing or extra scores, an attack named that does not occur, or one class absent.
    """
    key = read_key(data, trials)
    utts, values = join(read_scores(scores), key, excused, where=scores)
    attack = np.array([key[utt][1] for utt in utts])
    fake = np.array([key[utt][0] == "spoof" for utt in utts])
    if fake.all() or not fake.any():
        raise MasdError(f"{data}: all scored trials are {LABELS[int(fake.all())]}; nothing can be evaluated")
    present = {label_attack[1] for label_attack in key.values()}
    for name in apart:
        if name not in present:
            raise MasdError(f"--apart names attack {name}, which has no trial in {trials or data}")
    return Trials(
        utts=np.array(utts),
        scores=values,
        fake=fake,
        attack=attack,
        speaker=_column(_table(data, "utt2spk"), utts, ""),
        source=_column(_table(data, "utt2source"), utts, None),
        pool=np.array([_pool(f, a, seen, apart) for f, a in zip(fake, attack, strict=True)]),
    )


def join_apart(
    trials: Trials,
    scores: str | Path,
    data: str | Path,
    listed: str | Path | None = None,
    excused: Collection[str] = (),
) -> Trials:
    """Return the trials with the spoofed ones of another score file added, all of them reported apart.

    For spoofs that no bona fide speech in the set pairs with (text-to-speech voices).

    Args:
        trials: the joined trials so far.
        scores: score file of the second set.
        data: its data folder.
        listed: its trial list; all of utt2lab without one.
        excused: trials that may be without a score.

    Raises:
        MasdError: missing or extra scores, a bona fide trial among them, or an id that both sets have.
    """
    key = read_key(data, listed)
    utts, values = join(read_scores(scores), key, excused, where=scores)
    for utt in utts:
        if key[utt][0] != "spoof":
            raise MasdError(
                f"{data}: trial {utt} is bona fide; a set reported apart holds spoofed speech only"
            )
    both = sorted(set(utts) & set(trials.utts.tolist()))
    if both:
        raise MasdError(f"{scores}: trial {both[0]} is in the other score file too; ids must be unique")
    added = Trials(
        utts=np.array(utts),
        scores=values,
        fake=np.ones(len(utts), dtype=bool),
        attack=np.array([key[utt][1] for utt in utts]),
        speaker=_column(_table(data, "utt2spk"), utts, ""),
        source=_column(_table(data, "utt2source"), utts, None),
        pool=np.full(len(utts), "apart"),
    )
    columns = (np.concatenate([getattr(trials, n), getattr(added, n)]) for n in Trials.__dataclass_fields__)
    merged = Trials(*columns)
    return merged.take(np.argsort(merged.utts))


def attack_names(data: str | Path, trials: Trials) -> dict[str, str]:
    """Return {attack: vocoder} of the attacks that utt2vocoder gives one vocoder, for tables to read."""
    vocoder = _column(_table(data, "utt2vocoder"), trials.utts.tolist(), "")
    names = {a: set(vocoder[trials.attack == a].tolist()) - {""} for a in trials.attacks}
    return {a: v.pop() for a, v in names.items() if len(v) == 1}


def _column(table: Mapping[str, str], utts: list[str], default: str | None) -> np.ndarray:
    return np.array([table.get(utt, utt if default is None else default) for utt in utts])


def _pool(fake: bool, attack: str, seen: Collection[str], apart: Collection[str]) -> str:
    if not fake:
        return "bonafide"
    if attack in apart:
        return "apart"
    if not seen:
        return "spoof"
    return "seen" if attack in seen else "unseen"


def write_trials(path: str | Path, trials: Trials) -> None:
    """Write the joined trials as tab-separated values with a header line."""
    labels = np.where(trials.fake, "spoof", "bonafide")
    columns = [trials.utts, labels, trials.attack, trials.speaker, trials.source, trials.pool]
    rows = zip(*(c.tolist() for c in columns), map(repr, trials.scores.tolist()), strict=True)
    write_lines(path, ["\t".join(COLUMNS), *("\t".join(row) for row in rows)])


def read_trials(path: str | Path) -> Trials:
    """Return what `write_trials` wrote.

    Raises:
        MasdError: the file is missing or has another header.
    """
    lines = read_text(path).splitlines()
    if not lines or tuple(lines[0].split("\t")) != COLUMNS:
        raise MasdError(f"{path}: not a table of trials; run the evaluate entry point again")
    columns = list(zip(*(line.split("\t") for line in lines[1:]), strict=True))
    utt, label, attack, speaker, source, pool, score = (np.array(column) for column in columns)
    return Trials(utt, score.astype(np.float64), label == "spoof", attack, speaker, source, pool)
