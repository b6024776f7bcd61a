"""Stage 0: where the versions of FoR (Fake-or-Real) are."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import run
from masd.errors import MasdError

log = logging.getLogger(__name__)

CORPUS = "FoR"
LAYOUT = (
    "DIR/{for-norm,for-2sec,for-rerec,for-original}/{training,validation,testing}/{real,fake}/*, "
    "each version perhaps one folder deeper (for-norm/for-norm)"
)
VERSIONS = ("for-norm", "for-2sec", "for-rerec", "for-original")
ALIASES = {"for-2seconds": "for-2sec", "for-rerecorded": "for-rerec"}


def find(corpus: str, versions: str) -> dict[str, Path]:
    """Return version to the folder that holds its training, validation and testing.

    Args:
        corpus: folder with one or more versions, or a version itself.
        versions: which, separated by blanks or commas; all that are there but for-original by default.

    Raises:
        MasdError: nothing was given, none is there, or not one that was asked for; one line says what was
            looked for.
    """
    if not corpus:
        raise MasdError(f"no --corpus given: it says where {CORPUS} is ({LAYOUT})")
    given, wanted = Path(corpus), versions.replace(",", " ").split()
    if not given.is_dir():
        what = "is a file; unpack it first" if given.is_file() else "no such folder"
        raise MasdError(f"--corpus {given}: {what}; {CORPUS} looks like {LAYOUT}")
    odd = [name for name in wanted if name not in VERSIONS]
    if odd:
        raise MasdError(f"--versions {odd[0]}: the versions of {CORPUS} are {', '.join(VERSIONS)}")
    found = homes(given)
    chosen = wanted or [version for version in VERSIONS if version in found and version != "for-original"]
    missing = [version for version in chosen if version not in found]
    if missing:
        raise MasdError(
            f"--corpus {given}: no {given / missing[0]}/testing in it; {CORPUS} looks like {LAYOUT}"
        )
    if not chosen:
        raise MasdError(
            f"--corpus {given}: none of for-norm, for-2sec and for-rerec with its folder testing is in it; "
            f"{CORPUS} looks like {LAYOUT}"
        )
    return {version: found[version] for version in chosen}


def homes(given: Path) -> dict[str, Path]:
    """Return version to its home, of the versions in a folder, and of the folder itself if it is one."""
    places = [given, *sorted(path for path in given.iterdir() if path.is_dir())]
    found: dict[str, Path] = {}
    for path in places:
        name = path.absolute().name
        version = ALIASES.get(name, name)
        if version in VERSIONS:
            inside = (path, *sorted(p for p in path.iterdir() if p.is_dir()))
            home = next((p for p in inside if (p / "testing").is_dir()), None)
            if home is not None:
                found.setdefault(version, home)
    return found


def locate(corpus: str = "", versions: str = "") -> None:
    """Say where the versions are, or which is missing.

    Args:
        corpus: folder with one or more versions, or a version itself.
        versions: which, separated by blanks or commas; all that are there but for-original by default.
    """
    for version, home in find(corpus, versions).items():
        log.info("%s: %s", version, home)


if __name__ == "__main__":
    run(locate, output="")
