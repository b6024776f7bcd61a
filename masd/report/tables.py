"""Tables of one system's figures, shared by metrics.txt and the results page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from masd.report.breakdown import ENOUGH
from masd.report.document import Document, Section, Table, Text, percent

POOLS = {
    "pooled": "all attacks, pooled",
    "seen": "seen attacks",
    "unseen": "unseen attacks",
    "apart": "reported apart, not in the pooled figure",
}


def bounds(interval: Mapping[str, Any] | None, digits: int = 2) -> str:
    """Return `[lo, hi]` in per cent, `-` for none."""
    return (
        "-" if interval is None else f"[{percent(interval['lo'], digits)}, {percent(interval['hi'], digits)}]"
    )


METHODS = {
    "percentile": "percentile bootstrap",
    "clopper-pearson": "Clopper-Pearson over the groups where there is no error",
}


def methods(intervals: Iterable[Mapping[str, Any] | None]) -> str:
    """Return in words by which methods intervals were made, those of `masd.metrics.bootstrap.Interval`."""
    used = {interval["method"] for interval in intervals if interval} or {"percentile"}
    return " and ".join(words for name, words in METHODS.items() if name in used)


def intervals_of(metrics: Mapping[str, Any]) -> list[Mapping[str, Any] | None]:
    """Return all intervals that the tables of one system's figures show."""
    cells = [cell for part in metrics.get("breakdowns", []) for cell in part["cells"] if "eer" in cell]
    parts = [metrics[pool] for pool in POOLS if pool in metrics]
    parts += [*metrics["attacks"].values(), *metrics["speakers"].values(), *cells]
    return [part[by] for part in parts for by in ("by_source", "by_speaker")]


def rates_table(metrics: Mapping[str, Any]) -> Table:
    """EER of the pooled, seen, unseen and apart attacks with both intervals."""
    rows = []
    for pool, name in POOLS.items():
        if pool in metrics:
            part = metrics[pool]
            label = f"{name} ({', '.join(part['attacks'])})" if "attacks" in part else name
            rows.append([label, *_rate_cells(part)])
        elif pool == "seen" and "unseen" in metrics:
            rows.append([f"{name} (none)", *("-" for _ in RATE_HEADER)])
    counts = metrics["counts"]
    note = (
        f"EER and 95 % intervals in per cent, {methods(intervals_of(metrics))}, "
        f"{metrics['bootstrap']['n']} draws, resampling whole source "
        f"recordings ({counts['sources']}) or whole speakers ({counts['speakers']}). "
        "With few speakers the second is a rough guide only."
    )
    if counts["sources"] == counts["bonafide"] + counts["spoof"]:
        note += " No two trials share a source recording, as far as the data folder says."
    return Table(["trials", *RATE_HEADER], rows, note)


RATE_HEADER = ["bona fide", "spoof", "EER", "by source", "by speaker", "AUC", "minDCF"]


def _rate_cells(part: Mapping[str, Any]) -> list[str]:
    return [
        str(part["bonafide"]),
        str(part["spoof"]),
        percent(part["eer"]),
        bounds(part["by_source"]),
        bounds(part["by_speaker"]),
        f"{part['auc']:.4f}",
        f"{part['min_dcf']:.3f}",
    ]


