"""Bona fide and copied speech as a track has it, and the data folders of the sets."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from plan import CONF, load_corpus, load_size, read_protocol
from versions import BONA_FIDE, Version, audio_folder, tts_versions, versions

from masd.audio import read_audio, write_wav
from masd.audio.condition import ConditionConfig, draw, load_track
from masd.audio.condition import condition as conditioned
from masd.cli import Command, run_commands
from masd.data.folder import shard, write_folder
from masd.errors import Failures, MasdError
from masd.stage.files import read_text, write_lines

log = logging.getLogger("make_sets")


def condition(
    protocol: Path, size: str, track: str, made: Path, data: Path, job: int = 1, num_jobs: int = 1
) -> None:
    """Write the conditioned audio of one shard; what is there already is kept.

    Args:
        protocol: the list of utterances.
        size: tiny, small, report or full.
        track: what both classes go through, conf/track_<track>.yaml.
        made: data/<size>, which has the recordings and their copies.
        data: the data folder of the size and the track.
        job: number of this shard, from 1.
        num_jobs: how many shards there are.
    """
    config, corpus = load_track(track, CONF).condition, load_corpus()
    todo = all_versions(protocol, size, made, data, config)
    failures = Failures("utterance")  # finish judges how many there may be
    part = shard(todo, job, num_jobs)
    for version in part:
        make(version, config, corpus["rate"], failures)
    write_lines(data / "log" / f"rejected.{job}of{num_jobs}.log", failures.lines())
    log.info("shard %d of %d: %d utterances", job, num_jobs, len(part))


def all_versions(protocol: Path, size: str, made: Path, data: Path, config: ConditionConfig) -> list[Version]:
    """Return what the sets of a size are made of, text to speech with them."""
    out, corpus = audio_folder(data, made, protocol, config), load_corpus()
    spoken = load_size(size).get("tts", {}).get("attacks", [])
    items = read_protocol(protocol)
    return versions(items, corpus, made, out, config) + tts_versions(spoken, corpus, made, out, config)


def make(version: Version, config: ConditionConfig, rate: int, failures: Failures) -> None:
    """Write one conditioned utterance unless it is there, or record why it cannot be."""
    if version.out.is_file():
        return
    try:
        x = read_audio(version.audio, rate=rate)[0]
        reference = read_audio(version.reference, rate=rate)[0]
        ids = (version.source, version.attack)
        y = conditioned(x, reference, *ids, version.through, config, rate, version.sign)
        write_wav(version.out, y, rate)
    except MasdError as error:
        failures.add(version.utt, error)


def finish(protocol: Path, size: str, track: str, made: Path, data: Path, max_fail: float = 0.01) -> None:
    """Write `<data>/{train,dev,eval,eval_tts}` and the sets of pretraining that hold the same audio.

    `<data>/pretrain` is train's bona fide speech and `<data>/pretrain_<tag>` train's copies by vocoder <tag>;
    `<data>/pretrain_dev` and `<data>/pretrain_dev_<tag>` are dev's, for validation on held-out speakers.
    `<data>/pretrain_tags` lists the vocoders.

    Args:
        protocol: the list of utterances.
        size: tiny, small, report or full.
        track: what both classes go through, conf/track_<track>.yaml.
        made: data/<size>, which has the recordings and their copies.
        data: the data folder of the size and the track.
        max_fail: the share of a set's utterances that may be missing because they were rejected.
    """
    config, corpus = load_track(track, CONF).condition, load_corpus()
    wanted = all_versions(protocol, size, made, data, config)
    for name in sorted({version.set for version in wanted}):
        of_set = [v for v in wanted if v.set == name]
        part = [v for v in of_set if v.out.is_file()]
        check_rejected(data / name, of_set, max_fail)
        check_trials(protocol, name, {v.utt for v in part}, max_fail)
        write_set(data / name, part, config)
    for name, pretrain in (("train", "pretrain"), ("dev", "pretrain_dev")):
        part = [v for v in wanted if v.set == name and v.out.is_file()]
        write_set(data / pretrain, [v for v in part if v.attack == BONA_FIDE], config)
        tags = {a: corpus["attacks"][a]["tag"] for a in sorted({v.attack for v in part} - {BONA_FIDE})}
        for attack, tag in tags.items():
            copies = {f"{tag}-{v.source}": v for v in part if v.attack == attack}
            write_folder(
                data / f"{pretrain}_{tag}", **tables(copies, config), utt2vocoder=dict.fromkeys(copies, tag)
            )
        if name == "train":
            write_lines(data / "pretrain_tags", list(tags.values()))
    for old in data.glob("wav.*"):
        if old != audio_folder(data, made, protocol, config):
            shutil.rmtree(old)


def check_rejected(path: Path, wanted: list[Version], max_fail: float) -> None:
    """Raise `MasdError` if conditioning rejected more than `max_fail` of a set."""
    failures = Failures("utterance", max_fail)
    for version in wanted:
        if not version.out.is_file():
            failures.add(version.utt, "was rejected, see the logs of conditioning")
    failures.check(len(wanted), path)


def check_trials(protocol: Path, name: str, made: set[str], max_fail: float) -> None:
    """Compare a set with the protocol's trial list, where it has one: few may be missing, none be extra.

    Raises:
        MasdError: more than `max_fail` are missing, or there are others.
    """
    path = protocol.with_name(f"{protocol.stem}.trials_{name}.tsv")
    if not path.is_file():
        return
    wanted = [line.split("\t")[0] for line in read_text(path).splitlines()]
    failures = Failures("trial", max_fail)
    for utt in wanted:
        if utt not in made:
            failures.add(utt, "was rejected, see the logs of synthesis and conditioning")
    failures.check(len(wanted), path)
    extra = sorted(made - set(wanted))
    if extra:
        raise MasdError(f"{path}: {extra[0]} is no trial; make the protocol again, or remove the data folder")


def write_set(path: Path, part: list[Version], config: ConditionConfig) -> None:
    """Write the data folder of a set."""
    write_folder(path, **tables({v.utt: v for v in part}, config))
    log.info(
        "%s: %d bona fide, %d spoof",
        path,
        *(sum((v.attack == BONA_FIDE) is b for v in part) for b in (True, False)),
    )


def tables(chosen: dict[str, Version], config: ConditionConfig) -> dict[str, dict]:
    """Return the lists of a data folder of conditioned utterances."""
    import soundfile

    seconds = {utt: soundfile.info(v.out).duration for utt, v in chosen.items()}
    return {
        "wav": {utt: v.out for utt, v in chosen.items()},
        "utt2spk": {utt: v.speaker for utt, v in chosen.items()},
        "utt2lab": {utt: "bonafide" if v.attack == BONA_FIDE else "spoof" for utt, v in chosen.items()},
        "utt2attack": {utt: "-" if v.attack == BONA_FIDE else v.attack for utt, v in chosen.items()},
        "utt2source": {utt: v.source for utt, v in chosen.items()},
        "utt2codec": {utt: draw(v.source, config).codec for utt, v in chosen.items()},
        "utt2dur": seconds,
    }


if __name__ == "__main__":
    run_commands((Command(condition, output=""), Command(finish, output="")))
