"""The sections of a results page: each takes the gathered page and returns a section, or None."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from masd.report import provenance
from masd.report.ablation import Row, ablation_table
from masd.report.comparison import common_utts
from masd.report.document import Code, Figure, Section, Table, Text, percent
from masd.report.evaluation import Bootstrap
from masd.report.experiments import Run
from masd.report.insight import MEASURES, attention_by_attack, band_weights, with_names
from masd.report.paper_tables import paper_tables
from masd.report.probe import ALL, verdict
from masd.report.tables import (
    attacks_table,
    bounds,
    breakdown_tables,
    calibration_table,
    coverage_table,
    decisions_table,
    rates_table,
    speakers_table,
    tandem_table,
)
from masd.stage.files import input_digest, read_json, read_text, read_yaml
from masd.stage.tables import read_table


@dataclass
class Page:
    """What a results page is made of.

    Attributes:
        exp: exp/<size>.
        runs: the evaluated runs that can be compared.
        main: the runs of the system the page is about, one a seed.
        rows: the ablation table's rows.
        reported: the paper's numbers (conf/reported.yaml), empty without.
        bootstrap: how intervals were drawn.
        command: the command that makes this page.
        data: data/<size>, None if the page shall not count it.
        sets: its data folders that are counted, in this order; empty for all of them.
        dev_set: name of the development set.
        protocol: folder or file that fixes corpus and trials.
        out: the Markdown file that is being made.
        explain: the utterance whose score is explained; empty for the spoof the system is surest of.
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
    explain: str = ""
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
    def dump(self) -> Path | None:
        """The features' folder, dump/<size> beside data/<size>; None where the recipe has no such folders."""
        if self.data is None:
            return None
        folder = self.data.resolve().parents[1] / "dump" / self.data.name
        return folder if folder.is_dir() else None

    @property
    def first(self) -> Run:
        """The main system's run with the first seed; tables of one run show it."""
        return self.main[0]

    @property
    def drawn_encoders(self) -> list[Path]:
        """The pretraining folders whose curves are drawn: those of the main run's seed, or without one."""
        seed = self.first.seed
        return [p for p in self.encoders if not re.search(r"_s\d+$", p.name) or p.name.endswith(f"_s{seed}")]

    @property
    def encoders(self) -> list[Path]:
        """The pretraining folders below `exp` that hold a history."""
        return sorted(path.parent for path in self.exp.glob("*/metrics.jsonl") if self.shows(path))


def origin(page: Page) -> Section:
    """How these results were made."""
    seeds = sorted({run.seed for run in page.runs if run.seed is not None})
    rows = [
        ["made", provenance.now()],
        ["code", provenance.git_version([page.out])],
        ["software", provenance.versions()],
        ["hardware", provenance.hardware()],
        ["seeds", ", ".join(map(str, seeds)) or "-"],
    ]
    rows += [[f"protocol {path.name}", input_digest(path)[:12]] for path in page.protocol]
    files = [run.folder / "model" / "model.yaml" for run in page.runs]
    files += [folder / "pretrain.yaml" for folder in page.encoders]
    rows += [list(pair) for pair in provenance.short_digests(files, page.exp)]
    verified = f"python3 -m masd.bin.verify_results --manifest {page.out.with_suffix('.manifest.json')}"
    command = Code("\n".join([*_commands(page), verified]))
    return Section(
        "How this was made", [command, Table(["", ""], rows, "Digests: sha256, the first 12 digits.")]
    )


def _commands(page: Page) -> list[str]:
    """Return the commands that made scores and page, each under a line that says what it made.

    Where one command made it all, or that of no system's scores was kept, the page's stands alone.
    """
    own = [page.command] if page.command else []
    names: dict[str, list[str]] = {}
    for run in page.runs:
        names.setdefault(run.command, []).append(run.name)
    if names.keys() <= {"", page.command} and len(names) == 1:
        return own
    lines = []
    for command, made in names.items():
        lines += [f"# scores of {', '.join(made)}{'' if command else ': the command was not kept'}"]
        lines += [command] if command else []
    return [*lines, *(["# this page"] if own else []), *own, "# its proof"]


