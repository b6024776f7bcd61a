"""Stage 7, second half: RESULTS.md, report.html and plots from evaluated systems."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import run
from masd.errors import MasdError

log = logging.getLogger(__name__)


def results(
    exp: Path,
    out: Path,
    system: str = "full",
    eval_set: str = "eval",
    dev_set: str = "dev",
    reported: Path | None = None,
    data: Path | None = None,
    sets: str = "",
    protocol: str = "",
    report: Path | None = None,
    title: str = "Results",
    command: str = "",
    bootstrap: int = 1000,
    seed: int = 0,
    force: bool = False,
) -> None:
    """Make the results page of all evaluated systems below an experiment folder.

    Writes the page, its report.html and plots, and beside the page a manifest from which
    `masd.bin.verify_results` computes every number again.

    Each system is a folder `<exp>/<system>_s<seed>` in which the evaluate entry point has written to
    results/<set>/ or scores/<set>/. Systems are compared on the trials that all have scored; one evaluated
    on other trials than `system` is left out, and the page says so.

    Args:
        exp: exp/<size>.
        out: the Markdown page, RESULTS.md.
        system: the system the page is about; the ablation table has all of them.
        eval_set: the evaluation set's name.
        dev_set: the development set's name.
        reported: YAML file of the paper's numbers.
        data: data/<size>, whose sets are counted.
        sets: the data folders to count, separated by commas; all of them without.
        protocol: files or folders that fix corpus and trials, separated by commas; their digests are shown.
        report: folder of report.html and the plots, <exp>/report by default.
        title: of the page.
        command: the command that makes the page, to be shown beside those that made the scores.
        bootstrap: draws for each interval of the ablation table.
        seed: of the draws.
        force: make the page again though nothing it shows has changed.
    """
    from masd.report.manifest import manifest_path, write_manifest
    from masd.report.page import gather, write_page
    from masd.report.sections import COUNTED
    from masd.stage.files import Mark, digest, sha256

    if bootstrap < 2:
        raise MasdError(f"--bootstrap {bootstrap}: the page's intervals need at least 2 draws")
    folder = report or exp / "report"
    fixed = [Path(word.strip()) for word in protocol.split(",") if word.strip()]
    shown = [p for pattern in INPUTS for p in sorted(exp.rglob(pattern))]
    shown += [p for p in (reported, *fixed) if p and p.is_file()]
    shown += sorted((data / "cues").glob("*.json")) if data else []
    counted = [word.strip() for word in sets.split(",") if word.strip()]
    shown += [p for name in counted if data for p in (data / name / one for one in COUNTED) if p.is_file()]
    # not the command: another one that finds nothing changed has not made the page
    settings = [VERSION, system, eval_set, dev_set, sets, title, bootstrap, seed, str(out)]
    work = digest([[str(p), sha256(p)] for p in shown], settings)
    mark = Mark(folder)
    there = all(path.is_file() for path in (out, manifest_path(out), folder / "report.html"))
    if not force and there and mark.fresh(work) and mark.read().get("page") == sha256(out):
        log.info("%s is up to date", out)
        return
    mark.clear()
    arguments = {
        "exp": exp,
        "system": system,
        "eval_set": eval_set,
        "reported": reported,
        "bootstrap": bootstrap,
        "seed": seed,
        "command": command,
        "data": data,
        "sets": counted,
        "dev_set": dev_set,
        "protocol": fixed,
        "out": out,
    }
    page = gather(**arguments)
    write_page(page, title, folder)
    write_manifest(page, {**arguments, "title": title}, [p for p in shown if p.name != "metrics.json"])
    mark.write(work, page=sha256(out))
    log.info("%s and %s", out, folder / "report.html")


VERSION = 5  # raise it when the same files come to give another page
INPUTS = ("metrics.json", "attention", "metrics.jsonl", "probe_*.json", "model.yaml", "encoder.yaml")

if __name__ == "__main__":
    run(results, output="exp")
