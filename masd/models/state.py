"""A module's tensors by name: written whole, read without running anything, loaded strictly."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from masd.errors import MasdError
from masd.stage.files import atomic

State = dict[str, Tensor]


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file, whole or not at all; `metadata` stands in its header."""
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with atomic(path) as tmp:
        tmp.write_bytes(save(stored, metadata))  # safetensors' own save_file leaves it to the owner alone


def read_tensors(path: str | Path) -> State:
    """Return what a safetensors file holds, on the CPU; `MasdError` names the file if it cannot be read."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise MasdError(f"{path}: cannot be read as safetensors ({' '.join(str(error).split())})") from None


def read_checkpoint(path: str | Path, keys: tuple[str, ...] = (), stream: BinaryIO | None = None) -> State:
    """Return the state dict that a torch or safetensors file holds, nothing in it being run.

    Args:
        path: the file.
        keys: the entries under which the state dict may stand; the first found is taken, else the whole file.
        stream: what is read in place of the file, where it lies in it.

    Raises:
        MasdError: the file cannot be read, holds pickled objects, or holds no state dict.
    """
    try:
        if Path(path).suffix == ".safetensors":
            value: Any = load_file(str(path))
        else:
            value = torch.load(stream or path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise MasdError(
            f"{path}: holds pickled objects, which this program does not run; convert it where you trust it: "
            "torch.save(torch.load(FILE, weights_only=False)['model'].state_dict(), NEW_FILE)"
        ) from None
    except Exception as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise MasdError(f"{path}: not a checkpoint of PyTorch ({why})") from None
    for key in keys:
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping):
            value = value[key]
            break
    entries = value.items() if isinstance(value, Mapping) else ()
    state = {k: v for k, v in entries if isinstance(k, str) and isinstance(v, Tensor)}
    if not state:
        raise MasdError(
            f"{path}: holds no state dict (names with tensors){' under ' + ' or '.join(keys) if keys else ''}"
        )
    for name, v in state.items():
        if v.layout != torch.strided or v.is_complex() or v.is_meta:
            raise MasdError(
                f"{path}: tensor {name} is sparse, complex or without values; save it as plain floats"
            )
    return {k.removeprefix("module."): v.float() if v.is_floating_point() else v for k, v in state.items()}


def check_finite(state: Mapping[str, Tensor], path: str | Path) -> None:
    """Raise `MasdError` if a tensor of `state`, which came from `path`, is not finite; it is named."""
    for name, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise MasdError(f"{path}: tensor {name} holds NaN or infinity; make or fetch the file again")


def load_state(module: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Load `state`, which came from `path`, into `module`, strictly.

    Raises:
        MasdError: a tensor is missing, unknown, of another shape or not finite; the first in order is named.
    """
    expected = module.state_dict()
    for name in sorted(expected.keys() | state.keys()):
        have: Sequence[int] | str = tuple(state[name].shape) if name in state else "nothing"
        want: Sequence[int] | str = tuple(expected[name].shape) if name in expected else "nothing"
        if have != want:
            raise MasdError(f"{path}: tensor {name} is {have} where the configuration asks for {want}")
    check_finite(state, path)
    module.load_state_dict(state)
