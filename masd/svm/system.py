"""A fitted detector: from inputs to decision values, scores and probabilities; its folder on disk."""

from __future__ import annotations

import dataclasses
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from masd.errors import MasdError
from masd.stage.files import atomic, config_from, read_yaml, sha256, write_yaml
from masd.svm.config import SystemSpec, system_spec
from masd.svm.inputs import Compact, Inputs, embeddings_encoder, evaluation_encoder, unpack_index
from masd.svm.kernel import ARRAYS, KernelSvm

if TYPE_CHECKING:
    from masd.feats.config import FeatsConfig
    from masd.judge.onnx_encoder import OnnxEncoder
    from masd.models.encoder import Encoder
    from masd.models.fusion import Fusion

FORMAT = 1
GRAPH = "encoder.onnx"
ENCODER_FILES = ("encoder.safetensors", "encoder.yaml")
NUMBERS = {
    "temperature": ("value",),
    "affine": ("a", "b", "prior"),
    "thresholds": ("dev_eer", "dev_eer_affine"),
    "posterior": ("a", "b", "prior"),
}
POSITIVE = {("temperature", "value"), ("affine", "a"), ("posterior", "a")}
BLOCK = 2048  # utterances a step


@dataclass
class Scaler:
    """x -> (x - mean) / std by dimension; mean 0 and std 1 where nothing is standardised."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, active: bool = True) -> Scaler:
        """Return the scaler of values (N, D): their mean and deviation, or the identity if not active."""
        if not active:
            return cls(np.zeros(values.shape[1], np.float32), np.ones(values.shape[1], np.float32))
        std = values.std(axis=0, dtype=np.float64)
        # a dimension that never varies says nothing and must not be divided by rounding noise
        std = np.where(std > 1e-7, std, 1.0)
        return cls(values.mean(axis=0, dtype=np.float64).astype(np.float32), std.astype(np.float32))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the standardised values (N, D), float32."""
        return ((values - self.mean) / self.std).astype(np.float32)


@dataclass
class FeatureMap:
    """From inputs to what the SVM takes: f_SSL, f_hand, both, or f_fused (Table II, Eq. 8).

    Args:
        spec: what the system uses.
        ssl: the scaler of f_SSL, None where it is not used.
        hand: the scaler of f_hand, None where it is not used.
        alpha: (J,) weights of the bands, None for embeddings made elsewhere.
        fusion: the trained fusion of a fused system, in evaluation mode.
    """

    spec: SystemSpec
    ssl: Scaler | None = None
    hand: Scaler | None = None
    alpha: np.ndarray | None = None
    fusion: Fusion | None = None

    def f_ssl(self, inputs: Inputs) -> np.ndarray:
        """Return f_SSL (N, D), not standardised.

        Raises:
            MasdError: the embeddings are of another kind than those the system was fitted on.
        """
        if self.alpha is None:
            if inputs.vectors is None:
                raise MasdError(
                    "the model was fitted on embedding vectors made elsewhere; score it on such vectors"
                )
            values = inputs.vectors
        else:
            if inputs.compact is None:
                raise MasdError(
                    "the model was fitted on the encoder's statistics; score it on extract_embeddings' output"
                )
            if inputs.compact.num_bands != len(self.alpha):
                raise MasdError(
                    f"embeddings of {inputs.compact.num_bands} bands, the model has {len(self.alpha)}"
                )
            values = pooled(inputs.compact, self.alpha)
        if self.ssl is not None and values.shape[1] != len(self.ssl.mean):
            raise MasdError(
                f"embeddings of {values.shape[1]} dimensions, the model takes {len(self.ssl.mean)}"
            )
        return values

    def parts(self, inputs: Inputs) -> list[np.ndarray]:
        """Return the scaled f_SSL (N, D) and f_hand (N, D'), those of them that the system uses."""
        parts = []
        if self.ssl is not None:
            parts.append(self.ssl(self.f_ssl(inputs)))
        if self.hand is not None:
            if inputs.hand is None:
                raise MasdError("the model needs handcrafted features; give the dump folder")
            given, taken = inputs.hand.shape[1], len(self.hand.mean)
            if given != taken:
                raise MasdError(
                    f"{given} handcrafted features, the model takes {taken}; one "
                    "fitted with --features +tokens takes dumps of masd.bin.add_tokens, another dumps without"
                )
            parts.append(self.hand(inputs.hand))
        return parts

    def values(self, inputs: Inputs) -> np.ndarray:
        """Return the SVM's input (N, d), float32."""
        parts = self.parts(inputs)
        if self.fusion is None:
            return np.concatenate(parts, axis=1)
        return self._blocks(self.fusion, parts)

    def attention(self, inputs: Inputs) -> np.ndarray | None:
        """Return the attention weights (N, 3) over PCS, HFER, SFI, (N, 1) for one token, None unfused."""
        return None if self.fusion is None else self._blocks(self.fusion.attention, self.parts(inputs))

    @staticmethod
    def _blocks(function: Any, parts: list[np.ndarray]) -> np.ndarray:
        import torch

        out = []
        with torch.inference_mode():
            for start in range(0, len(parts[0]), BLOCK):
                out.append(function(*(torch.from_numpy(p[start : start + BLOCK]) for p in parts)).numpy())
        return np.concatenate(out)


