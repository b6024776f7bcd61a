"""Stage 4 as a whole: from dumps to a folder with the pretrained encoder."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import torch

from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.models.config import EncoderConfig
from masd.models.encoder import Encoder
from masd.ssl.config import PretrainConfig
from masd.ssl.data import Crops, open_crops
from masd.ssl.objective import Objective
from masd.ssl.training import Trainer
from masd.stage.devices import deterministic
from masd.stage.files import Mark, digest, input_digest
from masd.stage.lock import sole
from masd.stage.seeding import derive
from masd.stage.threads import pinned
from masd.training.checkpoint import read_state
from masd.training.distributed import Processes, processes
from masd.training.loop import LAST
from masd.training.precision import chosen

log = logging.getLogger(__name__)

VERSION = 1  # raise it when the same configuration comes to mean another encoder
_HOW = ("device", "workers", "save_minutes")  # keys that change nothing in the result


def pretrain(
    train: Path,
    dev: Path,
    out: Path,
    vocoded: str,
    dev_vocoded: str,
    encoder_config: EncoderConfig,
    config: PretrainConfig,
    seed: int = 0,
    force: bool = False,
) -> None:
    """Pretrain an encoder into `out`, or go on with it; see masd.bin.pretrain for the arguments.

    Raises:
        MasdError: a dump is missing or does not fit the others, a setting cannot work, or another process
            trains into `out`.
    """
    out = Path(out)
    copies, dev_copies = parse_dumps(vocoded), parse_dumps(dev_vocoded)
    if "adv" in config.objectives and not copies:
        raise MasdError("objectives: adv needs vocoded copies; give --vocoded NAME=DUMP,... or leave it out")
    if "adv" in config.objectives and len(copies) == 1:
        log.warning(
            "copies by one vocoder alone (%s): the adversarial task has nothing to tell apart and is void; "
            "give copies by two or more",
            *copies,
        )
    if copies and not dev_copies:
        log.warning("no vocoded copies for validation: --dev-vocoded NAME=DUMP,... gives them")
    settings = {key: value for key, value in dataclasses.asdict(config).items() if key not in _HOW}
    inputs = [
        [name, input_digest(path)] for one in (copies, dev_copies) for name, path in sorted(one.items())
    ]
    work = digest(
        "ssl", VERSION, input_digest(train), input_digest(dev), inputs, encoder_config, settings, seed
    )
    mark = Mark(out)
    if not force and mark.fresh(work):
        log.info("%s: trained already; nothing to do", out)
        return
    force = force or bool(mark.lost())  # the last state, which is gone on with, would not give the best again
    with (
        sole(out),
        pinned(config.threads),
        deterministic(config.deterministic),
        processes(config.device) as group,
    ):
        if group.first:
            out.mkdir(parents=True, exist_ok=True)
            mark.clear()
            if force:
                (out / LAST).unlink(missing_ok=True)
        group.wait()
        crops, feats = open_crops(train, copies, config, seed)
        held_out, _ = open_crops(dev, dev_copies, config, seed, crops.names, feats)
        _check_held_out(crops, held_out, Path(dev))
        config = dataclasses.replace(config, precision=_precision(config.precision, out, work, group))
        objective = initial(encoder_config, config, feats, crops.names, seed)
        best = Trainer(objective, crops, held_out, feats, out, seed, work, group).run()
        if group.first:
            outputs = [out / "encoder.yaml", out / "encoder.safetensors"]
            mark.write(work, outputs, best_epoch=best["epoch"], dev=best["dev"], precision=config.precision)
            log.info("%s: done; the best epoch is %d of %d", out, best["epoch"], config.epochs)


def _precision(wanted: str, out: Path, work: str, group: Processes) -> str:
    """Return the arithmetic of a run; `auto` is settled when it begins, and kept when it is gone on with."""
    here, last = chosen(wanted, group), out / LAST
    if wanted != "auto":
        return here
    if last.is_file():
        state = read_state(last)
        if state.get("work") == work and "precision" in state:
            other = "" if here == state["precision"] else f"; what suits this machine is {here}"
            log.info("precision auto: %s, as this training began%s", state["precision"], other)
            return state["precision"]
    log.info("precision auto: %s, by what the hardware is", here)
    return here


def _check_held_out(train: Crops, dev: Crops, dump: Path) -> None:
    """Refuse a validation set that has a recording of the training set.

    Raises:
        MasdError: an utterance is in both.
    """
    both = set(train.utts) & set(dev.utts)
    if both:
        raise MasdError(
            f"{dump}: utterance {min(both)} is in the training set too; --dev is of other speakers"
        )


def initial(
    encoder_config: EncoderConfig, config: PretrainConfig, feats: FeatsConfig, vocoders: list[str], seed: int
) -> Objective:
    """Return encoder and heads with the random weights that `seed` gives."""
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "init"))
        encoder = Encoder(encoder_config, feats.n_mels, feats.f_min, feats.f_max)
        return Objective(encoder, config, vocoders)


def parse_dumps(text: str) -> dict[str, str]:
    """Read `NAME=DUMP,NAME=DUMP` into a mapping.

    Raises:
        MasdError: a part is not of that form, or a name comes twice.
    """
    dumps: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, path = part.partition("=")
        if not (name and equals and path) or name in dumps:
            raise MasdError(f"vocoded: {part!r} is not NAME=DUMP, or its name comes twice")
        dumps[name] = path
    return dumps
