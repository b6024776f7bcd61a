"""Training the fusion with a classification head that is dropped afterwards (method.md, Decisions)."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from masd.errors import MasdError
from masd.metrics.eer import eer, split
from masd.models.fusion import Fusion, FusionConfig
from masd.models.pooling import from_compact
from masd.stage.seeding import derive, generator
from masd.svm.config import FitConfig
from masd.svm.features import BLOCK, FeatureMap
from masd.svm.inputs import Inputs, unpack_index

log = logging.getLogger(__name__)


@dataclass
class TrainedFusion:
    """What training leaves.

    Args:
        features: the feature map with the trained fusion and alpha.
        head: weights and offset of the head, which scores only the fusion by itself.
        history: one entry an epoch.
        best_epoch: the epoch that was kept.
        held_speakers: the speakers whose utterances decided it, empty where none did.
    """

    features: FeatureMap
    head: nn.Linear
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    held_speakers: list[str] = field(default_factory=list)

    def head_eer(self, inputs: Inputs, is_fake: np.ndarray) -> float:
        """Return the EER (0 to 1) of the head alone."""
        with torch.inference_mode():
            logits = self.head(torch.from_numpy(self.features.values(inputs)))[:, 0].double().numpy()
        return eer(*split(-logits, is_fake))[0]


class _Net(nn.Module):
    """Fusion, head and the logits of alpha, fed with row numbers of one set's inputs."""

    def __init__(self, features: FeatureMap, inputs: Inputs, config: FitConfig) -> None:
        super().__init__()
        assert features.ssl is not None and features.hand is not None and inputs.hand is not None
        self.inputs = inputs
        size = FusionConfig(
            len(features.ssl.mean),
            len(features.hand.mean),
            config.d_k,
            config.d_fused,
            config.dropout,
            config.tokens,
        )
        self.fusion = Fusion(size)
        self.head = nn.Linear(config.d_fused, 1)
        self.hand = torch.from_numpy(features.hand(inputs.hand))
        self.mean, self.std = torch.from_numpy(features.ssl.mean), torch.from_numpy(features.ssl.std)
        self.alpha_logits = None
        if features.alpha is not None and len(features.alpha) > 1 and config.alpha == "finetune":
            self.alpha_logits = nn.Parameter(torch.from_numpy(features.alpha).log())
            index = unpack_index(len(features.alpha))
            self.index = torch.from_numpy(index)
        else:
            self.f_ssl = torch.from_numpy(features.ssl(features.f_ssl(inputs)))

    def rows(self, index: np.ndarray) -> Tensor:
        """Return standardised f_SSL (B, D) of the rows, a function of alpha where alpha is trained."""
        if self.alpha_logits is None:
            return self.f_ssl[index]
        assert self.inputs.compact is not None
        block = self.inputs.compact.rows(index)
        gram = torch.from_numpy(block.gram)[..., self.index]
        lengths = torch.from_numpy(block.lengths)
        return (
            from_compact(torch.from_numpy(block.mu), gram, self.alpha_logits.softmax(0), lengths) - self.mean
        ) / self.std

    def forward(self, index: np.ndarray) -> Tensor:
        """Return the head's logits (B,), positive for fake."""
        return self.head(self.fusion(self.rows(index), self.hand[index]))[:, 0]

    @torch.no_grad()
    def logits(self, index: np.ndarray) -> Tensor:
        """Return logits of any number of rows, in evaluation mode."""
        self.eval()
        return torch.cat([self(index[i : i + BLOCK]) for i in range(0, len(index), BLOCK)])


def train_fusion(
    features: FeatureMap,
    inputs: Inputs,
    is_fake: np.ndarray,
    speakers: Sequence[str],
    config: FitConfig,
    seed: int,
    watch: Callable[[int, FeatureMap], dict[str, float]] | None = None,
) -> TrainedFusion:
    """Train W_Q, W_K, W_V, W_o (and alpha) through a head by binary cross-entropy.

    `features` has scalers and starting alpha; some of the speakers (N) are held out to decide when to stop.
    `watch` is called every `config.svm_every` epochs with epoch and features; what it returns is logged.

    Raises:
        MasdError: a class is missing, or the loss is no longer finite.
    """
    if is_fake.all() or not is_fake.any():
        raise MasdError("fusion training needs both bona fide and spoof utterances")
    held, names = np.array([], dtype=np.int64), []
    if config.patience > 0:
        held, names = held_out_rows(speakers, is_fake, config.held_speakers, seed)
    rows = np.setdiff1d(np.arange(len(inputs)), held)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "fusion"))
        net = _Net(features, inputs, config)
        trained = _loop(net, features, _Task(rows, held, is_fake, config, seed, watch))
    trained.held_speakers = names
    return trained


@dataclass
class _Task:
    rows: np.ndarray
    held: np.ndarray
    is_fake: np.ndarray
    config: FitConfig
    seed: int
    watch: Callable[[int, FeatureMap], dict[str, float]] | None

    def __post_init__(self) -> None:
        self.target = torch.from_numpy(self.is_fake.astype(np.float32))
        share = float(self.is_fake[self.rows].mean())
        balanced = np.where(self.is_fake, 0.5 / share, 0.5 / (1.0 - share))
        self.weight = torch.from_numpy(
            balanced.astype(np.float32)
            if self.config.class_balanced
            else np.ones(len(self.is_fake), np.float32)
        )

    def loss(self, logits: Tensor, index: np.ndarray) -> Tensor:
        """Mean cross-entropy, each class weighted to a half where that is asked for."""
        return functional.binary_cross_entropy_with_logits(logits, self.target[index], self.weight[index])


