"""Stage 1: data folders of the protocol's sets, of clips that went through one chain for both classes."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from clips import CONF, RATE, Clip, fold_sets, hold_out, load_clip, load_clips, load_protocol
from gather import CORPUS, places

from masd.audio import write_wav
from masd.audio.condition import Track, condition, draw, load_track, signs, trim
from masd.cli import run
from masd.data.corpus import choose_each, write_prepared
from masd.errors import Failures, MasdError
from masd.stage.files import digest, read_yaml, write_changed

log = logging.getLogger("prepare")

BREAKDOWN = "family,kind,repo,repo*kind"


def prepare(
    part: Path,
    out: Path,
    corpus: str = "",
    downloads: Path = Path("downloads"),
    track: str = "clean",
    fold: str = "",
    zero_shot: bool = False,
    max_fail: float = 0.01,
    num_jobs: int = 1,
) -> None:
    """Write `<out>/eval`, and for training `<out>/{train,dev,pretrain,pretrain_dev}`; also `<out>/breakdown`.

    Args:
        part: conf/corpus_<size>.yaml, how much of the corpus is taken.
        out: data/<size>; audio goes beside it, where all sizes and folds share it.
        corpus: folder with the clips, as stage 0 found them.
        downloads: where stage 0 put them, if no folder was given.
        track: what clips go through, conf/track_<track>.yaml.
        fold: the fold that is trained and tested on, in place of the protocol's sets.
        zero_shot: whether the test set is all that is wanted.
        max_fail: the share of the clips that may be unusable.
        num_jobs: processes.

    Raises:
        MasdError: no clip is there, or too many are unusable.
    """
    amount, clips, chain = read_yaml(part), load_clips(), load_track(track, CONF)
    found = places(corpus, downloads, clips)
    chosen = choose([clip for clip in clips if clip.clip in found], fold)
    if zero_shot:
        chosen = {"eval": chosen["eval"]}
    if amount["per_class"]:
        for name, some in chosen.items():
            chosen[name] = choose_each(some, lambda c: c.label, amount["per_class"], amount["seed"], "demos")
    todo = [clip for some in chosen.values() for clip in some]
    folder = out.parent / f"wav_{track}.{digest(chain, sorted(found.items()))[:12]}"
    made = make_all(todo, found, polarities(clips, chain), chain, folder, max_fail, num_jobs)
    for name, pretrain in (("train", "pretrain"), ("dev", "pretrain_dev")):
        if name in chosen:
            chosen[pretrain] = [clip for clip in chosen[name] if clip.label == "bonafide"]
    for name, some in chosen.items():
        write_set(out / name, [clip for clip in some if clip.clip in made], made, chain)
    write_changed(out / "breakdown", BREAKDOWN + "\n")


def choose(clips: list[Clip], fold: str) -> dict[str, list[Clip]]:
    """Return {train, dev, eval: clips} of the protocol's sets, or of a fold, whose eval is what it tests.

    Raises:
        MasdError: there is no such fold.
    """
    sets, folds = load_protocol()
    if not fold:
        return {name: [c for c in clips if sets[c.clip] == name] for name in ("train", "dev", "eval")}
    if fold == "-" or fold not in folds.values():
        raise MasdError(f"--fold {fold}: folds are {', '.join(sorted(set(folds.values()) - {'-'}))}")
    train, test = fold_sets(clips, sets, folds, fold)
    train, dev = hold_out(train, int(fold))
    return {"train": train, "dev": dev, "eval": test}


def polarities(clips: list[Clip], track: Track) -> dict[str, int]:
    """Return {recording: 1 or -1}; of a repository as many are turned over as not, to one."""
    return signs({source(clip): (clip.repo,) for clip in clips}, track.condition)


def make_all(
    clips: list[Clip],
    found: dict[str, Path],
    polarity: dict[str, int],
    track: Track,
    folder: Path,
    max_fail: float,
    num_jobs: int,
) -> dict[str, Path]:
    """Write the audio that is not there yet; return {clip: file}, without those that failed."""
    work = partial(make, found=found, polarity=polarity, track=track, folder=folder)
    with ProcessPoolExecutor(num_jobs) as executor:
        problems = dict(
            zip([clip.clip for clip in clips], executor.map(work, clips, chunksize=16), strict=True)
        )
    failures = Failures("clip", max_fail)
    for name, problem in problems.items():
        if problem:
            failures.add(name, problem)
    failures.check(len(clips), CORPUS)
    return {name: folder / f"{name}.flac" for name, problem in problems.items() if not problem}


def make(
    clip: Clip, found: Mapping[str, Path], polarity: Mapping[str, int], track: Track, folder: Path
) -> str:
    """Write one clip as the track has it, unless it is there; return what was wrong."""
    out = folder / f"{clip.clip}.flac"
    if out.is_file():
        return ""
    try:
        x = trim(load_clip(clip, found[clip.clip]), RATE, **track.trim)
        name = source(clip)
        y = condition(x, x, name, clip.clip, track.through, track.condition, RATE, polarity[name])
        write_wav(out, y, RATE)
    except MasdError as error:
        return str(error)
    return ""


def source(clip: Clip) -> str:
    """Return what names the recording that a clip is or copies; the clip itself where that is not known."""
    return clip.clip if clip.pair == "-" else plain(f"{clip.repo}-{clip.pair}")


def speaker(clip: Clip) -> str:
    """Return the speaker of a clip; where unknown, the repository stands for all its speakers."""
    return plain("+".join(clip.who) or f"someone-{clip.repo}")


def plain(name: str) -> str:
    """Return a name without blanks and commas, which lists of attacks have between them."""
    return re.sub(r"[\s,]+", "_", name)


def write_set(path: Path, clips: Iterable[Clip], made: dict[str, Path], track: Track) -> None:
    """Write a data folder.

    Raises:
        MasdError: no clip is left for it.
    """
    utts = {clip.clip: clip for clip in clips}
    if not utts:
        raise MasdError(f"{path}: no clip is left for it; see the table of stage 0")
    write_prepared(
        path,
        {utt: made[utt] for utt in utts},
        {utt: speaker(c) for utt, c in utts.items()},
        utt2lab={utt: c.label for utt, c in utts.items()},
        utt2attack={utt: "-" if c.label == "bonafide" else plain(c.generator) for utt, c in utts.items()},
        utt2source={utt: source(c) for utt, c in utts.items()},
        utt2family={utt: plain(c.family) for utt, c in utts.items()},
        utt2kind={utt: c.kind for utt, c in utts.items()},
        utt2repo={utt: c.repo for utt, c in utts.items()},
        utt2base={utt: plain(c.base) for utt, c in utts.items()},
        utt2rate={utt: c.source_rate for utt, c in utts.items()},
        utt2format={utt: c.source_format for utt, c in utts.items()},
        utt2codec={utt: draw(source(c), track.condition).codec for utt, c in utts.items()},
    )
    counts: Counter[Any] = Counter(clip.label for clip in utts.values())
    log.info("%s: %d bona fide, %d spoof", path, counts["bonafide"], counts["spoof"])


if __name__ == "__main__":
    run(prepare, output="")
