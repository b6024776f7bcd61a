"""One self-contained report.html and figures (PNG, PDF) of evaluated systems."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import run
from masd.errors import MasdError

log = logging.getLogger(__name__)


def report(
    out: Path,
    exp: Path | None = None,
    evaluated: str = "",
    system: str = "",
    eval_set: str = "eval",
    dev_set: str = "dev",
    reported: Path | None = None,
    data: Path | None = None,
    explain: str = "",
    title: str = "Report",
    command: str = "",
    bootstrap: int = 1000,
    seed: int = 0,
) -> None:
    """Make report.html, which needs nothing but itself, and every figure as PNG (light, dark) and PDF.

    Systems are those below an experiment folder, those named by `evaluated`, or both; one evaluated on
    other trials than `system` is left out, and the page says so.

    Args:
        out: folder for report.html and the figures.
        exp: exp/<size>, whose systems were evaluated into results/<set>/ or scores/<set>/.
        evaluated: `name=folder` pairs, separated by commas: further folders that evaluate wrote, such as
            those of other people's score files.
        system: the system the page is about; the first without.
        eval_set: the evaluation set's name below `exp`.
        dev_set: the development set's name below `exp`.
        reported: YAML file of a paper's numbers.
        data: data/<size>, whose sets are counted.
        explain: the utterance whose score is explained; without, the spoof the system is surest of.
        title: of the page.
        command: the command that makes the page, to be shown beside those that made the scores.
        bootstrap: draws for each interval of the comparison.
        seed: of the draws.
    """
    from masd.report.page import gather, write_report

    folders = dict(_pair(word) for word in evaluated.split(",") if word.strip())
    if exp is None and not folders:
        raise MasdError("nothing to report on; give --exp FOLDER, --evaluated NAME=FOLDER or both")
    if bootstrap < 2:
        raise MasdError(f"--bootstrap {bootstrap}: the page's intervals need at least 2 draws")
    page = gather(
        exp,
        system,
        eval_set,
        reported,
        bootstrap,
        seed,
        folders=folders,
        command=command,
        data=data,
        dev_set=dev_set,
        explain=explain,
    )
    write_report(page, title, out)
    log.info("%s", out / "report.html")


def _pair(word: str) -> tuple[str, Path]:
    name, equals, folder = word.strip().partition("=")
    if not (name and equals and folder):
        raise MasdError(f"--evaluated {word.strip()}: expected NAME=FOLDER")
    return name, Path(folder)


if __name__ == "__main__":
    run(report)