def corpus(page: Page) -> Section | None:
    """Counts of every set."""
    if page.data is None:
        return None
    folders = [page.data / name for name in page.sets] or [p.parent for p in page.data.glob("*/utt2lab")]
    wanted = folders if page.sets else sorted(folders, key=lambda p: p.name)
    rows = [_count(folder) for folder in wanted if (folder / "utt2lab").is_file()]
    header = ["set", "utterances", "bona fide", "spoof", "speakers", "source recordings", "hours", "attacks"]
    return Section("Corpus", [Table(header, rows)]) if rows else None


COUNTED = ("utt2lab", "utt2spk", "utt2source", "utt2dur", "utt2attack")
"""The lists of a data folder that the page counts."""


def _count(folder: Path) -> list[str]:
    tables = {name: read_table(folder / name) if (folder / name).is_file() else {} for name in COUNTED}
    labels = Counter(tables["utt2lab"].values())
    attacks = Counter(a for a in tables["utt2attack"].values() if a != "-")
    hours = sum(float(d) for d in tables["utt2dur"].values()) / 3600
    return [
        folder.name,
        str(len(tables["utt2lab"])),
        str(labels["bonafide"]),
        str(labels["spoof"]),
        str(len(set(tables["utt2spk"].values()))),
        str(len(set(tables["utt2source"].values()))) if tables["utt2source"] else "-",
        f"{hours:.2f}" if tables["utt2dur"] else "-",
        ", ".join(f"{attack} {count}" for attack, count in sorted(attacks.items())) or "-",
    ]


def system(page: Page) -> Section:
    """The main system on the evaluation set."""
    metrics = page.first.metrics
    where = "the ablation" if page.table_two else "Systems"
    seeds = f"; {len(page.main)} seeds were run, see {where}" if len(page.main) > 1 else ""
    return Section(
        f"{page.first.name} on {page.first.set}",
        [
            Text(f"Scores are higher for bona fide speech. The tables are of {page.first.name}{seeds}."),
            *_excused([page.first]),
            rates_table(metrics),
            *([tandem_table(metrics)] if "tandem" in metrics else []),
            Figure(
                "det", "Detection-error trade-off; dots mark the EER.", "DET curves of pooled, seen, unseen"
            ),
            attacks_table(metrics, metrics.get("attack_names")),
            Figure(
                "attacks", "EER per attack, 95 % interval over source recordings.", "bars of EER per attack"
            ),
            *_conditions(metrics),
            *([speakers_table(metrics)] if metrics["speakers"] else []),
            decisions_table(metrics),
            Figure("histogram", "Scores by kind of trial, each scaled to area 1.", "histograms of scores"),
        ],
    )


def _conditions(metrics: Mapping[str, Any]) -> list[Table | Figure]:
    blocks: list[Table | Figure] = []
    for name, table in breakdown_tables(metrics).items():
        caption = f"EER by {name}, 95 % interval over source recordings."
        figure = f"condition_{name.replace('*', '_')}"
        blocks += [table, Figure(figure, caption, f"bars of EER by {name}")]
    return blocks


def _excused(runs: Iterable[Run]) -> list[Text]:
    """Return a line for each run that could not score all its trials: how many, and where they are listed."""
    lines = []
    for run in runs:
        counts = run.metrics["counts"]
        failed = counts.get("excused", 0)
        total = failed + sum(counts[kind] for kind in ("bonafide", "spoof", "apart"))
        lists = [name for name, utts in run.excused.items() if utts] or list(run.excused)
        if failed:
            where = f" (listed in {', '.join(f'`{name}`' for name in lists)})"
            lines.append(Text(f"{failed} of {total} trials could not be scored by {run.name}{where}."))
    return lines


