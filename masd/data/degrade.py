"""Degraded copies of a set's utterances."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from masd.audio import write_wav
from masd.audio.augment import AugmentConfig, augment
from masd.data.corpus import write_prepared
from masd.data.folder import DataFolder, read_folder
from masd.data.transform import keep_apart
from masd.data.utterance import load_utterance
from masd.errors import Failures, MasdError
from masd.stage.files import digest
from masd.stage.seeding import generator

RATE = 16000
PEAK = 0.9


def degraded_set(
    data: Path,
    out: Path,
    wav_dir: Path,
    versions: int,
    config: AugmentConfig,
    seed: int,
    num_jobs: int,
    max_fail: float,
    tag: str = "v",
) -> DataFolder:
    """Write `out`, `versions` degraded copies of each utterance of `data`; see masd.bin.data degrade.

    Audio that is there is not made again; another configuration or seed has another folder below `wav_dir`.

    Raises:
        MasdError: too many recordings cannot be used, or `out` is `data`.
    """
    keep_apart(out, [data])
    folder = read_folder(data)
    wavs = wav_dir.resolve() / digest(config, seed)[:8]
    copies = [(utt, k) for utt in folder.utts for k in range(1, versions + 1)]
    of = {f"{utt}-{tag}{k}": (utt, k) for utt, k in copies}
    with ProcessPoolExecutor(num_jobs) as executor:
        work = partial(_copy, folder=folder, of=of, wavs=wavs, config=config, seed=seed)
        problems = dict(zip(of, executor.map(work, of, chunksize=16), strict=True))
    failures = Failures("utterance", max_fail)
    for name, problem in problems.items():
        if problem:
            failures.add(name, problem)
    failures.check(len(of), folder.path)
    made = {name: of[name][0] for name, problem in problems.items() if not problem}
    tables = {
        name: {copy: table[utt] for copy, utt in made.items() if utt in table}
        for name, table in folder.tables.items()
    }
    files = {copy: wavs / f"{copy}.flac" for copy in made}
    write_prepared(out, files, {copy: folder.spk(utt) for copy, utt in made.items()}, **tables)
    return read_folder(out)


def _copy(
    name: str,
    folder: DataFolder,
    of: dict[str, tuple[str, int]],
    wavs: Path,
    config: AugmentConfig,
    seed: int,
) -> str:
    """Write one copy, unless it is there; return what was wrong."""
    path, (utt, k) = wavs / f"{name}.flac", of[name]
    if path.is_file():
        return ""
    try:
        x = load_utterance(folder, utt, RATE)
        y = augment(peaked(x), config, generator(seed, "degrade", f"{utt}-v{k}"), RATE)
        write_wav(path, peaked(y), RATE)
    except MasdError as error:
        return str(error)
    return ""


def peaked(x: np.ndarray) -> np.ndarray:
    """Return x (N,) scaled to a peak of `PEAK`, float32."""
    return (x * (PEAK / max(float(np.abs(x).max(initial=0.0)), 1e-9))).astype(np.float32)
