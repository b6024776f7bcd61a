"""Stage 2, last part: copies by vocoders, conditioned as everything else is."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

from make_sets import make, tables, write_copies
from plan import CONDITION, SETS, load_corpus, read_protocol
from versions import Version, audio_folder, copied, draw_rate, item_signs, versions

from masd.audio.condition import ConditionConfig, load_config
from masd.cli import Command, run_commands
from masd.data.folder import read_folder, write_folder
from masd.errors import Failures, MasdError
from masd.stage.files import input_digest

NAME = "wide"


def pretrain(protocol: Path, data: Path, tag: str, max_fail: float = 0.01) -> None:
    """Write `<data>/pretrain_<tag>` from `<data>/pretrain_raw_<tag>`; audio that train has already is used.

    Args:
        protocol: the list of utterances.
        data: the data folder of the size.
        tag: the vocoder's name.
        max_fail: the share of utterances that may be rejected.
    """
    config, corpus = load_config(CONDITION), load_corpus()
    attack = next((a for a, known in corpus["attacks"].items() if known["tag"] == tag), None)
    if attack is None:
        raise MasdError(f"--tag {tag}: no attack of conf/corpus.yaml has it")
    out = audio_folder(data, protocol, config)
    train = [item for item in read_protocol(protocol) if item.set == "train"]
    sources = set(read_folder(data / f"pretrain_raw_{tag}").tables["utt2source"].values())
    part = [
        v for v in versions(train, corpus, data, out, config) if v.attack == attack and v.source in sources
    ]
    failures = Failures("utterance", max_fail)
    for version in part:
        make(version, config, corpus["rate"], failures)
    failures.check(len(part), data / f"pretrain_raw_{tag}")
    done = [version for version in part if version.out.is_file()]
    write_copies(data / f"pretrain_{tag}", done, attack, corpus, config)


def wide(protocol: Path, data: Path, max_fail: float = 0.01) -> None:
    """For --system plus: write `<data>/train_added` from `train_wide_raw`, sources and copies of train.

    Copies by random vocoders, conditioned as everything else is, are `wide-<utt>`. Recordings and all their
    copies as they were before conditioning are `raw-<utt>`: a detector that never heard a clean recording
    calls it spoofed (docs/evidence.md). `<data>/dev_raw` and `eval_raw` are these sets so, to measure it on.

    Args:
        protocol: the list of utterances.
        data: the data folder of the size.
        max_fail: the share of utterances that may be rejected.
    """
    config, corpus = load_config(CONDITION), load_corpus()
    out = audio_folder(data, protocol, config)
    every = read_protocol(protocol)
    items = [item for item in every if item.set == "train"]
    copies, polarity = copied(data / "train_wide_raw"), item_signs(items, config)
    sources = read_folder(data / "source").wav
    audio = out / f"{NAME}.{input_digest(data / 'train_wide_raw')[:8]}"  # other copies, another folder
    rates = Counter(corpus["attacks"][a]["rate"] for item in items for a in item.attacks)
    random_copies = [
        Version(
            *(f"{NAME}-{i.utt}", i.speaker, i.set, NAME, i.utt),
            *(copies[i.utt], Path(sources[i.utt])),
            *(draw_rate(i.utt, rates, config.seed), audio / f"{i.utt}.flac", polarity[i.utt]),
        )
        for i in items
        if i.utt in copies
    ]
    failures = Failures("utterance", max_fail)
    for version in random_copies:
        make(version, config, corpus["rate"], failures)
    failures.check(len(random_copies), data / "train_wide_raw")
    made = [v for v in [*versions(every, corpus, data, out, config), *random_copies] if v.out.is_file()]
    added = tables({v.utt: v for v in random_copies if v.out.is_file()}, config)
    raw = {name: unconditioned([v for v in made if v.set == name], config) for name in SETS}
    for name, table in raw["train"].items():
        added[name] |= table
    write_folder(data / "train_added", **added)
    for name in ("dev", "eval"):
        write_folder(data / f"{name}_raw", **raw[name])
    for old in out.glob(f"{NAME}*"):
        if old != audio:
            shutil.rmtree(old)


def unconditioned(part: list[Version], config: ConditionConfig) -> dict[str, dict]:
    """Return the lists of `raw-<utt>`: the same utterances, their audio as it was, no codec."""
    made = tables({f"raw-{v.utt}": v for v in part}, config)
    return made | {
        "wav": {f"raw-{v.utt}": v.audio for v in part},
        "utt2codec": {f"raw-{v.utt}": "none" for v in part},
    }


if __name__ == "__main__":
    run_commands((Command(pretrain, output=""), Command(wide, output="")))
