"""Is the machinery sound? What a pretrained encoder must show, before any detector or evaluation set."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from masd.data.archive import Reader
from masd.errors import MasdError
from masd.feats.config import FeatsConfig, classify_frames
from masd.feats.dump import open_dump
from masd.models.encoder import Encoder, load_encoder
from masd.models.pooling import interior, statistics
from masd.ssl.config import PretrainConfig
from masd.ssl.data import FIXED, open_crops
from masd.stage.files import read_yaml
from masd.stage.seeding import generator

log = logging.getLogger(__name__)


# What the measurements must stay below for their gates to hold:
BATCHING = 1e-4  # difference of an embedding value alone and in a padded batch, over the deviation of values
LENGTH_R2 = 0.2  # variance of the length that mu explains, lengths cut at random
TRAIN_EVAL = 0.3  # mean distance of train-mode and eval-mode mu over the mean norm of mu, on training data


@dataclass
class Items:
    """Spectrograms (T, F) of one probe, their labels and the source recording of each."""

    mels: list[np.ndarray]
    labels: np.ndarray
    sources: np.ndarray

    def beside(self, other: Items) -> Items:
        """Return these items and those of `other`, vocoders numbered alike."""
        return Items(
            [*self.mels, *other.mels],
            np.concatenate([self.labels, other.labels]),
            np.concatenate([self.sources, other.sources]),
        )


@torch.no_grad()
def embed(
    encoder: Encoder, mels: Sequence[np.ndarray], batch: int = 16, by_length: bool = True
) -> np.ndarray:
    """Return f_SSL (N, D + 2) of spectrograms (T, F), in the encoder's present mode.

    Batches are made of spectrograms of like length, or of neighbours where `by_length` is false.
    """
    out: list[Tensor] = [torch.empty(0)] * len(mels)
    order = np.argsort([len(mel) if by_length else 0 for mel in mels], kind="stable")
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        lengths = torch.tensor([len(mels[i]) for i in chosen])
        padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(mels[i]) for i in chosen], batch_first=True)
        z, lengths = interior(*encoder(padded, lengths), encoder.config.edge_frames)
        for i, row in zip(chosen, statistics(encoder.fuse(z), lengths), strict=True):
            out[i] = row
    return torch.stack(out).numpy()


def probe(
    model: str | Path,
    dump: str | Path,
    vocoded: Mapping[str, str | Path],
    without_grl: str | Path | None = None,
    train: str | Path | None = None,
    train_vocoded: Mapping[str, str | Path] | None = None,
    most: int = 400,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure a pretrained encoder on recordings and their vocoded copies; see `masd.bin.probe encoder`.

    Returns:
        the measurements by name, and `gates`: for each value its limit and whether it holds.
    """
    encoder, _, feats = load_encoder(model)
    frames = classify_frames(feats)
    reader = open_dump(dump, feats).feats
    utts = some(list(reader.utts), most, seed)
    mels = [reader.crop(utt, 0, frames) for utt in utts]
    result: dict[str, Any] = {"model": str(model), "dump": str(dump), "utterances": len(utts)}
    losses = held_out(model)
    result["held_out"] = losses
    result["batching"] = batching_difference(encoder, mels)
    result["length"] = length_r2(encoder, mels, seed)
    if train is not None:
        result["train_eval"] = mode_difference(encoder, train, train_vocoded or {}, feats, most, seed)
    if vocoded:
        items = vocoded_items(vocoded, set(utts), feats, frames)
        if train is not None and train_vocoded:
            heard = some(list(open_dump(train, feats).feats.utts), most, seed)
            items = items.beside(vocoded_items(train_vocoded, set(heard), feats, frames))
        result["vocoder"] = vocoder_probe(encoder, items, sorted(vocoded), without_grl, feats, seed)
    result["gates"] = gates(result)
    return result


def held_out(model: str | Path) -> dict[str, float]:
    """Return losses, accuracies and levels of chance of the best epoch on held-out speakers."""
    content = read_yaml(Path(model) / "encoder.yaml")
    return content.get("extra", {}).get("dev", {})


def some(utts: list[str], most: int, seed: int) -> list[str]:
    """Return at most `most` utterances, a seeded choice, in order."""
    if len(utts) <= most:
        return utts
    return [utts[i] for i in sorted(generator(seed, "probe").choice(len(utts), most, replace=False))]


def batching_difference(encoder: Encoder, mels: Sequence[np.ndarray]) -> float:
    """Return the largest change of an embedding value when padded beside others, over their deviation."""
    chosen = [mel for mel in mels if len(mel) > 1][:32]
    alone = np.concatenate([embed(encoder, [mel]) for mel in chosen])
    # the longest beside the shortest: as much padding as there can be
    mixed = embed(encoder, chosen, batch=len(chosen))
    return float(np.abs(mixed - alone).max() / alone[:, :-2].std())


def length_r2(encoder: Encoder, mels: Sequence[np.ndarray], seed: int) -> dict[str, float | None]:
    """Return how much of the length mu explains (cross-validated R2 of ridge regression).

    `natural`: the utterances as they are, where content and length may go together; `cut`: each
    cut to a random length, so that only the encoder could tie them. None where lengths are too
    alike or too few to say.
    """
    rng = generator(seed, "length")
    cut = [mel[: rng.integers(min(60, len(mel)), len(mel) + 1)] for mel in mels]
    return {"natural": _r2(encoder, mels, seed), "cut": _r2(encoder, cut, seed)}


def _r2(encoder: Encoder, mels: Sequence[np.ndarray], seed: int) -> float | None:
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    lengths = np.array([len(mel) for mel in mels], dtype=float)
    if len(lengths) < 20 or lengths.std() < 5:
        return None
    mu = embed(encoder, mels)[:, :-2]
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 5, 15)))
    folds = KFold(5, shuffle=True, random_state=seed)
    guess = cross_val_predict(model, mu, lengths, cv=folds)
    return float(1.0 - np.square(lengths - guess).sum() / np.square(lengths - lengths.mean()).sum())


