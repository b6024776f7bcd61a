"""Stage 1, second part: data folders of unconditioned speech for the vocoders, and their configurations."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from plan import RECIPE, Item, load_corpus, load_size, read_protocol, vocoder_config
from versions import source_folder

from masd.cli import run
from masd.data.folder import write_folder
from masd.errors import MasdError
from masd.stage.files import digest, sha256, write_json, write_lines, write_yaml
from masd.vocoders.copy import vocoder_of

log = logging.getLogger("finish_source")


def finish_source(protocol: Path, size: str, downloads: Path, data: Path, corpus: str = "") -> None:
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
        corpus: as given to make_source.
    """
    settings, wav = load_corpus(), source_folder(data, protocol, corpus)
    items = read_protocol(protocol)
    folder(wav, data / "source", items, settings["rate"])
    attacks = sorted({a for item in items for a in item.attacks})
    train = [item for item in items if item.set == "train"]
    folder(wav, data / "pretrain_source", train, settings["rate"])
    pretrain = sorted({a for item in train for a in item.attacks})
    made_by = {"source": wav.name}
    for attack in attacks:
        tag = settings["attacks"][attack]["tag"]
        config = vocoder_config(settings, attack, downloads / "wheels")
        write_yaml(data / "vocoder" / f"{tag}.yaml", config)
        made_by[attack] = vocoder_of(tag, config).digest()
        copied = [item for item in items if attack in item.attacks]
        folder(wav, data / "copies" / tag / "source", copied, settings["rate"])
        if attack in pretrain:
            part = [i for i in copied if i.set == "train"]
            folder(wav, data / f"pretrain_source_{tag}", part, settings["rate"])
    spoken = load_size(size).get("tts", {}).get("attacks", [])
    for attack in spoken:
        made_by[attack] = digest(settings["attacks"][attack], sha256(RECIPE / "conf" / "tts.txt"))
    write_json(data / "vocoder" / "digests.json", made_by)
    write_lines(data / "copy_tags", [settings["attacks"][a]["tag"] for a in attacks])
    write_lines(data / "tts_attacks", spoken)
    write_lines(data / "pretrain_tags", [settings["attacks"][a]["tag"] for a in pretrain])
    for old in (data / "source").glob("wav*"):
        if old.is_dir() and old != wav:
            shutil.rmtree(old)
    log.info("%d source utterances, %d vocoders", len(items), len(attacks))


def folder(audio: Path, out: Path, items: list[Item], rate: int) -> None:
    """Write one data folder of source utterances whose audio is in the folder `audio`.

    Raises:
        MasdError: an utterance's audio is missing.
    """
    wav = {item.utt: audio / f"{item.utt}.flac" for item in items}
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
