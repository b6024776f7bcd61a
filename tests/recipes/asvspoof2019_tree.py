"""A small ASVspoof 2019 LA and LibriSpeech in their true layouts."""

from __future__ import annotations

import os
from pathlib import Path

from paper_recipes import clips

from masd.audio import write_wav

SETS = {"train": ("train.trn", "T"), "dev": ("dev.trl", "D"), "eval": ("eval.trl", "E")}
ATTACKS = {"train": range(1, 7), "dev": range(1, 7), "eval": range(7, 20)}
SPEAKERS = {"train": range(79, 99), "dev": range(59, 79), "eval": range(1, 49)}
BONAFIDE, PER_ATTACK = 12, 3  # recordings of each set
REAL = os.environ.get("ASVSPOOF2019_LA_PROTOCOLS")


def protocol_lines(name: str) -> list[str]:
    """Return the protocol of a set: the corpus's own where it is at hand, else a short one in its format."""
    if REAL:
        return (Path(REAL) / f"ASVspoof2019.LA.cm.{SETS[name][0]}.txt").read_text().splitlines()
    lines, speakers = [], list(SPEAKERS[name])
    for number in range(20 * BONAFIDE):
        spk = speakers[number % len(speakers)]
        attack = number % (len(ATTACKS[name]) + 1)
        utt = f"LA_{SETS[name][1]}_{1000001 + 37 * number}"
        key = "- - bonafide" if attack == 0 else f"- A{ATTACKS[name][attack - 1]:02d} spoof"
        lines.append(f"LA_{spk:04d} {utt} {key}")
    return lines


def chosen(name: str) -> list[str]:
    """Return the lines of a protocol that get a recording: spread over the speakers."""
    groups: dict[str, list[str]] = {}
    for line in protocol_lines(name):
        groups.setdefault(line.split()[3], []).append(line)
    kept = []
    for attack, lines in sorted(groups.items()):
        count = BONAFIDE if attack == "-" else PER_ATTACK
        kept += lines[:: max(1, len(lines) // count)][:count]
    return kept


def lay_out_la(root: Path) -> Path:
    """Write `<root>/LA` with protocols, ASV scores and a recording for each chosen line; return it."""
    la = root / "LA"
    cm, asv = la / "ASVspoof2019_LA_cm_protocols", la / "ASVspoof2019_LA_asv_scores"
    cm.mkdir(parents=True)
    asv.mkdir()
    for name, (suffix, _) in SETS.items():
        (cm / f"ASVspoof2019.LA.cm.{suffix}.txt").write_text("\n".join(protocol_lines(name)) + "\n")
        flac = la / f"ASVspoof2019_LA_{name}" / "flac"
        lines = chosen(name)
        for kind in ("bonafide", "spoof"):
            utts = [line.split()[1] for line in lines if line.endswith(kind)]
            for utt, x in zip(utts, clips(kind, len(utts)), strict=True):
                write_wav(flac / f"{utt}.flac", x)
        if name != "train":
            for utt, x in zip(enrolment(name)[1], clips("bonafide", 2), strict=True):
                write_wav(flac / f"{utt}.flac", x)
            (asv / f"ASVspoof2019.LA.asv.{name}.gi.trl.scores.txt").write_text(asv_scores(name))
    protocols = la / "ASVspoof2019_LA_asv_protocols"
    protocols.mkdir()
    for name in ("dev", "eval"):
        spk, utts = enrolment(name)
        path = protocols / f"ASVspoof2019.LA.asv.{name}.female.trn.txt"
        path.write_text(f"{spk} {','.join(utts)}\n")
    return la


def enrolment(name: str) -> tuple[str, list[str]]:
    """Return the one speaker of dev or eval that has enrolment recordings, and these."""
    return chosen(name)[0].split()[0], [f"LA_{SETS[name][1]}_A{number}" for number in (1234567, 1858303)]


def asv_scores(name: str) -> str:
    """Return the speaker verifier's scores: the corpus's own for eval where they are at hand."""
    if REAL and name == "eval":
        return (Path(REAL) / "ASVspoof2019.LA.asv.eval.gi.trl.scores.txt").read_text()
    lines = [f"bonafide target {3 + (i % 7):.6f}" for i in range(40)]
    lines += [f"bonafide nontarget {-8 + (i % 9):.6f}" for i in range(60)]
    lines += [f"A{a:02d} spoof {-2 + (i % 8):.6f}" for a in ATTACKS[name] for i in range(5)]
    return "\n".join(lines) + "\n"


def lay_out_librispeech(root: Path, speakers: int = 7, each: int = 4) -> Path:
    """Write `<root>/LibriSpeech` with speakers of two chapters each; return it."""
    top = root / "LibriSpeech"
    ids = [14, 16, 100, 986, 1001, 2004, 7, 8, 9][:speakers]
    pieces = iter(clips("bonafide", speakers * each, 2.0))
    rows = ["; ID |SEX| SUBSET |MINUTES| NAME", "60  | M | train-clean-100 | 20.18 | Someone | Else"]
    for number, spk in enumerate(ids):
        rows.append(f"{spk:<4} | {'FM'[number % 2]} | train-clean-360  | 25.03 | A. Reader | B")
        for chapter in (208, 212):
            folder = top / "train-clean-360" / str(spk) / str(chapter)
            lines = []
            for index in range(each // 2):
                utt = f"{spk}-{chapter}-{index:04d}"
                write_wav(folder / f"{utt}.flac", next(pieces))
                lines.append(f"{utt} THE WORDS OF NUMBER {index}")
            (folder / f"{spk}-{chapter}.trans.txt").write_text("\n".join(lines) + "\n")
    (top / "SPEAKERS.TXT").write_text("\n".join(rows) + "\n")
    return top