def _loop(net: _Net, features: FeatureMap, task: _Task) -> TrainedFusion:
    config, history = task.config, []
    optimizer = _optimizer(net, config)
    best, best_loss, best_epoch = copy.deepcopy(net.state_dict()), float("inf"), 0
    for epoch in range(1, config.epochs + 1):
        entry: dict[str, float] = {"epoch": epoch, "train_loss": _epoch(net, optimizer, task, epoch)}
        if len(task.held):
            logits = net.logits(task.held)
            entry["held_loss"] = float(task.loss(logits, task.held))
            entry["held_eer"] = eer(*split(-logits.double().numpy(), task.is_fake[task.held]))[0]
        if task.watch is not None and config.svm_every and epoch % config.svm_every == 0:
            entry |= task.watch(epoch, _mapped(net, features))
        history.append(entry)
        # fold models, which nobody watches, would fill the log
        level = logging.DEBUG if task.watch is None else logging.INFO
        log.log(level, "fusion %s", " ".join(f"{k} {v:.5g}" for k, v in entry.items()))
        if not np.isfinite(entry["train_loss"]):
            raise MasdError(
                f"fusion training: the loss is {entry['train_loss']} in epoch {epoch}; lower fit.lr"
            )
        if not len(task.held) or entry["held_loss"] < best_loss:
            best, best_loss, best_epoch = copy.deepcopy(net.state_dict()), entry.get("held_loss", 0.0), epoch
        elif epoch - best_epoch >= config.patience:
            break
    net.load_state_dict(best)
    return TrainedFusion(_mapped(net, features), net.head.eval().requires_grad_(False), history, best_epoch)


def _epoch(net: _Net, optimizer: torch.optim.Optimizer, task: _Task, epoch: int) -> float:
    """Take one pass over the rows in the epoch's order; return the mean loss."""
    order = task.rows[generator(task.seed, "fusion order", epoch).permutation(len(task.rows))]
    net.train()
    total = 0.0
    for start in range(0, len(order), task.config.batch_size):
        index = order[start : start + task.config.batch_size]
        loss = task.loss(net(index), index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(index)
    return total / len(order)


def _optimizer(net: _Net, config: FitConfig) -> torch.optim.Optimizer:
    weights = [p for name, p in net.named_parameters() if name != "alpha_logits"]
    if config.optimizer == "sgd":
        return torch.optim.SGD(list(net.parameters()), lr=config.lr)
    groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": config.weight_decay}]
    if net.alpha_logits is not None:
        # decay would pull alpha to 1/3 each, which is no simpler than another alpha
        groups.append({"params": [net.alpha_logits], "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=config.lr)


def _mapped(net: _Net, features: FeatureMap) -> FeatureMap:
    """Return the feature map with a frozen copy of the net's fusion and alpha."""
    alpha = features.alpha
    if net.alpha_logits is not None:
        alpha = net.alpha_logits.detach().softmax(0).numpy().copy()
    fusion = copy.deepcopy(net.fusion).eval().requires_grad_(False)
    return FeatureMap(features.row, features.ssl, features.hand, alpha, fusion)


def held_out_rows(
    speakers: Sequence[str], is_fake: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, list[str]]:
    """Return row numbers of whole speakers with about `share` of the utterances, and those speakers.

    Speakers are taken in a seeded order until the share is reached; never all of them. Where that
    cannot leave both classes on both sides (one speaker, or one class a speaker), rows are drawn
    instead, of each class the same share, and no speaker is named.
    """
    speaker_of = np.asarray(speakers)
    names = sorted(set(speakers))
    generator(seed, "held speakers").shuffle(names)
    taken: list[str] = []
    for name in names[:-1]:
        taken.append(name)
        mask = np.isin(speaker_of, taken)
        enough = mask.mean() >= share and 0 < is_fake[mask].sum() < mask.sum()
        if enough and 0 < is_fake[~mask].sum() < (~mask).sum():
            return np.flatnonzero(mask), sorted(taken)
    log.warning("no speakers can be held out of fusion training; utterances are held out instead")
    return stratified_rows(is_fake, share, seed, "held utterances"), []


def stratified_rows(is_fake: np.ndarray, share: float, seed: int, name: str) -> np.ndarray:
    """Return sorted row numbers, a random `share` of each class, at least one of each.

    Raises:
        MasdError: a class has fewer than two rows, so that it cannot be on both sides.
    """
    out = []
    for label in (False, True):
        rows = np.flatnonzero(is_fake == label)
        if len(rows) < 2:
            raise MasdError(
                f"{len(rows)} {'spoof' if label else 'bona fide'} utterances are too few to hold some out"
            )
        count = min(len(rows) - 1, max(1, round(share * len(rows))))
        out.append(generator(seed, name, int(label)).permutation(rows)[:count])
    return np.sort(np.concatenate(out))
