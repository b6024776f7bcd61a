"""A model's folder: a plain, checked `model.yaml` and tensors; nothing is unpickled, nothing is code.

`model.yaml` has

- `format`, `system` (its name), `type` (of `masd.systems.REGISTRY`), `settings` (its type's own);
- `calibration`: temperature, affine map, thresholds, posterior (`masd.systems.calibration`);
- `ranges`: what the training utterances were like (`masd.systems.ranges`);
- figures: training and development sets, versions, seed; and `files`, the sha256 of every other file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from masd.errors import MasdError
from masd.stage.files import atomic, read_yaml, sha256, write_yaml

FORMAT = 2
TENSORS, GRAPH = "model.safetensors", "encoder.onnx"
ENCODER_FILES = ("encoder.safetensors", "encoder.yaml")
HEAD = ("format", "system", "type", "settings", "files")
NUMBERS = {
    "temperature": ("value",),
    "affine": ("a", "b", "prior"),
    "thresholds": ("dev_eer", "dev_eer_affine"),
    "posterior": ("a", "b", "prior"),
}
POSITIVE = {("temperature", "value"), ("affine", "a"), ("posterior", "a")}
AGAIN = "fit the model again"


def forget(folder: Path) -> None:
    """Remove a model from a folder, that which states the others first."""
    for name in ("model.yaml", TENSORS, GRAPH, *ENCODER_FILES):
        (folder / name).unlink(missing_ok=True)


def write_folder(
    folder: Path, head: Mapping[str, Any], info: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> dict[str, str]:
    """Write tensors, and last model.yaml; return {name: sha256} of the files it states."""
    from safetensors.numpy import save

    with atomic(folder / TENSORS) as tmp:
        tmp.write_bytes(save({name: np.asarray(value, order="C") for name, value in tensors.items()}))
    names = (TENSORS, GRAPH, *ENCODER_FILES)
    files = {name: sha256(folder / name) for name in sorted(names) if (folder / name).is_file()}
    write_yaml(folder / "model.yaml", {"format": FORMAT, **head, **info, "files": files})
    return files


def model_yaml(folder: Path) -> Path:
    """Return a model folder's model.yaml; `MasdError` says what the folder is if it has none."""
    if not folder.is_dir():
        raise MasdError(f"{folder}: no such model folder; train makes it as exp/<tag>/model")
    where = folder / "model.yaml"
    if not where.is_file():
        hint = "give the folder exp/<tag>/model that train makes"
        if (folder / "model" / "model.yaml").is_file():
            hint = f"the model is {folder / 'model'}"
        elif (folder / "encoder.yaml").is_file():
            hint = f"this is a pretrained encoder alone; {hint}"
        raise MasdError(f"{folder}: not a fitted model (no model.yaml); {hint}")
    return where


def read_info(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what model.yaml says: `HEAD`, and all else; the files are checked against the digests it states.

    Raises:
        MasdError: the folder is no model, was cut short, or its files are not those it states.
    """
    where = model_yaml(folder)
    info = read_yaml(where)
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise MasdError(f"{where}: not a model of format {FORMAT}; fit it again with this version")
    for key in (*HEAD, "calibration"):
        if key not in info:
            raise MasdError(f"{where}: no key '{key}'; {AGAIN}")
    for key in ("settings", "calibration", "files"):
        if not isinstance(info[key], dict):
            raise MasdError(f"{where}: '{key}' is no mapping; {AGAIN}")
    check_numbers(info, where)
    for name, stated in info["files"].items():
        if (
            not isinstance(name, str)
            or Path(name).name != name
            or not (folder / name).is_file()
            or sha256(folder / name) != stated
        ):
            raise MasdError(f"{folder}/{name}: missing or not the file that model.yaml states; {AGAIN}")
    return {key: info.pop(key) for key in HEAD}, info


def check_numbers(info: Mapping[str, Any], where: Path) -> None:
    """Raise `MasdError`, which names the key, if a number of a model.yaml is none or impossible."""
    stated = info["calibration"]
    for section, names in NUMBERS.items():
        if section == "posterior" and section not in stated:
            continue  # of released weights
        if section not in stated:
            raise MasdError(f"{where}: no key '{section}' in calibration; {AGAIN}")
        for name in names:
            value = stated[section].get(name) if isinstance(stated[section], dict) else None
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise MasdError(f"{where}: {section} has no number '{name}'; {AGAIN}")
            if (section, name) in POSITIVE and not value > 0:
                raise MasdError(f"{where}: {section}.{name} is {value}, must be above 0; {AGAIN}")
            if name == "prior" and not 0 < value < 1:
                raise MasdError(f"{where}: {section}.prior is {value}, no share; {AGAIN}")
            _check_finite(value, f"{section}.{name}", where)
    posterior = stated.get("posterior", {})
    points = {f"posterior.{name}": posterior.get(name, []) for name in ("bonafide", "spoof")}
    others = {"offset": stated.get("offset", 0.0), "ranges": info.get("ranges", {})}
    others["hand_mean"] = info.get("hand_mean", [])
    for key, value in (points | others).items():
        _check_finite(value, key, where)
    for key, value in points.items():
        if not isinstance(value, list) or value != sorted(value):
            raise MasdError(f"{where}: {key} are no rising numbers; {AGAIN}")
    for name, known in others["ranges"].items():
        if not isinstance(known, dict) or not {"min", "p1", "max"} <= known.keys():
            raise MasdError(f"{where}: ranges.{name} has not min, p1 and max; {AGAIN}")


def _check_finite(value: Any, key: str, where: Path) -> None:
    """Raise `MasdError` if something in a value is no finite number; it names the key."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            _check_finite(part, f"{key}.{name}", where)
    elif isinstance(value, list):
        for part in value:
            _check_finite(part, key, where)
    elif not isinstance(value, int | float) or not np.isfinite(value):
        raise MasdError(f"{where}: {key} is {value}, no finite number; {AGAIN}")


def check_shapes(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int | str, ...]], where: Path
) -> None:
    """Check the shapes of a model's tensors before anything is computed from them.

    Args:
        tensors: the tensors.
        shapes: what each named must have; a letter stands for one size, the same wherever it occurs.
        where: the model folder, for messages.

    Raises:
        MasdError: a tensor is missing, of another shape, or holds no floats; it is named.
    """
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        value = tensors.get(name)
        if value is None or value.dtype.kind != "f" or value.ndim != len(shape):
            raise MasdError(
                f"{where}/{TENSORS}: tensor {name}: missing or not {len(shape)}-dimensional; {AGAIN}"
            )
        for size, wanted in zip(value.shape, shape, strict=True):
            if size != (sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted) or not size:
                raise MasdError(
                    f"{where}/{TENSORS}: tensor {name}: shape {value.shape} does not fit; {AGAIN}"
                )


def load_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Return a model folder's tensors.

    Raises:
        MasdError: the file is missing, no safetensors, or holds what is not finite.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / TENSORS
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise MasdError(f"{path}: cannot be read as safetensors ({' '.join(str(error).split())})") from None
    for name, value in tensors.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise MasdError(f"{path}: tensor {name} holds NaN or infinity; {AGAIN}")
    return tensors
