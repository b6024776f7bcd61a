"""Stage 1 of ASVspoof 2021 DF: data folders from the keys and a listing of the audio, which is not opened."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from locate import CORPUS, INSIDE, PARTS, find

from masd.cli import run
from masd.data.corpus import (
    Findings,
    check_counts,
    check_present,
    choose_each,
    list_audio,
    read_rows,
    unique,
    write_prepared,
)
from masd.data.folder import LABELS
from masd.errors import MasdError
from masd.stage.files import read_yaml, write_changed

log = logging.getLogger(__name__)

ROW = "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -"
SUBSETS = ("eval", "progress", "hidden")


class Trial(NamedTuple):
    """What the keys say of a trial; `vocoder` is empty in the release without that column."""

    utt: str
    speaker: str
    codec: str
    corpus: str
    attack: str
    label: str
    subset: str
    vocoder: str


def prepare(
    corpus: str,
    part: Path,
    out: Path,
    zero_shot: bool = True,
    published: Path = Path("conf/published.yaml"),
    strict: bool = True,
) -> None:
    """Write `<out>/{eval,progress,hidden}`, the parts of the keys; EER is reported on eval.

    Also writes `<out>/breakdown`, what stage 7 breaks results down by.

    Args:
        corpus: folder with the audio and the keys.
        part: conf/corpus_<size>.yaml, how much of the corpus is taken.
        out: data/<size>.
        zero_shot: must be true, for the corpus has no training part.
        published: the published counts.
        strict: stop where the corpus is not as published; else go on with what there is.

    Raises:
        MasdError: keys or audio are not where they should be, damaged, or (strict) not as published.
    """
    keys, folders = find(corpus, zero_shot)
    amount, findings = read_yaml(part), Findings(CORPUS, strict)
    trials = read_keys(keys)
    count(findings, trials, read_yaml(published))
    audio = list_parts(folders, findings)
    where = ", ".join(str(folder) for folder in folders)
    sets = {name: [trial for trial in trials if trial.subset == name] for name in SUBSETS}
    for name, part_of in sets.items():
        if part_of:
            have = set(check_present(findings, name, (t.utt for t in part_of), audio, where))
            sets[name] = [trial for trial in part_of if trial.utt in have]
    findings.settle()
    for name, chosen in sets.items():
        if amount["per_condition"]:
            chosen = choose_each(chosen, condition, amount["per_condition"], amount["seed"], name)
        if chosen:
            write_set(out / name, chosen, audio)
    listed = {trial.utt for trial in trials}
    log.info("%d audio files are of no trial", sum(utt not in listed for utt in audio))
    write_changed(out / "breakdown", f"{breakdown(trials)}\n")


def condition(trial: Trial) -> tuple[str, ...]:
    """Return what the tiny size takes a few trials of."""
    return trial.codec, trial.corpus, trial.vocoder, trial.label


def read_keys(path: Path) -> list[Trial]:
    """Return the trials of trial_metadata.txt, of either release: 13 columns, or 8 without vocoder types.

    Raises:
        MasdError: a line has another form, or a trial stands there twice.
    """
    trials = []
    for number, row in enumerate(read_rows(path, (8, 13), ROW), 1):
        speaker, utt, codec, source, attack, label, _, subset = row[:8]
        if label not in LABELS or subset not in SUBSETS:
            raise MasdError(f"{path}:{number}: label '{label}', subset '{subset}'; lines look like '{ROW}'")
        vocoder = row[8] if len(row) > 8 else ""
        trials.append(Trial(utt, speaker, codec, source, attack, label, subset, vocoder))
    unique(path, (trial.utt for trial in trials))
    if not trials[0].vocoder:
        log.warning("%s: the release without vocoder types; DF-keys-full.tar.gz has them", path)
    return trials


def count(findings: Findings, trials: list[Trial], published: dict[str, dict[str, int]]) -> None:
    """Compare the keys with the published counts, subset by subset."""
    found = Counter((trial.subset, trial.label) for trial in trials)
    for name, numbers in published.items():
        inside = SUBSETS if name == "all" else (name,)
        counts = {label: sum(found[s, label] for s in inside) for label in LABELS}
        check_counts(findings, f"keys, {name}", {**counts, "trials": sum(counts.values())}, numbers)


def list_parts(folders: list[Path], findings: Findings) -> dict[str, str]:
    """Return trial to path over all folders of audio, and record which of the four parts is missing.

    Raises:
        MasdError: a trial's audio is in two folders.
    """
    split = [folder for folder in folders if any(part in folder.parts for part in PARTS)]
    if split and len(split) == len(folders):
        for part in PARTS:
            if not any(part in folder.parts for folder in folders):
                findings.add(f"no {part}/{INSIDE}; the other parts are beside {folders[0]}")
    audio: dict[str, str] = {}
    for folder in folders:
        found = list_audio(folder, (".flac",))
        if not found:
            findings.add(f"{folder}: no .flac file in it")
        twice = next(iter(found.keys() & audio.keys()), None)
        if twice is not None:
            raise MasdError(f"{found[twice]}: {audio[twice]} is there too; keep the corpus in one form")
        audio |= found
    return audio


def write_set(path: Path, trials: list[Trial], audio: dict[str, str]) -> None:
    """Write the data folder of some trials."""
    tables = {
        "utt2lab": {t.utt: t.label for t in trials},
        "utt2attack": {t.utt: t.attack if t.label == "spoof" else "-" for t in trials},
        "utt2codec": {t.utt: t.codec for t in trials},
        "utt2corpus": {t.utt: t.corpus for t in trials},
        "utt2subset": {t.utt: t.subset for t in trials},
    }
    if trials[0].vocoder:
        tables["utt2vocoder"] = {t.utt: t.vocoder for t in trials}
    write_prepared(path, {t.utt: audio[t.utt] for t in trials}, {t.utt: t.speaker for t in trials}, **tables)
    counts = Counter(trial.label for trial in trials)
    log.info("%s: %d bona fide, %d spoof", path, counts["bonafide"], counts["spoof"])


def breakdown(trials: list[Trial]) -> str:
    """Return the conditions of these keys, one by one and crossed, as `evaluate --breakdown` takes them.

    The last of crossed conditions stands in the columns: the source, of which there are least.
    """
    if not trials[0].vocoder:
        return "codec,corpus,codec*corpus"
    pairs = "codec*corpus,codec*vocoder,corpus*vocoder"
    return f"codec,corpus,vocoder,{pairs},codec*vocoder*corpus"


if __name__ == "__main__":
    run(prepare, output="")
