"""Stage 0: where WaveFake and the bona fide corpora of its copies are."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from masd.cli import run
from masd.data.corpus import Findings, find_root

log = logging.getLogger(__name__)

CORPUS = "WaveFake"
LAYOUT = (
    "DIR/generated_audio/{ljspeech_melgan,jsut_parallel_wavegan,...}/*.wav, as generated_audio.zip of "
    "zenodo.org/record/5642694 unpacks, beside DIR/LJSpeech-1.1/wavs and DIR/jsut_ver1.1/basic5000/wav"
)
# The bona fide corpora: their folder, and where in it the recordings are.
BONA_FIDE = {"ljspeech": ("LJSpeech-1.1", "wavs"), "jsut": ("jsut_ver1.1", "basic5000/wav")}


@dataclass(frozen=True)
class Places:
    """Where the parts are.

    Attributes:
        generated: the folder generated_audio.
        recordings: bona fide corpus to the folder of its recordings; those that are there.
    """

    generated: Path
    recordings: dict[str, Path]


def find(corpus: str, ljspeech: str, jsut: str, findings: Findings) -> Places:
    """Return where everything is; a bona fide corpus that is not there is recorded.

    Raises:
        MasdError: generated_audio was not given or is not there; one line says what was looked for.
    """
    root = find_root(corpus, ["generated_audio"], CORPUS, LAYOUT, "--corpus")
    recordings = {}
    for name, given in (("ljspeech", ljspeech), ("jsut", jsut)):
        folder, inside = BONA_FIDE[name]
        base = Path(given) if given else root / folder
        tried = [base / inside, base / folder / inside, base]
        path = next((p for p in tried if p.is_dir() and p.name == Path(inside).name), None)
        if path is not None:
            recordings[name] = path
            continue
        findings.add(
            f"no {base / inside}: the bona fide recordings of the copies are downloads of their own; "
            f"--{name} says where {folder} is, if not beside generated_audio"
        )
    return Places(root / "generated_audio", recordings)


def locate(corpus: str = "", ljspeech: str = "", jsut: str = "", strict: bool = True) -> None:
    """Say where the corpora are, or which part is missing.

    Args:
        corpus: folder with generated_audio.
        ljspeech: folder LJSpeech-1.1; beside generated_audio by default.
        jsut: folder jsut_ver1.1; beside generated_audio by default.
        strict: whether a bona fide corpus that is not there is an error.
    """
    findings = Findings(CORPUS, strict)
    places = find(corpus, ljspeech, jsut, findings)
    findings.settle()
    log.info(
        "%s: %s, recordings %s", CORPUS, places.generated, ", ".join(map(str, places.recordings.values()))
    )


if __name__ == "__main__":
    run(locate, output="")
