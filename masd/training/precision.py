"""The arithmetic of a training's forward pass: what `precision` stands for, and what suits the hardware."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from masd.training.distributed import Processes

CPUINFO = Path("/proc/cpuinfo")
_RISING = ("float32", "fp16", "bf16")  # hardware that one of them suits can do those before it too


def autocast_options(precision: str) -> dict[str, object]:
    """Return the arguments of torch.autocast for a `precision` key."""
    types = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return {"enabled": precision in types, "dtype": types.get(precision)}


def chosen(precision: str, group: Processes) -> str:
    """Return `precision`, or for `auto` what suits the least capable device of all processes.

    It follows from what the hardware is. A measured speed would make the training another one beside
    other work.
    """
    if precision != "auto":
        return precision
    own = torch.tensor(-_RISING.index(suited(group.device)), device=group.device)
    return _RISING[-int(group.most(own))]


def suited(device: torch.device) -> str:
    """Return the arithmetic that a device is fast in: bf16, fp16 or float32.

    GPUs: bf16 from compute capability 8.0, fp16 on 7.x. CPUs: bf16 with AMX, and with AMD's AVX-512 BF16;
    Intel's without AMX is slower than float32.
    """
    if device.type == "cuda":
        major = torch.cuda.get_device_capability(device)[0]
        return "bf16" if major >= 8 else "fp16" if major == 7 else "float32"
    vendor, flags = processor()
    fast = "amx_bf16" in flags or (vendor == "AuthenticAMD" and "avx512_bf16" in flags)
    return "bf16" if fast else "float32"


def processor() -> tuple[str, set[str]]:
    """Return the CPU's vendor and instruction sets as Linux names them; nothing on other systems."""
    text = CPUINFO.read_text(encoding="utf-8") if CPUINFO.is_file() else ""
    vendor = re.search(r"^vendor_id\s*:\s*(\S+)", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)", text, re.MULTILINE)
    return vendor[1] if vendor else "", set(flags[1].split()) if flags else set()
