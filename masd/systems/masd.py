"""MASD's rows of Table II, and `plus`: an SVM on embeddings, handcrafted features or both (Eq. 8, 9)."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from masd.audio.speech import Level, Leveller
from masd.errors import MasdError
from masd.feats.config import HAND_NAMES, FeatsConfig, classify_frames, classify_samples, hand_size
from masd.stage.files import atomic, config_from, read_yaml
from masd.svm.config import ROWS
from masd.svm.features import FeatureMap, Scaler
from masd.svm.inputs import Inputs, compact_of, evaluation_encoder
from masd.svm.kernel import ARRAYS, KernelSvm
from masd.systems.base import Filter, System
from masd.systems.folder import ENCODER_FILES, GRAPH, TENSORS, check_shapes, forget
from masd.systems.items import Decided, Hearing, Piece, ScoredSet, Stored
from masd.systems.ranges import bandwidth
from masd.systems.stored import StoredReader, StoredSet, check_stored, embeddings_encoder

if TYPE_CHECKING:
    from masd.models.encoder import Encoder
    from masd.models.fusion import Fusion
    from masd.models.onnx_encoder import OnnxEncoder
    from masd.systems.train import Job


class MasdSystem(System):
    """A fitted row: takes embeddings and dumps, and recordings where its folder has the encoder it needs.

    A recording gets the score that the recipe's stages give it: the same front end, encoder, alpha, SVM and
    temperature.

    Args:
        name: the row of Table II.
        features: from inputs to the SVM's input.
        svm: the machine, positive for fake.
        feats: the feature configuration it was fitted with, None if it takes no features.
        encoder_from: the folder its encoder is copied from when it is stored.
        info: what model.yaml says of it.

    Attributes:
        fast: whether recordings are embedded by the ONNX graph that export_model made.
    """

    type = "masd"
    fast = False

    def __init__(
        self,
        name: str,
        features: FeatureMap,
        svm: KernelSvm,
        feats: FeatsConfig | None = None,
        encoder_from: Path | None = None,
        info: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(name, info)
        self.features, self.svm, self.feats, self.encoder_from = features, svm, feats, encoder_from
        if feats is not None:
            self.hearing = Hearing(
                *[classify_samples(feats)] * 2,
                feats.sample_rate,
                feats.min_seconds,
                feats.skip_silence,
                feats.hop_length,
                # so that the frames at a piece's edges hear what lies beyond them, as those of a dump do
                margin=feats.hop_length * -(-feats.n_fft // (2 * feats.hop_length)),
            )

    @classmethod
    def uses(cls, job: Job) -> Any:
        """Return the settings and the digests of embeddings, dumps and encoder."""
        from masd.systems import masd_fit

        return masd_fit.uses(job)

    @classmethod
    def fit(cls, job: Job, work: str = "", force: bool = False) -> MasdSystem:
        """Fit fusion, SVM, temperature, affine map and development threshold."""
        from masd.systems import masd_fit

        machine, feats, info = masd_fit.fit(job)
        encoder = job.ssl if machine.features.row.ssl else None
        return cls(job.system, machine.features, machine.svm, feats, encoder, info)

    # Asked

    def values(self, inputs: Inputs) -> np.ndarray:
        """Return the SVM's input (N, d)."""
        return self.features.values(inputs)

    def decision(self, values: np.ndarray) -> np.ndarray:
        """Return f (N,), positive for fake, of the SVM's inputs (N, d)."""
        return self.svm.decision(values)

    def judge(self, inputs: Inputs) -> Decided:
        """Return f (N,) and the fusion's attention of stored inputs."""
        return Decided(self.decision(self.values(inputs)), self.features.attention(inputs))

    def decide(self, pieces: Sequence[Piece]) -> np.ndarray:
        """Return f (n,) of pieces of recordings."""
        return self.decision(self.values(self.inputs(pieces)))

    def stored_set(self, stored: Stored, utts: Sequence[str] | None) -> ScoredSet[Any]:
        """Return a set by its embeddings and dump, those of them that the row takes."""
        taken = check_stored(stored, self.name, self.features.row)
        self.check_embeddings(taken.embeddings)
        reader = StoredReader(taken, self.feats if self.features.row.hand else None)
        return StoredSet(reader, reader.utts if utts is None else list(utts), self.judge)

    def check_hears(self) -> None:
        """Raise `MasdError` if the system takes inputs that cannot be made of a recording here."""
        if self.feats is None or (self.features.row.ssl and ENCODER_FILES[0] not in self.files):
            raise MasdError(f"{self.folder}: takes embeddings made elsewhere, not audio; score it on those")
        hand = self.features.hand
        if hand is not None and len(hand.mean) != hand_size(self.feats):
            raise MasdError(f"{self.folder}: takes acoustic tokens too, not audio alone; score it on dumps")
        if self.features.row.ssl:
            self.encoder()  # what is wrong with it is wrong with the model, not with the first recording

    def check_embeddings(self, path: str | Path | None) -> None:
        """Raise `MasdError` if the embeddings in `path` were made by another encoder than the model's."""
        if path is not None and self.files.get(ENCODER_FILES[0]) != embeddings_encoder(path):
            raise MasdError(
                f"{path}: not made by the encoder of {self.folder}; run extract_embeddings with it"
            )

    def levelled(self, level: Level) -> tuple[Filter, float]:
        """Return the peak normalisation with dither, and the loud level after it."""
        assert self.feats is not None
        return Leveller(level, self.feats.dither, self.feats.dither_seed), level.loud / level.peak**2

    def inputs(self, pieces: Sequence[Piece]) -> Inputs:
        """Return the inputs of pieces, one row each."""
        from masd.feats.handcrafted import handcrafted

        hand = np.stack([handcrafted(piece.core, self.feats) for piece in pieces]).astype(np.float32)
        inputs = Inputs([str(number) for number in range(len(pieces))], hand=hand)
        if self.features.row.ssl:
            inputs.compact = compact_of(self.encoder(), [self.mel(piece) for piece in pieces])
        return inputs

    def mel(self, piece: Piece) -> np.ndarray:
        """Return the log-mel (T, n_mels) that the encoder sees of a piece."""
        from masd.feats.logmel import logmel

        assert self.feats is not None
        config = dataclasses.replace(self.feats, max_seconds=None) if piece.window else self.feats
        first = piece.before // self.feats.hop_length
        return logmel(piece.x, config)[first : first + classify_frames(config)]

    def measure(self, piece: Piece) -> dict[str, float]:
        """Return length, bandwidth, handcrafted features and distance from the support vectors of a piece."""
        from masd.feats.handcrafted import handcrafted

        assert self.feats is not None
        hand = handcrafted(piece.core, dataclasses.replace(self.feats, families=()))
        found = {
            "seconds": len(piece.core) / self.feats.sample_rate,
            "bandwidth": bandwidth(self.mel(piece), self.feats),
        }
        if "distance" in self.info.get("ranges", {}):
            found["distance"] = float(self.svm.distance(self.values(self.inputs([piece])))[0])
        return found | dict(zip(HAND_NAMES, hand.tolist(), strict=True))

    # Known of it

    def encoder(self) -> Encoder | OnnxEncoder:
        """Return the stored encoder, frozen, in evaluation mode; its ONNX graph where the system is `fast`.

        Raises:
            MasdError: the system has none.
        """
        return self._graph if self.fast else self._network

    @cached_property
    def _network(self) -> Encoder:
        if self.folder is None or ENCODER_FILES[0] not in self.files:
            raise MasdError(f"{self.folder}: no encoder inside, it takes embeddings made elsewhere")
        return evaluation_encoder(self.folder)[0]

    @cached_property
    def _graph(self) -> OnnxEncoder:
        from masd.models.encoder import read_configs
        from masd.models.onnx_encoder import OnnxEncoder

        if self.folder is None or GRAPH not in self.files:
            raise MasdError(f"{self.folder}: no {GRAPH} inside; make one with masd.bin.export_model")
        return OnnxEncoder(self.folder / GRAPH, read_configs(self.folder)[0])

    @property
    def parameters(self) -> int:
        """Parameters of encoder and fusion; the SVM's vectors are data."""
        parts = [self._network if self.features.row.ssl else None, self.features.fusion]
        return sum(p.numel() for part in parts if part is not None for p in part.parameters())

    @property
    def hand_neutral(self) -> np.ndarray | None:
        """The mean of each handcrafted feature (D,) over the training set, None where there are none."""
        if self.features.hand is None:
            return None
        stated = self.info.get("hand_mean")  # of a system that does not standardise them
        return self.features.hand.mean if stated is None else np.asarray(stated, dtype=np.float32)

    def neutral_mel(self, mel: np.ndarray) -> np.ndarray | None:
        """Return the mean log-mel (n_mels,) of pretraining, None where there is no encoder.

        An encoder with `normalise: raw` does not know it: then it is that of the recording's `mel` (T, F).
        """
        if not self.features.row.ssl:
            return None
        raw = self._network.config.normalise == "raw"
        return mel.mean(0) if raw else self._network.mel_mean.numpy()

    # Stored

    def save(
        self, folder: str | Path, half: bool = False, graph: bytes | None = None, int8: bool = False
    ) -> None:
        """Write the model folder, with a copy of the encoder, so that it stands alone.

        Args:
            folder: where to.
            half: weights and support vectors in half precision.
            graph: the encoder as an ONNX graph, serialised.
            int8: the encoder's kernels in 8 bits, where `half` is.
        """
        folder = Path(folder)
        forget(folder)
        if self.encoder_from is not None:
            _copy_encoder(self.encoder_from, folder, half, int8)
        if graph is not None:
            with atomic(folder / GRAPH) as tmp:
                tmp.write_bytes(graph)
        self._write(folder, *self.parts(half))

    def parts(self, half: bool = False) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the configurations, and as arrays the SVM, the scalers, alpha and the fusion."""
        small = (np.float16, np.float32) if half else (np.float32, np.float64)
        tensors = self.svm.arrays()
        for name, kind in zip(("support", "dual"), small, strict=True):
            tensors[name] = tensors[name].astype(kind)
        for name, scaler in (("ssl", self.features.ssl), ("hand", self.features.hand)):
            if scaler is not None:
                tensors |= {f"{name}_mean": scaler.mean, f"{name}_std": scaler.std}
        if self.features.alpha is not None:
            tensors["alpha"] = self.features.alpha
        fusion = self.features.fusion
        if fusion is not None:
            stored = {name: w.half() if half else w for name, w in fusion.state_dict().items()}
            tensors |= {f"fusion.{name}": w.numpy() for name, w in stored.items()}
        return {"features": self.feats, "fusion": None if fusion is None else fusion.config}, tensors

    @classmethod
    def of(
        cls, name: str, settings: dict[str, Any], tensors: dict[str, np.ndarray], folder: Path
    ) -> MasdSystem:
        """Return the system that `parts` described."""
        where, row = folder / "model.yaml", ROWS[name]
        missing = sorted(set(ARRAYS) - tensors.keys())
        for part, used in (("ssl", row.ssl), ("hand", row.hand)):
            missing += [f"{part}_mean"] if used and f"{part}_mean" not in tensors else []
        if missing:
            raise MasdError(f"{folder}: lacks the array '{missing[0]}' of system {name}; fit it again")
        for key, values in tensors.items():
            if (key == "gamma" or key.endswith("_std")) and not (values > 0).all():
                raise MasdError(f"{folder}/{TENSORS}: tensor {key} is not above 0; fit it again")
        for part in ("ssl", "hand"):
            if f"{part}_mean" in tensors:
                check_shapes(tensors, {f"{part}_mean": ("d",), f"{part}_std": ("d",)}, folder)
        features = FeatureMap(row, _scaler(tensors, "ssl"), _scaler(tensors, "hand"), tensors.get("alpha"))
        if row.fused:
            features.fusion = _fusion(settings.get("fusion"), tensors, where)
        check_shapes(tensors, {"support": ("n", features.size), "dual": ("n",)}, folder)
        stated = settings["features"]
        feats = None if stated is None else FeatsConfig.from_dict(stated, f"{where}: features")
        encoder = folder if (folder / ENCODER_FILES[0]).is_file() else None
        return cls(name, features, KernelSvm.from_arrays(tensors, folder), feats, encoder)


def _scaler(tensors: dict[str, np.ndarray], name: str) -> Scaler | None:
    if f"{name}_mean" not in tensors:
        return None
    return Scaler(tensors[f"{name}_mean"], tensors[f"{name}_std"])


def _fusion(config: Any, tensors: dict[str, np.ndarray], where: Path) -> Fusion:
    import torch

    from masd.models.fusion import Fusion, FusionConfig
    from masd.models.state import load_state

    if config is None:
        raise MasdError(f"{where}: states no fusion; fit it again")
    fusion = Fusion(config_from(FusionConfig, config, where))
    stored = {key.removeprefix("fusion."): v for key, v in tensors.items() if key.startswith("fusion.")}
    load_state(fusion, {key: torch.from_numpy(v) for key, v in stored.items()}, where)
    return fusion.eval().requires_grad_(False)


def _copy_encoder(source: Path, folder: Path, half: bool, int8: bool) -> None:
    if half:
        from masd.models.encoder import load_encoder, save_half

        save_half(folder, load_encoder(source)[0], read_yaml(source / "encoder.yaml"), int8)
        return
    for name in ENCODER_FILES:
        with atomic(folder / name) as tmp:
            shutil.copyfile(source / name, tmp)