def insight(page: Page) -> Section | None:
    """What the main system looks at: attention by attack, band weights, embeddings, one utterance."""
    blocks: list[Text | Table | Figure] = []
    if page.attention:
        named = with_names(page.attention, page.first.metrics.get("attack_names", {}))
        rows = [[kind, *(f"{w:.3f}" for w in row)] for kind, row in named.items()]
        note = f"Mean attention weight of {page.first.name}; each row sums to 1."
        blocks.append(Table(["trials", *MEASURES], rows, note))
        caption = "Attention over the three handcrafted measures: phase coherence, high-frequency energy, "
        blocks.append(
            Figure("attention", f"{caption}spectral flux.", "attention by attack over PCS, HFER, SFI")
        )
    if page.alpha:
        blocks.append(
            Figure("bands", "Weights of the bands, mean over seeds.", "weights of the low, mid and high band")
        )
    caption = "Inputs of the SVM on their first two principal components (at most 1,500 utterances)."
    blocks.append(Figure("projection", caption, "scatter of utterances by kind"))
    caption = (
        "One utterance by occlusion: the score with a stretch of time, a band or a measure, less the score "
        "with the training mean in its place."
    )
    alt = "spectrogram, effect of each stretch of time, of each band and of each measure"
    blocks.append(Figure("explanation", caption, alt))
    return Section("What the system looks at", blocks)


def calibration(page: Page) -> Section:
    """Calibration and selective prediction of the main system."""
    metrics = page.first.metrics
    return Section(
        "Calibration and selective prediction",
        [
            calibration_table(metrics),
            Figure(
                "reliability",
                "Reliability at the set's own prior; a dot's area is the share of trials in its bin.",
                "share of fakes against P(fake), before and after calibration",
            ),
            coverage_table(metrics),
            Figure("coverage", "EER among the most confident trials.", "EER against coverage"),
        ],
    )


def development(page: Page) -> Section | None:
    """The same systems on the development set, which alone chose thresholds and checkpoints."""
    rows = []
    for run in page.runs:
        shown = page.shows(run.results.parent / page.dev_set / "metrics.json")
        metrics = run.other_set(page.dev_set) if shown else None
        if metrics:
            part = metrics["pooled"]
            ece = " -> ".join(percent(c["ece"][0]["ece"]) for c in metrics["calibration"])
            rows.append(
                [run.name, percent(part["eer"]), bounds(part["by_source"]), f"{part['auc']:.4f}", ece]
            )
    if not rows:
        return None
    note = "The thresholds come from this set. ECE (%) at its own prior: T = 1, temperature, affine map."
    return Section("Development set", [Table(["system", "EER (%)", "by source", "AUC", "ECE"], rows, note)])


def models(page: Page) -> Section | None:
    """What model.yaml tells of each fitted system, its figures on the development set among it."""
    rows = []
    for run in page.runs:
        svm, dev = run.model.get("svm") or {}, run.model.get("dev") or {}
        if svm:
            alpha = run.model.get("alpha")
            fusion = run.model.get("fusion_training") or {}
            ece = [percent(dev.get(f"ece_{kind}")) for kind in ("uncalibrated", "temperature", "affine")]
            rows.append(
                [
                    run.name,
                    str(svm.get("dimensions", "-")),
                    f"{svm.get('support_vectors', '-')} of {svm.get('fitted_on', '-')}",
                    f"{svm['gamma']:.4g}" if "gamma" in svm else "-",
                    ", ".join(f"{a:.3f}" for a in alpha) if alpha else "-",
                    f"{run.model['temperature']['value']:.3f}",
                    str(run.model["affine"].get("holdout", "-")),
                    percent(dev.get("eer")),
                    " -> ".join(ece),
                    percent(fusion.get("head_dev_eer")),
                ]
            )
    if not rows:
        return None
    header = ["system", "SVM inputs", "support vectors", "gamma", "alpha", "T", "affine map held out by"]
    header += ["dev EER (%)", "dev ECE (%)", "fusion head alone, dev EER (%)"]
    note = "alpha: weights of the bands, low to high. ECE: T = 1, temperature, affine map."
    return Section("Fitted systems", [Table(header, rows, note)])


