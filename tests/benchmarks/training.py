"""Pretraining steps: reduced precision and layout against plain float32 eager."""

from __future__ import annotations

from collections.abc import Callable

import torch
from timing import Row, alternate

from masd.models.encoder import Encoder
from masd.ssl.config import PretrainConfig
from masd.ssl.objective import Batch, Objective

BATCH = 8
KINDS = {
    "float32": ("float32", False),
    "float32 channels_last": ("float32", True),
    "bf16 channels_last": ("bf16", True),
}


def rows(repeats: int) -> list[Row]:
    """Return a row for each way of computing, of utterances of 4 s a second of processor."""
    lengths = torch.full((BATCH,), 401)
    generator = torch.Generator().manual_seed(0)
    mel = torch.randn(BATCH, 401, 64, generator=generator)
    batch = Batch(mel, lengths, torch.arange(BATCH) % 3 - 1)
    times = alternate({name: step(batch, *how) for name, how in KINDS.items()}, repeats)
    rate = {name: BATCH / least for name, (least, _) in times.items()}
    note = (
        f"Forward, backward and AdamW on all three objectives, {BATCH} utterances of 4 s a step, one thread, "
        f"best of {repeats} alternating rounds. {_bf16()}"
    )
    base = f"{rate['float32']:.2f} utt/s"
    out = [
        Row(
            f"pretraining, {name}, against plain float32 eager",
            f"{value:.2f} utt/s",
            base,
            value / rate["float32"],
        )
        for name, value in rate.items()
        if name != "float32"
    ]
    best = max(out, key=lambda row: row.ratio)
    best.target, best.note = ">= 2", note
    return out


def step(batch: Batch, precision: str, channels_last: bool) -> Callable[[], None]:
    """Return a function that takes one optimiser step."""
    torch.manual_seed(0)
    objective = Objective(
        Encoder(), PretrainConfig(precision=precision, channels_last=channels_last), ["a", "b"]
    )
    if channels_last:
        objective = objective.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-4)

    def take() -> None:
        loss, _ = objective(batch, torch.Generator().manual_seed(0))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return take


def _bf16() -> str:
    if torch.cpu._is_amx_tile_supported():
        return "This processor multiplies bf16 in tiles (AMX)."
    if torch.cpu._is_avx512_bf16_supported():
        return "This processor has bf16 dot products (AVX-512), no tiles (AMX)."
    return "This processor has no bf16 arithmetic."
