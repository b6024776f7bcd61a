"""Stage 1 of WaveFake: sets with disjoint sentences, from a listing of the audio, which is not opened."""

from __future__ import annotations

import logging
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from locate import CORPUS, find

from masd.cli import run
from masd.data.corpus import Findings, check_counts, choose_each, list_audio, write_prepared
from masd.errors import MasdError
from masd.stage.files import read_yaml, write_changed

log = logging.getLogger(__name__)

TTS = "common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech"
TTS_VOCODER = "parallel_wavegan_tts"
# Folder of copies: the corpus whose speaker is heard, the vocoder.
FOLDERS = {
    "ljspeech_melgan": ("ljspeech", "melgan"),
    "ljspeech_melgan_large": ("ljspeech", "melgan_large"),
    "ljspeech_multi_band_melgan": ("ljspeech", "multi_band_melgan"),
    "ljspeech_full_band_melgan": ("ljspeech", "full_band_melgan"),
    "ljspeech_parallel_wavegan": ("ljspeech", "parallel_wavegan"),
    "ljspeech_hifiGAN": ("ljspeech", "hifigan"),
    "ljspeech_waveglow": ("ljspeech", "waveglow"),
    "jsut_multi_band_melgan": ("jsut", "multi_band_melgan"),
    "jsut_parallel_wavegan": ("jsut", "parallel_wavegan"),
    TTS: ("ljspeech", TTS_VOCODER),
}
SUFFIX = re.compile(r"_(?:gen|generated)$")
SHARE = 5  # the last fifth is the test set, as in the release's own code; the fifth before it, development


class Item(NamedTuple):
    """A recording or a copy of one; copies of a sentence share its `sentence` and `corpus`."""

    utt: str
    path: str
    corpus: str
    sentence: str
    attack: str
    vocoder: str


def prepare(
    corpus: str,
    part: Path,
    out: Path,
    ljspeech: str = "",
    jsut: str = "",
    zero_shot: bool = True,
    published: Path = Path("conf/published.yaml"),
    strict: bool = True,
) -> None:
    """Write `<out>/eval`, and for training `<out>/{train,dev,pretrain,pretrain_dev}`.

    No sentence is in two sets, neither as recorded nor as a copy. Also writes `<out>/breakdown`, what
    stage 7 breaks results down by.

    Args:
        corpus: folder with generated_audio.
        part: conf/corpus_<size>.yaml, how much of the corpus is taken.
        out: data/<size>.
        ljspeech: folder LJSpeech-1.1; beside generated_audio by default.
        jsut: folder jsut_ver1.1; beside generated_audio by default.
        zero_shot: whether the test set is all that is wanted.
        published: the published counts.
        strict: stop where the corpus is not as published; else go on with what there is.

    Raises:
        MasdError: a part is not where it should be, damaged, or (strict) not as published.
    """
    findings, amount, counts = Findings(CORPUS, strict), read_yaml(part), read_yaml(published)
    places = find(corpus, ljspeech, jsut, findings)
    recorded = {
        name: recordings(name, path, counts[name], findings) for name, path in places.recordings.items()
    }
    copied = copies(places.generated, counts, findings)
    check_sentences(recorded, copied, findings)
    findings.settle()
    items = [item for some in (*recorded.values(), *copied.values()) for item in some]
    place = places_of_sentences(items)
    for name in ("eval",) if zero_shot else ("train", "dev", "eval"):
        chosen = [item for item in items if place.get((item.corpus, item.sentence)) == name]
        if amount["sentences"]:
            chosen = fewer_sentences(chosen, amount["sentences"][name], amount["seed"], name)
        if name != "eval":
            chosen = choose_copies(chosen, amount["train_copies"], amount["seed"], name)
            real = [item for item in chosen if item.attack == "-"]
            write_set(out / ("pretrain" if name == "train" else "pretrain_dev"), real)
        write_set(out / name, chosen)
    write_changed(out / "breakdown", "corpus,corpus*vocoder\n")


def recordings(name: str, path: Path, published: int, findings: Findings) -> list[Item]:
    """Return the bona fide recordings of a corpus."""
    audio = list_audio(path, (".wav",))
    check_counts(findings, str(path), {"files": len(audio)}, {"files": published})
    return [
        Item(f"{name}-bonafide-{stem}", file, name, stem, "-", "-") for stem, file in sorted(audio.items())
    ]