def ablation(page: Page) -> Section:
    """All systems side by side, with the figures reported of them."""
    title = "Ablation (Table II)" if page.table_two else "Systems"
    excused = _excused(page.runs)
    common = len(common_utts(page.runs))
    if any(len(run.trials.utts) > common for run in page.runs):
        excused.append(Text(f"The table compares the systems on the {common} trials that all have scored."))
    notes = [Text(note) for note in page.reported.get("notes", [])]
    reported_on = page.reported.get("set", "its own set")
    figures = [
        Figure("ablation", "Systems by EER.", "mean EER and interval of each system"),
        Figure("det_systems", "Each system's first seed; dots mark the EER.", "DET curves of all systems"),
    ]
    return Section(
        title, [*excused, ablation_table(page.rows, page.bootstrap.n, reported_on), *notes, *figures]
    )


def left_out(page: Page) -> Section | None:
    """The evaluated systems that are not on the page."""
    return Section("Systems left out", [Text(line) for line in page.left_out]) if page.left_out else None


def comparison(page: Page) -> Section | None:
    """The paper's figures beside those of its system measured here; other systems are in the main table."""
    reported = page.reported.get("masd")
    if not (reported and page.first.paper):
        return None
    rows = [
        [name, "-" if paper is None else f"{paper:g}", measured]
        for name, paper, measured in (
            ("EER (%)", reported["eer"], _over_seeds(page, lambda m: m["pooled"]["eer"])),
            ("accuracy at P(fake) = 0.5 (%)", reported["accuracy"], _decided(page, "accuracy")),
            ("F1, fake positive (%)", reported["f1"], _decided(page, "f1")),
            ("F1, macro (%)", None, _decided(page, "f1_macro")),
            ("ECE, T = 1 (%)", reported["ece_before"], _calibrated(page, 0)),
            ("ECE, temperature (%)", reported["ece_after"], _calibrated(page, 1)),
            ("ECE, affine map (%)", None, _calibrated(page, 2)),
            (
                f"EER at {reported['coverage']} % coverage (%)",
                reported["coverage_eer"],
                _over_seeds(page, lambda m: _covered(m, reported["coverage"] / 100)),
            ),
            ("model (MB)", reported["model_mb"], _model_size(page.first)),
        )
    ]
    count = page.first.metrics["counts"]
    header = [
        "",
        f"reported ({page.reported.get('set', 'the paper')})",
        f"measured ({page.first.set}: {count['bonafide']} bona fide, {count['spoof']} spoofed)",
    ]
    cautions = [Text(f"Caution: {text}") for text in page.reported.get("cautions", [])]
    source = [Text(f"Reported: {page.reported['source']}.")] if "source" in page.reported else []
    note = f"Measured: mean and deviation over the seeds of {page.first.system}; ECE at the set's own prior."
    return Section("Paper and measurement", [Table(header, rows, note), *cautions, *source])


def _over_seeds(page: Page, value: Callable[[Mapping[str, Any]], float | None]) -> str:
    values = [value(run.metrics) for run in page.main]
    if any(v is None for v in values):
        return "-"
    numbers = 100 * np.array(values, dtype=np.float64)
    spread = f" ± {numbers.std(ddof=1):.2f}" if len(numbers) > 1 else ""
    return f"{numbers.mean():.2f}{spread}"


def _decided(page: Page, key: str) -> str:
    return _over_seeds(page, lambda m: m["decisions"][0][key])


def _calibrated(page: Page, index: int) -> str:
    return _over_seeds(
        page, lambda m: m["calibration"][index]["ece"][0]["ece"] if len(m["calibration"]) > index else None
    )


