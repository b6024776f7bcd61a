"""Published checkpoints: weight normalisation folded in, names and shapes as the architecture has them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from masd.errors import MasdError
from masd.models.state import State, load_state
from masd.stage.files import read_json


def fold_weight_norm(state: State) -> State:
    """Return a state dict with w = g v / |v| for each weight-normalised pair (old and new names).

    |v| is taken over all dimensions but the first, as torch's default does.
    """
    folded: State = {}
    for name, v in state.items():
        match = re.fullmatch(r"(.*\.)(?:weight_v|parametrizations\.weight\.original1)", name)
        if match:
            stem = match[1]
            g = state.get(f"{stem}weight_g", state.get(f"{stem}parametrizations.weight.original0"))
            if g is None:
                raise MasdError(f"{name} is in the checkpoint, but the magnitude that belongs to it is not")
            folded[f"{stem}weight"] = v * (
                g / torch.linalg.vector_norm(v, dim=tuple(range(1, v.dim())), keepdim=True)
            )
        elif not re.search(r"\.(weight_g|parametrizations\.weight\.original0)$", name):
            folded[name] = v
    return folded


def load_strictly(module: nn.Module, state: State, path: str | Path) -> nn.Module:
    """Load `state` into `module` as `load_state` does; return it in eval mode without gradients."""
    load_state(module, state, path)
    return module.eval().requires_grad_(False)


def read_config(path: str | Path, required: tuple[str, ...]) -> dict[str, Any]:
    """Return a vocoder's published config.json; `MasdError` names the first key that is missing."""
    config = read_json(path)
    for key in required:
        if not isinstance(config, dict) or key not in config:
            raise MasdError(f"{path}: no key {key!r}; is it the config.json published with the checkpoint?")
    return config
