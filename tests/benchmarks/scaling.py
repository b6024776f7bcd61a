"""What the full reproduction and a million hours of scoring take, multiplied out from measured rates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masd.cli import run

HOURS, UTTERANCES, EPOCHS = 363.6, 101_755, 100  # LibriSpeech train-clean-360 without its held-out speakers
LA, DF = 121_461, 611_829  # utterances to embed and score
CORPORA_GB = 31.0


@dataclass(frozen=True)
class Place:
    """Where it runs: cores over hosts, and GPUs."""

    name: str
    cores: int
    gpus: int = 0
    hosts: int = 1


PLACES = (
    Place("1 CPU host, 16 cores", 16),
    Place("1 GPU, 16 cores", 16, 1),
    Place("4 GPUs, 32 cores", 32, 4),
    Place("20 CPU hosts, 320 cores", 320, 0, 20),
)


def scaling(rates: Path | None = None) -> None:
    """Print the tables of docs/scaling.md.

    Args:
        rates: the measured and assumed rates; by default rates.yaml beside this file.
    """
    from masd.stage.files import read_yaml

    values = read_yaml(rates or Path(__file__).with_name("rates.yaml"))
    print(reproduction(values), million_hours(values), sep="\n\n")


def stages(rates: dict[str, Any], place: Place) -> dict[str, float]:
    """Return hours by stage at a place; pretraining on GPUs is the arithmetic alone, see `paper`."""
    vocoders = rates["copy_synthesis"]
    networks = HOURS * sum(rate for name, rate in vocoders.items() if name != "world")
    world = HOURS * vocoders["world"]
    if place.gpus:  # WORLD on the cores meanwhile
        copies = max(networks / (place.gpus * rates["gpu_vocoders"]), world / place.cores)
        train = EPOCHS * UTTERANCES * flops() / (place.gpus * rates["gpu_tflops"] * 1e12 * rates["gpu_share"])
    else:
        copies = (networks + world) / place.cores
        train = EPOCHS * UTTERANCES * rates["train_core_seconds"] / place.cores
        train /= rates["ddp_efficiency"] if place.hosts > 1 else 1.0
    audio = 7 * HOURS * 3600 + (LA + DF) * 4.0
    fits = 1 + 5 * 0.75**2  # the system, the affine map's folds
    return {
        "2 copies": copies,
        "3 features": audio * rates["front_end_ms"] / 1000 / 3600 / place.cores,
        "4 pretraining": train / 3600,
        "5-6 embeddings": (LA + DF) * rates["embed_ms"] / 1000 / 3600 / place.cores,
        "5 SVM (one core)": fits * rates["svm_seconds"] * (20_304 / rates["svm_inputs"]) ** 2 / 3600,
    }


def reproduction(rates: dict[str, Any]) -> str:
    """Return the table of the full reproduction: hours by stage, disk and money, a column a place."""
    columns = [stages(rates, place) for place in PLACES]
    disk = gigabytes(rates)
    lines = [
        "| | " + " | ".join(place.name for place in PLACES) + " |",
        "|---|" + "---:|" * len(PLACES),
    ]
    for name in columns[0]:
        lines.append(f"| {name}, h | " + " | ".join(_number(column[name]) for column in columns) + " |")
    totals = [sum(column.values()) for column in columns]
    paper = [
        total - column["4 pretraining"] + rates["paper_gpu_hours"] / place.gpus if place.gpus else None
        for total, column, place in zip(totals, columns, PLACES, strict=True)
    ]
    prices = [place.cores * rates["core_hour"] + place.gpus * rates["gpu_hour"] for place in PLACES]
    storage = disk * rates["gb_month"]
    money = [f"{total * price + storage:,.0f}" for total, price in zip(totals, prices, strict=True)]
    dear = [
        "-" if p is None else f"{p * price + storage:,.0f}" for p, price in zip(paper, prices, strict=True)
    ]
    lines += [
        "| all, h | " + " | ".join(map(_number, totals)) + " |",
        "| all with the paper's GPU hours, h | "
        + " | ".join("-" if p is None else _number(p) for p in paper)
        + " |",
        "| disk, GB | " + " | ".join(f"{disk:.0f}" for _ in PLACES) + " |",
        "| money, EUR | " + " | ".join(money) + " |",
        "| money with the paper's GPU hours, EUR | " + " | ".join(dear) + " |",
    ]
    return "\n".join(lines)


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


def flops() -> float:
    """Return the floating-point operations of a training step for one utterance of 4 s, by torch's count."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from masd.models.encoder import Encoder
    from masd.ssl.config import PretrainConfig
    from masd.ssl.objective import Batch, Objective

    objective = Objective(Encoder(), PretrainConfig(), ["a", "b"])
    batch = Batch(torch.zeros(2, 401, 64), torch.full((2,), 401), torch.tensor([-1, 0]))
    with FlopCounterMode(display=False) as counter:
        objective(batch, torch.Generator().manual_seed(0))[0].backward()
    return counter.get_total_flops() / 2


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.1 else "0.1 or less"


if __name__ == "__main__":
    run(scaling, output="")
