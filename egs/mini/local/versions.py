"""Every version of every utterance of a size: what it is made from and where its conditioned audio goes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

from plan import Item, load_corpus

from masd.audio.condition import ConditionConfig, signs
from masd.data.folder import read_folder
from masd.errors import MasdError
from masd.stage.files import digest, read_json, sha256
from masd.stage.seeding import generator

BONA_FIDE = "bonafide"
VERSION = 2  # raise it when the same configuration comes to give other audio


@dataclasses.dataclass(frozen=True)
class Version:
    """One utterance to condition.

    Attributes:
        utt: its id in the sets, `<source utterance>` or `<source utterance>-<attack>`.
        speaker: who speaks.
        set: train, dev, eval or eval_tts.
        attack: the attack's id, or `bonafide`.
        source: the source utterance, which decides the random draws.
        audio: the unconditioned audio.
        reference: the unconditioned source; text to speech has none but itself.
        through: the rate in Hz it is resampled through.
        out: the conditioned audio.
        sign: -1 where it is turned over.
    """

    utt: str
    speaker: str
    set: str
    attack: str
    source: str
    audio: Path
    reference: Path
    through: int
    out: Path
    sign: int = 1


def audio_folder(data: Path, made: Path, protocol: Path, config: ConditionConfig) -> Path:
    """Return where conditioned audio goes: another configuration, protocol or vocoder, another folder."""
    made_by = read_json(made / "vocoder" / "digests.json")
    corpus = load_corpus()
    source = [corpus["rate"], corpus["high_pass_hz"]]
    return data / f"wav.{digest(config, source, VERSION, sha256(protocol), made_by)[:8]}"


def source_folder(data: Path, protocol: Path, corpus: str = "") -> Path:
    """Return where source audio goes: other settings, protocol or recordings, another folder."""
    settings = load_corpus()
    work = digest(sha256(protocol), settings["rate"], settings["high_pass_hz"], corpus)
    return data / "source" / f"wav.{work[:8]}"


def versions(
    items: list[Item], corpus: dict[str, Any], made: Path, out: Path, config: ConditionConfig
) -> list[Version]:
    """Return the bona fide versions and the copies of all items, sorted by utterance id.

    Bona fide speech is resampled through the rates that the copies of its set were made at, as often as they.

    Raises:
        MasdError: the copies of an attack are missing.
    """
    attacks = corpus["attacks"]
    copies = {
        a: copied(made / "copies" / attacks[a]["tag"]) for a in sorted({a for i in items for a in i.attacks})
    }
    rates = {name: Counter() for name in {item.set for item in items}}
    for item in items:
        rates[item.set].update(attacks[a]["rate"] for a in item.attacks)
    polarity, sources = item_signs(items, config), read_folder(made / "source").wav
    result = []
    for item in items:
        sign, source = polarity[item.utt], Path(sources[item.utt])
        through = draw_rate(item.utt, rates[item.set], config.seed) if item.attacks else corpus["rate"]
        own = out / BONA_FIDE / f"{item.utt}.flac"
        result.append(
            Version(item.utt, item.speaker, item.set, BONA_FIDE, item.utt, source, source, through, own, sign)
        )
        for attack in item.attacks:
            utt, audio = f"{item.utt}-{attack}", copies[attack].get(item.utt)
            if audio is not None:  # else its synthesis failed, which masd.bin.finish has judged
                path = out / attack / f"{item.utt}.flac"
                result.append(
                    Version(
                        *(utt, item.speaker, item.set, attack, item.utt),
                        *(audio, source, corpus["rate"], path, sign),
                    )
                )
    return sorted(result, key=lambda version: version.utt)


def item_signs(items: list[Item], config: ConditionConfig) -> dict[str, int]:
    """Return the polarity of each item, balanced over every speaker and, within, over its attacks."""
    return signs({i.utt: (i.set, i.speaker, ",".join(i.attacks)) for i in items}, config)


def tts_versions(
    attacks: list[str], corpus: dict[str, Any], made: Path, out: Path, config: ConditionConfig
) -> list[Version]:
    """Return what the text-to-speech attacks have spoken (local/speak.py), sorted by utterance id."""
    result = []
    for attack in attacks:
        spoken = read_folder(made / "copies" / corpus["attacks"][attack]["tag"])
        polarity = signs({utt: (attack, spoken.utt2spk[utt], "") for utt in spoken.utts}, config)
        for utt in spoken.utts:
            path = out / attack / f"{utt}.flac"
            speaker, audio = spoken.utt2spk[utt], Path(spoken.wav[utt])
            result.append(
                Version(
                    *(f"{utt}-{attack}", speaker, "eval_tts", attack, utt),
                    *(audio, audio, corpus["rate"], path, polarity[utt]),
                )
            )
    return sorted(result, key=lambda version: version.utt)


def copied(path: Path) -> dict[str, Path]:
    """Return {source utterance: audio} of a folder that copy-synthesis wrote.

    Raises:
        MasdError: it is not there or does not say what its sources are.
    """
    folder = read_folder(path)
    if "utt2source" not in folder.tables:
        raise MasdError(f"{path}: no utt2source; is this what masd.bin.finish copy-synthesis wrote?")
    return {source: Path(folder.wav[utt]) for utt, source in folder.tables["utt2source"].items()}


def draw_rate(utt: str, rates: Counter, seed: int) -> int:
    """Return one of the rates by chance, as often as `rates` counts it."""
    names = sorted(rates)
    weights = [rates[name] / rates.total() for name in names]
    return int(generator(seed, "through", utt).choice(names, p=weights))
