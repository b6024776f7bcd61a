"""Choose who speaks in which set and through which vocoder, once and for all, into conf/protocol/.

Done before any training and committed; preparing the data only reads it. A user's own corpus gets a
protocol of its own the same way.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

from plan import COLUMNS, RECIPE, SETS, SIZES, Item, load_corpus, load_size
from sources import SpeechTrimmer, decode, folder_speakers, listing, speaker_files

from masd.cli import run
from masd.errors import MasdError
from masd.stage.files import sha256, write_json, write_lines
from masd.stage.seeding import generator

log = logging.getLogger("make_protocol")
Kept = dict[str, list[tuple[int, str, int, int]]]  # speaker: (number, source, start, end)


def make_protocol(
    sizes: list[str] | None = None,
    downloads: Path = Path("downloads"),
    out: Path = RECIPE / "conf" / "protocol",
    corpus: str = "",
) -> None:
    """Write `<out>/<size>.tsv`, its trial lists and the table of speakers, attacks and sets.

    Args:
        sizes: which sizes; all by default.
        downloads: where stage 0 unpacked the packages.
        out: where the lists go.
        corpus: the user's own folder of recordings by speaker, instead of the packages.
    """
    sizes = sizes or list(SIZES)
    settings = load_corpus()
    plans = {size: load_size(size) for size in sizes}
    if corpus:
        own = folder_speakers(Path(corpus))
        plans = {size: split_speakers(plan, own) for size, plan in plans.items()}
        files = own
    else:
        names = {s for plan in plans.values() for part in plan["sets"].values() for s in part["speakers"]}
        files = {s: speaker_files(settings, s, downloads) for s in sorted(names)}
    kept = find_speech(files, settings, cut=bool(corpus))
    for size, plan in plans.items():
        longest = int(plan["max_seconds"] * settings["rate"])
        fitting = cut_to(kept, longest) if corpus else kept
        items = choose(fitting, plan, settings["min_seconds"] * settings["rate"], settings["rate"])
        write_protocol(out, size, items, plan, settings)
    if corpus:
        write_json(out / "recordings.json", {"folder": corpus, "digest": listing(Path(corpus))})


def find_speech(files: dict[str, dict[str, Path]], settings: dict[str, Any], cut: bool = False) -> Kept:
    """Decode and trim every recording; keep, once each, those with speech of a length that is wanted.

    Args:
        files: the recordings by speaker and name.
        settings: conf/corpus.yaml.
        cut: keep what is too long too; it will be cut (a user's recordings may all be long).
    """
    rate = settings["rate"]
    trim = SpeechTrimmer(rate)
    kept: Kept = {}
    for speaker, paths in files.items():
        kept[speaker], seen = [], set()
        for number, (name, path) in enumerate(paths.items()):
            content = sha256(path)
            try:
                speech = trim(decode(path, rate, settings["high_pass_hz"]))
            except MasdError as error:
                log.warning("left out: %s", error)
                continue
            if speech is None or content in seen or re.search(r"\s", name):
                continue
            seen.add(content)
            seconds = (speech[1] - speech[0]) / rate
            if seconds >= settings["min_seconds"] and (cut or seconds <= settings["max_seconds"]):
                kept[speaker].append((number, name, *speech))
        log.info("%s: %d of %d recordings", speaker, len(kept[speaker]), len(paths))
    return kept


def cut_to(kept: Kept, longest: int) -> Kept:
    """Return the recordings with their speech cut after `longest` samples."""
    return {s: [(n, f, a, min(b, a + longest)) for n, f, a, b in rows] for s, rows in kept.items()}


def split_speakers(plan: dict[str, Any], own: dict[str, dict[str, Path]]) -> dict[str, Any]:
    """Return a size's plan with a user's speakers: a quarter each for dev and eval, the rest trains.

    Raises:
        MasdError: fewer than four speakers.
    """
    if len(own) < 4:
        raise MasdError(f"--corpus: {len(own)} speakers; at least 4 are needed (2 to train, 1 dev, 1 eval)")
    order = [sorted(own)[i] for i in generator(plan["seed"], "split").permutation(len(own))]
    held = max(1, len(order) // 4)
    parts = {"dev": order[:held], "eval": order[held : 2 * held], "train": order[2 * held :]}
    sets = {}
    for name, speakers in parts.items():
        old = plan["sets"][name]
        total = sum(old["speakers"].values())
        sets[name] = {
            "speakers": dict.fromkeys(sorted(speakers), -(-total // len(speakers))),
            "attacks": old["attacks"],
        }
    return {**plan, "sets": sets}


def choose(kept: Kept, plan: dict[str, Any], shortest: float, rate: int) -> list[Item]:
    """Return the items of a size: recordings by seeded chance, attacks dealt out evenly over each speaker's.

    Raises:
        MasdError: a speaker has no recording that is long and short enough.
    """
    items = []
    for name in SETS:
        part = plan["sets"][name]
        for speaker, cap in part["speakers"].items():
            good = [k for k in kept[speaker] if shortest <= k[3] - k[2] <= plan["max_seconds"] * rate]
            if not good:
                raise MasdError(
                    f"{speaker}: no recording of {shortest / rate:g} to {plan['max_seconds']:g} s"
                )
            order = generator(plan["seed"], "recordings", speaker).permutation(len(good))
            chosen = [good[i] for i in order[:cap]]
            dealt = deal(part["attacks"], len(chosen), plan["seed"], speaker)
            for (number, source, start, end), attacks in zip(chosen, dealt, strict=True):
                items.append(Item(f"{speaker}-{number:04d}", speaker, name, start, end, attacks, source))
    return sorted(items, key=lambda item: (SETS.index(item.set), item.utt))


def deal(groups: list[dict[str, Any]], count: int, seed: int, speaker: str) -> list[tuple[str, ...]]:
    """Return the attacks of `count` recordings: each group's combinations of `choose` attacks in turn."""
    dealt: list[tuple[str, ...]] = [()] * count
    for index, group in enumerate(groups):
        hands = list(itertools.combinations(sorted(group["of"]), group["choose"]))
        order = generator(seed, "attacks", speaker, index).permutation(len(hands))
        dealt = [have + hands[order[i % len(hands)]] for i, have in enumerate(dealt)]
    return [tuple(sorted(attacks)) for attacks in dealt]


def write_protocol(
    out: Path, size: str, items: list[Item], plan: dict[str, Any], settings: dict[str, Any]
) -> None:
    """Write the protocol of a size, the trial lists of dev and eval, and the table for people."""
    write_lines(out / f"{size}.tsv", ["\t".join(COLUMNS), *(item.line() for item in items)])
    for name in ("dev", "eval"):
        write_lines(out / f"{size}.trials_{name}.tsv", trials([item for item in items if item.set == name]))
    tts = plan.get("tts")
    if tts:
        lines = []
        for attack in tts["attacks"]:
            tag = settings["attacks"][attack]["tag"]
            lines += [f"{tag}-{n:04d}-{attack}\tspoof\t{attack}" for n in range(tts["sentences"])]
        write_lines(out / f"{size}.tts.tsv", sorted(lines))
    write_lines(out / f"{size}.md", table(items))
    log.info("%s: %s", size, dict(Counter(item.set for item in items)))


def trials(items: list[Item]) -> list[str]:
    """Return `<utt> <label> <attack>` lines, tab-separated and sorted: each recording and its copies."""
    lines = []
    for item in items:
        lines.append(f"{item.utt}\tbonafide\t-")
        lines += [f"{item.utt}-{attack}\tspoof\t{attack}" for attack in item.attacks]
    return sorted(lines)


def table(items: list[Item]) -> list[str]:
    """Return a Markdown table of utterances by set, speaker and attack, with minutes of bona fide speech."""
    attacks = sorted({a for item in items for a in item.attacks})
    lines = ["| set | speaker | bona fide | minutes | " + " | ".join(attacks) + " |"]
    lines.append("|---|---|" + "---:|" * (len(attacks) + 2))
    for (name, speaker), group in itertools.groupby(items, key=lambda item: (item.set, item.speaker)):
        own = list(group)
        counts = Counter(a for item in own for a in item.attacks)
        minutes = sum(item.end - item.start for item in own) / 16000 / 60
        cells = [name, speaker, str(len(own)), f"{minutes:.1f}", *(str(counts[a] or "") for a in attacks)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    run(make_protocol, output="")