def _covered(metrics: Mapping[str, Any], coverage: float) -> float | None:
    point = min(metrics["coverage"], key=lambda p: abs(p["coverage"] - coverage), default=None)
    return point["eer"] if point and abs(point["coverage"] - coverage) < 0.03 else None


def _model_size(run: Run) -> str:
    size = run.weights / 1e6
    return "-" if not size else f"{size:.1f}" if size >= 0.1 else f"{size:.1g}"


def pretraining(page: Page) -> Section | None:
    """Losses and accuracies of every encoder on held-out speakers, beside their levels of chance."""
    rows, figures, void = [], [], []
    for folder in page.encoders:
        history = read_history(folder)
        if not history:
            continue
        if "acc_vocoder" in history[-1]["train"] and len(history[-1].get("curriculum", {})) == 1:
            void.append(folder.name)
        best = next((r for r in reversed(history) if r.get("best")), history[-1])
        for name in sorted(n for n in best["dev"] if f"chance_{n}" in best["dev"]):
            values = [history[0]["dev"].get(name), best["dev"][name], best["dev"][f"chance_{name}"]]
            shown = ["-" if v is None else f"{v:.3f}" for v in values]
            rows.append([folder.name, f"{best['epoch']} of {len(history)}", name, *shown])
        caption = f"{folder.name}: loss over its level of chance; solid held-out speakers, dashed training."
        if folder in page.drawn_encoders:
            figures.append(Figure(f"training_{folder.name}", caption, f"training curves of {folder.name}"))
    if not rows:
        return None
    header = ["encoder", "best epoch", "on held-out speakers", "first epoch", "best epoch", "chance"]
    caution = "copies by one vocoder alone, which the adversarial task cannot tell from another: it was void"
    cautions = [Text(f"Caution: {', '.join(void)} heard {caution}.")] if void else []
    stated = "; ".join(filter(None, map(_arithmetic, page.encoders)))
    trained = [Text(f"Trained in: {stated}.")] if stated else []
    return Section("Pretraining", [*cautions, Table(header, rows), *trained, *figures])


def _arithmetic(folder: Path) -> str:
    """Return what an encoder was trained in, empty where that is not stated."""
    path = folder / "encoder.yaml"
    extra = (read_yaml(path).get("extra") if path.is_file() else None) or {}
    if not {"precision", "device", "processes", "threads"} <= extra.keys():
        return ""
    numbers = f"processes {extra['processes']}, threads of each {extra['threads']}"
    return f"{folder.name} {extra['precision']} on {extra['device']} ({numbers})"


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a pretraining's metrics.jsonl, one an epoch."""
    return [json.loads(line) for line in read_text(folder / "metrics.jsonl").splitlines() if line.strip()]


def gates(page: Page) -> Section | None:
    """What checks of the machinery found (JSON files `probe_*.json` below exp)."""
    rows = []
    for path in filter(page.shows, sorted(page.exp.rglob("probe_*.json"))):
        probe = read_json(path)
        for name, gate in sorted(probe["gates"].items()):
            verdict = "holds" if gate["holds"] else "does not hold"
            rows.append([path.stem, name, f"{gate['value']:.4g}", f"{gate['limit']:.4g}", verdict])
    if not rows:
        return None
    return Section(
        "Checks of the machinery",
        [
            Table(["probe", "gate", "value", "must be below", ""], rows),
            Text(
                "batching: change of an embedding with its batch; grl: accuracy of a fresh probe of the "
                "vocoder, against the encoder without the adversarial objective; held_out_loss: on speakers "
                "never trained on, against chance; length_r2: how much of an utterance's length mu explains; "
                "train_eval: distance of train-mode and eval-mode embeddings."
            ),
        ],
    )


def probed(page: Page) -> list[dict[str, Any]]:
    """Return what `masd.bin.probe_cues` found of the page's sets, the evaluation set first."""
    if page.data is None:
        return []
    found = [path for path in sorted((page.data / "cues").glob("*.json")) if page.shows(path)]
    shown = [p for p in found if not page.sets or set(p.stem.split("+")) <= set(page.sets)]
    return [read_json(path) for path in sorted(shown, key=lambda path: path.stem != page.first.set)]