def copies(generated: Path, published: dict[str, int], findings: Findings) -> dict[str, list[Item]]:
    """Return the copies in each folder of generated_audio; folders below those are not entered.

    Raises:
        MasdError: a folder holds two copies of one sentence.
    """
    strangers = sorted(p.name for p in generated.iterdir() if p.is_dir() and p.name not in FOLDERS)
    found = {}
    for folder, (corpus, vocoder) in FOLDERS.items():
        path = generated / folder
        if not path.is_dir():
            hint = f"; there is {strangers[0]}, was it renamed?" if strangers else ""
            findings.add(f"no {path}, with {published[folder]} files{hint}")
            continue
        if (path / "generated").is_dir():
            log.info("%s: a duplicate of the folder it is in, not used", path / "generated")
        audio = list_audio(path, (".wav",))
        check_counts(findings, str(path), {"files": len(audio)}, {"files": published[folder]})
        items: dict[str, Item] = {}
        for stem, file in sorted(audio.items()):
            sentence = f"tts-{stem}" if folder == TTS else SUFFIX.sub("", stem)
            if sentence in items:
                raise MasdError(f"{file}: a second copy of {sentence} beside {items[sentence].path}")
            items[sentence] = Item(f"{corpus}-{folder}-{stem}", file, corpus, sentence, folder, vocoder)
        found[folder] = list(items.values())
    return found


def check_sentences(
    recorded: dict[str, list[Item]], copied: dict[str, list[Item]], findings: Findings
) -> None:
    """Record copies of sentences that were never recorded: files of another corpus, or renamed."""
    for folder, items in copied.items():
        corpus = FOLDERS[folder][0]
        known = {item.sentence for item in recorded.get(corpus, [])}
        odd = [item.path for item in items if known and folder != TTS and item.sentence not in known]
        if odd:
            findings.add(f"{odd[0]}: no recording of {corpus} has that name ({len(odd)} such files)")


def places_of_sentences(items: list[Item]) -> dict[tuple[str, str], str]:
    """Return the set of each sentence: of each corpus (and of the TTS prompts) in order of their names, the
    last fifth is eval, the one before dev, the rest train. TTS prompts, which have no recording, are in no
    set but eval, and copies without a recording in none.
    """
    place: dict[tuple[str, str], str] = {}
    for corpus in sorted({i.corpus for i in items if i.attack == "-"}):
        for attack in ("-", TTS):
            names = sorted({i.sentence for i in items if i.corpus == corpus and i.attack == attack})
            fifth = max(1, len(names) // SHARE)
            cuts = {"train": names[: -2 * fifth], "dev": names[-2 * fifth : -fifth], "eval": names[-fifth:]}
            for name, part in cuts.items():
                if attack == "-" or name == "eval":
                    place |= {(corpus, sentence): name for sentence in part}
    return place


def fewer_sentences(items: list[Item], count: int, seed: int, name: str) -> list[Item]:
    """Return the items of `count` sentences of each corpus, and of as many TTS prompts."""
    sentences = sorted({(item.corpus, item.vocoder == TTS_VOCODER, item.sentence) for item in items})
    chosen = set(choose_each(sentences, lambda s: s[:2], count, seed, name))
    return [item for item in items if (item.corpus, item.vocoder == TTS_VOCODER, item.sentence) in chosen]


def choose_copies(items: list[Item], count: int, seed: int, name: str) -> list[Item]:
    """Return all recordings and of each sentence `count` of its copies."""
    real = [item for item in items if item.attack == "-"]
    fake = [item for item in items if item.attack != "-"]
    return real + choose_each(fake, lambda item: (item.corpus, item.sentence), count, seed, name)


def write_set(path: Path, items: list[Item]) -> None:
    """Write a data folder."""
    if not items:
        raise MasdError(f"{path}: no recording is left for it; --corpus has too few")
    write_prepared(
        path,
        {i.utt: i.path for i in items},
        {i.utt: i.corpus for i in items},
        utt2lab={i.utt: "bonafide" if i.attack == "-" else "spoof" for i in items},
        utt2attack={i.utt: i.attack for i in items},
        utt2vocoder={i.utt: i.vocoder for i in items},
        utt2corpus={i.utt: i.corpus for i in items},
        utt2source={i.utt: f"{i.corpus}-{i.sentence}" for i in items},
    )
    counts = Counter(item.attack != "-" for item in items)
    log.info("%s: %d bona fide, %d spoof", path, counts[False], counts[True])


if __name__ == "__main__":
    run(prepare, output="")
