"""What the full reproduction and a million hours of scoring take, multiplied out from rates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roofline import Work, pretraining_step, seconds, vocoders

from masd.cli import run

HOURS, UTTERANCES, EPOCHS = 363.6, 101_756, 100  # LibriSpeech train-clean-360 without its held-out speakers
PRETRAININGS = (
    12  # of Table II: three kinds of encoder with three seeds, three more with one (utils/run_table2.sh)
)
BATCH = 256
LA, DF = 121_461, 611_829  # utterances to embed and score
CORPORA_GB = 31.0
SECONDS = 16.0  # of the recordings that the networks' work is counted on


@dataclass(frozen=True)
class Place:
    """Where it runs: cores over hosts, and GPUs of a kind of rates.yaml."""

    name: str
    cores: int
    gpus: int = 0
    kind: str = ""
    hosts: int = 1


PLACES = (
    Place("16 cores", 16),
    Place("20 hosts, 320 cores", 320, hosts=20),
    Place("1 V100, 16 cores", 16, 1, "V100"),
    Place("4 V100, 32 cores", 32, 4, "V100"),
    Place("4 A100, 32 cores", 32, 4, "A100"),
    Place("4 H100, 32 cores", 32, 4, "H100"),
)


def scaling(rates: Path | None = None) -> None:
    """Print the tables of docs/scaling.md.

    Args:
        rates: the measured and assumed rates; by default rates.yaml beside this file.
    """
    from masd.stage.files import read_yaml

    values = read_yaml(rates or Path(__file__).with_name("rates.yaml"))
    networks = vocoders(SECONDS)
    step = pretraining_step(4)
    print(copies(values, networks), reproduction(values, networks, step), million_hours(values), sep="\n\n")


def copy_hours(rates: dict[str, Any], networks: dict[str, Work], place: Place) -> dict[str, float]:
    """Return the hours of stage 2 by vocoder at a place: networks on its GPUs, if there are any."""
    hours = {}
    for name, core in rates["copy_synthesis"].items():
        hours[name] = HOURS * core / place.cores
        if place.gpus and name in networks:
            on_gpu = _on_gpu(rates, place.kind, networks[name], "float32") / SECONDS / place.gpus
            hours[name] = HOURS * max(on_gpu, rates["beside_network"] / place.gpus)  # a job a GPU feeds it
    return hours


def train_hours(rates: dict[str, Any], step: Work, place: Place) -> float:
    """Return the hours of one pretraining at a place."""
    if place.gpus:
        items = BATCH / place.gpus
        one = _on_gpu(rates, place.kind, step, "reduced", items / 4) / items / place.gpus
    else:
        one = rates["train_core_seconds"] / place.cores
        one /= rates["ddp_efficiency"] if place.hosts > 1 else 1.0
    return EPOCHS * UTTERANCES * one / 3600


def _on_gpu(rates: dict[str, Any], kind: str, work: Work, arithmetic: str, times: float = 1.0) -> float:
    card, share = rates["gpus"][kind], rates["gpu_shares"]
    reached = card[arithmetic] * 1e12 * share["arithmetic"]
    return seconds(work, reached, card["bandwidth"] * 1e9 * share["bandwidth"], share["launch"], times)


def stages(rates: dict[str, Any], networks: dict[str, Work], step: Work, place: Place) -> dict[str, float]:
    """Return hours by stage at a place."""
    audio = 7 * HOURS * 3600 + (LA + DF) * 4.0
    fits = 1 + 5 * 0.75**2  # the system, the affine map's folds
    one = train_hours(rates, step, place)
    return {
        "2 copies": sum(copy_hours(rates, networks, place).values()),
        "3 features": audio * rates["front_end_ms"] / 1000 / 3600 / place.cores,
        "4 one pretraining": one,
        f"4 the other {PRETRAININGS - 1} of Table II": (PRETRAININGS - 1) * one,
        f"5-6 embeddings by {PRETRAININGS} encoders": PRETRAININGS
        * (LA + DF)
        * rates["embed_ms"]
        / 1000
        / 3600
        / place.cores,
        "5 SVM, one core": fits * rates["svm_seconds"] * (20_304 / rates["svm_inputs"]) ** 2 / 3600,
    }


def copies(rates: dict[str, Any], networks: dict[str, Work]) -> str:
    """Return the table of stage 2: hours by vocoder, a column a place."""
    columns = [copy_hours(rates, networks, place) for place in PLACES]
    lines = [_heading("stage 2 of 2019 LA, h"), "|---|" + "---:|" * len(PLACES)]
    for name in rates["copy_synthesis"]:
        lines.append(f"| {name} | " + " | ".join(_number(column[name]) for column in columns) + " |")
    return "\n".join([*lines, "| all | " + " | ".join(_number(sum(c.values())) for c in columns) + " |"])


def reproduction(rates: dict[str, Any], networks: dict[str, Work], step: Work) -> str:
    """Return the table of the full reproduction: hours by stage, disk and money, a column a place."""
    columns = [stages(rates, networks, step, place) for place in PLACES]
    disk = gigabytes(rates)
    lines = [_heading("full reproduction, h"), "|---|" + "---:|" * len(PLACES)]
    for name in columns[0]:
        lines.append(f"| {name} | " + " | ".join(_number(column[name]) for column in columns) + " |")
    totals = [sum(column.values()) for column in columns]
    papers = [
        PRETRAININGS * rates["paper_gpu_hours"] / place.gpus if place.gpus else None for place in PLACES
    ]
    prices = [place.cores * rates["core_hour"] + place.gpus * rates["gpu_hour"] for place in PLACES]
    storage = disk * rates["gb_month"]
    money = [f"{total * price + storage:,.0f}" for total, price in zip(totals, prices, strict=True)]
    lines += [
        "| all | " + " | ".join(map(_number, totals)) + " |",
        f"| {PRETRAININGS} pretrainings at the paper's GPU hours | "
        + " | ".join("-" if p is None else _number(p) for p in papers)
        + " |",
        "| disk, GB | " + " | ".join(f"{disk:.0f}" for _ in PLACES) + " |",
        "| money, EUR | " + " | ".join(money) + " |",
    ]
    return "\n".join(lines)


def _heading(what: str) -> str:
    names = (f"{place.name}{', estimate' if place.gpus else ''}" for place in PLACES)
    return f"| {what} | " + " | ".join(names) + " |"


def million_hours(rates: dict[str, Any]) -> str:
    """Return the table of scoring a million hours: core hours, days on 320 cores, money."""
    lines = [
        "| a million hours | core hours | days on 320 cores | EUR | read, TB |",
        "|---|---:|---:|---:|---:|",
    ]
    read = 1e6 * 3600 * rates["copy_bytes"] / 1e12
    for name, key in (
        ("every second, float32", "detect_ms"),
        ("every second, --fast true", "detect_fast_ms"),
    ):
        cores = 1e6 * rates[key] / 1000
        days, money = cores / 320 / 24, cores * rates["core_hour"]
        lines.append(f"| {name} | {cores:,.0f} | {days:.1f} | {money:,.0f} | {read:.0f} |")
    return "\n".join(lines)


def gigabytes(rates: dict[str, Any]) -> float:
    """Return what the corpora, six sets of copies, the dumps and the embeddings take."""
    copies = 6 * HOURS * 3600 * rates["copy_bytes"]
    dumps = (7 * HOURS * 3600 + (LA + DF) * 4.0) * rates["dump_bytes"]
    return CORPORA_GB + (copies + dumps + (LA + DF) * 4100.0) / 1e9


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.1 else "0.1 or less"


if __name__ == "__main__":
    run(scaling, output="")
