"""Redo every number of a results page from its score files, by the manifest beside it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

from masd.cli import run
from masd.errors import MasdError

log = logging.getLogger(__name__)


def verify_results(manifest: Path) -> None:
    """Recompute every number of a results page from score files and keys; exit 1 where one differs.

    Called where the page was made, in the recipe's folder; or anywhere, with the archive of pack_results,
    which must hold the page that lies beside it. Prints a line for each difference; and, which decides
    nothing, by which commit the page was made and which this is.

    Args:
        manifest: RESULTS.manifest.json, which the results entry point writes beside RESULTS.md, or
            RESULTS.proof.tar.xz.

    Raises:
        MasdError: a file has another sha256, or a number differs.
    """
    from masd.report.manifest import read_manifest
    from masd.report.proof import SUFFIX, packed, unpack

    if not manifest.name.endswith(SUFFIX):
        _verify(manifest)
        return
    page = manifest.resolve().with_name(manifest.name.removesuffix(SUFFIX) + ".md")
    with TemporaryDirectory() as name:
        unpacked = unpack(manifest, Path(name))
        with chdir(name):
            _verify(unpacked.relative_to(name), packed)
        proved = Path(name) / packed(read_manifest(unpacked)["page"])
        if page.is_file():
            _same_page(page, proved, manifest.name)


def _same_page(page: Path, proved: Path, proof: str) -> None:
    from masd.report.manifest import line_differences
    from masd.stage.files import read_text

    lines = list(line_differences(read_text(proved), read_text(page)))
    if lines:
        raise MasdError(f"{page}: not the page of {proof}: {lines[0]}; pack the results again")
    if page.read_bytes() != proved.read_bytes():
        log.info("%s: made again since %s was packed; its origin or times differ, no number", page, proof)


def _verify(manifest: Path, place: Callable[[str | Path], Path] = Path) -> None:
    from masd.report.manifest import origin, read_manifest, verify

    problems = verify(manifest, place)
    for line in problems:
        print(line, file=sys.stderr)
    content = read_manifest(manifest)
    if problems:
        raise MasdError(
            f"{content['page']}: {len(problems)} difference{'s' if len(problems) > 1 else ''} from what its "
            "score files give; run the results entry point again, or find out who changed what"
        )
    counts = f"{len(content['evaluations'])} evaluations, {len(content['files'])} files"
    log.info("%s: numbers: all come out again (%s)", content["page"], counts)
    for line in origin(manifest, place):
        log.info("%s", line)


if __name__ == "__main__":
    run(verify_results, output="")
