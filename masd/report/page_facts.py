"""What a results page says: facts gathered from an experiment's files, for the templates to lay out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from masd.report import provenance
from masd.report.cue_probe import ALL
from masd.report.evaluated_runs import Run, common_utts
from masd.report.introspection import MEASURES, attention_by_attack, band_weights
from masd.report.metrics_json import Bootstrap, at_coverage
from masd.report.table_two import Row
from masd.stage.files import input_digest, read_json, read_text, read_yaml
from masd.stage.tables import read_table

COUNTED = ("utt2lab", "utt2spk", "utt2source", "utt2dur", "utt2attack")
"""The lists of a data folder that the page counts."""


@dataclass
class Page:
    """What a results page is made of.

    Attributes:
        exp: exp/<size>.
        runs: the evaluated runs that can be compared.
        main: the runs of the system the page is about, one a seed.
        rows: the rows of Table II.
        reported: the paper's numbers (conf/reported.yaml), empty without.
        bootstrap: how intervals were drawn.
        command: the command that makes this page.
        data: data/<size>, None if the page shall not count it.
        sets: its data folders that are counted, in this order; empty for all of them.
        dev_set: name of the development set.
        protocol: folder or file that fixes corpus and trials.
        out: the Markdown file that is being made.
        report: the folder of its appendix, report.html and plots.
        left_out: a line for each evaluated run that cannot be compared.
        only: the files below `exp` that the page is made of; None for all there are.
    """

    exp: Path
    runs: list[Run]
    main: list[Run]
    rows: list[Row]
    reported: dict[str, Any]
    bootstrap: Bootstrap
    command: str = ""
    data: Path | None = None
    sets: list[str] = field(default_factory=list)
    dev_set: str = "dev"
    protocol: list[Path] = field(default_factory=list)
    out: Path = Path("RESULTS.md")
    report: Path = Path("report")
    left_out: list[str] = field(default_factory=list)
    only: Collection[Path] | None = None

    def shows(self, path: Path) -> bool:
        """Tell whether a file below `exp` is one of the page's."""
        return self.only is None or path in self.only

    @property
    def table_two(self) -> bool:
        """Whether the reported numbers hold the rows of Table II, not one system's figure or none."""
        return sum(row.get("eer") is not None for row in self.reported.get("ablation", [])) > 1

    @cached_property
    def attention(self) -> dict[str, np.ndarray]:
        """Mean attention of the main system's first run by attack; empty if it is not fused."""
        return attention_by_attack(self.first)

    @cached_property
    def alpha(self) -> dict[str, np.ndarray]:
        """The bands' weights of each system."""
        return band_weights(self.runs)

    @property
    def first(self) -> Run:
        """The main system's run with the first seed; tables of one run show it."""
        return self.main[0]

    @cached_property
    def encoders(self) -> list[Path]:
        """The pretraining folders below `exp` that hold a history."""
        return sorted(path.parent for path in self.exp.glob("*/metrics.jsonl") if self.shows(path))

    @cached_property
    def cues(self) -> list[dict[str, Any]]:
        """What `masd.bin.probe cues` found of the page's sets, the evaluation set first."""
        if self.data is None:
            return []
        found = [path for path in sorted((self.data / "cues").glob("*.json")) if self.shows(path)]
        shown = [p for p in found if not self.sets or set(p.stem.split("+")) <= set(self.sets)]
        return [read_json(path) for path in sorted(shown, key=lambda path: path.stem != self.first.set)]

    @cached_property
    def gates(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(probe, gate, what was found) of checks of the machinery, JSON files `probe_*.json` below exp."""
        paths = filter(self.shows, sorted(self.exp.rglob("probe_*.json")))
        return [(p.stem, *gate) for p in paths for gate in sorted(read_json(p)["gates"].items())]


def content(page: Page) -> dict[str, Any]:
    """Return what the page's templates show besides `page` itself."""
    common = len(common_utts(page.runs))
    return {
        "measures": MEASURES,
        "common": common if any(len(run.trials.utts) > common for run in page.runs) else 0,
        "beside_paper": beside_paper(page),
        "paper_tables": paper_tables(page.reported, page.runs),
        "development": list(_development(page)),
        "fitted": [(run.name, run.model) for run in page.runs if run.model.get("svm")],
        "pretraining": [found for found in map(_pretraining, page.encoders) if found],
        "gates": page.gates,
        "cues": _cue_tables(page.cues),
        "corpus": _corpus(page),
        "costs": _costs(page),
        "origin": _origin(page),
        "commands": _commands(page),
        "code": provenance.git_version([page.out]),
    }


def over_seeds(runs: Sequence[Run], value: Callable[[Mapping[str, Any]], float | None]) -> str:
    """Return mean and deviation over runs of a share, in per cent; `-` where one has none, or of none."""
    values = [value(run.metrics) for run in runs]
    if not values or any(v is None for v in values):
        return "-"
    numbers = 100 * np.array(values, dtype=np.float64)
    spread = f" ± {numbers.std(ddof=1):.2f}" if len(numbers) > 1 else ""
    return f"{numbers.mean():.2f}{spread}"


def beside_paper(page: Page) -> list[tuple[str, str, str]]:
    """Return (figure, reported, measured) of the paper's system; of others it has no figures: none."""
    reported = page.reported.get("masd")
    if not (reported and page.first.paper):
        return []

    def decided(key: str) -> str:
        return over_seeds(page.main, lambda m: m["decisions"][0][key])

    def ece(index: int) -> str:
        return over_seeds(
            page.main, lambda m: next((c["ece"][0]["ece"] for c in m["calibration"][index : index + 1]), None)
        )

    def covered(metrics: Mapping[str, Any]) -> float | None:
        return (at_coverage(metrics, reported["coverage"] / 100) or {"eer": None})["eer"]

    size = page.first.weights / 1e6
    rows = (
        ("EER (%)", reported["eer"], over_seeds(page.main, lambda m: m["pooled"]["eer"])),
        ("accuracy at P(fake) = 0.5 (%)", reported["accuracy"], decided("accuracy")),
        ("F1, fake positive (%)", reported["f1"], decided("f1")),
        ("F1, macro (%)", None, decided("f1_macro")),
        ("ECE, T = 1 (%)", reported["ece_before"], ece(0)),
        ("ECE, temperature (%)", reported["ece_after"], ece(1)),
        ("ECE, affine map (%)", None, ece(2)),
        (
            f"EER at {reported['coverage']} % coverage (%)",
            reported["coverage_eer"],
            over_seeds(page.main, covered),
        ),
        (
            "model (MB)",
            reported["model_mb"],
            "-" if not size else f"{size:.1f}" if size >= 0.1 else f"{size:.1g}",
        ),
    )
    return [(name, "-" if paper is None else f"{paper:g}", measured) for name, paper, measured in rows]


def paper_tables(
    reported: Mapping[str, Any], runs: Sequence[Run]
) -> list[tuple[str, list[str], list[list[str]], list[str]]]:
    """Return (title, header, rows, under-trained runs) of Tables I and III, reported beside measured.

    Measured is a row whose `system` was evaluated by this project: a score file made elsewhere stands in the
    main table alone, whatever it is called. A table none of whose rows names a system is left out.
    """
    figures = {"accuracy": "accuracy", "eer": "EER", "f1": "F1"}
    tables = []
    for key, title in (("comparison", "Table I"), ("self_supervised", "Table III")):
        rows = reported.get(key, [])
        if not any("system" in row for row in rows):
            continue
        shown = [name for name in figures if any(name in row for row in rows)]
        lines = []
        for row in rows:
            ours = [run for run in runs if run.system == row.get("system") and run.ours]
            paper = [f"{row[name]:.2f}" if row.get(name) is not None else "-" for name in shown]
            lines.append([str(row["name"]), *paper, *(over_seeds(ours, _figure(name)) for name in shown)])
        header = [f"{figures[name]}, {kind}" for kind in ("reported", "measured") for name in shown]
        systems = {row.get("system") for row in rows}
        weak = sorted({run.name for run in runs if run.system in systems and run.under_trained})
        tables.append((title, ["system", *header], lines, weak))
    return tables


def _figure(name: str) -> Callable[[Mapping[str, Any]], float]:
    return lambda metrics: (metrics["pooled"] if name == "eer" else metrics["decisions"][0])[name]


def _development(page: Page) -> Iterable[tuple[str, dict[str, Any]]]:
    """The same systems on the development set, which alone chose thresholds and checkpoints."""
    for run in page.runs:
        shown = page.shows(run.results.parent / page.dev_set / "metrics.json")
        metrics = run.other_set(page.dev_set) if shown else None
        if metrics:
            yield run.name, metrics


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a pretraining's metrics.jsonl, one an epoch."""
    return [json.loads(line) for line in read_text(folder / "metrics.jsonl").splitlines() if line.strip()]


def _pretraining(folder: Path) -> dict[str, Any] | None:
    """Losses and accuracies of an encoder on held-out speakers, beside their levels of chance."""
    history = read_history(folder)
    best = next((r for r in reversed(history) if r.get("best")), history[-1] if history else {"dev": {}})
    names = sorted(n for n in best["dev"] if f"chance_{n}" in best["dev"])
    if not names:
        return None
    last = history[-1]
    return {
        "name": folder.name,
        "best": best["epoch"],
        "epochs": len(history),
        "figures": [(n, history[0]["dev"].get(n), best["dev"][n], best["dev"][f"chance_{n}"]) for n in names],
        "arithmetic": _arithmetic(folder),
        "void": "acc_vocoder" in last["train"] and len(last.get("curriculum", {})) == 1,
    }


def _arithmetic(folder: Path) -> str:
    """Return what an encoder was trained in, empty where that is not stated."""
    path = folder / "encoder.yaml"
    extra = (read_yaml(path).get("extra") if path.is_file() else None) or {}
    if not {"precision", "device", "processes", "threads"} <= extra.keys():
        return ""
    numbers = f"processes {extra['processes']}, threads of each {extra['threads']}"
    return f"{extra['precision']} on {extra['device']} ({numbers})"


def _cue_tables(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rows = [
        {**row, "strongest": max(row["single"], key=row["single"].get)}
        for result in results
        for row in result["rows"]
    ]
    whole = [row for row in rows if row["attack"] == ALL]
    names = list(dict.fromkeys(name for row in whole for name in row["single"]))
    return {"rows": rows, "whole": whole, "names": names, "settings": results[0] if results else {}}


def _corpus(page: Page) -> list[dict[str, Any]]:
    """Counts of every set."""
    if page.data is None:
        return []
    folders = [page.data / name for name in page.sets] or sorted(
        p.parent for p in page.data.glob("*/utt2lab")
    )
    return [_count(folder) for folder in folders if (folder / "utt2lab").is_file()]


def _count(folder: Path) -> dict[str, Any]:
    tables = {name: read_table(folder / name) if (folder / name).is_file() else {} for name in COUNTED}
    labels = Counter(tables["utt2lab"].values())
    return {
        "name": folder.name,
        "utterances": len(tables["utt2lab"]),
        "bonafide": labels["bonafide"],
        "spoof": labels["spoof"],
        "speakers": len(set(tables["utt2spk"].values())),
        "sources": len(set(tables["utt2source"].values())) or None,
        "hours": sum(map(float, tables["utt2dur"].values())) / 3600 if tables["utt2dur"] else None,
        "attacks": sorted(Counter(a for a in tables["utt2attack"].values() if a != "-").items()),
    }


def _costs(page: Page) -> list[tuple[int, str, provenance.Cost]]:
    """What the stages took, in exp/<size>, data/<size> and, where there is one, dump/<size>."""
    folders = [page.exp, page.data] if page.data else [page.exp]
    if page.data:
        folders.append(page.data.resolve().parents[1] / "dump" / page.data.name)
    found = provenance.costs({folder.resolve(): folder for folder in folders}.values())
    return sorted((provenance.stage_of(name), name, cost) for name, cost in found.items())


def _origin(page: Page) -> list[tuple[str, str]]:
    seeds = sorted({run.seed for run in page.runs if run.seed is not None})
    files = [run.folder / "model" / "model.yaml" for run in page.runs]
    files += [folder / "pretrain.yaml" for folder in page.encoders]
    return [
        ("made", provenance.now()),
        ("software", provenance.versions()),
        ("hardware", provenance.hardware()),
        ("seeds", ", ".join(map(str, seeds)) or "-"),
        # conf/x.yaml is the recipe's own, utils/conf/x.yaml the one of all recipes
        *((f"protocol {'/'.join(path.parts[-3:])}", input_digest(path)[:12]) for path in page.protocol),
        *provenance.short_digests(files, page.exp),
    ]


def _commands(page: Page) -> list[str]:
    """Return the commands that made scores and page, each under a line that says what it made.

    Where one command made it all, or that of no system's scores was kept, the page's stands alone.
    """
    proof = f"python3 -m masd.bin.proof verify --manifest {page.out.with_suffix('.manifest.json')}"
    own = [page.command] if page.command else []
    names: dict[str, list[str]] = {}
    for run in page.runs:
        names.setdefault(run.command, []).append(run.name)
    if names.keys() <= {"", page.command} and len(names) == 1:
        return [*own, proof]
    lines = []
    for command, made in names.items():
        lines += [f"# scores of {', '.join(made)}{'' if command else ': the command was not kept'}"]
        lines += [command] if command else []
    return [*lines, *(["# this page"] if own else []), *own, "# its proof", proof]
