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


def codecfake(root: Path, make: Make, each: int = 2, parts: tuple[str, ...] = ()) -> Path:
    """Codecfake: label files without header; C1 to C6 have the same real recordings, C7 others' fakes too."""
    spoken = [f"SSB1365{number:04d}" if number % 2 else f"p228_{number:03d}" for number in range(3 * each)]
    sets = {"train": spoken[:each], "dev": spoken[each : 2 * each]}
    for name in parts or ("train", "dev", *(f"C{kind}" for kind in range(1, 8)), "A1", "A2", "A3"):
        real = sets.get(name, spoken[2 * each :])
        kinds = list(range(1, 7)) if name in sets else [int(name[1])]
        lines = [f"{stem}.wav real 0" for stem in real]
        if name == "A3":
            lines = ["Y2ix2vJVgICk.wav real 0", "69630.wav fake 3"]
        else:
            mark, said = ("L{}_", real) if name[0] == "A" else ("F{:02d}_", real if name != "C7" else spoken)
            lines += [f"{mark.format(kind)}{stem}.wav fake {kind}" for stem in said for kind in kinds]
        put(root / f"label/{name}.txt", lines)
        for line in lines:
            file, label, _ = line.split()
            place = name if name in sets else f"test/{name}"
            make(root / place / file, {"real": "bonafide", "fake": "spoof"}[label])
    return root


PARTS = {"train": "T", "dev": "D", "eval": "E"}


def partialspoof(root: Path, make: Make, each: int = 3) -> Path:
    """PartialSpoof: as many spoofed in part as bona fide; a label is "0" where a recording is spoofed."""
    for name, letter in PARTS.items():
        lines, labels = [], {}
        for number in range(each):
            spk = f"LA_00{79 + number}"
            real, fake = f"LA_{letter}_{9497115 + number}", f"CON_{letter}_{29 + number:07d}"
            lines += [f"{spk[:-1]}{letter} {real} - - bonafide", f"{spk[:-1]}{letter} {fake} - CON spoof"]
            labels[real] = np.array(["1"] * 150)
            labels[fake] = np.array(["1"] * 30 + ["0"] * 26 + ["1"] * 64 + ["0"] * 30)
            make(root / f"database/{name}/con_wav/{real}.wav", "bonafide")
            make(root / f"database/{name}/con_wav/{fake}.wav", "spoof")
        protocols = root / "database/protocols/PartialSpoof_LA_cm_protocols"
        put(protocols / f"PartialSpoof.LA.cm.{name}.trl.txt", lines)
        file = root / f"database/segment_labels/{name}_seglab_0.01.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.array(labels, dtype=object))
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
