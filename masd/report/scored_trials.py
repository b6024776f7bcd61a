"""Scores joined to their key: labels, attacks, speakers and source recordings of the trials."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from masd.data.keys import Key, file_key, folder_key
from masd.data.sheets import read_text_of
from masd.errors import MasdError
from masd.stage.files import read_text, write_lines
from masd.systems.score_files import read_joined

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


def read_key(data: str | Path | Key, trials: str | Path | None = None) -> Key:
    """Return the key of a data folder (or the key given), cut down to a list `<utt> <label> <attack>`.

    Raises:
        MasdError: a label is neither bonafide nor spoof, a trial is listed twice, or list and folder
            disagree about a trial; the trial is named.
    """
    key = data if isinstance(data, Key) else folder_key(data)
    if trials is None:
        return key
    listed = file_key(trials)
    for utt, label in listed.label.items():
        mine, theirs = (label, listed.attack[utt]), (key.label.get(utt), key.attack.get(utt))
        if utt in key.label and mine != theirs:
            raise MasdError(
                f"{trials}: trial {utt} is {' '.join(mine)}, but {' '.join(map(str, theirs))} in {key.name}"
            )
    return Key(str(trials), listed.label, listed.attack, key.tables)


def read_excused(paths: Iterable[str | Path]) -> set[str]:
    """Return the ids in the first column of lists of failed utterances."""
    return {line.split()[0] for path in paths for line in read_text_of(path).splitlines() if line.strip()}


def load_trials(
    scores: str | Path,
    data: str | Path | Key,
    trials: str | Path | None = None,
    excused: Collection[str] = (),
    seen: Collection[str] = (),
    apart: Collection[str] = (),
    others: Collection[str] = (),
    polarity: str = "bonafide",
) -> Trials:
    """Join a score file to its key (see `masd.systems.score_files.read_joined`).

    Args:
        scores: score file.
        data: data folder with utt2lab, and where there are utt2attack, utt2spk, utt2source; or a key.
        trials: the trial list; all of the key without one.
        excused: trials that may be without a score.
        seen: attacks known from training; if any are given, all others count as unseen.
        apart: attacks kept out of every pooled figure.
        others: ids whose scores are passed over (trials of other subsets).
        polarity: the class whose scores are higher in the file.

    Raises:
        MasdError: missing or extra scores, an attack named that does not occur, one class absent, or a
            label in the score file that contradicts the key's.
    """
    key = read_key(data, trials)
    utts, values = read_joined(scores, key, others, excused, polarity)
    labels = {key.label[utt] for utt in utts}
    if len(labels) < 2:
        raise MasdError(f"{key.name}: all scored trials are {labels.pop()}; nothing can be evaluated")
    for name in apart:
        if name not in key.attack.values():
            raise MasdError(f"--apart names attack {name}, which has no trial in {key.name}")

    def pool(attack: str) -> str:
        if attack in apart:
            return "apart"
        return "spoof" if not seen else "seen" if attack in seen else "unseen"

    return _trials(key, utts, values, pool)


def _trials(key: Key, utts: list[str], values: np.ndarray, pool: Callable[[str], str]) -> Trials:
    """Return the joined trials; `pool` says of an attack which pool its trials are of."""
    speakers, sources = (key.tables.get(name, {}) for name in ("spk", "source"))
    fake = [key.label[utt] == "spoof" for utt in utts]
    attack = [key.attack[utt] for utt in utts]
    return Trials(
        utts=np.array(utts),
        scores=values,
        fake=np.array(fake),
        attack=np.array(attack),
        speaker=np.array([speakers.get(utt, "") for utt in utts]),
        source=np.array([sources.get(utt, utt) for utt in utts]),
        pool=np.array([pool(a) if f else "bonafide" for f, a in zip(fake, attack, strict=True)]),
    )


def join_apart(
    trials: Trials,
    scores: str | Path,
    data: str | Path | Key,
    listed: str | Path | None = None,
    excused: Collection[str] = (),
    polarity: str = "bonafide",
) -> Trials:
    """Return the trials with the spoofed ones of another score file added, all of them reported apart.

    For spoofs that no bona fide speech in the set pairs with (text-to-speech voices). `listed` is the trial
    list of the second set; all else is as `load_trials` has it.

    Raises:
        MasdError: missing or extra scores, a bona fide trial among them, or an id that both sets have.
    """
    key = read_key(data, listed)
    utts, values = read_joined(scores, key, excused=excused, polarity=polarity)
    for utt in utts:
        if key.label[utt] != "spoof":
            raise MasdError(
                f"{key.name}: trial {utt} is bona fide; a set reported apart holds spoofed speech only"
            )
    both = sorted(set(utts) & set(trials.utts.tolist()))
    if both:
        raise MasdError(f"{scores}: trial {both[0]} is in the other score file too; ids must be unique")
    added = _trials(key, utts, values, lambda attack: "apart")
    columns = (np.concatenate([getattr(trials, n), getattr(added, n)]) for n in Trials.__dataclass_fields__)
    merged = Trials(*columns)
    return merged.take(np.argsort(merged.utts))


def attack_names(data: str | Path | Key, trials: Trials) -> dict[str, str]:
    """Return {attack: vocoder} of the attacks that utt2vocoder gives one vocoder, for tables to read."""
    table = read_key(data).tables.get("vocoder", {})
    names = {
        a: {table.get(utt, "") for utt in trials.utts[trials.attack == a].tolist()} for a in trials.attacks
    }
    known = {attack: found - {""} for attack, found in names.items()}
    return {attack: found.pop() for attack, found in known.items() if len(found) == 1}


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
