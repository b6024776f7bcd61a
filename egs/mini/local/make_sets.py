"""Stage 1, fourth part: condition bona fide and copied speech alike (one shard of it)."""

from __future__ import annotations

import logging
from pathlib import Path

from plan import CONDITION, load_corpus, load_size, read_protocol
from versions import Version, audio_folder, tts_versions, versions

from masd.audio import read_audio, write_wav
from masd.audio.condition import ConditionConfig, condition, load_config
from masd.cli import run
from masd.data.folder import shard
from masd.errors import Failures, MasdError
from masd.stage.files import write_lines

log = logging.getLogger("make_sets")


def make_sets(protocol: Path, size: str, data: Path, job: int = 1, num_jobs: int = 1) -> None:
    """Write the conditioned audio of one shard; what is there already is kept.

    Args:
        protocol: the list of utterances.
        size: tiny, small, report or full.
        data: the data folder of the size.
        job: number of this shard, from 1.
        num_jobs: how many shards there are.
    """
    config, corpus = load_config(CONDITION), load_corpus()
    out = audio_folder(data, protocol, config)
    todo = versions(read_protocol(protocol), corpus, data, out, config)
    todo += tts_versions(load_size(size).get("tts", {}).get("attacks", []), corpus, data, out, config)
    failures = Failures("utterance")  # finish_sets judges how many there may be
    part = shard(todo, job, num_jobs)
    for version in part:
        make(version, config, corpus["rate"], failures)
    write_lines(data / "log" / f"rejected.{job}of{num_jobs}", failures.lines())
    log.info("shard %d of %d: %d utterances", job, num_jobs, len(part))


def make(version: Version, config: ConditionConfig, rate: int, failures: Failures) -> None:
    """Write one conditioned utterance unless it is there, or record why it cannot be."""
    if version.out.is_file():
        return
    try:
        x = read_audio(version.audio, rate=rate)[0]
        reference = read_audio(version.reference, rate=rate)[0]
        ids = (version.source, version.attack)
        y = condition(x, reference, *ids, version.through, config, rate, version.sign)
        write_wav(version.out, y, rate)
    except MasdError as error:
        failures.add(version.utt, error)


if __name__ == "__main__":
    run(make_sets, output="")