def pooled(compact: Compact, alpha: np.ndarray) -> np.ndarray:
    """Return f_SSL (N, D + 2) = [mu; sigma_tr; kappa] of the bands fused with weights alpha (J,)."""
    import torch

    from masd.models.pooling import from_compact

    index = unpack_index(compact.num_bands)
    out = []
    for start in range(0, len(compact.lengths), BLOCK):
        block = compact.rows(np.arange(start, min(start + BLOCK, len(compact.lengths))))
        mu, gram, lengths = (torch.from_numpy(a) for a in (block.mu, block.gram, block.lengths))
        weights = torch.from_numpy(np.asarray(alpha, dtype=np.float32))
        out.append(from_compact(mu, gram[..., index], weights, lengths).numpy())
    return np.concatenate(out)


@dataclass
class System:
    """A fitted and calibrated detector.

    Args:
        name: the row of Table II.
        features: from inputs to the SVM's input.
        svm: the machine, positive for fake.
        info: what `model.yaml` says: calibration, thresholds, feature configuration, training sets.
        folder: where it was loaded from.
    """

    name: str
    features: FeatureMap
    svm: KernelSvm
    info: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    def values(self, inputs: Inputs) -> np.ndarray:
        """Return the SVM's input (N, d)."""
        return self.features.values(inputs)

    def decision(self, values: np.ndarray) -> np.ndarray:
        """Return f (N,), positive for fake, of the SVM's inputs (N, d)."""
        return self.svm.decision(values)

    def scores(self, decision: np.ndarray) -> np.ndarray:
        """Return -f / T: higher is more bona fide, and P(fake) = 1 / (1 + exp(score)) (Eq. 10)."""
        return -np.asarray(decision) / float(self.info["temperature"]["value"])

    def affine_scores(self, decision: np.ndarray) -> np.ndarray:
        """Return -(a f + b), the affinely calibrated score, with the same reading as `scores`."""
        affine = self.info["affine"]
        return -(float(affine["a"]) * np.asarray(decision) + float(affine["b"]))

    @property
    def hand_neutral(self) -> np.ndarray | None:
        """The mean of each handcrafted feature (D,) over the training set, None where there are none."""
        if self.features.hand is None:
            return None
        stated = self.info.get("hand_mean")  # of a system that does not standardise them
        return self.features.hand.mean if stated is None else np.asarray(stated, dtype=np.float32)

    def feats_config(self) -> FeatsConfig | None:
        """Return the feature configuration the model was fitted with, None if it takes no features."""
        from masd.feats.config import FeatsConfig

        stored = self.info.get("features")
        if stored is None:
            return None
        return FeatsConfig.from_dict(stored, f"{self.folder}/model.yaml: features")

    def encoder(self, fast: bool = False) -> Encoder | OnnxEncoder:
        """Return the stored encoder, frozen, in evaluation mode.

        Args:
            fast: the ONNX graph that export_model made.

        Raises:
            MasdError: the system has none.
        """
        if self.folder is None or not self.info.get("encoder"):
            raise MasdError(
                f"{self.folder}: no encoder inside, it takes embeddings made elsewhere; use masd.bin.score"
            )
        if not fast:
            return self._network
        if GRAPH not in self.info["files"]:
            raise MasdError(f"{self.folder}: no {GRAPH} inside; make one with masd.bin.export_model")
        from masd.judge.onnx_encoder import OnnxEncoder
        from masd.models.encoder import read_configs

        return OnnxEncoder(self.folder / GRAPH, read_configs(self.folder)[0])

    @cached_property
    def _network(self) -> Encoder:
        return evaluation_encoder(self.folder)[0]

    def neutral_mel(self, mel: np.ndarray) -> np.ndarray | None:
        """Return the mean log-mel (n_mels,) of pretraining, None where there is no encoder.

        An encoder with `normalise: raw` does not know it: then it is that of the recording's `mel` (T, F).
        """
        if not self.features.spec.ssl:
            return None
        raw = self._network.config.normalise == "raw"
        return mel.mean(0) if raw else self._network.mel_mean.numpy()

    def check_embeddings(self, path: str | Path | None) -> None:
        """Raise `MasdError` if the embeddings in `path` were made by another encoder than the model's."""
        if path is None:
            return
        mine, theirs = self.info["files"].get("encoder.safetensors"), embeddings_encoder(path)
        if mine != theirs:
            raise MasdError(
                f"{path}: not made by the encoder of {self.folder}; run extract_embeddings with it"
            )

    def save(
        self,
        folder: str | Path,
        encoder: str | Path | None = None,
        half: bool = False,
        graph: bytes | None = None,
        int8: bool = False,
    ) -> None:
        """Write the model folder; `model.yaml`, which states the other files' digests, comes last.

        Args:
            folder: where to.
            encoder: the pretraining folder whose encoder is copied, so that the model stands alone.
            half: weights and support vectors in half precision.
            graph: the encoder as an ONNX graph, serialised.
            int8: the encoder's kernels in 8 bits, where `half` is.
        """
        folder = Path(folder)
        names = ("svm.npz", "fusion.safetensors", GRAPH, *ENCODER_FILES)
        (folder / "model.yaml").unlink(missing_ok=True)
        for name in names:
            (folder / name).unlink(missing_ok=True)
        save_arrays(folder / "svm.npz", self._arrays(half))
        if self.features.fusion is not None:
            from masd.models.state import write_tensors

            weights = self.features.fusion.state_dict()
            stored = {name: w.half() if half else w for name, w in weights.items()}
            write_tensors(folder / "fusion.safetensors", stored)
        if encoder is not None:
            _copy_encoder(Path(encoder), folder, half, int8)
        if graph is not None:
            with atomic(folder / GRAPH) as tmp:
                tmp.write_bytes(graph)
        self.info["encoder"] = encoder is not None
        files = sorted(folder / name for name in names if (folder / name).is_file())
        fusion = None if self.features.fusion is None else dataclasses.asdict(self.features.fusion.config)
        head = {"format": FORMAT, "system": self.name, "fusion": fusion}
        write_yaml(folder / "model.yaml", head | self.info | {"files": {p.name: sha256(p) for p in files}})
        self.folder = folder

    def _arrays(self, half: bool = False) -> dict[str, np.ndarray]:
        arrays = self.svm.arrays()
        if half:
            arrays |= {
                "support": arrays["support"].astype(np.float16),
                "dual": arrays["dual"].astype(np.float32),
            }
        for name, scaler in (("ssl", self.features.ssl), ("hand", self.features.hand)):
            if scaler is not None:
                arrays |= {f"{name}_mean": scaler.mean, f"{name}_std": scaler.std}
        if self.features.alpha is not None:
            arrays["alpha"] = self.features.alpha
        return arrays

    @classmethod
    def load(cls, folder: str | Path) -> System:
        """Read a model folder; nothing in it is unpickled and none of it is code.

        Raises:
            MasdError: the folder is no model, was cut short, or its files are not those it states.
        """
        folder = Path(folder)
        info = read_info(folder)
        spec = system_spec(info["system"])
        arrays = load_arrays(folder / "svm.npz")
        features = FeatureMap(spec, _scaler(arrays, "ssl"), _scaler(arrays, "hand"), arrays.get("alpha"))
        if (spec.ssl and features.ssl is None) or (spec.hand and features.hand is None):
            raise MasdError(
                f"{folder}/svm.npz: lacks the scaling of system {info['system']}; run fit_svm again"
            )
        if spec.fused:
            features.fusion = _load_fusion(folder, info)
        return cls(info["system"], features, KernelSvm.from_arrays(arrays, folder / "svm.npz"), info, folder)