def attacks_table(metrics: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Table:
    """EER of each attack against all bona fide trials."""
    names = names or {}
    rows = []
    for attack, part in metrics["attacks"].items():
        label = f"{attack} {names[attack]}" if names.get(attack, attack) != attack else attack
        rows.append([label, part["pool"], *_rate_cells(part)])
    return Table(["attack", "kind", *RATE_HEADER], rows, "Each attack against all bona fide trials.")


def speakers_table(metrics: Mapping[str, Any]) -> Table:
    """EER within each speaker."""
    rows = [[s, *_rate_cells(part)] for s, part in metrics["speakers"].items()]
    for row in rows:
        del row[5]  # one speaker has no interval over speakers
    header = ["speaker", *(h for h in RATE_HEADER if h != "by speaker")]
    return Table(header, rows, "A speaker's spoofed trials against that speaker's bona fide ones.")


def breakdown_tables(metrics: Mapping[str, Any]) -> dict[str, Table]:
    """Error rates by each condition; of crossed conditions the EERs alone, the last in columns.

    Not by attack, of which there is `attacks_table`.
    """
    return {
        part["name"]: _crossed(part) if "*" in part["name"] else _by_condition(part)
        for part in metrics.get("breakdowns", [])
        if part["name"] != "attack"
    }


def _against(part: Mapping[str, Any]) -> str:
    if not part["matched"]:
        return "Spoofed trials of each value against all bona fide ones."
    text = f"Spoofed trials against the bona fide ones of the same {' and '.join(part['matched'])}."
    mean, interval = part.get("mean"), part.get("by_value")
    if mean and mean["cells"]:
        text += (
            f" The mean EER of the {mean['cells']} with at least {ENOUGH} bona fide trials is "
            f"{percent(mean['eer'])} %."
        )
    if interval:
        text += (
            f" Resampled by {part['name']}, the pooled EER's 95 % interval is "
            f"{percent(interval['lo'])} to {percent(interval['hi'])} %."
        )
    return text


def _by_condition(part: Mapping[str, Any]) -> Table:
    rows = []
    for cell in part["cells"]:
        counts = [str(cell["bonafide"]), str(cell["spoof"])]
        blank = [*counts, *("-" for _ in RATE_HEADER[2:])]
        rows.append([cell["values"][0], *(_rate_cells(cell) if "eer" in cell else blank)])
    return Table([part["name"], *RATE_HEADER], rows, _against(part))


def _crossed(part: Mapping[str, Any]) -> Table:
    cells = {tuple(cell["values"]): cell for cell in part["cells"]}
    *names, _ = part["name"].split("*")
    columns = sorted({key[-1] for key in cells})
    rows = [
        [*row, *(percent(cells.get((*row, column), {}).get("eer")) for column in columns)]
        for row in sorted({key[:-1] for key in cells})
    ]
    header = [part["name"] if len(names) == 1 else names[0], *names[1:], *columns]
    return Table(header, rows, f"{part['name']}: EER in per cent. {_against(part)}")


def tandem_table(metrics: Mapping[str, Any]) -> Table:
    """Minimum t-DCF in both of the challenges' forms, and the verifier it was computed with."""
    tandem = metrics["tandem"]
    rows = [[f"min t-DCF, form of {form}", f"{tandem[form]:.4f}"] for form in ("2019", "2021")]
    asv = tandem["asv"]
    rows += [
        ["EER of the verifier (%)", percent(asv["eer"], 4)],
        ["spoofs it accepts at that threshold (%)", percent(asv["p_fa_spoof"])],
        ["a-DCF of the verifier alone", f"{tandem['asv_adcf']:.4f}"],
    ]
    return Table(["with the speaker verifier whose scores were given", ""], rows)


def decisions_table(metrics: Mapping[str, Any]) -> Table:
    """Accuracy, F1 and cost at each decision threshold."""
    keys = ["accuracy", "balanced_accuracy", "precision", "recall", "f1", "f1_bonafide", "f1_macro"]
    header = ["decision at", "score", "accuracy", "balanced", "precision", "recall"]
    header += ["F1", "F1 bona fide", "F1 macro", "cost"]
    rows = [
        [d["at"], f"{d['threshold']:.4f}", *(percent(d[key]) for key in keys), f"{d['cost']:.3f}"]
        for d in metrics["decisions"]
    ]
    costs = metrics["costs"]
    note = (
        "In per cent, fake being the positive class; scores at or below `score` are called fake. Cost: of "
        f"the decisions, for {costs['c_miss']:g} a rejected bona fide, {costs['c_fa']:g} an accepted spoof "
        f"and a prior of spoofs of {costs['p_spoof']:g}, over that of the better constant decision; at best "
        f"{metrics['pooled']['min_dcf']:.3f} with a threshold chosen on these very trials (minDCF)."
    )
    return Table(header, rows, note)


def calibration_table(metrics: Mapping[str, Any]) -> Table:
    """ECE, Brier score and NLL before and after each calibration, at each prior."""
    priors = metrics["calibration"][0]["ece"]
    header = ["calibration", *(f"ECE, {e['name']} prior {e['prior']:.3f}" for e in priors)]
    header += ["Brier", "NLL", "actDCF", "Cllr"]
    rows = []
    for c in metrics["calibration"]:
        own = c["ece"][0]
        scores = [f"{own['brier']:.4f}", f"{own['nll']:.4f}", f"{c['act_dcf']:.3f}", f"{c['cllr']:.3f}"]
        rows.append([c["name"], *(percent(e["ece"]) for e in c["ece"]), *scores])
    note = (
        "ECE in per cent, 15 equal-width bins of P(fake), the set weighted to the named prior of fakes; "
        "Brier score and NLL (nats) at the set's own. Maps with an offset (affine, platt, isotonic) are "
        "moved to that prior; a temperature has none and is taken as it is. Fitted on development data or "
        "held-out training data, never on these trials."
    )
    return Table(header, rows, note)


def coverage_table(
    metrics: Mapping[str, Any], coverages: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
) -> Table:
    """EER among the most confident trials."""
    rows = []
    for wanted in coverages:
        point = min(metrics["coverage"], key=lambda p: abs(p["coverage"] - wanted), default=None)
        if point is not None and abs(point["coverage"] - wanted) < 0.03:
            cells = [
                percent(point["coverage"], 0),
                percent(point["eer"]),
                str(point["bonafide"]),
                str(point["spoof"]),
            ]
            rows.append(cells)
    return Table(["coverage (%)", "EER (%)", "bona fide", "spoof"], rows, "The trials of largest |score|.")


def metrics_document(metrics: Mapping[str, Any], title: str) -> Document:
    """Return the readable form of metrics.json."""
    counts = metrics["counts"]
    conditions = list(breakdown_tables(metrics).values())
    text = (
        f"{counts['bonafide']} bona fide and {counts['spoof']} spoofed trials of {counts['speakers']} "
        f"speakers; {counts['apart']} trials apart; {counts.get('excused', 0)} excused. "
        "Scores are higher for bona fide."
    )
    return Document(
        title,
        [
            Section("Error rates", [Text(text), rates_table(metrics)]),
            *([Section("Tandem detection cost", [tandem_table(metrics)])] if "tandem" in metrics else []),
            Section("Per attack", [attacks_table(metrics, metrics.get("attack_names"))]),
            *([Section("Per condition", conditions)] if conditions else []),
            *([Section("Per speaker", [speakers_table(metrics)])] if metrics["speakers"] else []),
            Section("Decisions", [decisions_table(metrics)]),
            Section("Calibration", [calibration_table(metrics)]),
            Section("Selective prediction", [coverage_table(metrics)]),
        ],
    )
