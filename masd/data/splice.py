"""A test set of recordings that are fake in part: copies put into speech of the same speaker or page."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from masd.audio import write_wav
from masd.data.corpus import write_prepared
from masd.data.folder import LABELS, DataFolder, read_folder
from masd.data.transform import keep_apart
from masd.data.utterance import load_utterance
from masd.errors import MasdError
from masd.stage.seeding import generator

log = logging.getLogger(__name__)

RATE = 16000
LEVEL = 0.05  # RMS of each utterance that is joined, so that levels do not tell where joins are
SHORTEST = 0.01  # seconds: two fades
FADE = 80  # samples that a join takes: 5 ms


def spliced_set(
    data: Path, out: Path, wav_dir: Path, genuine: float, fake: float, by: str, versions: int, seed: int
) -> DataFolder:
    """Write `out`, pairs of recordings: one bona fide, one spoofed in part; see masd.bin.data splice.

    Raises:
        MasdError: no group has enough speech of both classes, nothing is asked for, or `out` is `data`.
    """
    if not (min(genuine, fake) >= SHORTEST and max(genuine, fake) < np.inf and versions > 0):
        asked = f"--genuine {genuine:g} --fake {fake:g} --versions {versions}"
        raise MasdError(f"{asked}: at least {SHORTEST:g} s of each, and a version")
    keep_apart(out, [data])
    folder = read_folder(data)
    group = folder.utt2spk if by == "spk" else folder.table(f"utt2{by}")
    members: dict[str, list[str]] = {}
    for utt in folder.utts:
        members.setdefault(group[utt], []).append(utt)
    sizes = round(genuine * RATE), round(fake * RATE)
    names = ("wav", "utt2spk", "utt2lab", "utt2attack", "utt2fake")
    tables: dict[str, dict[str, str]] = {name: {} for name in names}
    short = 0
    for name, utts in sorted(members.items()):
        speech: dict[str, list[np.ndarray]] = {"-": []}
        for utt in utts:
            attack = "-" if folder.lab(utt) == "bonafide" else folder.attack(utt)
            speech.setdefault(attack, []).append(_levelled(load_utterance(folder, utt, RATE)))
        real = speech.pop("-")
        for attack, copies in sorted(speech.items()):
            if _length(real) < sum(sizes) or _length(copies) < sizes[1]:
                short += 1
                continue
            for version in range(versions):
                pair, at = _pair(real, copies, sizes, generator(seed, "splice", name, attack, version))
                number = len(tables["wav"]) // 2 + 1
                span = f"{at / RATE:.3f}-{(at + sizes[1]) / RATE:.3f}"
                for label, x, of, where in zip(LABELS, pair, ("-", attack), ("-", span), strict=True):
                    path = wav_dir.resolve() / f"splice{number:04d}-{label}.flac"
                    write_wav(path, x / max(1.0, float(np.abs(x).max())), RATE)
                    row = (str(path), name, label, of, where)
                    for table, value in zip(tables.values(), row, strict=True):
                        table[path.stem] = value
    if not tables["wav"]:
        raise MasdError(
            f"{data}: no {by} has {genuine + fake:g} s of bona fide speech, and {fake:g} s of one attack; "
            "ask for less, or join --by another table"
        )
    if short:
        log.warning("%s: attacks left out, whose %s has too little speech: %d", data, by, short)
    write_prepared(out, **tables)
    return read_folder(out)


def _pair(
    real: Sequence[np.ndarray], copies: Sequence[np.ndarray], sizes: tuple[int, int], rng: np.random.Generator
) -> tuple[list[np.ndarray], int]:
    """Return a bona fide recording, the same with a stretch of copies in it, and where the stretch begins."""
    speech = _joined([real[i] for i in rng.permutation(len(real))])
    copy = _joined([copies[i] for i in rng.permutation(len(copies))])
    tick = RATE // 1000  # utt2fake has milliseconds
    at = tick * int(rng.integers(0, sizes[0] // tick + 1))
    before, after = speech[:at], speech[at : sizes[0]]
    inside = speech[sizes[0] : sum(sizes)], copy[: sizes[1]]
    return [_joined([before, part, after]) for part in inside], at


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return parts one after another, each faded in and out so that no join clicks."""
    ramp = np.linspace(0, 1, FADE, endpoint=False)
    faded = []
    for part in parts:
        if len(part) >= 2 * FADE:
            part = part.copy()
            part[:FADE] *= ramp
            part[-FADE:] *= ramp[::-1]
        faded.append(part)
    return np.concatenate(faded)


def _levelled(x: np.ndarray) -> np.ndarray:
    return x * (LEVEL / max(float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))), 1e-9))


def _length(parts: Sequence[np.ndarray]) -> int:
    return sum(map(len, parts))
