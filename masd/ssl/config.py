"""Every choice of the pretraining, with the paper's reading beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from masd.errors import MasdError

OBJECTIVES = ("mask", "cpc", "adv")

DIFFICULTY = {
    "world": 1, "waveglow": 1, "melgan": 2, "hifigan": 2, "univnet": 3, "bigvgan": 3,
    "griffin_lim": 1, "lpc": 1, "mlsa": 1, "mb_melgan": 2,
}  # fmt: skip
"""d_k of Eq. 2: the paper's six vocoders, then the others of this project."""


@dataclass(frozen=True)
class PretrainConfig:
    """How the encoder is pretrained. The literal reading of the paper stands in brackets.

    Args:
        objectives: which of mask, cpc and adv make up the loss (Eq. 5), each with weight 1.
        epochs: passes over the training set [100].
        keep: which epoch's encoder is kept: `best`, that of the least L_mask + L_CPC on held-out speakers, or
            `last`: with few recordings L_CPC turns up while the encoder still gains.
        batch: items of one optimiser step over all processes and micro-batches [256].
        accumulate: micro-batches a step's batch is divided into, one after the other, where it does not fit
            into memory; statistics of batch norm and outside negatives are then a micro-batch's own.
        lr: AdamW's learning rate [1e-4].
        weight_decay: AdamW's decoupled weight decay [0.01].
        warmup: steps over which the learning rate rises linearly from zero [0].
        schedule: learning rate afterwards, `constant` or `cosine` to zero [`constant`].
        clip: largest gradient norm; 0 for no limit [0].
        crop_seconds: length of the crop an utterance gives, seconds.
        crop: `random`, or `first`: always the beginning [`first`].
        padding: what an utterance shorter than the crop gives: `masked`, a shorter item whose padding
            counts nowhere, or `zero`, filled up with digital silence that counts as speech [`zero`].
        bucket: put utterances of similar length into one batch.
        vocoded_ratio: probability that an utterance is replaced by a vocoded copy.
        curriculum: `scaled`: the epochs of a run cover what 100 cover; `literal`: e is the epoch [`literal`].
        curriculum_gamma: gamma of Eq. 2.
        difficulty: d_k of Eq. 2, 1 (easy) to 3 (hard), of vocoders that `DIFFICULTY` lacks or has otherwise.
        mask_share: share of the time-frequency patches that is set to zero.
        patch: side of a patch, frames and mel bins.
        decoder_dim: hidden channels of the reconstruction decoder.
        cpc_step: k of Eq. 4, output frames ahead; 17 steps of 40 ms clear the receptive field [12].
        cpc_negatives: negatives of one anchor.
        cpc_within: share of them from the anchor's own utterance, the others from other utterances;
            `uniform`: all frames of the batch alike [`uniform`].
        cpc_temperature: temperature of the InfoNCE softmax.
        cpc_pool: most frames of a batch that negatives are drawn from outside the utterance (memory
            grows with anchors times pool).
        grl_lambda: scale of the gradient reversal layer.
        adv_standardise: give the heads of L_adv a standardised mean [false].
        adv_lr: learning rate of the heads of L_adv over `lr`: an adversary must keep up [1].
        bn_recalibrate: batches of unmasked crops from which batch-norm statistics are estimated anew
            whenever the encoder is saved, since it will see unmasked input; 0 keeps the running ones [0].
        statistics_utts: most utterances the mel statistics are taken from, drawn at random [all].
        precision: `float32`, `bf16` or `fp16` (encoder's forward pass; weights stay float32), or `auto`: what
            suits the hardware that the training begins on; kept when it goes on elsewhere.
        threads: threads of one process. The bits depend on it, so it is not taken from the machine.
        deterministic: the same bits every time on a GPU too, by slower algorithms.
        channels_last: memory layout of the convolutions; faster on most machines, same numbers.
        compile: let torch.compile fuse the encoder's operations; needs a C++ compiler on the CPU, Triton on a
            GPU, and a minute or two before it pays; validation stays as it is. Numbers differ by rounding.
        read: order in which utterances are read: `random`, or `sequential`: runs of utterances that stand
            side by side in an archive are read together, the runs in random order, and shuffled among each
            other in a buffer, for disks and network file systems on which jumping about is slow.
        read_run: utterances of a run.
        read_buffer: utterances that are shuffled among each other; the system is asked to read them ahead.
        workers: processes that read data; 0 reads in the training process.
        save_minutes: time between two saves inside an epoch.
        device: `auto` (a GPU if there is one), `cpu` or `cuda`.
    """

    objectives: list[Literal["mask", "cpc", "adv"]] = field(default_factory=lambda: list(OBJECTIVES))
    epochs: int = 100
    keep: Literal["best", "last"] = "best"
    batch: int = 256
    accumulate: int = 1
    lr: float = 1e-4
    weight_decay: float = 0.01
    warmup: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    clip: float = 5.0
    crop_seconds: float = 4.0
    crop: Literal["random", "first"] = "random"
    padding: Literal["masked", "zero"] = "masked"
    bucket: bool = True
    vocoded_ratio: float = 0.4
    curriculum: Literal["scaled", "literal"] = "scaled"
    curriculum_gamma: float = 0.01
    difficulty: dict[str, float] = field(default_factory=dict)
    mask_share: float = 0.15
    patch: int = 16
    decoder_dim: int = 256
    cpc_step: int = 17
    cpc_negatives: int = 128
    cpc_within: float | Literal["uniform"] = 0.75
    cpc_temperature: float = 0.07
    cpc_pool: int = 4096
    grl_lambda: float = 0.3
    adv_standardise: bool = True
    adv_lr: float = 10.0
    bn_recalibrate: int = 16
    statistics_utts: int = 10000
    precision: Literal["auto", "float32", "bf16", "fp16"] = "float32"
    threads: int = 1
    deterministic: bool = False
    channels_last: bool = True
    compile: bool = False
    read: Literal["random", "sequential"] = "random"
    read_run: int = 256
    read_buffer: int = 16384
    workers: int = 0
    save_minutes: float = 10.0
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "difficulty", DIFFICULTY | self.difficulty)
        unknown = sorted(set(self.objectives) - set(OBJECTIVES))
        if unknown or not self.objectives:
            raise MasdError(
                f"objectives: {unknown or 'none'}; choose at least one of {', '.join(OBJECTIVES)}"
            )
        least = {"epochs": 1, "batch": 2, "accumulate": 1, "patch": 1, "cpc_step": 1, "cpc_negatives": 1}
        least |= {"read_run": 1, "read_buffer": 1, "threads": 1}
        for key, low in least.items():
            if getattr(self, key) < low:
                raise MasdError(f"{key}: {getattr(self, key)} is less than {low}")
        shares = {"vocoded_ratio": self.vocoded_ratio, "mask_share": self.mask_share}
        if self.cpc_within != "uniform":
            shares["cpc_within"] = float(self.cpc_within)
        for key, value in shares.items():
            if not 0.0 <= value <= 1.0:
                raise MasdError(f"{key}: {value} is not a share from 0 to 1")


def difficulty_of(difficulty: Mapping[str, float], vocoder: str) -> float:
    """Return d_k of a vocoder.

    Raises:
        MasdError: it has none.
    """
    if vocoder not in difficulty:
        raise MasdError(
            f"ssl.difficulty: no value for the vocoder {vocoder}; give one from 1, easy, to 3, hard, in the "
            f"recipe's own copy of utils/conf/masd.yaml, pretrain: {{ssl: {{difficulty: {{{vocoder}: 2}}}}}} "
            f"(known: {', '.join(sorted(difficulty))})"
        )
    return difficulty[vocoder]
