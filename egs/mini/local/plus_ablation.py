"""What each part of --system plus is worth: attacks and speakers that no fit has seen, of train and dev.

Every row is fitted as `fit_svm` fits it, again for every attack and group of speakers left out; copies by
random vocoders that share their synthesis with the left-out attack leave with it. No eval data are read.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from evidence import AKIN

from masd.cli import run
from masd.data.folder import read_folder
from masd.errors import Failures, MasdError
from masd.feats.config import SIZES, FeatsConfig
from masd.feats.dump import open_dump
from masd.metrics.eer import eer
from masd.stage.files import read_yaml, write_json
from masd.stage.seeding import derive, generator
from masd.svm.config import FitConfig, system_spec
from masd.svm.fit import LabelledSet, Machine, fit_machine
from masd.svm.inputs import Source, load_inputs
from masd.vocoders.wide import Wide

log = logging.getLogger("plus_ablation")

SPEAKER_GROUPS = 3


@dataclass(frozen=True)
class Row:
    """A way to fit: what differs from plus.

    Attributes:
        name: what the table calls it.
        system: plus or plus_encoder.
        leave_out: beginnings of utterance ids that are not trained on.
        families: whether the families of statistics are used.
        fit: keys of FitConfig that differ.
    """

    name: str
    system: str = "plus"
    leave_out: tuple[str, ...] = ()
    families: bool = True
    fit: tuple[tuple[str, object], ...] = ()


ROWS = (
    Row("plus"),
    Row("with the encoder", "plus_encoder"),
    Row("the encoder in place of the families", "plus_encoder", families=False),
    Row("without random vocoders", leave_out=("wide-", "raw-wide-")),
    Row("without unconditioned audio", leave_out=("raw-",)),
    Row("without both", leave_out=("wide-", "raw-")),
    Row("classes alike, attacks by their number", fit=(("class_weight", "balanced"),)),
    Row("C = 10", fit=(("c", 10.0),)),
    Row("kernel twice as wide", fit=(("gamma_scale", 1.0),)),
)


def plus_ablation(
    data: Path,
    dump: Path,
    embeddings: Path,
    encoder: Path,
    settings: Path,
    out: Path,
    rows: list[str] | None = None,
    seed: int = 0,
) -> None:
    """Print a line a row: EER in per cent of unseen attacks on train and on dev, and of seen ones on dev.

    Args:
        data: data folder of the size, with train_plus and dev.
        dump: dumps of these sets, families included.
        embeddings: embeddings of these sets.
        encoder: the pretraining folder that made them.
        settings: utils/conf/plus.yaml.
        out: where the figures go as JSON.
        rows: names of the rows, all by default.
        seed: of the groups of speakers.
    """
    alpha = np.array(read_yaml(embeddings / "dev" / "embeddings.yaml")["alpha"], np.float32)
    config = open_dump(dump / "dev").config
    train, dev = (load(data, dump, embeddings, name, config) for name in ("train_plus", "dev"))
    if not encoder.is_dir():
        raise MasdError(f"--encoder {encoder}: no such folder")
    fit = FitConfig(**read_yaml(settings)["fit_svm"]["fit"])
    logging.getLogger("masd.svm").setLevel(logging.WARNING)
    found = {}
    print(f"{'':40}{'train, unseen':>34}{'dev, unseen':>34}{'dev, seen':>11}")
    for row in ROWS:
        if rows is None or row.name in rows:
            found[row.name] = figures(row, train, dev, fit, alpha, config, seed)
            print(line(row.name, found[row.name]), flush=True)
            write_json(out, found)


def load(data: Path, dump: Path, embeddings: Path, name: str, config: FeatsConfig) -> LabelledSet:
    """Return a set with embeddings and handcrafted features."""
    folder = read_folder(data / name)
    source = Source(embeddings / name, dump / name)
    inputs = load_inputs(
        source, system_spec("plus_encoder"), folder.utts, Failures("utterance", 0.01), config
    )
    return LabelledSet.of(inputs, folder)


def figures(
    row: Row,
    train: LabelledSet,
    dev: LabelledSet,
    fit: FitConfig,
    alpha: np.ndarray,
    config: FeatsConfig,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Return {train, dev, seen: {attack: EER in per cent}}."""
    if not row.families:
        count = sum(SIZES[name] for name in config.families)
        train, dev = (without_last(one, count) for one in (train, dev))
    kept = [i for i, utt in enumerate(train.inputs.utts) if not utt.startswith(row.leave_out or ("\0",))]
    train, fit = train.rows(np.array(kept)), dataclasses.replace(fit, **dict(row.fit))
    attacks = sorted(set(dev.attacks) - {"-"})
    speakers = sorted(set(train.speakers))
    generator(seed, "groups").shuffle(speakers)
    conditioned = np.array([not utt.startswith(("raw-", "wide-")) for utt in train.inputs.utts])
    table = {name: np.array(getattr(train, name)) for name in ("speakers", "attacks")}
    result: dict[str, dict[str, float]] = {"train": {}, "dev": {}, "seen": {}}

    def machine(rows: np.ndarray) -> Machine:
        return fit_machine(system_spec(row.system), train.rows(np.flatnonzero(rows)), fit, seed, alpha)

    whole = machine(np.ones(len(train), bool)).decision(dev.inputs)
    for attack in attacks:
        known = ~akin(train, attack)
        result["seen"][attack] = rate(whole, dev, attack)
        result["dev"][attack] = rate(machine(known).decision(dev.inputs), dev, attack)
        f = np.full(len(train), np.nan)
        for group in range(SPEAKER_GROUPS):
            held = np.isin(table["speakers"], speakers[group::SPEAKER_GROUPS])
            judged = np.flatnonzero(held & conditioned & np.isin(table["attacks"], ("-", attack)))
            f[judged] = machine(known & ~held).decision(train.rows(judged).inputs)
        judged = np.flatnonzero(~np.isnan(f))
        result["train"][attack] = rate(f[judged], train.rows(judged), attack)
    return result


def without_last(data: LabelledSet, count: int) -> LabelledSet:
    """Return the set without its last `count` handcrafted features, the families'."""
    assert data.inputs.hand is not None
    inputs = dataclasses.replace(data.inputs, hand=data.inputs.hand[:, :-count])
    return dataclasses.replace(data, inputs=inputs)


def akin(data: LabelledSet, attack: str) -> np.ndarray:
    """Return which utterances (N,) are by the attack, or by a random vocoder that synthesises as it does."""
    related = {kind.removeprefix("wide_") for kind in AKIN.get(attack, ())}
    out = []
    for utt, made_by in zip(data.inputs.utts, data.attacks, strict=True):
        kind = ""
        if made_by == "wide":
            kind = Wide.draw(derive(0, "wide", utt.removeprefix("raw-").removeprefix("wide-")))[0]
        out.append(made_by == attack or kind in related)
    return np.array(out)


def rate(f: np.ndarray, data: LabelledSet, attack: str) -> float:
    """Return the EER in per cent of an attack against all bona fide speech."""
    attacks = np.array(data.attacks)
    return 100 * eer(-f[attacks == "-"], -f[attacks == attack])[0]


def line(name: str, found: dict[str, dict[str, float]]) -> str:
    """Return a row of the printed table."""
    parts = []
    for kind in ("train", "dev"):
        values = found[kind].values()
        each = " ".join(f"{value:.1f}" for value in values)
        parts.append(f"{np.mean(list(values)):.1f} ({each})")
    return f"{name:40}{parts[0]:>34}{parts[1]:>34}{np.mean(list(found['seen'].values())):>11.1f}"


if __name__ == "__main__":
    run(plus_ablation, output="")
