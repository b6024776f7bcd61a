"""Put a results page and every file behind it into one archive."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import run

log = logging.getLogger(__name__)


def pack_results(manifest: Path, out: Path | None = None) -> None:
    """Write RESULTS.proof.tar.xz: page, manifest, scores, keys, metrics and configurations.

    `masd.bin.verify_results --manifest RESULTS.proof.tar.xz` recomputes the page from it on any machine.
    Called where the page was made, in the recipe's folder.

    Args:
        manifest: RESULTS.manifest.json, which the results entry point writes beside RESULTS.md.
        out: the archive [RESULTS.proof.tar.xz beside the manifest].

    Raises:
        MasdError: a file is missing, or was changed after the page was made.
    """
    from masd.report.proof import pack, proof_path

    out = out or proof_path(manifest)
    count = pack(manifest, out)
    log.info("%s: %d files, %.0f kB", out, count, out.stat().st_size / 1000)


if __name__ == "__main__":
    run(pack_results, output="")
