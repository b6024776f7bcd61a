"""What a detector is fitted on and scores: embeddings and handcrafted features, joined by utterance id."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from masd.errors import Failures, MasdError
from masd.stage.devices import exact
from masd.stage.files import read_yaml

if TYPE_CHECKING:
    from masd.feats.config import FeatsConfig
    from masd.judge.onnx_encoder import OnnxEncoder
    from masd.models.encoder import Encoder
    from masd.svm.config import SystemSpec


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
    padded = np.zeros((len(mels), int(lengths.max()), mels[0].shape[1]), dtype=np.float32)
    for row, mel in zip(padded, mels, strict=True):
        row[: len(mel)] = mel
    batch = torch.from_numpy(padded)
    with torch.inference_mode():
        z, frames = interior(*encoder(batch.to(device), lengths.to(device)), encoder.config.edge_frames)
        mu, gram = (part.float().cpu().numpy() for part in compact(z, frames))
    return [(m, pack(g[: int(n)])) for m, g, n in zip(mu, gram, frames.tolist(), strict=True)]


class Embeddings:
    """A folder of embeddings by `extract_embeddings` (mu.scp, gram.scp), or plain vectors made elsewhere.

    Plain vectors are a Kaldi scp file, or a folder that holds one named `emb.scp`.

    Args:
        path: the folder or file.

    Raises:
        MasdError: there is nothing of the kind at `path`.
    """

    def __init__(self, path: str | Path) -> None:
        from masd.data.archive import open_reader

        self.path = Path(path)
        self.mu = self.gram = self.vectors = None
        self.encoder = embeddings_encoder(self.path)
        if (self.path / "mu.scp").is_file() and (self.path / "gram.scp").is_file():
            self.mu, self.gram = open_reader(self.path / "mu.scp"), open_reader(self.path / "gram.scp")
        elif (self.path / "emb.scp").is_file():
            self.vectors = open_reader(self.path / "emb.scp")
        elif self.path.is_file() and self.path.suffix == ".ark":
            raise MasdError(
                f"{self.path}: give the scp file that points into this archive (copy-vector makes one)"
            )
        elif self.path.is_file():
            self.vectors = open_reader(self.path)
        else:
            raise MasdError(
                f"{self.path}: no embeddings (mu.scp and gram.scp, or emb.scp); run extract_embeddings first"
            )

    @property
    def external(self) -> bool:
        """Whether these are plain vectors made elsewhere."""
        return self.vectors is not None

    @property
    def utts(self) -> list[str]:
        """The utterances there are."""
        return list(self.vectors.utts if self.mu is None else self.mu.utts)

    def read(self, utt: str) -> tuple[np.ndarray, np.ndarray] | np.ndarray:
        """Return (mu, gram) or a vector (D,) of one utterance."""
        if self.mu is not None and self.gram is not None:
            return self.mu[utt], self.gram[utt]
        vector = np.asarray(self.vectors[utt], dtype=np.float32)
        if vector.ndim != 1:
            raise MasdError(
                f"{self.path}: {utt} is of shape {vector.shape}, not one vector; pool over time first"
            )
        return vector


def embeddings_encoder(path: str | Path) -> str | None:
    """Return the sha256 of the weights that made the embeddings in `path`, None for those made elsewhere."""
    stated = Path(path) / "embeddings.yaml"
    return str(read_yaml(stated).get("encoder")) if stated.is_file() else None


@dataclass
class Source:
    """Where a set's inputs are: folders of embeddings and of features, None where a system needs it not."""

    embeddings: Path | None = None
    dump: Path | None = None

    def check(self, name: str, spec: SystemSpec, where: str) -> None:
        """Raise `MasdError` if what the system `name` needs is not given."""
        if spec.ssl and self.embeddings is None:
            raise MasdError(
                f"system {name} needs {where}embeddings (a folder made by extract_embeddings, or an scp of "
                "vectors made elsewhere)"
            )
        if spec.hand and self.dump is None:
            raise MasdError(
                f"system {name} needs {where}dump (a folder made by dump_feats) for the handcrafted features"
            )


