"""The arithmetic of a training's forward pass: what `precision` stands for, and which is faster here."""

from __future__ import annotations

import logging
import time

import torch

from masd.ssl.distributed import Processes

log = logging.getLogger(__name__)

WORTH = 1.2  # bf16 must be this much faster to be taken


def autocast_options(precision: str) -> dict[str, object]:
    """Return the arguments of torch.autocast for a `precision` key."""
    types = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return {"enabled": precision in types, "dtype": types.get(precision)}


def chosen(precision: str, group: Processes) -> str:
    """Return `precision`, or for `auto` what is faster on the devices of all processes: bf16 or float32.

    A GPU takes bf16 where it has its arithmetic. On a CPU a convolution is timed both ways: having the
    instructions does not tell, Intel's without AMX are slower than float32.
    """
    if precision != "auto":
        return precision
    gain = bf16_gain(group.device)
    slowest = -group.most(torch.tensor(-gain, device=group.device)).item()
    choice = "bf16" if slowest >= WORTH else "float32"
    log.info("precision auto: bf16 is %.2f times as fast as float32 here, so %s", slowest, choice)
    return choice


def bf16_gain(device: torch.device, rounds: int = 3) -> float:
    """Return the speed of a convolution and its gradients in bf16 over float32 (on a GPU 2 or 0.5)."""
    if device.type == "cuda":
        return 2.0 if torch.cuda.is_bf16_supported(including_emulation=False) else 0.5
    conv = torch.nn.Conv2d(128, 128, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
    x = torch.zeros(4, 128, 8, 101, requires_grad=True)
    times: dict[str, list[float]] = {"float32": [], "bf16": []}
    for _ in range(rounds + 1):  # the first builds the kernels
        for precision, taken in times.items():
            start = time.thread_time()
            with torch.autocast("cpu", **autocast_options(precision)):
                y = conv(x.contiguous(memory_format=torch.channels_last))
            y.float().sum().backward()
            taken.append(time.thread_time() - start)
    return min(times["float32"][1:]) / min(times["bf16"][1:])
