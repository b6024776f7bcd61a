"""Miniature trees of corpora of the field, in their true layouts, with short recordings.

Protocol lines have the corpora's published forms.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from paper_recipes import clips
from zero_shot_trees import write


class Voices:
    """Short recordings of each class, one after the other; `touch` makes empty files in their place."""

    def __init__(self, count: int = 60):
        self.left = {kind: iter(clips(kind, count)) for kind in ("bonafide", "spoof")}

    def __call__(self, path: Path, label: str, rate: int = 16000) -> None:
        write(path, next(self.left[label]), rate)


def touch(path: Path, label: str, rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


Make = Callable[..., None]
LA_TRIALS = (
    "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval",
    "LA_0009 LA_E_6866159 alaw ita_tx A08 spoof notrim eval",
    "LA_0009 LA_E_5464494 alaw sin_tx A07 spoof notrim eval",
    "LA_0009 LA_E_2667748 alaw loc_tx A07 spoof notrim eval",
    "LA_0009 LA_E_8589971 alaw loc_tx A07 spoof notrim progress",
    "LA_0020 LA_E_7294490 g722 loc_tx bonafide bonafide notrim eval",
    "LA_0020 LA_E_7294491 g722 loc_tx A10 spoof notrim eval",
    "LA_0007 LA_E_5013670 alaw ita_tx bonafide bonafide notrim eval",
    "LA_0007 LA_E_5013671 alaw sin_tx bonafide bonafide notrim eval",
    "LA_0007 LA_E_5013672 alaw loc_tx bonafide bonafide notrim eval",
    "LA_0007 LA_E_5013673 none mad_tx bonafide bonafide notrim progress",
    "LA_0007 LA_E_5013674 none mad_tx A19 spoof trim hidden",
    "LA_0007 LA_E_5013675 none mad_tx bonafide bonafide trim hidden",
)


def asvspoof2021_la(root: Path, make: Make, asv: bool = True) -> Path:
    """ASVspoof 2021 LA with its keys, and a verifier's scores."""
    for line in LA_TRIALS:
        _, utt, *_, label, _, _ = line.split()
        make(root / f"ASVspoof2021_LA_eval/flac/{utt}.flac", label)
    put(root / "keys/LA/CM/trial_metadata.txt", LA_TRIALS)
    if asv:
        trials, scores = [], []
        for number in range(60):
            kind = ("target", "nontarget", "spoof")[number % 3]
            attack = "A07" if kind == "spoof" else "bonafide"
            ids = f"LA_{number:04d}-alaw-ita_tx LA_E_{number:07d}-alaw-ita_tx"
            trials.append(f"{ids} alaw ita_tx {attack} {kind} notrim {'progress' if number < 3 else 'eval'}")
            scores.append(f"{ids} {(8.0, -9.0, 1.0)[number % 3] + np.sin(number) * 9:.5f}")
        put(root / "keys/LA/ASV/trial_metadata.txt", trials)
        put(root / "keys/LA/ASV/ASVTorch_Kaldi/score.txt", scores)
    return root


def in_the_wild(root: Path, make: Make, each: int = 4) -> Path:
    """In-the-Wild: numbered recordings beside meta.csv, whose speakers' names have blanks."""
    lines = ["file,speaker,label"]
    for number in range(2 * each):
        label = ("spoof", "bona-fide")[number % 2]
        make(root / f"release_in_the_wild/{number}.wav", label.replace("-", ""))
        lines.append(f"{number}.wav,{('Alec Guinness', 'Barack Obama')[number // 2 % 2]},{label}")
    put(root / "release_in_the_wild/meta.csv", lines)
    return root


ASV5 = {
    "train": ("ASVspoof5.train.tsv", "flac_T", "T_{}", ("AC1 A05", "AC3 A03")),
    "dev": ("ASVspoof5.dev.track_1.tsv", "flac_D", "D_{}", ("AC1 A14", "AC2 A10")),
    "eval": ("ASVspoof5.eval.track_1.tsv", "flac_E_eval", "E_{}", ("AC1 A26", "AC3 A31")),
}


def asvspoof5(root: Path, make: Make, each: int = 6, apart: bool = False) -> Path:
    """ASVspoof 5: tables of ten columns without header, separated by blanks, and audio of three sets."""
    for name, (protocol, folder, form, attacks) in ASV5.items():
        lines = []
        for number in range(3 * each):
            label = ("bonafide", "spoof", "spoof")[number % 3]
            utt, spk = form.format(f"{21 * number:010d}"), form.format(f"{number:04d}")
            codec = "- - -"
            if name == "eval":
                codec = f"C05 2 {form.format('0009486171')}" if number // 3 % 2 else "- 0 -"
            attack = attacks[number % 2] if label == "spoof" else "- bonafide"
            lines.append(f"{spk} {utt} {'FM'[number % 2]} {codec} {attack} {label} -")
            archive = f"flac_{name[0].upper()}_a{'ab'[number % 2]}/" if apart else ""
            make(root / archive / folder / f"{utt}.flac", label)
        put(root / ("ASVspoof5_protocols" if apart else ".") / protocol, lines)
    return root


ORIGINALS = {
    "en": ("en_US/by_book/female/judy_bieber/ozma_of_oz/wavs/ozma_of_oz_{}_f000001.wav", "judy_bieber"),
    "de": ("de_DE/by_book/mix/grimms_maerchen/wavs/grimms_maerchen_{}_f000001.wav", ""),
}
MODELS = {
    ("en", "tts_models_en_ljspeech_glow-tts"): ("tts_models/en/ljspeech/glow-tts", "Glow-TTS"),
    ("en", "Resemble.ai (April 12th, 2025)"): ("Resemble.ai", "unknown"),
    ("de", "tts_models_de_thorsten_vits"): ("tts_models/de/thorsten/vits", "VITS"),
    ("sw", "facebook_mms-tts-swh"): ("facebook/mms-tts-swh", "VITS"),
}
META = (
    *("path", "original_file", "language", "is_original_language", "duration", "training_data"),
    *("model_name", "architecture", "transcript"),
)


def mlaad(root: Path, make: Make, each: int = 3) -> Path:
    """MLAAD and M-AILABS, side by side; Swahili says sentences that were translated from English."""
    for (language, folder), (model, architecture) in MODELS.items():
        home, lines = root / "mlaad/fake" / language / folder, ["|".join(META)]
        for number in range(each):
            original = ORIGINALS["de" if language == "de" else "en"][0].format(f"{number:02d}")
            file = Path(original).name
            own = "True" if language != "sw" else "False"
            text = '"He said ""no"", and went|off"' if number == 0 else "He went off."
            row = (f"./fake/{language}/{folder}/{file}", original, language, own, "1.5", "x", model)
            lines.append("|".join((*row, architecture, text)))
            make(home / file, "spoof", 22050)
        put(home / "meta.csv", lines)
    for form, _ in ORIGINALS.values():
        for number in range(each):
            make(root / "mailabs" / form.format(f"{number:02d}"), "bonafide")
    return root


def own(root: Path, make: Make, speakers: int = 6, speaker_folders: bool = True) -> Path:
    """A folder of one's own: three generators, each with every recording."""
    for number in range(speakers):
        inner = f"s{number}/a.wav" if speaker_folders else f"s{number}.wav"
        make(root / "real" / inner, "bonafide", 22050)
        for generator in ("vits", "xtts", "my gen"):
            make(root / "fake" / generator / inner, "spoof", 22050)
    return root


def put(path: Path, lines: list[str] | tuple[str, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
