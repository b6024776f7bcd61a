"""A module's tensors by name: written whole, read without running anything, loaded strictly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from masd.errors import MasdError
from masd.files import atomic


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file, whole or not at all; `metadata` stands in its header."""
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with atomic(path) as tmp:
        tmp.write_bytes(save(stored, metadata))  # safetensors' own save_file leaves it to the owner alone


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Return what a safetensors file holds, on the CPU; `MasdError` names the file if it cannot be read."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise MasdError(f"{path}: cannot be read as safetensors ({' '.join(str(error).split())})") from None


def load_state(module: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Load `state`, which came from `path`, into `module`, strictly.

    Raises:
        MasdError: a tensor is missing, unknown or of another shape; the first in order is named.
    """
    expected = module.state_dict()
    for name in sorted(expected.keys() | state.keys()):
        have: Sequence[int] | str = tuple(state[name].shape) if name in state else "nothing"
        want: Sequence[int] | str = tuple(expected[name].shape) if name in expected else "nothing"
        if have != want:
            raise MasdError(f"{path}: tensor {name} is {have} where the configuration asks for {want}")
    module.load_state_dict(state)
