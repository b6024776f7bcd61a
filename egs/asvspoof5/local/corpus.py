"""Stages 0 and 1 of ASVspoof 5, track 1: its protocols and a listing of the audio, which is not opened."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import Command, run_commands
from masd.data.corpus import Findings, complete, list_audio, write_sets
from masd.data.keys import file_key
from masd.errors import MasdError
from masd.stage.files import read_yaml

log = logging.getLogger(__name__)

CORPUS = "ASVspoof 5"
PROTOCOLS = {
    "train": "ASVspoof5.train.tsv",
    "dev": "ASVspoof5.dev.track_1.tsv",
    "eval": "ASVspoof5.eval.track_1.tsv",
}
AUDIO = {"train": "flac_T", "dev": "flac_D", "eval": "flac_E_eval"}
LAYOUT = (
    f"DIR/{PROTOCOLS['eval']} and DIR/{AUDIO['eval']}/*.flac, for training also {AUDIO['train']} and "
    f"{AUDIO['dev']} with {PROTOCOLS['train']} and {PROTOCOLS['dev']}, each in DIR or one folder deeper"
)


def locate(corpus: str = "", zero_shot: bool = True) -> None:
    """Say where protocols and audio are, or which is missing."""
    for name in wanted(zero_shot):
        log.info("%s, %s: %s, %s", CORPUS, name, *find(corpus, name))


def wanted(zero_shot: bool) -> list[str]:
    """Return the sets that are taken."""
    return [name for name in PROTOCOLS if name == "eval" or not zero_shot]


def find(corpus: str, name: str) -> tuple[Path, list[Path]]:
    """Return the protocol of a set and the folders of its audio, one for each archive if they lie apart.

    Raises:
        MasdError: nothing was given, or one of the two is not there.
    """
    if not corpus:
        raise MasdError(f"no --corpus given: it says where {CORPUS} is ({LAYOUT})")
    protocols, folders = ([*Path(corpus).glob(p), *sorted(Path(corpus).glob(f"*/{p}"))] for p in parts(name))
    for part, found in zip(parts(name), (protocols, folders), strict=True):
        if not found:
            raise MasdError(f"--corpus {corpus}: no {Path(corpus) / part}; {CORPUS} looks like {LAYOUT}")
    return protocols[0], folders


def parts(name: str) -> tuple[str, str]:
    """Return the name of a set's protocol and of the folders of its audio."""
    return PROTOCOLS[name], AUDIO[name]


def prepare(
    corpus: str,
    part: Path,
    out: Path,
    zero_shot: bool = True,
    published: Path = Path("conf/published.yaml"),
    strict: bool = True,
) -> None:
    """Write `<out>/eval`, for training `<out>/{train,dev,pretrain,pretrain_dev}` too, and `<out>/breakdown`.

    Args:
        corpus: folder with the protocols and the audio.
        part: conf/corpus_<size>.yaml, how much of the corpus is taken.
        out: data/<size>.
        zero_shot: whether the evaluation set is all that is wanted.
        published: the published counts.
        strict: stop where the corpus is not as published; else go on with what there is.

    Raises:
        MasdError: a part is not where it should be, damaged, or (strict) not as published.
    """
    findings, counts = Findings(CORPUS, strict), read_yaml(published)
    sets, audio = {}, {}
    for name in wanted(zero_shot):
        protocol, folders = find(corpus, name)
        key = file_key(protocol)
        codec = key.tables["codec"]
        key.tables["codec"] = {utt: "none" if codec[utt] == "-" else codec[utt] for utt in codec}
        for folder in folders:
            audio |= list_audio(folder, (".flac",))
        sets[name] = complete(findings, name, key, audio, ", ".join(map(str, folders)), counts[name])
    findings.settle()
    write_sets(out, sets, audio, read_yaml(part), "codec,gender")


if __name__ == "__main__":
    run_commands((Command(locate, output=""), Command(prepare, output="")))
