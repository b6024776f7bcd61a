"""Stages 3, 5, 6 and 7 on a toy corpus as functions: what faults are tried on, in seconds."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np

from masd.audio import write_wav
from masd.bin.evaluate import evaluate
from masd.bin.score import score
from masd.bin.train import train
from masd.data.folder import write_folder
from masd.feats.config import FeatsConfig
from masd.feats.dump import dump_shard, finish_dump
from masd.stage.files import read_yaml
from masd.systems.score import ScoreShards

SETS = ("train", "dev", "eval")
JOBS = 2


def lay_out(root: Path) -> None:
    """Write data folders of noise: 8 utterances a set, bona fide speech of another colour than spoofed."""
    for number, name in enumerate(SETS):
        utts = [f"{name}{k}" for k in range(8)]
        wav = {utt: root / "wav" / f"{utt}.wav" for utt in utts}
        label = {utt: "spoof" if k % 2 else "bonafide" for k, utt in enumerate(utts)}
        for k, utt in enumerate(utts):
            x = np.random.default_rng([number, k]).normal(size=12000)
            write_wav(wav[utt], 0.1 * (np.diff(x) if k % 2 else x).astype(np.float32), 16000)
        write_folder(
            root / "data" / name,
            wav=wav,
            utt2spk={utt: f"{name}_s{k // 4}" for k, utt in enumerate(utts)},
            utt2lab=label,
            utt2attack={utt: "A01" if label[utt] == "spoof" else "-" for utt in utts},
        )


def dump(root: Path, name: str, fmt: str = "ark") -> None:
    """Stage 3 of a set."""
    for job in range(1, JOBS + 1):
        dump_shard(root / "data" / name, root / "dump" / name, FeatsConfig(), fmt, job=job, num_jobs=JOBS)
    finish_dump(root / "dump" / name, JOBS)


def fit(root: Path) -> None:
    """Stage 5: handcrafted features."""
    of = {f"{name}_{what}": root / what / name for name in ("train", "dev") for what in ("data", "dump")}
    train("handcrafted", out=root / "exp", **of)


def scores(root: Path) -> None:
    """Stage 6 of the evaluation set."""
    out = root / "exp" / "scores"
    for job in range(1, JOBS + 1):
        score(
            out,
            root / "data" / "eval",
            root / "exp" / "model",
            dump=root / "dump" / "eval",
            job=job,
            num_jobs=JOBS,
        )
    ScoreShards(out).finish(JOBS, 0.0)


def stages(root: Path, fmt: str = "ark") -> None:
    """All of it."""
    for name in SETS:
        dump(root, name, fmt)
    fit(root)
    scores(root)
    evaluate(
        root / "exp" / "scores" / "scores", root / "exp" / "results", root / "data" / "eval", bootstrap=10
    )


# what says how long it took, or when
_TIMES = {"seconds", "cost", "outputs", "sum", "run", "real_time_factor", "commit", "timing"}


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {key: _timeless(part) for key, part in value.items() if key not in _TIMES}
    return [_timeless(part) for part in value] if isinstance(value, list) else value


def results(root: Path) -> dict[str, str]:
    """Return {file: digest of all of it but the times} of what stages have made below a folder."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        passed = path.suffix in {".log", ".jsonl", ".md", ".html", ".pyc"} or "tfevents" in name
        passed = passed or re.fullmatch(r"\..+\.tmp\d+-\S+", path.name)  # of a kill; nothing reads it
        if not path.is_file() or passed or "/.fresh/" in name or "/.jobs/" in name or "/log/" in name:
            continue
        content = path.read_bytes()
        if path.suffix in {".json", ".yaml"}:
            value = json.loads(content) if path.suffix == ".json" else read_yaml(path)
            content = json.dumps(_timeless(value), sort_keys=True).encode()
        found[name] = hashlib.sha256(content).hexdigest()
    return found
