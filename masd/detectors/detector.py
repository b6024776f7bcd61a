"""A trained comparison system: from recordings to scores; its folder on disk.

Raw scores (a log-likelihood ratio, or a one-class measure) are higher for bona fide speech. As for MASD,
f = offset - raw is positive for fake, the score is -f / T, P(fake) = 1 / (1 + exp(score)).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from masd.detectors.config import (
    RATE,
    FrontEndConfig,
    GmmConfig,
    TokensConfig,
    TrainConfig,
    check_system,
)
from masd.detectors.data import fit_length
from masd.errors import MasdError
from masd.stage.devices import exact
from masd.stage.files import config_from, sha256, write_yaml

if TYPE_CHECKING:
    from torch import Tensor

    from masd.detectors.gmm import Gmm
    from masd.detectors.networks import Objective
    from masd.feats.config import FeatsConfig
    from masd.models.encoder import Encoder

FORMAT = 1
LONGEST = 30.0  # seconds that systems on whole recordings hear
AT_ONCE = 8


class Detector(ABC):
    """A trained system.

    Attributes:
        system: its name.
        info: what model.yaml says: calibration, thresholds, training, the parts below.
        one_class: whether raw scores have no natural zero, so that `offset` is the development threshold.
    """

    system: str
    info: dict[str, Any]
    one_class = False

    @property
    def seconds(self) -> float:
        """How much of a recording is heard at most."""
        return LONGEST

    @property
    def samples(self) -> int:
        """The same in samples."""
        return round(self.seconds * RATE)

    @abstractmethod
    def raw(self, waves: Sequence[np.ndarray], speakers: Sequence[str]) -> np.ndarray:
        """Return raw scores (B,), higher for bona fide, of recordings at 16 kHz.

        Args:
            waves: (N_b,) each, from the first sound on; more than `seconds` are not looked at.
            speakers: claimed speakers; only SAMO with enrolment looks at them.
        """

    @abstractmethod
    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what a folder keeps: plain settings, and tensors."""

    @property
    def calibrated(self) -> bool:
        """Whether temperature and affine map were fitted, as those of released weights are not."""
        return bool(self.info.get("calibrated", True))

    @property
    def parameters(self) -> int:
        """Trained numbers."""
        return sum(tensor.numel() for tensor in self.parts()[1].values())

    def decisions(self, raw: np.ndarray) -> np.ndarray:
        """Return f (N,), positive for fake."""
        return float(self.info.get("offset", 0.0)) - np.asarray(raw, np.float64)

    def scores(self, decision: np.ndarray) -> np.ndarray:
        """Return -f / T: higher is more bona fide."""
        return -np.asarray(decision) / float(self.info["temperature"]["value"])

    def affine_scores(self, decision: np.ndarray) -> np.ndarray:
        """Return -(a f + b), the affinely calibrated score."""
        affine = self.info["affine"]
        return -(float(affine["a"]) * np.asarray(decision) + float(affine["b"]))

    def save(self, folder: str | Path) -> None:
        """Write the model folder; model.yaml, which states the other files' digests, comes last."""
        from masd.models.state import write_tensors

        folder = Path(folder)
        (folder / "model.yaml").unlink(missing_ok=True)
        settings, tensors = self.parts()
        write_tensors(folder / "detector.safetensors", tensors)
        files = {"detector.safetensors": sha256(folder / "detector.safetensors")}
        head = {"format": FORMAT, "system": self.system, "detector": settings}
        write_yaml(folder / "model.yaml", head | self.info | {"files": files})


