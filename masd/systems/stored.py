"""Stored inputs of a set: embeddings, the encoder's or made elsewhere, and dumps, joined by utterance id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from masd.errors import Failures, MasdError
from masd.stage.files import read_yaml
from masd.svm.features import BLOCK
from masd.svm.inputs import Inputs, stack_compact
from masd.systems.items import Decided, ScoredSet, Stored

if TYPE_CHECKING:
    from masd.feats.config import FeatsConfig
    from masd.svm.config import Row

Values = dict[str, Any]
"""An utterance's inputs: `compact` (mu, gram) or `vector`, and `hand`, as far as its system takes them."""


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
    def utts(self) -> list[str]:
        """The utterances there are."""
        return list(self.vectors.utts if self.mu is None else self.mu.utts)

    def read(self, utt: str) -> Values:
        """Return {`compact`: (mu, gram)} or {`vector`: (D,)} of one utterance."""
        if self.mu is not None and self.gram is not None:
            return {"compact": (self.mu[utt], self.gram[utt])}
        vector = np.asarray(self.vectors[utt], dtype=np.float32)
        if vector.ndim != 1:
            raise MasdError(
                f"{self.path}: {utt} is of shape {vector.shape}, not one vector; pool over time first"
            )
        return {"vector": vector}


def embeddings_encoder(path: str | Path) -> str | None:
    """Return the sha256 of the weights that made the embeddings in `path`, None for those made elsewhere."""
    stated = Path(path) / "embeddings.yaml"
    return str(read_yaml(stated).get("encoder")) if stated.is_file() else None


def check_stored(stored: Stored, name: str, row: Row, where: str = "--") -> Stored:
    """Return of what is given that which the row takes; `MasdError` if something it needs is not given.

    Args:
        stored: what is given.
        name: the row's, for messages.
        row: what it takes.
        where: how options begin, for messages (`--train-`).
    """
    if row.ssl and stored.embeddings is None:
        raise MasdError(
            f"system {name} needs {where}embeddings (a folder made by extract_embeddings, or an scp of "
            "vectors made elsewhere)"
        )
    if row.hand and stored.dump is None:
        raise MasdError(
            f"system {name} needs {where}dump (a folder made by dump_feats) for the handcrafted features"
        )
    return Stored(stored.embeddings if row.ssl else None, stored.dump if row.hand else None)


class StoredReader:
    """Reads what a row takes of a set's stored inputs.

    Args:
        stored: where they are, of `check_stored`.
        feats: the feature configuration the dump must have been made with; None accepts any.

    Raises:
        MasdError: a folder is not what it should be.
    """

    def __init__(self, stored: Stored, feats: FeatsConfig | None = None) -> None:
        self.readers: list[tuple[Path, set[str], Callable[[str], Values]]] = []
        if stored.embeddings is not None:
            embeddings = Embeddings(stored.embeddings)
            self.readers.append((embeddings.path, set(embeddings.utts), embeddings.read))
        if stored.dump is not None:
            from masd.feats.dump import open_dump

            hand = open_dump(stored.dump, feats).hand

            def read(utt: str) -> Values:
                return {"hand": np.asarray(hand[utt], dtype=np.float32).reshape(-1)}

            self.readers.append((Path(stored.dump), set(hand.utts), read))

    @property
    def utts(self) -> list[str]:
        """All utterances that any folder has, sorted."""
        return sorted(set().union(*(utts for _, utts, _ in self.readers)))

    @property
    def where(self) -> str:
        """The folders, for messages."""
        return " and ".join(str(path) for path, _, _ in self.readers)

    def read(self, utt: str) -> Values:
        """Return an utterance's inputs; `MasdError` if a folder lacks it or a value is not finite."""
        missing = [str(path) for path, utts, _ in self.readers if utt not in utts]
        if missing:
            raise MasdError(f"not in {' and '.join(missing)}")
        values: Values = {}
        for _, _, read in self.readers:
            values |= read(utt)
        parts = [
            part for value in values.values() for part in (value if isinstance(value, tuple) else (value,))
        ]
        if not all(np.isfinite(part).all() for part in parts):
            raise MasdError("its features hold NaN or infinity")
        return values

    def join(self, utts: Sequence[str], rows: Sequence[Values]) -> Inputs:
        """Return utterances' inputs as one block; `MasdError` if they differ in dimension."""
        inputs = Inputs(list(utts))
        try:
            if "compact" in rows[0]:
                inputs.compact = stack_compact(*zip(*(row["compact"] for row in rows), strict=True))
            if "vector" in rows[0]:
                inputs.vectors = np.stack([row["vector"] for row in rows])
            if "hand" in rows[0]:
                inputs.hand = np.stack([row["hand"] for row in rows])
        except ValueError as error:
            raise MasdError(f"{self.where}: utterances differ in dimension ({error})") from None
        return inputs


def load_inputs(
    stored: Stored, utts: Sequence[str], failures: Failures, feats: FeatsConfig | None = None
) -> Inputs:
    """Return the inputs of utterances, joined by id and sorted (see `StoredReader`).

    Those that lack something or hold values that are not finite go to `failures`.

    Raises:
        MasdError: a folder is not what it should be, or nothing could be read.
    """
    reader, wanted, rows = StoredReader(stored, feats), sorted(set(utts)), {}
    for utt in wanted:
        try:
            rows[utt] = reader.read(utt)
        except MasdError as error:
            failures.add(utt, error)
    if not rows:
        failures.check(len(wanted), reader.where)
        raise MasdError(f"none of {len(wanted)} utterances has inputs in {reader.where}")
    return reader.join(list(rows), list(rows.values()))


@dataclass
class StoredSet(ScoredSet[Values]):
    """A set by its stored inputs.

    Args:
        reader: of the inputs.
        utts: the utterances wanted.
        judge: gives what a system says of inputs.
    """

    reader: StoredReader
    utts: list[str]
    judge: Callable[[Inputs], Decided]
    # sums of float32 come out otherwise in blocks of another size
    batch = together = BLOCK

    def read(self, utt: str) -> Values:
        """Return an utterance's inputs."""
        return self.reader.read(utt)

    def decide(self, items: Sequence[Values]) -> Decided:
        """Return what the system says of a block."""
        return self.judge(self.reader.join([""] * len(items), items))
