"""Systems behind one interface: what tells fakes, how it is fitted, scored and stored, and its calibration.

`REGISTRY` has the types of systems, `SYSTEMS` the names that recipes know. A system of your own is
`module:Class`: the class is made of `masd.systems.base.System`, or is a network, a `torch.nn.Module` on
waveforms (docs/systems.md). Code is only ever named on a command line or in a configuration, never by a model
folder. Nothing heavy is imported before a system is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from masd.errors import MasdError
from masd.stage.own import named_class
from masd.svm.config import ROWS
from masd.systems.config import NETWORKS

if TYPE_CHECKING:
    from masd.systems.base import System

REGISTRY: dict[str, str] = {
    "masd": "masd.systems.masd:MasdSystem",
    "network": "masd.systems.network:NetworkSystem",
    "gmm": "masd.systems.gmm:GmmSystem",
    "tokens": "masd.systems.tokens:TokenSystem",
}
SYSTEMS: dict[str, str] = {
    **dict.fromkeys(ROWS, "masd"),
    **dict.fromkeys(NETWORKS, "network"),
    "lfcc_gmm": "gmm",
    "tokens": "tokens",
}


def named(system: str, kind: str = "") -> tuple[str, str]:
    """Return a system's name and type as a command line has them: NAME, `module:Class`, NAME of a type."""
    return (system.rpartition(":")[2], system) if ":" in system and not kind else (system, kind)


def system_class(name: str, kind: str = "") -> type[System]:
    """Return a system's class.

    Args:
        name: one of `SYSTEMS`, or any with a type.
        kind: one of `REGISTRY`, or `module:Class` of your own; empty for what the name says.

    Raises:
        MasdError: there is none such.
    """
    stated = kind or SYSTEMS.get(name, "")
    if stated not in REGISTRY and ":" not in stated:
        raise MasdError(
            f"system {name}: unknown; there are {', '.join(SYSTEMS)} and, of your own, module:Class"
        )
    found = named_class(REGISTRY.get(stated, stated), f"system {name}:", stated not in REGISTRY)
    return found if stated in REGISTRY else _own(found, stated, name)


def _own(found: Any, stated: str, name: str) -> type[System]:
    """Return the class of a system of somebody's own; a network is made a system."""
    from torch.nn import Module

    from masd.systems.base import System
    from masd.systems.network import NetworkSystem

    if isinstance(found, type) and issubclass(found, Module):
        return type(found.__name__, (NetworkSystem,), {"module": found, "type": stated})
    if isinstance(found, type) and issubclass(found, System):
        found.type = stated
        return found
    raise MasdError(f"system {name}: {stated}: no class made of masd.systems.base.System or torch.nn.Module")


def load(folder: str | Path, kind: str = "") -> System:
    """Read a model folder; nothing in it is unpickled and none of it is code.

    Args:
        folder: where `train` wrote it; or a zip file that `pack` made.
        kind: `module:Class` of a system of your own, which the folder cannot name by itself.

    Raises:
        MasdError: it is none, was cut short, or what is in it does not fit together.
    """
    from masd.systems.folder import load_tensors, read_info

    folder = Path(folder)
    if folder.is_file():
        return _load_packed(folder, kind)
    head, info = read_info(folder)
    name, stated = str(head["system"]), str(head["type"])
    if stated not in REGISTRY and stated != kind:
        raise MasdError(
            f"{folder}: a system of somebody's own; where you trust its code, give --type {stated}"
        )
    if kind and stated != kind:
        raise MasdError(f"{folder}: of type {stated}, not {kind}")
    try:
        system = system_class(name, stated).of(name, head["settings"], load_tensors(folder), folder)
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
        MemoryError,
    ) as error:
        raise MasdError(f"{folder}/model.yaml: cannot be used ({error!r}); train it again") from None
    system.info, system.files, system.folder = info, head["files"], folder
    return system


def _load_packed(source: Path, kind: str) -> System:
    """Read a zip file's model by way of a folder that is there for as long as the system is."""
    from tempfile import TemporaryDirectory

    from masd.systems.packed import blaming, extract

    place = TemporaryDirectory(prefix="masd-")
    folder = Path(place.name) / "model"
    extract(source, folder)
    with blaming(source, folder):
        system = load(folder, kind)
    system.place_kept = place
    return system


def open_system(
    model: Path | None, system: str = "", kind: str = "", checkpoint: Path | None = None
) -> System:
    """Return the system of a model folder, or of its authors' released weights.

    Raises:
        MasdError: not one of the two is given, or it cannot be read.
    """
    if model is not None and not system and checkpoint is None:
        return load(model, kind)
    if model is None and system and checkpoint is not None:
        from masd.systems.network import NetworkSystem

        return NetworkSystem.released(system, checkpoint)
    raise MasdError("give a model folder, --model DIR, or released weights, --system NAME --checkpoint FILE")
