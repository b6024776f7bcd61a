"""What a results page means, in five sentences of its own figures."""

from __future__ import annotations

import numpy as np

from masd.report.cue_probe import verdict
from masd.report.page_facts import Page
from masd.report.render import interval, percent
from masd.report.table_two import Row

CHANCE = 0.5
NEAR_CHANCE = 0.4  # an EER from here on is of little use, whatever its interval
GOOD = 0.1
CALIBRATED = 0.05  # ECE up to which probabilities may be read as such


def meaning(page: Page) -> list[str]:
    """Return the sentences: level, seen against unseen attacks, calibration, peers, what the guards found.

    A cue that tells the classes apart without synthesis comes first: nothing else is to be read without it.
    """
    row = next(row for row in page.rows if row.system == page.first.system)
    told = [_level(page, row), _attacks(page, row), _calibration(page), _peers(page, row), _guards(page)]
    cautions = [said for said in verdicts(page) if said.startswith("Caution")]
    return [*cautions, *told]


def verdicts(page: Page) -> list[str]:
    """Return for each probed set whether cues that are not synthesis tell its classes apart."""
    unasked = (
        "Whether cues that are not synthesis tell the classes apart was not asked: stage 1 asks it "
        "(`masd.bin.probe cues`)."
    )
    return [] if page.data is None else [verdict(result) for result in page.cues] or [unasked]


def _level(page: Page, row: Row) -> str:
    counts = page.first.metrics["counts"]
    seeds = f"mean of {len(row.seeds)} seeds; " if len(row.seeds) > 1 else ""
    if row.interval.lo > CHANCE:
        said = "worse than chance, which is 50 %"
    elif row.interval.hi >= CHANCE:
        said = "no better than chance, which is 50 %"
    elif row.mean >= NEAR_CHANCE:
        said = "near chance, which is 50 %"
    elif row.mean >= GOOD:
        said = f"better than chance, yet about one decision in {round(1 / row.mean)} is wrong"
    else:
        said = "far better than chance, which is 50 %"
    return (
        f"`{row.system}` has an equal error rate of {percent(row.mean)} % {interval(row.interval)} on "
        f"{page.first.set} ({seeds}{counts['bonafide']} bona fide, {counts['spoof']} spoofed): {said}."
    )


def _attacks(page: Page, row: Row) -> str:
    seen, unseen = row.pools.get("seen"), row.pools.get("unseen")
    if seen is None and unseen is None:
        return "Seen and unseen attacks are not told apart here."
    if seen is None:
        return "All attacks are unseen in training."
    if unseen is None:
        return "All attacks were seen in training: nothing is said of new ones."
    parts = page.first.metrics
    a, b = (parts[pool].get("by_source") or {"lo": 0, "hi": 1} for pool in ("seen", "unseen"))
    if b["lo"] > a["hi"]:
        said = "what it learnt does not carry over to new attacks"
    elif b["hi"] < a["lo"]:
        said = "the new ones are the easier here"
    else:
        said = "no difference beyond chance"
    return f"Attacks seen in training give {percent(seen)} %, unseen ones {percent(unseen)} %: {said}."


def _calibration(page: Page) -> str:
    maps = [run.metrics["calibration"] for run in page.main]
    names = [entry["name"] for entry in maps[0]]
    last = next((i for i, name in enumerate(names) if name.startswith("affine")), len(names) - 1)
    last = min(last, *(len(entries) - 1 for entries in maps))
    before, now = (np.mean([entries[i]["ece"][0]["ece"] for entries in maps]) for i in (0, last))
    way = f"{names[last]}; {percent(before)} before" if last else names[0]
    said = "calibrated to within 5 points" if now <= CALIBRATED else "not calibrated; its scores only rank"
    return (
        f"Its probabilities miss the share of fakes by {percent(now)} points on average (ECE, {way}): {said}."
    )


def _peers(page: Page, row: Row) -> str:
    others = [other for other in page.rows if other is not row]
    paper = ""
    if row.reported is not None:
        paper = f" The paper reports {row.reported:.2f} % on {page.reported.get('set', 'its own set')}."
    if not others:
        return f"No other system was evaluated on these trials.{paper}"
    place = 1 + sum(other.mean < row.mean for other in others)
    best = min(others, key=lambda each: each.mean)
    return (
        f"Of {len(page.rows)} systems on the same trials it is number {place} by fewest errors; "
        f"the best of the others is `{best.system}` with {percent(best.mean)} % {interval(best.interval)}."
        f"{paper}"
    )


def _guards(page: Page) -> str:
    told = verdicts(page)
    found = [said for said in told if not said.startswith("Caution")][:1]
    failed = [f"{name} ({probe})" for probe, name, gate in page.gates if not gate["holds"]]
    if told and not found:
        found = ["Cues that are not synthesis tell the classes apart, see above."]
    if page.gates:
        said = f"{len(failed)} of {len(page.gates)} failed, {', '.join(failed)}" if failed else ""
        found.append(f"Checks of the machinery: {said or f'all {len(page.gates)} hold'}.")
    return " ".join(found) or "No guard was asked: the page has no data folder and no check of the machinery."
