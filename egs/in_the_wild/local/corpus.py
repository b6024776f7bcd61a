"""Stages 0 and 1 of In-the-Wild: its meta.csv and a listing of the recordings, which are not opened."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import Command, run_commands
from masd.data.corpus import Findings, complete, evaluation_only, find_root, list_audio, write_sets
from masd.data.keys import file_key
from masd.stage.files import read_yaml

log = logging.getLogger(__name__)

CORPUS = "In-the-Wild"
LAYOUT = "DIR/release_in_the_wild/meta.csv and DIR/release_in_the_wild/*.wav"


def locate(corpus: str = "", zero_shot: bool = True) -> None:
    """Say where the corpus is, or that it is not there; it has no training part."""
    evaluation_only(CORPUS, zero_shot)
    log.info("%s: %s", CORPUS, find_root(corpus, ["meta.csv"], CORPUS, LAYOUT, "--corpus"))


def prepare(
    corpus: str,
    part: Path,
    out: Path,
    zero_shot: bool = True,
    published: Path = Path("conf/published.yaml"),
    strict: bool = True,
) -> None:
    """Write `<out>/eval` and `<out>/breakdown`.

    Args:
        corpus: folder with meta.csv and the recordings.
        part: conf/corpus_<size>.yaml, how much of the corpus is taken.
        out: data/<size>.
        zero_shot: must be true, for the corpus has no training part.
        published: the published counts.
        strict: stop where the corpus is not as published; else go on with what there is.

    Raises:
        MasdError: a part is not where it should be, damaged, or (strict) not as published.
    """
    evaluation_only(CORPUS, zero_shot)
    root, findings = find_root(corpus, ["meta.csv"], CORPUS, LAYOUT, "--corpus"), Findings(CORPUS, strict)
    key = file_key(root / "meta.csv").rename(lambda name: Path(name).stem)
    key.tables["speaker"] = key.tables["spk"]
    audio = list_audio(root, (".wav",))
    key = complete(findings, "meta.csv", key, audio, root, read_yaml(published))
    findings.settle()
    write_sets(out, {"eval": key}, audio, read_yaml(part), "speaker")


if __name__ == "__main__":
    run_commands((Command(locate, output=""), Command(prepare, output="")))
