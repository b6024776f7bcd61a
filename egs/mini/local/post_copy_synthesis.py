"""Stage 2, last part: the copies of the pretraining set, conditioned as everything else is."""

from __future__ import annotations

from pathlib import Path

from finish_sets import write_copies
from make_sets import make
from plan import CONDITION, load_corpus, read_protocol
from versions import audio_folder, versions

from masd.audio.condition import load_config
from masd.cli import run
from masd.data.folder import read_folder
from masd.errors import Failures, MasdError


def post_copy_synthesis(protocol: Path, data: Path, tag: str, max_fail: float = 0.01) -> None:
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


if __name__ == "__main__":
    run(post_copy_synthesis, output="")
