"""Acoustic tokens: the encoder's frames as k-means units, written as text, under a unigram language model.

The model (sentencepiece, unigram) is trained on bona fide speech alone, so that an utterance's
log-likelihood for each unit is a one-class score: speech whose sequence of units is unlike that of
recordings scores low.
"""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np

from masd.errors import MasdError

FIRST = 0x4E00  # units become the characters from here on: letters to sentencepiece, none normalised away
LONGEST = 4000  # most units a line of training text has


def as_text(units: np.ndarray, collapse: bool) -> str:
    """Return units (T,) as a string, a character each; with `collapse` repetitions count once."""
    units = np.asarray(units)
    if collapse and len(units):
        units = units[np.concatenate([[True], units[1:] != units[:-1]])]
    return "".join(chr(FIRST + int(unit)) for unit in units)


def fit_units(frames: np.ndarray, units: int, seed: int) -> np.ndarray:
    """Return the centroids (K, D), float32, of k-means over frames (N, D).

    Raises:
        MasdError: there are fewer frames than units.
    """
    from sklearn.cluster import MiniBatchKMeans

    if len(frames) < units:
        raise MasdError(f"tokens.units: {units} are more than there are frames ({len(frames)})")
    found = MiniBatchKMeans(units, random_state=seed, batch_size=4096, n_init=3, max_iter=100).fit(frames)
    return found.cluster_centers_.astype(np.float32)


def to_units(frames: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return the nearest centroid (T,) of each frame (T, D)."""
    square = (centroids.astype(np.float64) ** 2).sum(1)
    return np.argmin(square - 2 * frames.astype(np.float64) @ centroids.T.astype(np.float64), axis=1)


def train_unigram(texts: Iterable[str], vocabulary: int) -> bytes:
    """Return a serialised sentencepiece unigram model of unit strings.

    Every unit that occurs is a piece of its own, so nothing seen in training is unknown.

    Args:
        texts: the utterances.
        vocabulary: pieces wanted; fewer where the texts do not hold as many.

    Raises:
        MasdError: the texts are too few or too uniform for any model.
    """
    import sentencepiece

    lines = [text[:LONGEST] for text in texts if text]
    alphabet = len(set("".join(lines)))
    size = max(vocabulary, alphabet + 3)
    for attempt in (size, size // 2, alphabet + 16, alphabet + 3):
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                model_type="unigram",
                vocab_size=max(attempt, alphabet + 3),
                hard_vocab_limit=False,
                character_coverage=1.0,
                normalization_rule_name="identity",
                add_dummy_prefix=False,
                split_by_unicode_script=False,
                max_sentence_length=4 * LONGEST,
                num_threads=1,
                bos_id=-1,
                eos_id=-1,
                minloglevel=2,
            )
        except (RuntimeError, OSError):  # more pieces asked for than the text holds
            continue
        return model.getvalue()
    raise MasdError("tokens: no unigram model can be made of so little bona fide speech; use more")


class Unigram:
    """A trained unigram model.

    Args:
        model: what `train_unigram` returned.
        nbest: segmentations whose likelihoods are summed; 1 takes the best alone.
    """

    def __init__(self, model: bytes, nbest: int = 1) -> None:
        import sentencepiece

        try:
            self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except (RuntimeError, OSError) as error:
            raise MasdError(f"tokens: no sentencepiece model ({' '.join(str(error).split())})") from None
        self.nbest = nbest
        pieces = [self.processor.get_score(k) for k in range(self.processor.get_piece_size())]
        # of a unit never seen in training: ten below the least likely piece, as in sentencepiece's own search
        self.unknown = min(pieces) - 10.0

    def log_likelihood(self, text: str) -> float:
        """Return log P(text) for each unit: of the best segmentation, or summed over the `nbest` best.

        Raises:
            MasdError: the text is empty.
        """
        if not text:
            raise MasdError("tokens: an utterance without units")
        found = self.processor.nbest_encode(text, nbest_size=self.nbest, out_type=str)
        return float(np.logaddexp.reduce([sum(map(self._score, pieces)) for pieces in found]) / len(text))

    def _score(self, piece: str) -> float:
        number = self.processor.piece_to_id(piece)
        if self.processor.is_unknown(number):  # sentencepiece joins those that stand side by side
            return self.unknown * len(piece)
        return self.processor.get_score(number)