def _copy_encoder(source: Path, folder: Path, half: bool, int8: bool) -> None:
    if not half:
        for name in ENCODER_FILES:
            with atomic(folder / name) as tmp:
                shutil.copyfile(source / name, tmp)
        return
    from masd.models.encoder import load_encoder, save_half

    save_half(folder, load_encoder(source)[0], read_yaml(source / "encoder.yaml"), int8)


def read_info(folder: Path) -> dict[str, Any]:
    """Return what a model folder's model.yaml says, its files checked against the digests it states.

    Raises:
        MasdError: the folder is no model, was cut short, or its files are not those it states.
    """
    if not folder.is_dir():
        raise MasdError(f"{folder}: no such model folder; fit_svm makes it as exp/<tag>/model")
    if not (folder / "model.yaml").is_file():
        hint = "give the folder exp/<tag>/model that fit_svm makes"
        if (folder / "model" / "model.yaml").is_file():
            hint = f"the model is {folder / 'model'}"
        elif (folder / "encoder.yaml").is_file():
            hint = f"this is a pretrained encoder alone; {hint}"
        raise MasdError(f"{folder}: not a fitted model (no model.yaml); {hint}")
    info = read_yaml(folder / "model.yaml")
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise MasdError(
            f"{folder}/model.yaml: not a model of format {FORMAT}; fit it again with this version"
        )
    for key in ("system", "temperature", "affine", "thresholds", "files"):
        if key not in info:
            raise MasdError(f"{folder}/model.yaml: no key '{key}'; fit the model again")
    check_numbers(info, folder / "model.yaml")
    if not isinstance(info["files"], dict):
        raise MasdError(f"{folder}/model.yaml: 'files' is no mapping; fit the model again")
    for name, stated in info["files"].items():
        if Path(name).name != name or not (folder / name).is_file() or sha256(folder / name) != stated:
            raise MasdError(
                f"{folder}/{name}: missing or not the file that model.yaml states; fit the model again"
            )
    return info


