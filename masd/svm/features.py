"""What goes into the SVM of a row of Table II: f_SSL, f_hand, both, or f_fused, each scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from masd.errors import MasdError
from masd.svm.config import Row
from masd.svm.inputs import Compact, Inputs, unpack_index

if TYPE_CHECKING:
    from masd.models.fusion import Fusion

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

    def evened(self, widths: list[int]) -> Scaler:
        """Return the scaler after which each block of dimensions has a variance of 1 in all.

        Raises:
            MasdError: the blocks' widths do not add up to the dimensions.
        """
        if sum(widths) != len(self.std):
            raise MasdError(
                f"fit.equal_families: they have {sum(widths)} figures, the dump has {len(self.std)}; "
                "name all families of the dump in its order"
            )
        return Scaler(self.mean, self.std * np.sqrt(np.repeat(widths, widths)).astype(np.float32))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return the standardised values (N, D), float32."""
        return ((values - self.mean) / self.std).astype(np.float32)


@dataclass
class FeatureMap:
    """From inputs to what the SVM takes: f_SSL, f_hand, both, or f_fused (Table II, Eq. 8).

    Args:
        row: what the system uses.
        ssl: the scaler of f_SSL, None where it is not used.
        hand: the scaler of f_hand, None where it is not used.
        alpha: (J,) weights of the bands, None for embeddings made elsewhere.
        fusion: the trained fusion of a fused system, in evaluation mode.
    """

    row: Row
    ssl: Scaler | None = None
    hand: Scaler | None = None
    alpha: np.ndarray | None = None
    fusion: Fusion | None = None

    @property
    def size(self) -> int:
        """Dimensions of what the SVM takes."""
        parts = [np.zeros((1, len(scaler.mean)), np.float32) for scaler in (self.ssl, self.hand) if scaler]
        joined = np.concatenate(parts, axis=1) if self.fusion is None else self._blocks(self.fusion, parts)
        return joined.shape[1]

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
                    "fitted with --features +tokens takes dumps of add_tokens, another dumps without"
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
