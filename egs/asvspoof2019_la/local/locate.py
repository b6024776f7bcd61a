"""Stage 0: where ASVspoof 2019 LA and LibriSpeech are, and whether all their parts are there."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from masd.cli import run
from masd.data.corpus import Findings, find_root

log = logging.getLogger(__name__)

CORPUS = "ASVspoof 2019 LA"
LAYOUT = (
    "LA/ASVspoof2019_LA_{train,dev,eval}/flac/*.flac beside LA/ASVspoof2019_LA_cm_protocols and "
    "LA/ASVspoof2019_LA_asv_scores, as LA.zip of datashare.ed.ac.uk/handle/10283/3336 unpacks"
)
PROTOCOLS = {"train": "train.trn", "dev": "dev.trl", "eval": "eval.trl"}
VERIFIED = ("dev", "eval")  # sets that have scores of the speaker verifier
LIBRISPEECH = "LibriSpeech train-clean-360"
LIBRISPEECH_LAYOUT = (
    "LibriSpeech/SPEAKERS.TXT and LibriSpeech/train-clean-360/<speaker>/<chapter>/*.flac, as "
    "train-clean-360.tar.gz of openslr.org/12 unpacks"
)


@dataclass(frozen=True)
class Places:
    """Where the parts of both corpora are.

    Attributes:
        la: the folder LA.
        librispeech: the folder LibriSpeech, None where no encoder is trained.
    """

    la: Path
    librispeech: Path | None

    def audio(self, name: str) -> Path:
        """Return the folder with the recordings of train, dev or eval."""
        return self.la / f"ASVspoof2019_LA_{name}" / "flac"

    def protocol(self, name: str) -> Path:
        """Return the protocol of the countermeasure for train, dev or eval."""
        return self.la / "ASVspoof2019_LA_cm_protocols" / f"ASVspoof2019.LA.cm.{PROTOCOLS[name]}.txt"

    def enrolment(self, name: str, gender: str) -> Path:
        """Return the list of the speaker verifier's enrolment of dev or eval, `female` or `male`."""
        return self.la / "ASVspoof2019_LA_asv_protocols" / f"ASVspoof2019.LA.asv.{name}.{gender}.trn.txt"

    def asv_scores(self, name: str) -> Path:
        """Return the scores of the speaker verifier on dev or eval."""
        return self.la / "ASVspoof2019_LA_asv_scores" / f"ASVspoof2019.LA.asv.{name}.gi.trl.scores.txt"


def find(corpus: str, librispeech: str, pretrain: bool) -> Places:
    """Return where everything is; whether the speaker verifier's scores are is for `find_verifier` to say.

    Raises:
        MasdError: a corpus was not given, is not there, or lacks a part; one line says what was looked for.
    """
    parts = [f"ASVspoof2019_LA_{name}/flac" for name in PROTOCOLS]
    parts.append("ASVspoof2019_LA_cm_protocols")
    la = find_root(corpus, parts, CORPUS, LAYOUT, "--corpus")
    if not pretrain:
        return Places(la, None)
    parts = ["SPEAKERS.TXT", "train-clean-360"]
    return Places(la, find_root(librispeech, parts, LIBRISPEECH, LIBRISPEECH_LAYOUT, "--librispeech"))


def find_verifier(places: Places, findings: Findings) -> dict[str, Path]:
    """Return set to the scores of the speaker verifier that are there; record what the others' lack means."""
    paths = {name: places.asv_scores(name) for name in VERIFIED}
    for name, path in paths.items():
        if not path.is_file():
            findings.add(f"{path}: no such file; without it the results of {name} have no t-DCF")
    return {name: path for name, path in paths.items() if path.is_file()}


def locate(corpus: str = "", librispeech: str = "", pretrain: bool = True, strict: bool = True) -> None:
    """Say where the corpora are, or which part is missing.

    Args:
        corpus: the folder LA, or the one it is in.
        librispeech: the folder LibriSpeech, or the one it is in.
        pretrain: whether LibriSpeech is needed.
        strict: stop where the speaker verifier's scores are missing.
    """
    places, findings = find(corpus, librispeech, pretrain), Findings(CORPUS, strict)
    find_verifier(places, findings)
    findings.settle()
    log.info("%s: %s", CORPUS, places.la)
    if places.librispeech:
        log.info("%s: %s", LIBRISPEECH, places.librispeech)


if __name__ == "__main__":
    run(locate, output="")
