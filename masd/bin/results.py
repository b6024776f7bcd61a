"""Stage 7, second half: the results page, and tables of systems and of recipes, from what was evaluated."""

from __future__ import annotations

import logging
from pathlib import Path

from masd.cli import Command, listed, run_commands
from masd.errors import MasdError

log = logging.getLogger(__name__)

VERSION = 7  # raise it when the same files come to give another page
INPUTS = ("metrics.json", "attention", "metrics.jsonl", "probe_*.json", "model.yaml", "encoder.yaml")


def page(
    out: Path,
    exp: Path | None = None,
    evaluated: str = "",
    system: str = "",
    eval_set: str = "eval",
    dev_set: str = "dev",
    reported: Path | None = None,
    data: Path | None = None,
    sets: str = "",
    protocol: str = "",
    report: Path | None = None,
    explain: str = "",
    title: str = "Results",
    command: str = "",
    bootstrap: int = 1000,
    seed: int = 0,
    force: bool = False,
) -> None:
    """Make the results page of evaluated systems: RESULTS.md, its appendix, report.html and plots.

    Beside the page goes a manifest from which `masd.bin.proof verify` computes every number again.
    report.html needs nothing but itself; every figure is there as PNG (light, dark) and PDF too.

    Systems are those below an experiment folder, `<exp>/<system>_s<seed>`, in which the evaluate entry point
    has written to results/<set>/ or scores/<set>/, those named by `evaluated`, or both. They are compared on
    the trials that all have scored; one evaluated on other trials than `system` is left out and named.

    Args:
        out: the Markdown page, RESULTS.md.
        exp: exp/<size>.
        evaluated: `name=folder` pairs, separated by commas: further folders that evaluate wrote, such as
            those of other people's score files.
        system: the system the page is about; the first without. Table II has all of them.
        eval_set: the evaluation set's name.
        dev_set: the development set's name.
        reported: YAML file of the paper's numbers.
        data: data/<size>, whose sets are counted.
        sets: the data folders to count, separated by commas; all of them without.
        protocol: files or folders that fix corpus and trials, separated by commas; their digests are shown.
        report: folder of appendix, report.html and plots: <exp>/report, or `report` beside `out`.
        explain: the utterance whose score is explained; without, the spoof the system is surest of.
        title: of the page.
        command: the command that makes the page, to be shown beside those that made the scores.
        bootstrap: draws for each interval of Table II.
        seed: of the draws.
        force: make the page again though nothing it shows has changed.
    """
    from masd.report.page_facts import COUNTED
    from masd.report.proof import manifest_path, write_manifest
    from masd.report.results_page import appendix_path, gather, write_pages
    from masd.stage.files import Mark, digest, sha256

    if bootstrap < 2:
        raise MasdError(f"--bootstrap {bootstrap}: the page's intervals need at least 2 draws")
    arguments = {
        "exp": exp,
        "evaluated": [_pair(word) for word in listed(evaluated)],
        "system": system,
        "eval_set": eval_set,
        "reported": reported,
        "bootstrap": bootstrap,
        "seed": seed,
        "command": command,
        "data": data,
        "sets": listed(sets),
        "dev_set": dev_set,
        "protocol": [Path(word) for word in listed(protocol)],
        "out": out,
        "report": report or (exp or out.parent) / "report",
    }
    folder = arguments["report"]
    shown = [p for pattern in INPUTS if exp for p in sorted(exp.rglob(pattern))]
    shown += [p for _, each in arguments["evaluated"] for p in sorted(each.glob("metrics.json"))]
    shown += [p for p in (reported, *arguments["protocol"]) if p and p.is_file()]
    if data:
        shown += sorted((data / "cues").glob("*.json"))
        shown += [p for name in listed(sets) for p in (data / name / one for one in COUNTED) if p.is_file()]
    # not the command: another one that finds nothing changed has not made the page
    settings = {name: value for name, value in arguments.items() if name not in ("command", "protocol")}
    work = digest([[str(p), sha256(p)] for p in shown], VERSION, str(settings), title, explain)
    mark = Mark(folder)
    made = (out, manifest_path(out), appendix_path(folder), folder / "report.html")
    there = all(path.is_file() for path in made)
    if not force and there and mark.fresh(work) and mark.read().get("page") == sha256(out):
        log.info("%s is up to date", out)
        return
    mark.clear()
    gathered = gather(**arguments)
    write_pages(gathered, title, explain)
    others = [path for path in shown if path.name != "metrics.json"]
    write_manifest(gathered, {**arguments, "title": title}, others)
    mark.write(work, page=sha256(out))
    log.info("%s and %s", out, folder / "report.html")


def systems(systems: list[str], out: Path, title: str = "Comparison systems", command: str = "") -> None:
    """Write a table of comparison systems as OUT (Markdown) and OUT with the suffix .json.

    A row has parameters, training utterance-steps and minutes, EER with interval, of seen and unseen attacks
    apart, of each attack, ECE and real-time factor. Rows stand in the order given; `under-trained` marks
    those whose development loss was still falling at the end.

    Args:
        systems: `FOLDER` or `FOLDER=MODEL` each: what evaluate and the scoring stage wrote, and the model
            folder; without one the row counts as zero-shot.
        out: the table.
        title: its title.
        command: the command that makes it, to be shown.
    """
    from masd.report.systems_table import read_row, systems_table
    from masd.stage.files import write_json, write_text

    parts = (word.partition("=") for word in systems)
    rows = [read_row(folder, model or None) for folder, _, model in parts]
    table = systems_table(rows, title, command)
    write_json(out.with_suffix(".json"), {row.name: vars(row) for row in rows})
    write_text(out, table)


def key(egs: Path, reported: Path, size: str = "full", system: str = "full", out: Path | None = None) -> None:
    """Print, or write, the EER on the paper's four corpora, reported beside measured, and of one model on all
    corpora that were run, with their mean and pooled with one threshold, as Markdown.

    Args:
        egs: the folder of the recipes.
        reported: YAML file of the paper's numbers, with a list `key_results`.
        size: the size that the recipes were run with.
        system: the system, a row of Table II.
        out: the Markdown file; printed without one.
    """
    from masd.report.key_results import key_results
    from masd.stage.files import read_yaml, write_text

    text = key_results(egs, read_yaml(reported), size, system)
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)


def _pair(word: str) -> tuple[str, Path]:
    name, equals, folder = word.partition("=")
    if not (name and equals and folder):
        raise MasdError(f"--evaluated {word}: expected NAME=FOLDER")
    return name, Path(folder)


COMMANDS = (Command(page, output="exp"), Command(systems, file=True), Command(key, output=""))

if __name__ == "__main__":
    run_commands(COMMANDS)
