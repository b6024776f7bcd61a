"""Where networks are evaluated, and how exactly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from masd.errors import MasdError


def device_of(name: str, job: int = 1) -> str:
    """Return torch's device for `auto` (a GPU if there is one), `cpu` or `cuda`.

    Several jobs on a host take its GPUs in turn; a cluster's jobs see those they were given alone.

    Raises:
        MasdError: `cuda` is asked for and there is none.
    """
    if name == "cpu":
        return name
    import torch  # it takes longer than all else where nothing is to be done

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count and name == "cuda":
        raise MasdError("--device cuda: no GPU can be used here; --device auto then takes the CPU")
    return f"cuda:{(job - 1) % count}" if count else "cpu"


def device_class(device: str, arithmetic: str = "float32") -> str:
    """Return what of a device shows in the numbers, for digests: `cpu`, or `cuda float32`."""
    return "cpu" if device == "cpu" else f"{device.partition(':')[0]} {arithmetic}"


@contextmanager
def exact() -> Iterator[None]:
    """Compute in the block as `detect` does: products of float32 in float32, never in a GPU's TF32."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with repeatable(tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Let a GPU give the same bits every time in the block, if that is wanted; it is slower.

    Raises:
        MasdError: something is called for that torch has no deterministic algorithm for.
    """
    if not wanted:
        yield
        return
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is taken
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with repeatable(torch.backends.cudnn.allow_tf32):
            yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise MasdError(f"deterministic: {' '.join(str(error).split())[:200]}; leave it false") from None
    finally:
        torch.use_deterministic_algorithms(before)


def repeatable(tf32: bool) -> AbstractContextManager[None]:
    """Let cuDNN take its one algorithm that gives the same bits, by what shapes are, not by a clock."""
    import torch

    if not torch.cuda.is_available():
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32)