def check_numbers(info: Mapping[str, Any], where: Path) -> None:
    """Raise `MasdError`, which names the key, if a number of a model.yaml is none or impossible."""
    for section, names in NUMBERS.items():
        if section == "posterior" and section not in info:
            continue  # of a model that was fitted before there was one
        for name in names:
            value = info[section].get(name) if isinstance(info[section], dict) else None
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise MasdError(f"{where}: {section} has no number '{name}'; fit the model again")
            if (section, name) in POSITIVE and not value > 0:
                raise MasdError(f"{where}: {section}.{name} is {value}, must be above 0; fit the model again")
            if name == "prior" and not 0 < value < 1:
                raise MasdError(f"{where}: {section}.prior is {value}, no share; fit the model again")
            _check_finite(value, f"{section}.{name}", where)
    posterior = info.get("posterior", {})
    points = {f"posterior.{name}": posterior.get(name, []) for name in ("bonafide", "spoof")}
    others = {"offset": info.get("offset", 0.0), "ranges": info.get("ranges", {})}
    others["hand_mean"] = info.get("hand_mean", [])
    for key, value in (points | others).items():
        _check_finite(value, key, where)
    for key, value in points.items():
        if not isinstance(value, list) or value != sorted(value):
            raise MasdError(f"{where}: {key} are no rising numbers; fit the model again")
    for name, known in others["ranges"].items():
        if not isinstance(known, dict) or not {"min", "p1", "max"} <= known.keys():
            raise MasdError(f"{where}: ranges.{name} has not min, p1 and max; fit the model again")


def _check_finite(value: Any, key: str, where: Path) -> None:
    """Raise `MasdError` if something in a value is no finite number; it names the key."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            _check_finite(part, f"{key}.{name}", where)
    elif isinstance(value, list):
        for part in value:
            _check_finite(part, key, where)
    elif not isinstance(value, int | float) or not np.isfinite(value):
        raise MasdError(f"{where}: {key} is {value}, no finite number; fit the model again")


def _scaler(arrays: dict[str, np.ndarray], name: str) -> Scaler | None:
    if f"{name}_mean" not in arrays:
        return None
    return Scaler(arrays[f"{name}_mean"], arrays[f"{name}_std"])


def _load_fusion(folder: Path, info: dict[str, Any]) -> Fusion:
    from masd.models.encoder import load_weights
    from masd.models.fusion import Fusion, FusionConfig

    fusion = Fusion(config_from(FusionConfig, info.get("fusion"), folder / "model.yaml"))
    load_weights(fusion, folder / "fusion.safetensors")
    return fusion.eval().requires_grad_(False)


def save_arrays(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """Write plain arrays as npz, whole or not at all; equal arrays give equal bytes."""
    with atomic(path) as tmp:
        np.savez(tmp, **arrays)


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read an npz of plain arrays; nothing is unpickled.

    Raises:
        MasdError: the file is missing, no npz, or lacks the SVM's arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise MasdError(
            f"{path}: not a stored SVM ({' '.join(str(error).split())}); run fit_svm again"
        ) from None
    missing = sorted(set(ARRAYS) - arrays.keys())
    if missing:
        raise MasdError(f"{path}: lacks the array '{missing[0]}'; run fit_svm again")
    for name, values in arrays.items():
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise MasdError(f"{path}: the array '{name}' holds what is no finite number; run fit_svm again")
        if (name == "gamma" or name.endswith("_std")) and not (values > 0).all():
            raise MasdError(f"{path}: the array '{name}' is not above 0; run fit_svm again")
    return arrays
