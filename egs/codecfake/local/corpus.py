"""Stages 0 and 1 of Codecfake: its label files and a listing of the audio, which is not opened."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from masd.cli import Command, run_commands
from masd.data.corpus import Findings, complete, find_root, list_audio, read_rows, unique, write_sets
from masd.data.keys import Key
from masd.data.sheets import label_of
from masd.errors import MasdError
from masd.stage.files import read_yaml

log = logging.getLogger(__name__)

CORPUS = "Codecfake"
LAYOUT = (
    "DIR/label/*.txt and DIR/test/C1/*.wav (or DIR/C1/*.wav) to C7, and A1 to A3; for training also "
    "DIR/train/*.wav and DIR/dev/*.wav"
)
FORM = "F01_SSB13650058.wav fake 1"
TRAINING = ("train", "dev")
CODECS = tuple(f"C{number}" for number in range(1, 8))
ALMS = ("A1", "A2", "A3")
# an utterance's name: what made it, and the recording it says again
FAKE = re.compile(r"(?:F\d\d|L\d)_(.+)")
SPEAKER = re.compile(r"(?:SSB\d{4}|[ps]\d+(?=_))")


def locate(corpus: str = "", zero_shot: bool = True) -> None:
    """Say where labels and audio are, or which is missing."""
    root, folders = find(corpus, zero_shot)
    log.info("%s: %s with %s", CORPUS, root, ", ".join(folders))


def find(corpus: str, zero_shot: bool) -> tuple[Path, dict[str, Path]]:
    """Return the folder that holds the labels, and those of the audio by part of the corpus.

    Raises:
        MasdError: nothing was given, there are no labels, no test condition or, for training, no such set.
    """
    root = find_root(corpus, ["label"], CORPUS, LAYOUT, "--corpus")
    folders = {} if zero_shot else {name: root / name for name in TRAINING}
    for name in (*CODECS, *ALMS):
        place = next((place for place in (root / "test" / name, root / name) if place.is_dir()), None)
        if place:
            folders[name] = place
    missing = [place for place in folders.values() if not place.is_dir()]
    if not folders.keys() & {*CODECS, *ALMS}:
        missing = [root / "test" / CODECS[0]]
    if missing:
        raise MasdError(f"--corpus {corpus}: no {missing[0]}; {CORPUS} looks like {LAYOUT}")
    return root, folders


def prepare(
    corpus: str,
    part: Path,
    out: Path,
    zero_shot: bool = True,
    published: Path = Path("conf/published.yaml"),
    strict: bool = True,
) -> None:
    """Write `<out>/eval`, the test conditions with each bona fide recording once, for training
    `<out>/{train,dev,pretrain,pretrain_dev}` too, and `<out>/breakdown`.

    Args:
        corpus: folder with label and the audio.
        part: conf/corpus_<size>.yaml, how much of the corpus is taken, and which test conditions.
        out: data/<size>.
        zero_shot: whether the test conditions are all that is wanted.
        published: the published counts.
        strict: stop where the corpus is not as published; else go on with what there is.

    Raises:
        MasdError: a part is not where it should be, damaged, or (strict) not as published.
    """
    (root, folders), findings = find(corpus, zero_shot), Findings(CORPUS, strict)
    amount, counts = read_yaml(part), read_yaml(published)
    sets: dict[str, Key] = {}
    audio: dict[str, str] = {}
    for name in [*([] if zero_shot else TRAINING), *amount["conditions"]]:
        folder = folders.get(name)
        if folder is None:
            findings.add(f"--corpus {corpus}: condition {name} is not there")
            continue
        there = list_audio(folder, (".wav",))
        labels = read_labels(root / "label" / f"{name}.txt", name)
        key = complete(findings, name, labels, there, folder, counts.get(name, {}))
        audio = there | audio  # what several conditions have is the same bona fide recording
        sets.setdefault(name if name in TRAINING else "eval", Key(CORPUS, {}, {}, {})).extend(key)
    findings.settle()
    write_sets(out, sets, audio, amount, "language,attack*language")


def read_labels(path: Path, name: str) -> Key:
    """Return the key of a label file; what made a fake is F01 to F07, or the condition of a language model.

    Raises:
        MasdError: the file is missing, malformed or lists a recording twice.
    """
    rows = [(os.path.splitext(file)[0], label, kind) for file, label, kind in read_rows(path, (3,), FORM)]
    unique(path, (utt for utt, _, _ in rows))
    label: dict[str, str] = {}
    for number, (utt, word, _) in enumerate(rows, 1):
        found = label_of(word)
        if found is None:
            raise MasdError(f"{path}:{number}: label {word}, neither real nor fake as in '{FORM}'")
        label[utt] = found
    made = {utt: name if name in ALMS else f"F{kind.zfill(2)}" for utt, _, kind in rows}
    attack = {utt: "-" if label[utt] == "bonafide" else made[utt] for utt in label}
    source = {utt: (FAKE.fullmatch(utt) or [utt, utt])[1] for utt in label}
    speaker = {utt: found[0] for utt in label if (found := SPEAKER.match(source[utt]))}
    language = dict.fromkeys(label, "none")  # the sounds of A3
    language |= {utt: "zh" if spk.startswith("SSB") else "en" for utt, spk in speaker.items()}
    return Key(str(path), label, attack, {"spk": speaker, "source": source, "language": language})


if __name__ == "__main__":
    run_commands((Command(locate, output=""), Command(prepare, output="")))
