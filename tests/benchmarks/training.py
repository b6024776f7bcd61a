"""Pretraining steps: layout and reduced precision against plain float32 eager, and what arithmetic allows."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from timing import Row, alternate
from torch import Tensor, nn

from masd.models.encoder import Encoder
from masd.ssl.config import PretrainConfig
from masd.ssl.objective import Batch, Objective

BATCH = 8
KINDS = {
    "float32": ("float32", False),
    "float32 channels_last": ("float32", True),
    "bf16 channels_last": ("bf16", True),
}
SIDE = 2048  # of the matrices whose product says what this core can do


class FramesFirst(Encoder):
    """The encoder over (B, C, T, F): log-mel in memory as it is stored, each convolution's kernel turned."""

    def __init__(self) -> None:
        super().__init__()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.weight = nn.Parameter(module.weight.detach().transpose(2, 3).contiguous())
                module.stride = module.stride[::-1]
        for block in self.blocks:
            block.stride = block.stride[::-1]

    def _band(self, x: Tensor, masks: list[Tensor | None], band: int, layout: torch.memory_format) -> Tensor:
        x = x[:, None].contiguous(memory_format=layout)
        for block in self.blocks:
            x = block(x, None, band)
        return self.project(x.mean(3).transpose(1, 2))


def rows(repeats: int) -> list[Row]:
    """Return a row for each way of computing, of utterances of 4 s a second of processor."""
    lengths = torch.full((BATCH,), 401)
    generator = torch.Generator().manual_seed(0)
    mel = torch.randn(BATCH, 401, 64, generator=generator)
    batch = Batch(mel, lengths, torch.arange(BATCH) % 3 - 1)
    matrix = torch.randn(SIDE, SIDE, generator=generator)
    tasks: dict[str, Callable[[], object]] = {name: step(batch, *how) for name, how in KINDS.items()}
    tasks |= {"frames first": step(batch, "float32", False, FramesFirst), "product": lambda: matrix @ matrix}
    least = {name: one for name, (one, _) in alternate(tasks, repeats).items()}
    speed = 2 * SIDE**3 / least["product"]
    operations = convolution_operations(batch)
    rate = {name: BATCH / one for name, one in least.items() if name != "product"}
    bound = BATCH * speed / operations

    def row(what: str, value: float, base: str, note: str = "") -> Row:
        return Row(
            f"pretraining, {what}",
            f"{value:.2f} utt/s",
            f"{rate[base]:.2f} utt/s",
            value / rate[base],
            "",
            note,
        )

    out = [
        row(f"{name}, against plain float32 eager", rate[name], "float32")
        for name in KINDS
        if name != "float32"
    ]
    best = max(out, key=lambda one: one.ratio)
    best.target, best.note = (
        ">= 2",
        (
            f"Forward, backward and AdamW on all three objectives, {BATCH} utterances of 4 s a step, "
            f"one thread, best of {repeats} alternating rounds. {_bf16()}"
        ),
    )
    limit = (
        "What float32 could do if its convolutions ran as fast as a product of matrices, "
        f"{speed / 1e9:.0f} GFLOP/s on this core, and all else took no time: they are "
        f"{operations / BATCH / 1e9:.1f} GFLOP an utterance, those on padding left out."
    )
    first, other = (step(batch, "float32", False, encoder)() for encoder in (Encoder, FramesFirst))
    same = (
        f"The same encoder: the losses of the first step differ by {abs(first - other):.1g} of {first:.3f}."
    )
    return [
        *out,
        row("float32, no more than", bound, "float32", limit),
        row("float32, against frames before bins in memory", rate["float32"], "frames first", same),
    ]


def step(
    batch: Batch, precision: str, channels_last: bool, encoder: Callable[[], Encoder] = Encoder
) -> Callable[[], float]:
    """Return a function that takes one optimiser step and returns the loss before it."""
    torch.manual_seed(0)
    config = PretrainConfig(precision=precision, channels_last=channels_last)
    objective = Objective(encoder(), config, ["a", "b"])
    if channels_last:
        objective = objective.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-4)

    def take() -> float:
        loss, _ = objective(batch, torch.Generator().manual_seed(0))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return take


def convolution_operations(batch: Batch) -> float:
    """Return the floating-point operations of a step's convolutions, there and back, none on padding."""
    encoder, counted = Encoder(), []

    def count(module: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        shapes = (inputs[0].shape[2:], output.shape[2:])
        axes = zip(*shapes, module.kernel_size, module.stride, module.padding, strict=True)
        products = module.in_channels * module.out_channels * prod(_pairs(*axis) for axis in axes)
        passes = 3 if module.in_channels > 1 else 2  # the input of the first ones needs no gradient
        counted.append(2 * passes * len(batch.mel) * products)

    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        encoder(batch.mel, batch.lengths)
    return float(sum(counted))


def _pairs(inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> int:
    """Count the pairs of an output and an input, not padding, that a kernel joins along one axis."""
    places = (o * stride - padding + k for o in range(outputs) for k in range(kernel))
    return sum(0 <= place < inputs for place in places)


def _bf16() -> str:
    if torch.cpu._is_amx_tile_supported():
        return "This processor multiplies bf16 in tiles (AMX)."
    if torch.cpu._is_avx512_bf16_supported():
        return "This processor has bf16 dot products (AVX-512), no tiles (AMX)."
    return "This processor has no bf16 arithmetic."