def load_inputs(
    source: Source,
    spec: SystemSpec,
    utts: Sequence[str] | None = None,
    failures: Failures | None = None,
    feats: FeatsConfig | None = None,
) -> Inputs:
    """Read the inputs of a set, joined by id, as one block: see `load_blocks`."""
    (inputs,) = load_blocks(source, spec, utts, failures, feats)
    return inputs


def load_blocks(
    source: Source,
    spec: SystemSpec,
    utts: Sequence[str] | None = None,
    failures: Failures | None = None,
    feats: FeatsConfig | None = None,
    size: int = sys.maxsize,
) -> Iterator[Inputs]:
    """Read the inputs of a set, joined by id, in blocks of `size` utterances.

    Args:
        source: where they are.
        spec: what the system needs.
        utts: the utterances wanted; None for all that either folder has.
        failures: takes the utterances that lack something or hold values that are not finite; without
            it each of them is an error.
        feats: the feature configuration the dump must have been made with; None accepts any.
        size: most utterances of a block.

    Yields:
        The inputs of what could be read, sorted by id.

    Raises:
        MasdError: a folder is not what it should be, or nothing could be read.
    """
    failures = failures if failures is not None else Failures(max_share=0.0)
    readers, known = _readers(source, spec, feats)
    wanted = sorted(set(utts) if utts is not None else set().union(*known.values()))
    rows: list[dict[str, Any]] = []
    kept: list[str] = []
    done = 0
    for utt in wanted:
        missing = [str(place) for place, there in known.items() if utt not in there]
        if missing:
            failures.add(utt, f"not in {' and '.join(missing)}")
            continue
        row = {kind: read(utt) for kind, read in readers.items()}
        if all(
            np.isfinite(part).all()
            for value in row.values()
            for part in (value if isinstance(value, tuple) else (value,))
        ):
            rows.append(row)
            kept.append(utt)
        else:
            failures.add(utt, "its features hold NaN or infinity")
        if len(kept) == size:
            yield _assemble(kept, rows, source)
            rows, kept, done = [], [], done + size
    if not kept and not done:
        raise MasdError(f"none of {len(wanted)} utterances has inputs in {' and '.join(map(str, known))}")
    if kept:
        yield _assemble(kept, rows, source)


def _readers(
    source: Source, spec: SystemSpec, feats: FeatsConfig | None
) -> tuple[dict[str, Callable[[str], Any]], Mapping[Path, set[str]]]:
    readers: dict[str, Callable[[str], Any]] = {}
    known: dict[Path, set[str]] = {}
    if spec.ssl and source.embeddings is not None:
        embeddings = Embeddings(source.embeddings)
        readers["vector" if embeddings.external else "compact"] = embeddings.read
        known[embeddings.path] = set(embeddings.utts)
    if spec.hand and source.dump is not None:
        from masd.feats.dump import open_dump

        hand = open_dump(source.dump, feats).hand
        readers["hand"] = lambda utt: np.asarray(hand[utt], dtype=np.float32).reshape(-1)
        known[Path(source.dump)] = set(hand.utts)
    return readers, known


def _assemble(utts: list[str], rows: list[dict[str, Any]], source: Source) -> Inputs:
    inputs = Inputs(utts)
    try:
        if "compact" in rows[0]:
            inputs.compact = stack_compact([r["compact"][0] for r in rows], [r["compact"][1] for r in rows])
        if "vector" in rows[0]:
            inputs.vectors = np.stack([r["vector"] for r in rows])
        if "hand" in rows[0]:
            inputs.hand = np.stack([r["hand"] for r in rows])
    except ValueError as error:
        places = " or ".join(str(p) for p in (source.embeddings, source.dump) if p is not None)
        raise MasdError(f"{places}: utterances differ in dimension ({error})") from None
    return inputs
