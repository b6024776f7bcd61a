"""Stage 1, first part: cut the protocol's utterances out of their recordings, and set up their vocoders."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import yaml
from plan import RECIPE, Item, load_corpus, load_size, read_protocol, vocoder_config
from sources import decode, folder_speakers, listing, speaker_files
from versions import source_folder

from masd.audio import write_wav
from masd.cli import Command, run_commands
from masd.data.folder import shard, write_folder
from masd.errors import MasdError
from masd.stage.files import Mark, digest, plain, read_json, sha256, write_changed
from masd.vocoders.copy_synthesis import vocoder_of

log = logging.getLogger("make_source")


def cut(
    protocol: Path,
    data: Path,
    downloads: Path = Path("downloads"),
    corpus: str = "",
    job: int = 1,
    num_jobs: int = 1,
) -> None:
    """Write `<data>/source/wav.<digest>/<utt>.flac` for one shard of a protocol, 16-bit at the corpus's rate.

    Args:
        protocol: the list of utterances (conf/protocol/<size>.tsv).
        data: the data folder of the size.
        downloads: where stage 0 unpacked the packages.
        corpus: the user's own folder of recordings by speaker, instead of the packages.
        job: number of this shard, from 1.
        num_jobs: how many shards there are.
    """
    settings, wav = load_corpus(), source_folder(data, protocol, corpus)
    if corpus:
        check_corpus(corpus, protocol)
    work = digest(wav.name, job, num_jobs)
    mark = Mark(wav, f"{job}of{num_jobs}")
    if mark.fresh(work):
        log.info("shard %d of %d is there already", job, num_jobs)
        return
    items = read_protocol(protocol)
    files = find_recordings(items, protocol, settings, downloads, corpus)
    part = shard(items, job, num_jobs)
    for item in part:
        cut_item(item, files[item.utt], wav, settings["rate"], settings["high_pass_hz"])
    mark.write(work, [wav / f"{item.utt}.flac" for item in part], utterances=len(part))
    log.info("shard %d of %d: %d utterances", job, num_jobs, len(part))


def check_corpus(corpus: str, protocol: Path) -> None:
    """Raise `MasdError` if the protocol was made of other recordings than the user's folder holds now."""
    stated = protocol.with_name("recordings.json")
    if stated.is_file() and read_json(stated)["digest"] != listing(Path(corpus)):
        raise MasdError(
            f"{corpus}: not the recordings that {protocol} was made of ({read_json(stated)['folder']}); "
            "--force true makes everything of this size again"
        )


def find_recordings(
    items: list[Item], protocol: Path, settings: dict[str, Any], downloads: Path, corpus: str
) -> dict[str, Path]:
    """Return {utterance: recording} of all items.

    Raises:
        MasdError: a recording that the protocol lists is not there.
    """
    speakers = sorted({item.speaker for item in items})
    own = folder_speakers(Path(corpus)) if corpus else {}
    known = {s: own.get(s, {}) if corpus else speaker_files(settings, s, downloads) for s in speakers}
    missing = [item for item in items if item.source not in known[item.speaker]]
    if missing:
        raise MasdError(
            f"{missing[0].source}: a recording of {protocol} is not there ({len(missing)} missing); "
            "the package or folder has changed and no longer fits the protocol"
        )
    return {item.utt: known[item.speaker][item.source] for item in items}


def cut_item(item: Item, recording: Path, wav: Path, rate: int, high_pass_hz: float) -> None:
    """Decode one recording and write the part that the protocol names, at a peak of 0.7.

    Raises:
        MasdError: the recording is shorter than the protocol says, so it is another one.
    """
    x = decode(recording, rate, high_pass_hz)
    if len(x) < item.end:
        raise MasdError(f"{recording}: shorter than in the protocol; another version of the package?")
    x = x[item.start : item.end]
    write_wav(wav / f"{item.utt}.flac", x * (0.7 / abs(x).max()), rate)


def finish(protocol: Path, size: str, downloads: Path, data: Path, corpus: str = "") -> None:
    """Write the folders and lists that copy-synthesis starts from.

    `<data>/source` has every utterance; `<data>/copies/<tag>/source` those that attack <tag> copies, in any
    set. `<data>/vocoder/<tag>.yaml` is what the vocoder is set up with, `digests.json` there what copies
    depend on; `<data>/copy_tags` and `<data>/tts_attacks` name them.

    Args:
        protocol: the list of utterances.
        size: tiny, small, report or full.
        downloads: where stage 0 unpacked the wheels.
        data: the data folder of the size.
        corpus: as given to cut.
    """
    settings, wav = load_corpus(), source_folder(data, protocol, corpus)
    items = read_protocol(protocol)
    folder(wav, data / "source", items, settings["rate"])
    attacks = sorted({a for item in items for a in item.attacks})
    made_by = {"source": wav.name}
    for attack in attacks:
        tag = settings["attacks"][attack]["tag"]
        config = vocoder_config(settings, attack, downloads / "wheels")
        write_changed(data / "vocoder" / f"{tag}.yaml", yaml.safe_dump(plain(config), sort_keys=False))
        made_by[attack] = vocoder_of(tag, config).digest()
        copied = [item for item in items if attack in item.attacks]
        folder(wav, data / "copies" / tag / "source", copied, settings["rate"])
    spoken = load_size(size).get("tts", {}).get("attacks", [])
    for attack in spoken:
        made_by[attack] = digest(settings["attacks"][attack], sha256(RECIPE / "conf" / "tts.txt"))
    # the other track's stage 1 comes by here too: what is the same keeps its time
    write_changed(data / "vocoder" / "digests.json", json.dumps(made_by, indent=1, sort_keys=True) + "\n")
    write_changed(data / "copy_tags", "".join(f"{settings['attacks'][a]['tag']}\n" for a in attacks))
    write_changed(data / "tts_attacks", "".join(f"{attack}\n" for attack in spoken))
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
    run_commands((Command(cut, output=""), Command(finish, output="")))
