"""Stage 0: where the audio and the keys of ASVspoof 2021 DF are."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import run
from masd.data.corpus import evaluation_only
from masd.errors import MasdError

log = logging.getLogger(__name__)

CORPUS = "ASVspoof 2021 DF"
PARTS = tuple(f"ASVspoof2021_DF_eval_part0{part}" for part in range(4))
INSIDE = "ASVspoof2021_DF_eval/flac"
LAYOUT = (
    f"DIR/ASVspoof2021_DF_eval_part0{{0,1,2,3}}/{INSIDE}/*.flac (or all of it in DIR/{INSIDE}) and "
    "DIR/keys/DF/CM/trial_metadata.txt, as its archives of zenodo.org/record/4835108 and asvspoof.org unpack"
)
KEYS = ("keys/DF/CM/trial_metadata.txt", "keys/CM/trial_metadata.txt")


def find(corpus: str, zero_shot: bool = True) -> tuple[Path, list[Path]]:
    """Return the keys and the folders of audio below `corpus`, or beside it if it is one of the parts.

    Raises:
        MasdError: training was asked for, nothing was given, or one of the two is not there; the line says
            what was looked for.
    """
    evaluation_only(CORPUS, zero_shot)
    if not corpus:
        raise MasdError(f"no --corpus given: it says where {CORPUS} is ({LAYOUT})")
    given = Path(corpus)
    if not given.is_dir():
        what = "is a file; unpack it first" if given.is_file() else "no such folder"
        raise MasdError(f"--corpus {given}: {what}; {CORPUS} looks like {LAYOUT}")
    roots = [given, *sorted(p for p in given.iterdir() if p.is_dir()), *list(given.absolute().parents)[:3]]
    folders = max((audio_folders(root) for root in roots), key=len)  # a part alone leads to its neighbours
    if not folders:
        packed = sorted(path.name for path in given.glob("ASVspoof2021_DF_eval*.tar*"))
        hint = f"unpack {packed[0]}" if packed else f"it looks like {LAYOUT}"
        raise MasdError(f"--corpus {given}: neither {PARTS[0]}/{INSIDE} nor {INSIDE} is in it; {hint}")
    keys = next((root / name for root in roots for name in KEYS if (root / name).is_file()), None)
    if keys is None:
        raise MasdError(
            f"--corpus {given}: neither {given / KEYS[0]} nor {given / KEYS[1]} is there; the keys are an "
            "archive of their own, DF-keys-full.tar.gz, to be unpacked beside the audio"
        )
    return keys, folders


def audio_folders(root: Path) -> list[Path]:
    """Return the folders of FLAC files of a corpus that lies in parts or in one."""
    parts = [root / part for part in PARTS]
    inside = [part / INSIDE for part in parts] + [part / "flac" for part in parts]
    return [path for path in (*inside, root / INSIDE) if path.is_dir()]


def locate(corpus: str = "", zero_shot: bool = True) -> None:
    """Say where the corpus is, or which part is missing.

    Args:
        corpus: folder with the audio and the keys.
        zero_shot: must be true, for the corpus has no training part.
    """
    keys, folders = find(corpus, zero_shot)
    log.info("%s: keys %s, audio in %s", CORPUS, keys, ", ".join(map(str, folders)))


if __name__ == "__main__":
    run(locate, output="")
