"""Fifth part of the evidence study: does an encoder of log-mel tell an attack that it never met?

The encoder comes from a pretraining that had no copy by that attack (local/evidence_pretraining.sh); frozen,
or trained further with labels, it gives embeddings that the SVM of `fit_svm` judges, on speakers left out.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from plus_ablation import SPEAKER_GROUPS, rate
from torch import Tensor, nn
from torch.nn import functional as F

from masd.cli import run
from masd.data.folder import read_folder
from masd.feats.config import classify_frames
from masd.feats.dump import open_dump
from masd.models.encoder import Encoder, load_encoder
from masd.stage.files import write_json
from masd.stage.seeding import derive, generator
from masd.svm.config import FitConfig, system_spec
from masd.svm.fit import LabelledSet, fit_machine
from masd.svm.inputs import Inputs, embed, stack_compact

log = logging.getLogger("evidence_encoder")
BATCH = 32


@dataclass(frozen=True)
class TuneConfig:
    """How an encoder is trained further with labels, by cross-entropy through a linear layer on its means.

    Args:
        what: nothing, its last two blocks and projection, or all of it.
        fresh: begin from random weights, to see what the pretraining was worth.
        steps: of AdamW with one cycle of the learning rate.
        batch: crops of a step: half bona fide, half spoofed, every attack as often.
        frames: length of a crop.
        rate: highest learning rate.
    """

    what: Literal["none", "last", "all"] = "none"
    fresh: bool = False
    steps: int = 150
    batch: int = 16
    frames: int = 200
    rate: float = 5e-4


@dataclass
class Set:
    """A set in memory: log-mel (T, n_mels) of each utterance, who and what they are, embeddings that stay."""

    utts: list[str]
    mels: list[np.ndarray]
    is_fake: np.ndarray
    speakers: np.ndarray
    attacks: np.ndarray
    frozen: Inputs | None = None

    def rows(self, index: np.ndarray) -> Set:
        """Return the utterances numbered by `index`."""
        utts, mels = ([table[i] for i in index] for table in (self.utts, self.mels))
        frozen = None if self.frozen is None else self.frozen.rows(index)
        return Set(utts, mels, self.is_fake[index], self.speakers[index], self.attacks[index], frozen)


def evidence_encoder(
    data: Path,
    dump: Path,
    encoder: Path,
    leave_out: str,
    out: Path,
    tune: TuneConfig = TuneConfig(),
    seed: int = 0,
) -> None:
    """Write the EER in per cent of an attack left out, on train's speakers left out and on dev.

    Args:
        data: data folder of the size, with train and dev.
        dump: dumps of these sets.
        encoder: pretraining folder; it should not have heard the attack.
        leave_out: the attack.
        out: where the figures go as JSON.
        tune: whether the encoder is trained further.
        seed: of groups, weights and batches.
    """
    train, dev = (load(data / name, dump / name) for name in ("train", "dev"))
    base = load_encoder(encoder)[0]
    if tune.fresh:
        with torch.random.fork_rng():
            torch.manual_seed(derive(seed, "fresh") % 2**31)
            fresh = Encoder(base.config)
        fresh.set_statistics(base.mel_mean, base.mel_std)
        base = fresh
    if tune.what == "none":
        for one in (train, dev):
            one.frozen = inputs(one, base.eval().to(memory_format=torch.channels_last))
    known = train.attacks != leave_out
    speakers = sorted(set(train.speakers))
    generator(seed, "groups").shuffle(speakers)
    f = np.full(len(train.utts), np.nan)
    for group in range(SPEAKER_GROUPS):
        held = np.isin(train.speakers, speakers[group::SPEAKER_GROUPS])
        judged = np.flatnonzero(held & np.isin(train.attacks, ("-", leave_out)))
        f[judged] = decisions(base, train.rows(np.flatnonzero(known & ~held)), train.rows(judged), tune, seed)
    judged = np.flatnonzero(~np.isnan(f))
    found = {"train, unseen": rate(f[judged], labelled(train.rows(judged)), leave_out)}
    on_dev = decisions(base, train.rows(np.flatnonzero(known)), dev, tune, seed)
    found["dev, unseen"] = rate(on_dev, labelled(dev), leave_out)
    others = sorted(set(dev.attacks) - {"-", leave_out})
    found["dev, seen"] = float(np.mean([rate(on_dev, labelled(dev), attack) for attack in others]))
    log.info("%s: %s", out.stem, found)
    write_json(out, found)


def load(data: Path, dump: Path) -> Set:
    """Return a set with its log-mel, the first 4 s of every utterance."""
    folder, feats = read_folder(data), open_dump(dump)
    utts = [utt for utt in feats.utts if utt in folder.utt2spk]
    most = classify_frames(feats.config)
    return Set(
        utts,
        [np.asarray(feats.feats[utt][:most], np.float32) for utt in utts],
        np.array([folder.lab(utt) == "spoof" for utt in utts]),
        np.array([folder.spk(utt) for utt in utts]),
        np.array([folder.attack(utt) for utt in utts]),
    )


def decisions(base: Encoder, train: Set, test: Set, tune: TuneConfig, seed: int) -> np.ndarray:
    """Return f (N,) of `test`, positive for fake, by an SVM on embeddings; both know `train` alone."""
    encoder = base if tune.what == "none" else tuned(base, train, tune, seed)
    encoder = encoder.eval().to(memory_format=torch.channels_last)
    fit = FitConfig(class_weight="attack")
    alpha = encoder.alpha.detach().numpy()
    machine = fit_machine(system_spec("ssl_multi"), labelled(train, encoder), fit, seed, alpha)
    return machine.decision(inputs(test, encoder))


def inputs(data: Set, encoder: Encoder) -> Inputs:
    """Return the embeddings of a set."""
    if data.frozen is not None:
        return data.frozen
    order = np.argsort([len(mel) for mel in data.mels], kind="stable")
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for start in range(0, len(order), BATCH):
        part = order[start : start + BATCH]
        found.update(zip(part.tolist(), embed(encoder, [data.mels[i] for i in part]), strict=True))
    mu, gram = zip(*(found[i] for i in range(len(order))), strict=True)
    return Inputs(data.utts, stack_compact(mu, gram))


def labelled(data: Set, encoder: Encoder | None = None) -> LabelledSet:
    """Return the set as `fit_machine` and `rate` take it."""
    known = Inputs(data.utts) if encoder is None else inputs(data, encoder)
    return LabelledSet(known, data.is_fake, data.speakers.tolist(), data.attacks.tolist())


def tuned(base: Encoder, train: Set, tune: TuneConfig, seed: int) -> Encoder:
    """Return a copy of the encoder trained to tell the copies of `train` from its bona fide speech."""
    encoder = copy.deepcopy(base).eval().to(memory_format=torch.channels_last)
    parts = [encoder] if tune.what == "all" else [encoder.blocks[-2], encoder.blocks[-1], encoder.project]
    encoder.requires_grad_(False)
    for part in parts:
        part.train().requires_grad_(True)
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "head") % 2**31)
        head = nn.Sequential(nn.Dropout(0.3), nn.Linear(encoder.num_bands * encoder.config.dim, 1))
    parameters = [p for p in (*encoder.parameters(), *head.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=tune.rate, weight_decay=0.01)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, tune.rate, total_steps=tune.steps)
    draw = generator(seed, "batches")
    for _ in range(tune.steps):
        x, lengths, y = batch(train, tune, draw)
        z, frames = encoder(x, lengths)
        means = z.sum(2) / frames[:, None, None]  # padded frames are zero
        loss = F.binary_cross_entropy_with_logits(head(means.flatten(1))[:, 0], y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        cycle.step()
    log.info("%s blocks: loss of the last batch %.3f", tune.what, loss.item())
    return encoder


def batch(train: Set, tune: TuneConfig, draw: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return crops (B, T, n_mels), their lengths (B,) and labels (B,), 1 for spoofed."""
    attacks = sorted(set(train.attacks) - {"-"})
    x = torch.zeros(tune.batch, tune.frames, train.mels[0].shape[1])
    lengths, y = torch.zeros(tune.batch, dtype=torch.long), torch.zeros(tune.batch)
    for row in range(tune.batch):
        attack = "-" if row % 2 == 0 else attacks[draw.integers(len(attacks))]
        mel = train.mels[draw.choice(np.flatnonzero(train.attacks == attack))]
        start = int(draw.integers(max(len(mel) - tune.frames, 0) + 1))
        crop = torch.from_numpy(mel[start : start + tune.frames])
        x[row, : len(crop)], lengths[row], y[row] = crop, len(crop), float(attack != "-")
    return x, lengths, y


if __name__ == "__main__":
    run(evidence_encoder, output="", file=True)
