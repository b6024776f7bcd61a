"""Stages 0 and 1 of PartialSpoof: its protocols, segment labels and a listing of the audio."""

from __future__ import annotations

import itertools
import logging
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from masd.cli import Command, run_commands
from masd.data.corpus import Findings, complete, find_root, list_audio, write_sets
from masd.data.keys import Key, file_key
from masd.errors import MasdError
from masd.stage.files import read_yaml

log = logging.getLogger(__name__)

CORPUS = "PartialSpoof"
PROTOCOL = "protocols/PartialSpoof_LA_cm_protocols/PartialSpoof.LA.cm.{}.trl.txt"
SEGMENTS = "segment_labels/{}_seglab_0.01.npy"
STEP = 0.01  # seconds of a segment label, the finest there are
LAYOUT = (
    f"DIR/database/{PROTOCOL.format('eval')}, {SEGMENTS.format('eval')} and eval/con_wav/*.wav, for training "
    "also those of train and dev"
)


def locate(corpus: str = "", zero_shot: bool = True) -> None:
    """Say where the corpus is, or what of it is missing."""
    for name in wanted(zero_shot):
        log.info("%s, %s: %s", CORPUS, name, find(corpus, name))


def wanted(zero_shot: bool) -> list[str]:
    """Return the sets that are taken."""
    return ["eval"] if zero_shot else ["train", "dev", "eval"]


def find(corpus: str, name: str) -> Path:
    """Return the folder `database`; `MasdError` where nothing was given or a part of the set is not there."""
    parts = [f"{name}/con_wav", PROTOCOL.format(name), SEGMENTS.format(name)]
    return find_root(corpus, parts, CORPUS, LAYOUT, "--corpus")


def prepare(
    corpus: str,
    part: Path,
    out: Path,
    zero_shot: bool = True,
    published: Path = Path("conf/published.yaml"),
    strict: bool = True,
) -> None:
    """Write `<out>/eval`, for training `<out>/{train,dev,pretrain,pretrain_dev}` too, and `<out>/breakdown`.

    What of a recording is spoofed stands in utt2fake.

    Args:
        corpus: folder database, with protocols, segment labels and audio.
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
        root = find(corpus, name)
        key = file_key(root / PROTOCOL.format(name))
        there = list_audio(root / name / "con_wav", (".wav",))
        sets[name] = complete(findings, name, key, there, root / name / "con_wav", counts[name])
        labels = root / SEGMENTS.format(name)
        sets[name].tables["fake"] = spoofed(sets[name], read_segment_labels(labels), labels)
        audio |= there
    findings.settle()
    write_sets(out, sets, audio, read_yaml(part), "")


def spoofed(key: Key, labels: dict[str, np.ndarray], path: Path) -> dict[str, str]:
    """Return {utterance: where it is spoofed, `0.30-0.56,1.20-1.42` in seconds, `-` nowhere}.

    Raises:
        MasdError: an utterance has no labels, or they do not agree with its label as a whole.
    """
    table = {}
    for utt, label in key.label.items():
        if utt not in labels:
            raise MasdError(f"{path}: no labels of {utt}; take the corpus's own file again")
        table[utt] = spans(labels[utt] == "0")
        if (table[utt] == "-") != (label == "bonafide"):
            raise MasdError(
                f"{path}: {utt} is {label} and spoofed at {table[utt]}; 0 is spoofed, 1 bona fide: are the "
                "labels reversed?"
            )
    return table


def spans(frames: Iterable[bool]) -> str:
    """Return the stretches of true frames in seconds, `0.30-0.56,1.20-1.42`, or `-`."""
    found, start = [], 0
    for on, run in itertools.groupby(frames):
        end = start + sum(1 for _ in run)
        if on:
            found.append(f"{start * STEP:.2f}-{end * STEP:.2f}")
        start = end
    return ",".join(found) or "-"


def read_segment_labels(path: Path) -> dict[str, np.ndarray]:
    """Return {utterance: its labels (N,), "0" spoofed or "1" bona fide, each of `STEP` seconds}.

    The file is numpy's, of one pickled dictionary of arrays: nothing but arrays is made of it.

    Raises:
        MasdError: it is none, or an array has other labels.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
            read(file)
            labels = _Arrays(file).load().item()
            return {str(utt): _words(values) for utt, values in labels.items()}
    except (OSError, ValueError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        raise MasdError(
            f"{path}: no segment labels ({' '.join(str(error).split())}); take the corpus's own file again"
        ) from None


def _words(values: Any) -> np.ndarray:
    words = np.asarray(values).astype(float).astype(int).astype(str)
    if words.ndim != 1 or not np.isin(words, ("0", "1")).all():
        raise ValueError("labels that are neither 0 nor 1")
    return words


class _Arrays(pickle.Unpickler):
    """Makes numpy's arrays, and refuses all else that a pickle may ask for."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what arrays are made of."""
        if (module.replace("_core", "core"), name) in {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy.core.multiarray", "scalar"),
            ("_codecs", "encode"),
        }:
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is not run")


if __name__ == "__main__":
    run_commands((Command(locate, output=""), Command(prepare, output="")))
