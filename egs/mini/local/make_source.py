"""Stage 1, first part: cut the protocol's utterances out of their recordings (one shard of them)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from plan import Item, load_corpus, read_protocol
from sources import decode, folder_speakers, listing, speaker_files
from versions import source_folder

from masd.audio import write_wav
from masd.cli import run
from masd.data.folder import shard
from masd.errors import MasdError
from masd.stage.files import Mark, digest, read_json

log = logging.getLogger("make_source")


def make_source(
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
        cut(item, files[item.utt], wav, settings["rate"], settings["high_pass_hz"])
    mark.write(work, utterances=len(part))
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


def cut(item: Item, recording: Path, wav: Path, rate: int, high_pass_hz: float) -> None:
    """Decode one recording and write the part that the protocol names, at a peak of 0.7.

    Raises:
        MasdError: the recording is shorter than the protocol says, so it is another one.
    """
    x = decode(recording, rate, high_pass_hz)
    if len(x) < item.end:
        raise MasdError(f"{recording}: shorter than in the protocol; another version of the package?")
    x = x[item.start : item.end]
    write_wav(wav / f"{item.utt}.flac", x * (0.7 / abs(x).max()), rate)


if __name__ == "__main__":
    run(make_source, output="")
