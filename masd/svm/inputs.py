"""What MASD's rows are fitted on and score: embeddings and handcrafted features of a set's utterances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from masd.stage.devices import exact

if TYPE_CHECKING:
    from masd.feats.config import FeatsConfig
    from masd.models.encoder import Encoder
    from masd.models.onnx_encoder import OnnxEncoder


@dataclass
class Compact:
    """Per utterance what f_SSL follows from exactly, for any alpha (see `masd.models.pooling`).

    Args:
        mu: (N, J, D) float32, the mean of each band.
        gram: (N, T', J (J + 1) / 2) float32, per frame the upper triangle, row by row, of the Gram
            matrix of the centred bands; zero beyond an utterance's length.
        lengths: (N,) int64, frames of each utterance.
    """

    mu: np.ndarray
    gram: np.ndarray
    lengths: np.ndarray

    @property
    def num_bands(self) -> int:
        """J."""
        return self.mu.shape[1]

    def rows(self, index: np.ndarray) -> Compact:
        """Return the utterances numbered by `index`, without copying more frames than they have."""
        lengths = self.lengths[index]
        return Compact(self.mu[index], self.gram[index, : int(lengths.max())], lengths)


@dataclass
class Inputs:
    """One set's utterances, in order, and what is known of them; None where a system needs it not.

    Args:
        utts: (N) utterance ids.
        compact: the encoder's statistics.
        vectors: (N, D) float32 embeddings made elsewhere, in place of `compact`.
        hand: (N, 3) float32: PCS, HFER, SFI; wider with families or tokens.
    """

    utts: list[str]
    compact: Compact | None = None
    vectors: np.ndarray | None = None
    hand: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.utts)

    def rows(self, index: np.ndarray) -> Inputs:
        """Return the utterances numbered by `index`."""
        return Inputs(
            [self.utts[i] for i in index],
            None if self.compact is None else self.compact.rows(index),
            None if self.vectors is None else self.vectors[index],
            None if self.hand is None else self.hand[index],
        )


def pack(gram: np.ndarray) -> np.ndarray:
    """Return the upper triangles (..., J (J + 1) / 2) of symmetric (..., J, J)."""
    rows, columns = np.triu_indices(gram.shape[-1])
    return np.ascontiguousarray(gram[..., rows, columns])


def unpack_index(bands: int) -> np.ndarray:
    """Return the (J, J) positions in a packed triangle, so that `packed[..., index]` is the matrix."""
    index = np.zeros((bands, bands), dtype=np.int64)
    rows, columns = np.triu_indices(bands)
    index[rows, columns] = index[columns, rows] = np.arange(len(rows))
    return index


def stack_compact(mu: Sequence[np.ndarray], gram: Sequence[np.ndarray]) -> Compact:
    """Return one `Compact` of N utterances' mu (J, D) and packed gram (T'_n, P)."""
    lengths = np.array([len(g) for g in gram], dtype=np.int64)
    padded = np.zeros((len(gram), int(lengths.max()), gram[0].shape[1]), dtype=np.float32)
    for row, values in zip(padded, gram, strict=True):
        row[: len(values)] = values
    return Compact(np.stack(mu).astype(np.float32), padded, lengths)


def evaluation_encoder(folder: str | Path) -> tuple[Encoder, FeatsConfig]:
    """Return the frozen encoder in `folder`, in evaluation mode and the fastest layout, and its front end."""
    import torch

    from masd.models.encoder import load_encoder

    encoder, _, config = load_encoder(folder)
    return encoder.to(memory_format=torch.channels_last), config


def embed(
    encoder: Encoder | OnnxEncoder, mels: Sequence[np.ndarray], device: str = "cpu"
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (mu (J, D), packed gram (T'', J (J + 1) / 2)) of each log-mel (T, n_mels).

    On the CPU one at a time: what an utterance gets does not depend on the others. On a GPU they are a batch,
    and it does not to about 1e-6: padded frames are masked.
    """
    size = 1 if device == "cpu" else max(len(mels), 1)
    with exact():
        parts = [_embedded(encoder, mels[i : i + size], device) for i in range(0, len(mels), size)]
    return [found for part in parts for found in part]


def _embedded(
    encoder: Encoder | OnnxEncoder, mels: Sequence[np.ndarray], device: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    import torch

    from masd.models.pooling import compact, interior

    lengths = torch.tensor([len(mel) for mel in mels])
    rows = [torch.tensor(mel, dtype=torch.float32) for mel in mels]
    batch = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    with torch.inference_mode():
        z, frames = interior(*encoder(batch.to(device), lengths.to(device)), encoder.config.edge_frames)
        mu, gram = (part.float().cpu().numpy() for part in compact(z, frames))
    return [(m, pack(g[: int(n)])) for m, g, n in zip(mu, gram, frames.tolist(), strict=True)]


def compact_of(encoder: Encoder | OnnxEncoder, mels: Sequence[np.ndarray]) -> Compact:
    """Return what f_SSL follows from of log-mels (T, n_mels), on the CPU."""
    found = embed(encoder, mels)
    return stack_compact([mu for mu, _ in found], [gram for _, gram in found])
