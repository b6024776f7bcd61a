"""Acoustic tokens: the encoder's frames as k-means units, written as text, under a unigram language model.

The model (sentencepiece, unigram) is trained on bona fide speech alone, so that an utterance's
log-likelihood for each unit is a one-class score: speech whose sequence of units is unlike that of
recordings scores low.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from masd.audio.speech import Leveller, Speech, seconds_of
from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.stage.files import config_from, input_digest
from masd.stage.seeding import derive
from masd.systems.base import WaveformSystem
from masd.systems.config import TokensConfig
from masd.systems.gmm import sampled

if TYPE_CHECKING:
    from masd.models.encoder import Encoder
    from masd.systems.train import Job

log = logging.getLogger(__name__)

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


class TokenSystem(WaveformSystem):
    """Acoustic tokens: log-likelihood for each unit under the unigram model of bona fide speech.

    Args:
        config: of the tokens.
        feats: front end of the encoder.
        encoder: the pretrained encoder, frozen, evaluating.
        centroids: (K, D).
        unigram: serialised sentencepiece model.
    """

    type = "tokens"
    one_class = True

    def __init__(
        self,
        name: str,
        config: TokensConfig,
        feats: FeatsConfig,
        encoder: Encoder,
        centroids: np.ndarray,
        unigram: bytes,
    ) -> None:
        super().__init__(name)
        self.config, self.feats, self.encoder = config, feats, encoder
        self.centroids, self.serialised = centroids, unigram
        self.unigram = Unigram(unigram, config.nbest)

    @classmethod
    def uses(cls, job: Job) -> Any:
        """Return the settings and the encoder's digest."""
        return [job.settings.tokens, input_digest(_ssl(job))]

    @classmethod
    def fit(cls, job: Job, work: str = "", force: bool = False) -> TokenSystem:
        """Fit units and unigram model and calibrate on the development set."""
        started = time.monotonic()
        system = cls.learn(job)
        return job.calibrate(system, job.raw_dev(system), started)

    @classmethod
    def learn(cls, job: Job) -> TokenSystem:
        """Return units and unigram model of the training set's bona fide speech, not calibrated.

        Raises:
            MasdError: there is no encoder, or too little speech.
        """
        from masd.models.encoder import load_encoder

        encoder, _, feats = load_encoder(_ssl(job))
        config = job.settings.tokens
        # bona fide speech alone, for the units too: nothing of the system has seen a fake
        real = [utt for utt in job.train.utts if job.train.lab(utt) == "bonafide"]
        waves = job.speech(job.train, real, cls.hearing)
        frames = {utt: encoder_frames(encoder, feats, x) for utt, x in waves}
        pool = sampled(iter(frames.values()), max(config.kmeans_frames // max(len(real), 1), 1), job.seed)
        centroids = fit_units(pool, config.units, derive(job.seed, "units") % 2**31)
        texts = [as_text(to_units(z, centroids), config.collapse) for z in frames.values()]
        total = sum(len(z) for z in frames.values())
        log.info("%d frames of %d utterances, %d units", total, len(texts), sum(map(len, texts)))
        return cls("tokens", config, feats, encoder, centroids, train_unigram(texts, config.vocabulary))

    def raw(self, waves: Sequence[np.ndarray], speakers: Sequence[str]) -> np.ndarray:
        """Return each recording's log-likelihood for a unit."""
        out = []
        for x in waves:
            frames = encoder_frames(self.encoder, self.feats, x[: self.hearing.samples])
            units = to_units(frames, self.centroids)
            out.append(self.unigram.log_likelihood(as_text(units, self.config.collapse)))
        return np.array(out)

    @property
    def parameters(self) -> int:
        """Parameters of the encoder, the centroids, and the unigram model's scores."""
        count = sum(p.numel() for p in self.encoder.parameters())
        return count + self.centroids.size + self.unigram.processor.get_piece_size()

    def parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the configurations, and encoder, centroids and unigram model as tensors."""
        tensors = {f"encoder.{k}": v.numpy() for k, v in self.encoder.state_dict().items()}
        tensors["centroids"] = self.centroids
        tensors["unigram"] = np.frombuffer(self.serialised, dtype=np.uint8)
        return {"tokens": self.config, "feats": self.feats, "encoder": self.encoder.config}, tensors

    @classmethod
    def of(
        cls, name: str, settings: dict[str, Any], tensors: dict[str, np.ndarray], folder: Path
    ) -> TokenSystem:
        """Return the system that `parts` described."""
        import torch

        from masd.models.config import EncoderConfig
        from masd.models.encoder import Encoder
        from masd.models.state import load_state

        where = folder / "model.yaml"
        feats = FeatsConfig.from_dict(settings["feats"], where)
        encoder = Encoder(
            config_from(EncoderConfig, settings["encoder"], where), feats.n_mels, feats.f_min, feats.f_max
        )
        state = {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
        load_state(encoder, {k: torch.from_numpy(v) for k, v in state.items()}, where)
        config = config_from(TokensConfig, settings["tokens"], where)
        encoder.eval().requires_grad_(False)
        return cls(name, config, feats, encoder, tensors["centroids"], tensors["unigram"].tobytes())


def _ssl(job: Job) -> Path:
    if job.ssl is None:
        raise MasdError("tokens: give the pretrained encoder, --ssl exp/<size>/ssl_<tag>")
    return job.ssl


def encoder_frames(encoder: Encoder, feats: FeatsConfig, x: np.ndarray) -> np.ndarray:
    """Return the encoder's fused frames (T', D) of a recording x (N,), scaled and dithered as for dumps."""
    import torch

    from masd.feats.logmel import logmel

    speech = Speech(seconds_of(x, feats.sample_rate), feats.sample_rate, feats.skip_silence)
    level = Leveller(speech.level, feats.dither, feats.dither_seed)
    mel = torch.from_numpy(logmel(level(speech.read()), feats))[None]
    with torch.inference_mode():
        z, _ = encoder(mel, torch.tensor([mel.shape[1]]))
        return encoder.fuse(z)[0].numpy()
