"""Can cues that are no trace of synthesis tell bona fide from spoofed speech in a set?

A logistic regression on the cues of `masd.report.cues`, and each cue alone, for every attack and for all of
them: where it can, an error rate of that set may measure the cue and not the detector.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from masd.data.folder import DataFolder, read_folder
from masd.errors import Failures, MasdError
from masd.metrics.auc import auc, auc_interval
from masd.report.cues import FACTS, NUMBERS, utterance_cues
from masd.stage.files import digest, input_digest, read_json, write_json
from masd.stage.progress import Progress
from masd.stage.seeding import derive, generator

log = logging.getLogger(__name__)

VERSION = 1  # raise it when the same audio comes to give other figures
FOLDS = 5
ENOUGH = 50  # utterances of each class; with fewer the interval is too wide to judge by
IN_ALL = 10_000  # spoofed utterances that are read of a set at most, where there are many attacks
ALL = "all attacks"
BONA_FIDE = "-"
FEW = "too few to judge"


@dataclass
class Sample:
    """Utterances with their cues: `numbers` (N, F), `facts` (N, 3) and, each (N,), what is known of them."""

    numbers: np.ndarray
    facts: np.ndarray
    attack: np.ndarray
    source: np.ndarray
    speaker: np.ndarray

    @property
    def fake(self) -> np.ndarray:
        """Which are spoofed (N,)."""
        return self.attack != BONA_FIDE

    def take(self, rows: np.ndarray) -> Sample:
        """Return some of the utterances."""
        return Sample(*(getattr(self, f.name)[rows] for f in fields(self)))


def joined(samples: Sequence[Sample]) -> Sample:
    """Return several sets as one."""
    return Sample(*(np.concatenate([getattr(s, f.name) for s in samples]) for f in fields(Sample)))


def choose(folder: DataFolder, most: int, seed: int) -> dict[str, str]:
    """Return {utterance: attack, `-` for bona fide} of the drawn sample of a set.

    At most `most` of bona fide speech and of each attack (fewer of each where there are more than IN_ALL /
    most attacks), and the recordings that the chosen copies were made from. Source recordings are drawn, in
    one order for all attacks, so that copies of the same recordings are chosen of each.

    Raises:
        MasdError: the folder does not say what is spoofed.
    """
    labels, attacks = folder.table("utt2lab"), folder.tables.get("utt2attack", {})
    sources = sorted({folder.source(utt) for utt in folder.utts})
    order = generator(seed, "cues").permutation(len(sources))
    rank = dict(zip(sources, order.tolist(), strict=True))
    kinds: dict[str, list[str]] = {}
    for utt in sorted(folder.utts, key=lambda utt: (rank[folder.source(utt)], utt)):
        fake = labels[utt] == "spoof"
        kinds.setdefault(attacks.get(utt, "spoof") if fake else BONA_FIDE, []).append(utt)
    real = kinds.pop(BONA_FIDE, [])
    each = min(most, max(1, IN_ALL // max(1, len(kinds))))
    chosen = {utt: attack for attack, utts in kinds.items() for utt in utts[:each]}
    copied = {folder.source(utt) for utt in chosen}
    return chosen | {u: BONA_FIDE for i, u in enumerate(real) if i < most or folder.source(u) in copied}


def read_sample(folder: DataFolder, chosen: dict[str, str], allow_pipes: bool = False) -> Sample:
    """Return the cues of the chosen utterances; those that cannot be read are left out and named.

    Raises:
        MasdError: none can be read.
    """
    failures, kept, found = Failures("utterance", 1.0), [], []
    progress = Progress(log, len(chosen))
    for number, utt in enumerate(sorted(chosen)):
        progress(number, len(failures.reasons))
        try:
            found.append(utterance_cues(folder, utt, allow_pipes))
            kept.append(utt)
        except MasdError as error:
            failures.add(utt, error)
    if not kept:
        failures.max_share = 0.0
        failures.check(len(chosen), folder.path)
    return Sample(
        np.array([cues.numbers for cues in found]),
        np.array([cues.facts for cues in found]),
        np.array([chosen[utt] for utt in kept]),
        np.array([folder.source(utt) for utt in kept]),
        np.array([folder.spk(utt) for utt in kept]),
    )


def probe_rows(sample: Sample, name: str, bound: float, seed: int) -> list[dict[str, Any]]:
    """Return a row for all attacks of the set `name` together and, where there are several, one for each.

    From an AUC of `bound` on a cue tells the classes apart.
    """
    attacks = sorted(set(sample.attack[sample.fake].tolist()))
    rows = []
    for attack in [ALL, *(attacks if len(attacks) > 1 else [])]:
        part, by = _against_bonafide(sample, sample.fake if attack == ALL else sample.attack == attack)
        counts = {"bonafide": int((~part.fake).sum()), "spoof": int(part.fake.sum())}
        row = {"set": name, "attack": attack, **counts, "by": by}
        group = part.source if by == "source" else part.speaker
        if min(len(set(group[part.fake == kind].tolist())) for kind in (False, True)) < 2:
            continue
        row |= probe(part, group, derive(seed, "probe", name, attack))
        enough = min(counts.values()) >= ENOUGH
        rows.append(row | {"finding": _finding(row, bound, enough)})
    return rows


def _finding(row: dict[str, Any], bound: float, enough: bool) -> str:
    if row["auc"] >= bound and row["low"] > 0.5:
        return "found"
    if not enough:
        return FEW
    return "none" if row["high"] < bound else "not excluded"


def _against_bonafide(sample: Sample, spoofed: np.ndarray) -> tuple[Sample, str]:
    """Return spoofed utterances and the bona fide ones they stand against, and what groups them.

    Copies stand against the very recordings they were made from, grouped by these; where no more than one in
    ten lacks its recording, it is left out. Else they stand against all, grouped by speaker where both
    classes have as many as there are folds.
    """
    real = ~sample.fake
    copied = np.isin(sample.source, sample.source[real]) & spoofed
    if copied.sum() >= 0.9 * spoofed.sum():
        return sample.take(copied | (real & np.isin(sample.source, sample.source[copied]))), "source"
    part = sample.take(spoofed | real)
    known = min(len(set(part.speaker[part.fake == kind].tolist())) for kind in (False, True))
    return part, "speaker" if known >= FOLDS else "source"


def probe(part: Sample, group: np.ndarray, seed: int) -> dict[str, Any]:
    """Return the AUC of a cross-validated logistic regression, its 95 % interval and each single cue's AUC.

    No group is on both sides of a fold, and the interval resamples groups. A single number counts by
    whichever of its directions tells more; a fact (format, rate, channels) by a regression of its own.

    `group` (N,) is the source recording or speaker of each utterance.
    """
    facts = {name: one_hot(part.facts[:, i]) for i, name in enumerate(FACTS)}
    folds = _folds(part.fake, group, seed)
    scores = _cross_validated(np.hstack([part.numbers, *facts.values()]), part.fake, folds)
    value, low, high = auc_interval(-scores, part.fake, group, seed=seed)
    single = {}
    for name, column in zip(NUMBERS, part.numbers.T, strict=True):
        single[name] = _either_way(column, part.fake)
    for name, columns in facts.items():
        if columns.shape[1] > 1:
            single[name] = _auc(_cross_validated(columns, part.fake, folds), part.fake)
    return {"auc": value, "low": low, "high": high, "groups": len(set(group.tolist())), "single": single}


def one_hot(values: np.ndarray) -> np.ndarray:
    """Return a column (N, K) for each value there is, `unknown` being one."""
    kinds = sorted(set(values.tolist()))
    return np.array([[value == kind for kind in kinds] for value in values.tolist()], dtype=np.float64)


def _auc(scores: np.ndarray, fake: np.ndarray) -> float:
    return auc(scores[fake], scores[~fake])


def _either_way(column: np.ndarray, fake: np.ndarray) -> float:
    value = _auc(column, fake)
    return max(value, 1 - value)


def _folds(fake: np.ndarray, group: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedGroupKFold

    rarer = min(len(set(group[fake == kind].tolist())) for kind in (False, True))
    made = StratifiedGroupKFold(min(FOLDS, rarer), shuffle=True, random_state=seed % 2**32)
    return list(made.split(np.zeros((len(fake), 1)), fake, group))


def _cross_validated(
    x: np.ndarray, fake: np.ndarray, folds: Iterable[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Return the scores (N,) of a standardised logistic regression fitted on the other folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores = np.zeros(len(x))
    for train, test in folds:
        if fake[train].any() and not fake[train].all():
            model = make_pipeline(
                StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced")
            )
            scores[test] = model.fit(x[train], fake[train]).decision_function(x[test])
    return scores


@dataclass(frozen=True)
class Settings:
    """How sets are probed: see `masd.bin.probe cues`."""

    most: int = 500
    bound: float = 0.65
    seed: int = 0


def probe_sets(
    data: Sequence[Path],
    out: Path,
    settings: Settings,
    together: bool = False,
    allow_pipes: bool = False,
    force: bool = False,
) -> list[dict[str, Any]]:
    """Probe each set, and all together, into `<out>/<set>.json` and `<out>/<set>+<set>.json`; return these.

    What is up to date is read. A set of one class has nothing to tell apart and is passed over.

    Raises:
        MasdError: a folder is not valid or has no utt2lab, two have one name, or no audio can be read.
    """
    twice = [name for name, count in Counter(path.name for path in data).items() if count > 1]
    if twice:
        raise MasdError(f"--data: two folders are called {twice[0]}; probe them into two places, by --out")
    work = {path: digest("cues", VERSION, input_digest(path), vars(settings)) for path in data}
    wanted = [(path,) for path in data] + ([tuple(data)] if together and len(data) > 1 else [])
    samples: dict[Path, Sample] = {}
    results = []
    for paths in wanted:
        name = "+".join(path.name for path in paths)
        target, state = out / f"{name}.json", digest(*(work[path] for path in paths))
        if force or not (target.is_file() and read_json(target).get("digest") == state):
            for path in paths:
                if path not in samples:
                    samples[path] = _sampled(path, settings, allow_pipes)
            rows = probe_rows(joined([samples[p] for p in paths]), name, settings.bound, settings.seed)
            write_json(target, {"set": name, **vars(settings), "rows": rows, "digest": state})
        results.append(read_json(target))
    return results


def _sampled(path: Path, settings: Settings, allow_pipes: bool) -> Sample:
    folder = read_folder(path)
    return read_sample(folder, choose(folder, settings.most, settings.seed), allow_pipes)


def verdict(result: dict[str, Any]) -> str:
    """Return in one sentence what the probe of a set found."""
    rows, name, bound = result["rows"], result["set"], result["bound"]
    found = [row for row in rows if row["finding"] == "found"]
    if found:
        return _caution(found, name, bound)
    judged = [row for row in rows if row["finding"] != FEW]
    if not judged:
        return f"Cues that are not synthesis: too few utterances in {name} to judge."
    few = [row["attack"] for row in rows if row["finding"] == FEW]
    beside = f" (too few utterances to judge: {', '.join(few)})" if few else ""
    if all(row["finding"] == "none" for row in judged):
        return f"Cues that are not synthesis: none found above an AUC of {bound} in {name}{beside}."
    worst = max(judged, key=lambda row: row["high"])
    return (
        f"Cues that are not synthesis: none found in {name}, but not excluded: the 95 % interval of "
        f"{worst['attack']} reaches an AUC of {worst['high']:.2f}, the bound being {bound}{beside}."
    )


def _caution(found: list[dict[str, Any]], name: str, bound: float) -> str:
    worst = found[0] if found[0]["attack"] == ALL else max(found, key=lambda row: row["auc"])
    ranked = sorted(worst["single"].items(), key=lambda item: -item[1])
    names = [cue for cue, value in ranked if value >= bound]
    if len(names) > 5:
        names[4:] = [f"{len(names) - 4} other cues"]
    if len(names) < 2:
        told = f"{names[0] if names else 'a mixture of file, level, silence and bandwidth'} alone tells"
    else:
        told = f"{', '.join(names[:-1])} and {names[-1]} alone tell"
    more = f" and of {len(found) - 1} other attacks" if len(found) > 1 and worst["attack"] != ALL else ""
    spoof = "spoofed speech" if worst["attack"] == ALL else f"speech of {worst['attack']}{more}"
    return (
        f"Caution: {told} {spoof} from bona fide speech in {name} (AUC {worst['auc']:.2f}, 95 % interval "
        f"[{worst['low']:.2f}, {worst['high']:.2f}]): error rates there may measure that and not synthesis."
    )


def refuse_cues(results: Sequence[dict[str, Any]], where: Path) -> None:
    """Raise `MasdError` where a probe with enough utterances found a cue or could not exclude one."""
    rows = [(row, result["bound"]) for result in results for row in result["rows"]]
    failed = [
        (row, bound)
        for row, bound in rows
        if min(row["bonafide"], row["spoof"]) >= ENOUGH and row["finding"] in ("found", "not excluded")
    ]
    if failed:
        worst, bound = max(failed, key=lambda pair: pair[0]["high"])
        raise MasdError(
            f"{len(failed)} of {len(rows)} probes tell spoofed speech by cues other than synthesis, or may: "
            f"{worst['attack']} in {worst['set']}, AUC up to {worst['high']:.3f}, bound {bound}; see {where}"
        )
