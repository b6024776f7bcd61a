"""Stage 1, second part: data folders of unconditioned speech for the vocoders, and their configurations."""

from __future__ import annotations

import logging
from pathlib import Path

from plan import RECIPE, Item, load_corpus, load_size, read_protocol, vocoder_config

from masd.cli import run
from masd.data.folder import write_folder
from masd.errors import MasdError
from masd.files import digest, sha256, write_json, write_lines, write_yaml
from masd.vocoders.copy import vocoder_of

log = logging.getLogger("finish_source")


def finish_source(protocol: Path, size: str, downloads: Path, data: Path) -> None:
    """Write the folders and lists that copy-synthesis starts from.

    `<data>/source` has every utterance; `<data>/copies/<tag>/source` those that attack <tag> copies, in any
    set; `<data>/pretrain_source` the training speakers' and `<data>/pretrain_source_<tag>` those of them that
    <tag> copies. `<data>/vocoder/<tag>.yaml` is what the vocoder is set up with, `digests.json` there what
    copies depend on; `<data>/copy_tags`, `<data>/pretrain_tags` and `<data>/tts_attacks` name them.

    Args:
        protocol: the list of utterances.
        size: tiny, small, report or full.
        downloads: where stage 0 unpacked the wheels.
        data: the data folder of the size.
    """
    corpus = load_corpus()
    items = read_protocol(protocol)
    folder(data, data / "source", items, corpus["rate"])
    attacks = sorted({a for item in items for a in item.attacks})
    train = [item for item in items if item.set == "train"]
    folder(data, data / "pretrain_source", train, corpus["rate"])
    pretrain = sorted({a for item in train for a in item.attacks})
    made_by = {}
    for attack in attacks:
        tag = corpus["attacks"][attack]["tag"]
        config = vocoder_config(corpus, attack, downloads / "wheels")
        write_yaml(data / "vocoder" / f"{tag}.yaml", config)
        made_by[attack] = vocoder_of(tag, config).digest()
        copied = [item for item in items if attack in item.attacks]
        folder(data, data / "copies" / tag / "source", copied, corpus["rate"])
        if attack in pretrain:
            folder(
                data, data / f"pretrain_source_{tag}", [i for i in copied if i.set == "train"], corpus["rate"]
            )
    spoken = load_size(size).get("tts", {}).get("attacks", [])
    for attack in spoken:
        made_by[attack] = digest(corpus["attacks"][attack], sha256(RECIPE / "conf" / "tts.txt"))
    write_json(data / "vocoder" / "digests.json", made_by)
    write_lines(data / "copy_tags", [corpus["attacks"][a]["tag"] for a in attacks])
    write_lines(data / "tts_attacks", spoken)
    write_lines(data / "pretrain_tags", [corpus["attacks"][a]["tag"] for a in pretrain])
    log.info("%d source utterances, %d vocoders", len(items), len(attacks))


def folder(data: Path, out: Path, items: list[Item], rate: int) -> None:
    """Write one data folder of source utterances.

    Raises:
        MasdError: an utterance's audio is missing.
    """
    wav = {item.utt: data / "source" / "wav" / f"{item.utt}.flac" for item in items}
    for path in wav.values():
        if not path.is_file():
            raise MasdError(f"{path}: missing; a shard of local/make_source.py is not done")
    write_folder(
        out,
        wav=wav,
        utt2spk={item.utt: item.speaker for item in items},
        utt2lab={item.utt: "bonafide" for item in items},
        utt2attack={item.utt: "-" for item in items},
        utt2source={item.utt: item.utt for item in items},
        utt2dur={item.utt: (item.end - item.start) / rate for item in items},
    )


if __name__ == "__main__":
    run(finish_source, output="")
