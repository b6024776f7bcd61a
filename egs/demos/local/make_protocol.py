"""Make conf/protocol.tsv: which set a clip is in, and which fold tests it (conf/protocol.yaml says how).

Every repository, family, speaker and copied recording belongs to one set; a clip is in a set if all that it
has is there, and in none otherwise. What belongs where is searched for: from a random start, repositories and
families move one at a time to where the sets gain most, speakers and recordings follow the majority of their
clips. Folds are made in the same way of the clips that share nothing with eval.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from clips import CONF, Clip, apart, fold_sets, keys_of, load_clips

from masd.cli import run
from masd.stage.files import read_yaml, write_text
from masd.stage.seeding import generator

log = logging.getLogger("make_protocol")
SETS = ("train", "dev", "eval")


def make_protocol(plan: Path = CONF / "protocol.yaml", out: Path = CONF / "protocol.tsv") -> None:
    """Write the protocol, and say how many clips are where.

    Args:
        plan: seed, restarts, number of folds, what is in train in any case, and what counts how much.
        out: the protocol.
    """
    rules, clips = read_yaml(plan), load_clips()
    fixed = {(kind, name): 0 for kind, names in rules["train"].items() for name in names}
    place = search(clips, [rules["weights"][name] for name in SETS], fixed, rules, "sets")
    sets = {clip.clip: SETS[at] if at >= 0 else "unused" for clip, at in zip(clips, place, strict=True)}
    pool = apart(clips, keys_of(clip for clip in clips if sets[clip.clip] == "eval"))
    part = search(pool, [1.0] * rules["folds"], {}, rules, "folds")
    folds = dict.fromkeys(sets, "-")
    folds |= {clip.clip: str(at + 1) for clip, at in zip(pool, part, strict=True) if at >= 0}
    lines = [f"{c.clip}\t{sets[c.clip]}\t{folds[c.clip]}" for c in clips]
    write_text(out, "\n".join(["clip\tset\tfold", *lines, ""]))
    for name in (*SETS, "unused"):
        log.info("%s: %s", name, summary(clip for clip in clips if sets[clip.clip] == name))
    for fold in map(str, range(1, rules["folds"] + 1)):
        train, test = fold_sets(clips, sets, folds, fold)
        log.info("fold %s: tests %s; trains on %s", fold, summary(test), summary(train))


def summary(clips: Any) -> str:
    """Return how many clips of which kind there are, and of how many repositories, families and speakers."""
    clips = list(clips)
    kinds = Counter(clip.kind for clip in clips if clip.label == "spoof")
    counts = Counter(kind for kind, _ in keys_of(clips))
    real = sum(clip.label == "bonafide" for clip in clips)
    return (
        f"{real} bona fide, {len(clips) - real} spoof "
        f"({', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}), "
        f"{counts['repo']} repositories, {counts['family']} families, {counts['speaker']} known speakers"
    )


@dataclasses.dataclass(frozen=True)
class Problem:
    """The clips as numbers.

    Attributes:
        keys: all keys, those that are moved (repositories, families) first.
        moved: how many these are.
        of: (N, K) which keys a clip has, padded with the number of keys.
        spoof: (N,) whether it is spoofed.
        columns: {quantity: (N,) its value}, of what counts by how many values a set has; -1 for none.
        kind: (N,) number of its kind; -1 for recordings.
    """

    keys: list[tuple[str, str]]
    moved: int
    of: np.ndarray
    spoof: np.ndarray
    columns: dict[str, np.ndarray]
    kind: np.ndarray


def state(clips: Sequence[Clip]) -> Problem:
    """Return the clips as numbers."""
    keys = sorted(keys_of(clips), key=lambda key: (key[0] not in ("repo", "family"), key))
    number = {key: at for at, key in enumerate(keys)}
    width = max(len(clip.keys) for clip in clips)
    rows = [sorted(number[key] for key in clip.keys) for clip in clips]
    kinds = sorted({clip.kind for clip in clips if clip.label == "spoof"})
    return Problem(
        keys=keys,
        moved=sum(kind in ("repo", "family") for kind, _ in keys),
        of=np.array([row + [len(keys)] * (width - len(row)) for row in rows]),
        spoof=np.array([clip.label == "spoof" for clip in clips]),
        columns={
            name: np.array([number.get((name, getattr(clip, name)), -1) for clip in clips])
            for name in ("family", "repo")
        },
        kind=np.array([kinds.index(clip.kind) if clip.kind in kinds else -1 for clip in clips]),
    )


def search(
    clips: Sequence[Clip], weights: Sequence[float], fixed: dict[tuple[str, str], int], plan: dict, name: str
) -> np.ndarray:
    """Return (N,) the part each clip is in, -1 for none: the best of several local searches.

    Args:
        clips: N clips.
        weights: of each part.
        fixed: {key: the part it is in whatever comes out}.
        plan: seed, restarts and what counts how much.
        name: of the random streams.
    """
    problem, best = state(clips), (-np.inf, np.empty(0))
    for start in range(plan["restarts"]):
        rng = generator(plan["seed"], "protocol", name, start)
        at = rng.integers(len(weights), size=len(problem.keys) + 1)
        held = {number: fixed[key] for number, key in enumerate(problem.keys) if key in fixed}
        at[list(held)] = list(held.values())
        value, found = climb(problem, at, held, weights, plan["value"], rng)
        best = max(best, (value, found), key=lambda pair: pair[0])
    return best[1]


def climb(
    problem: Problem, at: np.ndarray, held: Collection[int], weights: Sequence[float], value: dict, rng: Any
) -> tuple[float, np.ndarray]:
    """Move repositories and families one at a time while that raises the worth; return it and the parts."""
    parts, top = len(weights), -np.inf
    while True:
        before = top
        for key in rng.permutation([k for k in range(problem.moved) if k not in held]).tolist():
            home, worths = at[key], []
            for part in range(parts):
                at[key] = part
                worths.append(worth(problem, settle(problem, at, held, parts), weights, value))
            at[key] = int(np.argmax(worths)) if max(worths) > top + 1e-9 else home
            top = max(top, *worths)
        if top <= before + 1e-9:
            return top, settle(problem, at, held, parts)


def settle(problem: Problem, at: np.ndarray, held: Collection[int], parts: int) -> np.ndarray:
    """Return (N,) the part of each clip, -1 for none; speakers and recordings go with most of their clips."""
    free, end = problem.of >= problem.moved, len(problem.keys)
    first = at[problem.of[:, :1]]
    agreed = ((at[problem.of] == first) | free).all(axis=1)
    votes = np.zeros((end + 1, parts))
    rows, columns = np.nonzero(free & agreed[:, None])
    np.add.at(votes, (problem.of[rows, columns], first[rows, 0]), 1)
    choice = votes.argmax(axis=1)
    for key in held:
        choice[key] = at[key]
    choice[: problem.moved] = at[: problem.moved]
    whole = ((choice[problem.of] == first) | (problem.of == end)).all(axis=1)
    return np.where(whole, first[:, 0], -1)


def worth(problem: Problem, part: np.ndarray, weights: Sequence[float], value: dict[str, float]) -> float:
    """Return the weighted sum of the logarithms of what each part has."""
    total = 0.0
    for number, weight in enumerate(weights):
        inside = part == number
        fake = inside & problem.spoof
        counts = {"spoof": fake.sum(), "bonafide": inside.sum() - fake.sum()}
        for name, column in problem.columns.items():
            counts[name] = np.count_nonzero(np.bincount(column[fake], minlength=1) >= 3)
        kinds = np.bincount(problem.kind[fake], minlength=problem.kind.max() + 1)
        logs = {name: np.log2(1 + count) for name, count in counts.items()}
        logs["kind"] = np.log2(1 + kinds).sum()
        total += weight * sum(value[name] * logs[name] for name in value)
    return float(total)


if __name__ == "__main__":
    run(make_protocol, output="")