def mode_difference(
    encoder: Encoder,
    train: str | Path,
    vocoded: Mapping[str, str | Path],
    feats: FeatsConfig,
    most: int,
    seed: int,
) -> dict[str, float]:
    """Return how far train-mode mu (statistics of its batch of 16) is from eval-mode mu.

    On the training set, recordings and copies mixed as in pretraining: other speakers, or recordings
    alone, have other statistics whatever the encoder does.

    Returns:
        `relative`: mean distance over mean norm; `constant`: norm of the mean difference over mean
        norm, the part that is not the chance of a batch; `of_spread`: mean distance over that of
        utterances from their common mean.
    """
    config = PretrainConfig(difficulty=dict.fromkeys(vocoded, 1.0))
    crops, _ = open_crops(train, vocoded, config, seed, expected=feats)
    chosen = [index for batch in crops.batches(FIXED) for index in batch][:most]
    mels = [crops[FIXED, index][0] for index in chosen]
    still = embed(encoder, mels)[:, :-2]
    moving = embed(copy.deepcopy(encoder).train(), mels, by_length=False)[:, :-2]
    norm = np.linalg.norm(still, axis=1).mean()
    distance = np.linalg.norm(moving - still, axis=1).mean()
    spread = np.linalg.norm(still - still.mean(0), axis=1).mean()
    return {
        "relative": float(distance / norm),
        "constant": float(np.linalg.norm((moving - still).mean(0)) / norm),
        "of_spread": float(distance / spread),
    }


def vocoded_items(
    vocoded: Mapping[str, str | Path], sources: set[str], feats: FeatsConfig, frames: int
) -> Items:
    """Return the copies of `sources` by all vocoders, ids `<vocoder>-<utt>`, labels by sorted names."""
    mels, labels, origin = [], [], []
    for label, name in enumerate(sorted(vocoded)):
        reader: Reader = open_dump(vocoded[name], feats).feats
        for utt in reader.utts:
            source = utt.removeprefix(f"{name}-")
            if source in sources and source != utt:
                mels.append(reader.crop(utt, 0, frames))
                labels.append(label)
                origin.append(source)
    return Items(mels, np.array(labels), np.array(origin))


def vocoder_probe(
    encoder: Encoder,
    items: Items,
    names: Sequence[str],
    without_grl: str | Path | None,
    feats: FeatsConfig,
    seed: int,
) -> dict[str, Any]:
    """Return how well a fresh logistic regression names the vocoder from mu, by source-disjoint folds.

    With `without_grl`, an encoder that differs in having no reversal, both are probed on the same items
    and folds, and the difference comes with a 95 % interval (resampled sources).

    Raises:
        MasdError: fewer than two vocoders have copies, or too few sources.
    """
    counts = np.bincount(items.labels, minlength=len(names)) if len(items.labels) else np.zeros(1)
    if (counts > 0).sum() < 2 or len(set(items.sources)) < 10:
        raise MasdError("vocoded: the probe needs copies of at least 10 sources by at least 2 vocoders")
    right = _named_right(embed(encoder, items.mels)[:, :-2], items)
    out: dict[str, Any] = {
        "vocoders": list(names),
        "items": len(right),
        "chance": float(counts.max() / counts.sum()),
        "accuracy": float(right.mean()),
        "interval": _interval(right, items.sources, seed),
    }
    if without_grl is not None:
        other, _, other_feats = load_encoder(without_grl)
        other_feats.check_same(feats, without_grl)
        base = _named_right(embed(other, items.mels)[:, :-2], items)
        out["accuracy_without_grl"] = float(base.mean())
        out["difference"] = float(right.mean() - base.mean())
        out["difference_interval"] = _interval(right - base, items.sources, seed)
    return out


def _named_right(mu: np.ndarray, items: Items) -> np.ndarray:
    """1.0 for each item whose vocoder is named rightly by a classifier that never saw its source."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
    guess = cross_val_predict(model, mu, items.labels, groups=items.sources, cv=GroupKFold(5))
    return (guess == items.labels).astype(float)


def _interval(values: np.ndarray, sources: np.ndarray, seed: int) -> list[float]:
    """95 % interval of the mean of `values`, resampling sources."""
    _, index = np.unique(sources, return_inverse=True)
    sums, sizes = np.bincount(index, values), np.bincount(index)
    draws = generator(seed, "interval").integers(0, len(sums), (1000, len(sums)))
    means = sums[draws].sum(1) / sizes[draws].sum(1)
    return np.quantile(means, [0.025, 0.975]).tolist()


def gates(result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return, for each gate that can be judged, its value, its limit and whether it holds (value < limit)."""
    pairs: dict[str, tuple[float, float]] = {"batching": (result["batching"], BATCHING)}
    if "train_eval" in result:
        pairs["train_eval"] = (result["train_eval"]["relative"], TRAIN_EVAL)
    if result["length"]["cut"] is not None:
        pairs["length_r2"] = (result["length"]["cut"], LENGTH_R2)
    dev = result["held_out"]
    for name in ("loss_mask", "loss_cpc"):
        if name in dev:
            pairs[f"held_out_{name}"] = (dev[name], dev[f"chance_{name}"])
    probe_of = result.get("vocoder", {})
    if "accuracy_without_grl" in probe_of:
        pairs["grl"] = (probe_of["accuracy"], probe_of["accuracy_without_grl"])
    return {n: {"value": v, "limit": limit, "holds": bool(v < limit)} for n, (v, limit) in pairs.items()}
