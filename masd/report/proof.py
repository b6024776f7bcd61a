"""A results page with every file behind it in one archive, so that anyone can verify it elsewhere."""

from __future__ import annotations

import lzma
import tarfile
from pathlib import Path, PurePosixPath

from masd.errors import MasdError
from masd.report.manifest import read_manifest
from masd.stage.files import atomic, sha256

SUFFIX = ".proof.tar.xz"
OUTSIDE = "_outside"


def proof_path(manifest: Path) -> Path:
    """Return where the proof of a manifest lies: RESULTS.manifest.json has RESULTS.proof.tar.xz."""
    return manifest.with_name(manifest.name.removesuffix(".manifest.json") + SUFFIX)


def pack(manifest: Path, out: Path) -> int:
    """Write `out`, an archive of a manifest, its page and all files it names; return their number.

    Called in the folder where the page was made. The same files give the same archive. The manifest lies at
    its top, every other file where `packed` says.

    Raises:
        MasdError: a file is missing or was changed, or two would have one place in the archive.
    """
    content = read_manifest(manifest)
    files = {**content["files"], content["page"]: content["page_sha256"]}
    for name, stated in sorted(files.items()):
        if not Path(name).is_file() or sha256(name) != stated:
            raise MasdError(f"{name}: missing, or changed since {manifest} was written; make the page again")
    places = {manifest.name: str(manifest)}
    for name in files:
        other = places.setdefault(str(packed(name)), name)
        if other != name:
            raise MasdError(f"{name}: would lie where {other} does in {out}; rename one, make the page again")
    with atomic(out) as tmp, _new_archive(tmp) as archive:
        for place, name in sorted(places.items()):
            archive.add(name, place, filter=_anonymous)
    return len(places)


def _new_archive(path: Path) -> tarfile.TarFile:
    # of links what they lead to, for `unpack` takes plain files alone
    return tarfile.open(path, "w:xz", preset=9 | lzma.PRESET_EXTREME, dereference=True)


def packed(name: str | Path) -> Path:
    """Return where a proof holds a file or folder that its manifest names.

    What lies outside the recipe's folder, as the model of a zero-shot page does, is below `_outside`:
    `../la/exp/model` at `_outside/_up/la/exp/model`, `/corpus/key` at `_outside/_root/corpus/key`. This keeps
    files of one folder together, for evaluations name folders too.
    """
    path = PurePosixPath(name)
    if _inside(path):
        return Path(path)
    parts = ["_root" if part == path.anchor else "_up" if part == ".." else part for part in path.parts]
    return Path(OUTSIDE, *parts)


def unpack(proof: Path, folder: Path) -> Path:
    """Unpack a proof into `folder` and return its manifest's path there.

    A proof may come from anyone: members that are no plain file, or lie outside, are refused
    (the tarfile of Python 3.11.2, Debian 12's, knows no extraction filters yet).

    Raises:
        MasdError: not such an archive.
    """
    try:
        with tarfile.open(proof, "r:xz") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() and _inside(member.name) else None
                if content is None:
                    raise MasdError(
                        f"{proof}: {member.name} is no plain file inside the folder; do not trust it"
                    )
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())
    except (OSError, EOFError, tarfile.TarError, lzma.LZMAError) as error:
        raise MasdError(
            f"{proof}: no whole archive of pack_results ({error}); get or make it again"
        ) from None
    manifest = folder / (proof.name.removesuffix(SUFFIX) + ".manifest.json")
    if not manifest.is_file():
        raise MasdError(f"{proof}: holds no {manifest.name}")
    return manifest


def _inside(name: str | PurePosixPath) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out owner and time."""
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    info.mode = 0o644
    return info
