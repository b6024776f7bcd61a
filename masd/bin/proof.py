"""A results page with every file behind it in one archive, and the check that redoes every number."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

from masd.cli import Command, run_commands, say
from masd.errors import MasdError

log = logging.getLogger(__name__)


def pack(manifest: Path, out: Path | None = None) -> None:
    """Write RESULTS.proof.tar.xz: page, appendix, manifest, scores, keys, metrics and configurations.

    `masd.bin.proof verify --manifest RESULTS.proof.tar.xz` recomputes the page from it on any machine.
    Called where the page was made, in the recipe's folder.

    Args:
        manifest: RESULTS.manifest.json, which `results page` writes beside RESULTS.md.
        out: the archive [RESULTS.proof.tar.xz beside the manifest].

    Raises:
        MasdError: a file is missing, or was changed after the page was made.
    """
    from masd.report import proof

    out = out or proof.proof_path(manifest)
    count = proof.pack(manifest, out)
    log.info("%s: %d files, %.0f kB", out, count, out.stat().st_size / 1000)


def verify(manifest: Path) -> None:
    """Recompute every number of a results page from score files and keys; exit 1 where one differs.

    Called where the page was made, in the recipe's folder; or anywhere, with the archive of `proof pack`,
    which must hold the page that lies beside it. Prints a line for each difference; and, which decides
    nothing, by which commit the page was made and which this is.

    Args:
        manifest: RESULTS.manifest.json, which `results page` writes beside RESULTS.md, or
            RESULTS.proof.tar.xz.

    Raises:
        MasdError: a file has another sha256, or a number differs.
    """
    from masd.report.proof import SUFFIX, packed, read_manifest, unpack

    if not manifest.name.endswith(SUFFIX):
        _verify(manifest)
        return
    page = manifest.resolve().with_name(manifest.name.removesuffix(SUFFIX) + ".md")
    with TemporaryDirectory() as name:
        unpacked = unpack(manifest, Path(name))
        with chdir(name):
            _verify(unpacked.relative_to(name), packed)
        proved = Path(name) / packed(next(iter(read_manifest(unpacked)["pages"])))
        if page.is_file():
            _same_page(page, proved, manifest.name)


def _same_page(page: Path, proved: Path, proof: str) -> None:
    from masd.report.proof import line_differences
    from masd.stage.files import read_text

    lines = list(line_differences(read_text(proved), read_text(page)))
    if lines:
        raise MasdError(f"{page}: not the page of {proof}: {lines[0]}; pack the results again")
    if page.read_bytes() != proved.read_bytes():
        log.info("%s: made again since %s was packed; its origin or times differ, no number", page, proof)


def _verify(manifest: Path, place: Callable[[str | Path], Path] = Path) -> None:
    from masd.report.proof import origin, read_manifest
    from masd.report.proof import verify as problems_of

    problems = problems_of(manifest, place)
    for line in problems:
        say(line, file=sys.stderr)
    content = read_manifest(manifest)
    page = next(iter(content["pages"]))
    if problems:
        raise MasdError(
            f"{page}: {len(problems)} difference{'s' if len(problems) > 1 else ''} from what its "
            "score files give; make the page again, or find out who changed what"
        )
    counts = f"{len(content['evaluations'])} evaluations, {len(content['files'])} files"
    log.info("%s: numbers: all come out again (%s)", page, counts)
    for line in origin(manifest, place):
        log.info("%s", line)


COMMANDS = (Command(pack, output=""), Command(verify, output=""))

if __name__ == "__main__":
    run_commands(COMMANDS)