def verdicts(page: Page) -> list[Text]:
    """Return for each probed set whether cues that are not synthesis tell its classes apart."""
    if page.data is None:
        return []
    results = probed(page)
    unasked = "Whether cues that are not synthesis tell the classes apart was not asked: stage 1 asks it"
    return [Text(verdict(result)) for result in results] or [Text(f"{unasked} (`masd.bin.probe_cues`).")]


def cues(page: Page) -> Section | None:
    """How well cues that are not synthesis tell each attack from bona fide speech."""
    results = probed(page)
    rows = [row for result in results for row in result["rows"]]
    if not rows:
        return None
    cells = [
        [
            row["set"],
            row["attack"],
            str(row["bonafide"]),
            str(row["spoof"]),
            f"{row['auc']:.3f}",
            f"[{row['low']:.3f}, {row['high']:.3f}]",
            "{} {:.3f}".format(*max(row["single"].items(), key=lambda item: item[1])),
            row["finding"],
        ]
        for row in rows
    ]
    note = (
        f"AUC of a logistic regression on all cues, cross-validated by source recording or speaker; 95 % by "
        f"resampling these, at least as wide as Clopper and Pearson's interval of no error. At most "
        f"{results[0]['most']} utterances of bona fide speech and of each attack, drawn by seed "
        f"{results[0]['seed']}. Found: {results[0]['bound']} or more. Labels of the evaluation set are read "
        "for this table, which steers nothing."
    )
    header = ["set", "attack", "bona fide", "spoof", "AUC", "95 %", "strongest single cue", "cue"]
    return Section("Cues that are not synthesis", [Table(header, cells, note), _single_cues(rows)])


def _single_cues(rows: list[dict[str, Any]]) -> Table:
    """The AUC of each cue alone over all attacks of each set."""
    whole = {row["set"]: row["single"] for row in rows if row["attack"] == ALL}
    names = list(dict.fromkeys(name for single in whole.values() for name in single))
    cells = [
        [name, *(f"{single[name]:.3f}" if name in single else "-" for single in whole.values())]
        for name in names
    ]
    note = "AUC of each cue alone, all attacks; a file's facts (format, rate, channels) where they differ."
    return Table(["cue", *whole], cells, note)


def timing(page: Page) -> Section | None:
    """What the stages took: time, processor time, memory."""
    folders = {folder.resolve(): folder for folder in (page.exp, page.data, page.dump) if folder is not None}
    found = provenance.costs(folders.values())
    if not found:
        return None
    rows = [
        [
            str(provenance.stage_of(name)),
            name,
            str(cost.jobs),
            f"{cost.seconds:.0f}",
            "-" if cost.processor is None else f"{cost.processor:.0f}",
            "-" if cost.mib is None else str(cost.mib),
        ]
        for name, cost in found.items()
    ]
    rows.sort(key=lambda row: (row[0], row[1]))
    note = (
        "All jobs of an entry point added up, the memory that of the largest: resident, of one process. From "
        "the launchers' logs and the marks of finished work; what was done before counts as it did then."
    )
    header = ["stage", "entry point", "jobs", "seconds", "processor seconds", "peak memory, MiB"]
    return Section("Time and memory taken", [Table(header, rows, note)])


# sections of when, where and how long, which no score file can give again, and of what is not on the page,
# whose key may have been replaced since
NOT_RECOMPUTED = ("Systems left out", "Time and memory taken", "How this was made")

SECTIONS: tuple[Callable[[Page], Section | None], ...] = (
    ablation,
    left_out,
    comparison,
    paper_tables,
    system,
    calibration,
    insight,
    development,
    models,
    pretraining,
    gates,
    cues,
    corpus,
    timing,
    origin,
)