class NetDetector(Detector):
    """A network on waveforms of one length.

    Args:
        system: its name.
        objective: network and loss head, evaluating.
        info: what model.yaml says.
        enrolled: {speaker: mean embedding (D,)} for SAMO with enrolment.
    """

    def __init__(
        self,
        system: str,
        objective: Objective,
        info: dict[str, Any] | None = None,
        enrolled: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.system, self.objective, self.info = system, objective, info or {}
        self.enrolled = enrolled
        self.one_class = objective.one_class
        self.device = "cpu"

    def to(self, device: str) -> None:
        """Compute on torch's `device` from now on."""
        self.objective.to(device)
        self.device = device

    @property
    def seconds(self) -> float:
        """How much of a recording is heard at most."""
        return self.objective.config.samples / RATE

    @property
    def parameters(self) -> int:
        """Parameters of the network and of the loss's centre, if it has one."""
        return sum(p.numel() for p in self.objective.parameters())

    def _stacked(self, waves: Sequence[np.ndarray]) -> Tensor:
        import torch

        stacked = np.stack([fit_length(x, self.objective.config.samples) for x in waves])
        return torch.from_numpy(stacked).to(self.device)

    def raw(self, waves: Sequence[np.ndarray], speakers: Sequence[str]) -> np.ndarray:
        """Return raw scores (B,) of the recordings' beginnings (see `Detector.raw`)."""
        import torch

        with torch.inference_mode(), exact():
            parts = [
                self.objective.score(self._stacked(waves[part]), speakers[part], self.enrolled).double()
                for part in self._parts(len(waves))
            ]
        return torch.cat(parts).cpu().numpy()

    def embeddings(self, waves: Sequence[np.ndarray]) -> Tensor:
        """Return embeddings (B, D) of the recordings' beginnings."""
        import torch

        with torch.inference_mode(), exact():
            parts = [self.objective.net(self._stacked(waves[part]))[0] for part in self._parts(len(waves))]
        return torch.cat(parts).float().cpu()

    def _parts(self, count: int) -> list[slice]:
        """On the CPU one at a time: a batch's size shows in the last digits."""
        size = 1 if self.device == "cpu" else count
        return [slice(i, i + size) for i in range(0, count, size)]

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the loss's settings, SAMO's speakers, the front ends' architectures, and all tensors."""
        net = self.objective.net
        ends = [one.architecture for one in getattr(net, "front_ends", ())]
        train = self.objective.config
        kept = {name: getattr(train, name) for name in ("loss", "samples", "m_real", "m_fake", "alpha")}
        settings = {"train": kept, "speakers": self.objective.speakers, "front_ends": ends}
        return settings, self.objective.state_dict()

    @classmethod
    def of(cls, info: dict[str, Any], tensors: dict[str, Tensor], where: Path) -> NetDetector:
        """Return the detector that `parts` described."""
        from masd.detectors.networks import Objective, network
        from masd.models.state import load_state

        settings = info["detector"]
        net = network(info["system"], FrontEndConfig(), settings["front_ends"])
        train = config_from(TrainConfig, settings["train"], where)
        objective = Objective(net, train, speakers=settings["speakers"])
        load_state(objective, tensors, where)
        return cls(info["system"], objective.eval().requires_grad_(False), info)


class GmmDetector(Detector):
    """LFCC-GMM: the mean log-likelihood ratio of the frames of the recording, of its first 30 s.

    Args:
        config: front end.
        bonafide: mixture of bona fide speech.
        spoof: mixture of spoofed speech.
        info: what model.yaml says.
    """

    system = "lfcc_gmm"

    def __init__(
        self, config: GmmConfig, bonafide: Gmm, spoof: Gmm, info: dict[str, Any] | None = None
    ) -> None:
        self.config, self.bonafide, self.spoof, self.info = config, bonafide, spoof, info or {}
        self.front_end = gmm_front_end(config)

    def raw(self, waves: Sequence[np.ndarray], speakers: Sequence[str]) -> np.ndarray:
        """Return mean log p(x | bona fide) - log p(x | spoof) of each recording (see `Detector.raw`)."""
        frames = [lfcc_frames(self.front_end, x[: round(LONGEST * RATE)]) for x in waves]
        ratio = [self.bonafide.log_likelihood(x) - self.spoof.log_likelihood(x) for x in frames]
        return np.array([one.mean() for one in ratio])

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the front end's settings and both mixtures."""
        import torch

        tensors = {
            f"{name}.{key}": torch.from_numpy(np.ascontiguousarray(value))
            for name, gmm in (("bonafide", self.bonafide), ("spoof", self.spoof))
            for key, value in vars(gmm).items()
        }
        return {"gmm": self.config}, tensors

    @classmethod
    def of(cls, info: dict[str, Any], tensors: dict[str, Tensor], where: Path) -> GmmDetector:
        """Return the detector that `parts` described."""
        from masd.detectors.gmm import Gmm

        config = config_from(GmmConfig, info["detector"]["gmm"], where)
        mixtures = []
        for name in ("bonafide", "spoof"):
            keys = [f"{name}.{key}" for key in ("weights", "means", "variances")]
            if any(key not in tensors for key in keys):
                raise MasdError(f"{where}: lacks the mixture {name}; train the detector again")
            mixtures.append(Gmm(*(tensors[key].double().numpy() for key in keys)))
        return cls(config, mixtures[0], mixtures[1], info)


def gmm_front_end(config: GmmConfig) -> Any:
    """Return the LFCC module of a GMM's settings."""
    from masd.feats.lfcc import Lfcc, LfccConfig

    return Lfcc(LfccConfig(window=config.window, hop=config.hop, n_fft=config.n_fft, f_max=config.f_max))


def lfcc_frames(front_end: Any, x: np.ndarray) -> np.ndarray:
    """Return LFCC (T, 60), float32, of a waveform (N,)."""
    import torch

    with torch.inference_mode():
        return front_end(torch.from_numpy(np.ascontiguousarray(x, np.float32))[None])[0].numpy()


class TokenDetector(Detector):
    """Acoustic tokens: log-likelihood for each unit under the unigram model of bona fide speech.

    Args:
        config: of the tokens.
        feats: front end of the encoder.
        encoder: the pretrained encoder, frozen, evaluating.
        centroids: (K, D).
        unigram: serialised sentencepiece model.
        info: what model.yaml says.
    """

    system = "tokens"
    one_class = True

    def __init__(
        self,
        config: TokensConfig,
        feats: FeatsConfig,
        encoder: Encoder,
        centroids: np.ndarray,
        unigram: bytes,
        info: dict[str, Any] | None = None,
    ) -> None:
        from masd.detectors.tokens import Unigram

        self.config, self.feats, self.encoder, self.info = config, feats, encoder, info or {}
        self.centroids, self.serialised = centroids, unigram
        self.unigram = Unigram(unigram, config.nbest)

    def raw(self, waves: Sequence[np.ndarray], speakers: Sequence[str]) -> np.ndarray:
        """Return each recording's log-likelihood for a unit (see `Detector.raw`)."""
        from masd.detectors.tokens import as_text, to_units

        out = []
        for x in waves:
            frames = encoder_frames(self.encoder, self.feats, x[: round(LONGEST * RATE)])
            units = to_units(frames, self.centroids)
            out.append(self.unigram.log_likelihood(as_text(units, self.config.collapse)))
        return np.array(out)

    @property
    def parameters(self) -> int:
        """Parameters of the encoder, the centroids, and the unigram model's scores."""
        count = sum(p.numel() for p in self.encoder.parameters())
        return count + self.centroids.size + self.unigram.processor.get_piece_size()

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the configurations, and encoder, centroids and unigram model as tensors."""
        import torch

        tensors = {f"encoder.{k}": v for k, v in self.encoder.state_dict().items()}
        tensors["centroids"] = torch.from_numpy(self.centroids)
        tensors["unigram"] = torch.frombuffer(bytearray(self.serialised), dtype=torch.uint8)
        return {"tokens": self.config, "feats": self.feats, "encoder": self.encoder.config}, tensors

    @classmethod
    def of(cls, info: dict[str, Any], tensors: dict[str, Tensor], where: Path) -> TokenDetector:
        """Return the detector that `parts` described."""
        from masd.feats.config import FeatsConfig
        from masd.models.encoder import Encoder, EncoderConfig
        from masd.models.state import load_state

        settings = info["detector"]
        feats = FeatsConfig.from_dict(settings["feats"], where)
        encoder = Encoder(
            config_from(EncoderConfig, settings["encoder"], where), feats.n_mels, feats.f_min, feats.f_max
        )
        state = {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
        load_state(encoder, state, where)
        if not {"centroids", "unigram"} <= tensors.keys():
            raise MasdError(f"{where}: lacks the units or their model; train the detector again")
        config = config_from(TokensConfig, settings["tokens"], where)
        centroids, unigram = tensors["centroids"].numpy(), tensors["unigram"].numpy().tobytes()
        return cls(config, feats, encoder.eval().requires_grad_(False), centroids, unigram, info)


def encoder_frames(encoder: Encoder, feats: FeatsConfig, x: np.ndarray) -> np.ndarray:
    """Return the encoder's fused frames (T', D) of a recording x (N,), scaled and dithered as for dumps."""
    import torch

    from masd.audio.speech import Leveller, Speech, seconds_of
    from masd.feats.logmel import logmel

    speech = Speech(seconds_of(x, feats.sample_rate), feats.sample_rate, feats.skip_silence)
    level = Leveller(speech.level, feats.dither, feats.dither_seed)
    mel = logmel(level(speech.read()), feats)[None]
    with torch.inference_mode():
        z, _ = encoder(mel, torch.tensor([mel.shape[1]]))
        return encoder.fuse(z)[0].numpy()


def load_detector(folder: str | Path) -> Detector:
    """Read a model folder that train_detector made; nothing in it is unpickled and none of it is code.

    Raises:
        MasdError: it is none, was cut short, or its tensors do not fit what it states.
    """
    from masd.models.state import check_finite, read_tensors
    from masd.svm.system import read_info

    folder = Path(folder)
    info = read_info(folder)
    if "detector" not in info:
        raise MasdError(f"{folder}: a model of fit_svm, not of train_detector; score it with masd.bin.score")
    tensors = read_tensors(folder / "detector.safetensors")
    check_finite(tensors, folder / "detector.safetensors")
    kinds: dict[str, Any] = {"lfcc_gmm": GmmDetector, "tokens": TokenDetector}
    kind = kinds.get(check_system(info["system"]), NetDetector)
    try:
        return kind.of(info, tensors, folder / "model.yaml")
    except (KeyError, TypeError, ValueError) as error:
        raise MasdError(f"{folder}/model.yaml: cannot be used ({error!r}); train it again") from None


def released_detector(system: str, checkpoint: str | Path) -> NetDetector:
    """Return a detector with released weights: scores are the difference of logits, threshold 0, T 1."""
    from masd.detectors.networks import released

    info = {
        "system": system,
        "temperature": {"value": 1.0},
        "affine": {"a": 1.0, "b": 0.0, "prior": 0.5},
        "thresholds": {"dev_eer": 0.0, "dev_eer_affine": 0.0},
        "calibrated": False,
    }
    return NetDetector(system, released(system, checkpoint), info)
