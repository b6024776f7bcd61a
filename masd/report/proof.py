"""A results page with every file behind it in one archive, so that anyone can verify it elsewhere."""

from __future__ import annotations

import lzma
import tarfile
from pathlib import Path, PurePosixPath

from masd.errors import MasdError
from masd.files import atomic, sha256
from masd.report.manifest import read_manifest

SUFFIX = ".proof.tar.xz"


def proof_path(manifest: Path) -> Path:
    """Return where the proof of a manifest lies: RESULTS.manifest.json has RESULTS.proof.tar.xz."""
    return manifest.with_name(manifest.name.removesuffix(".manifest.json") + SUFFIX)


def pack(manifest: Path, out: Path) -> int:
    """Write `out`, an archive of a manifest, its page and all files it names; return their number.

    Called in the folder where the page was made. The same files give the same archive.

    Raises:
        MasdError: a file is missing, was changed, or lies outside the present folder.
    """
    content = read_manifest(manifest)
    files = {**content["files"], content["page"]: content["page_sha256"]}
    for name, stated in sorted(files.items()):
        if not _inside(name):
            raise MasdError(f"{name}: lies outside this folder; make the page with relative paths")
        if not Path(name).is_file() or sha256(name) != stated:
            raise MasdError(f"{name}: missing, or changed since {manifest} was written; make the page again")
    names = sorted({*files, str(manifest)})
    with atomic(out) as tmp, tarfile.open(tmp, "w:xz", preset=9 | lzma.PRESET_EXTREME) as archive:
        for name in names:
            archive.add(name, filter=_anonymous)
    return len(names)


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


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out owner and time."""
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    info.mode = 0o644
    return info
