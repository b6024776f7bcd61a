"""The state a killed run goes on from: one safetensors file, its JSON part in the header."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from masd.errors import MasdError
from masd.models.state import load_state, write_tensors
from masd.stage.files import plain

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def save_checkpoint(
    path: str | Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write weights, AdamW's moments and a JSON-able `state` in one file, so that they cannot disagree."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key in _MOMENTS:
            if key in optimizer.state.get(parameter, {}):
                tensors[f"optimizer.{key}.{name}"] = optimizer.state[parameter][key]
    write_tensors(path, tensors, {"state": json.dumps(plain(state))})


def read_state(path: str | Path) -> dict[str, Any]:
    """Return the JSON part of a checkpoint without its tensors; `MasdError` if the file is damaged."""
    with _opened(path) as stream:
        return json.loads((stream.metadata() or {}).get("state", "{}"))


def load_checkpoint(
    path: str | Path, model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
) -> None:
    """Restore the weights and moments that `save_checkpoint` wrote.

    Raises:
        MasdError: the file is damaged or belongs to another model.
    """
    with _opened(path) as stream:
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - no mapping
    load_state(model, _part(tensors, "model."), path)
    moments = {key: _part(tensors, f"optimizer.{key}.") for key in _MOMENTS}
    for name, parameter in model.named_parameters():
        if name in moments["step"]:
            optimizer.state[parameter] = {
                "step": moments["step"][name],  # stays on the CPU, as the optimizer makes it
                "exp_avg": _like(moments["exp_avg"][name], parameter, device),
                "exp_avg_sq": _like(moments["exp_avg_sq"][name], parameter, device),
            }


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as stream:
            yield stream
    except (OSError, SafetensorError, ValueError) as error:
        raise MasdError(
            f"{path}: not a checkpoint ({' '.join(str(error).split())}); --force true starts anew"
        ) from None


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): value for n, value in tensors.items() if n.startswith(prefix)}


def _like(moment: Tensor, parameter: Tensor, device: torch.device) -> Tensor:
    """The moment in its parameter's memory layout: another one may round differently."""
    return torch.empty_like(parameter, device=device).copy_(moment)
