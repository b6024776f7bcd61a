"""Every choice of training a system; apart from the systems, so that argument parsers need not load torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from masd.audio.augment import AugmentConfig
from masd.errors import MasdError
from masd.svm.config import FitConfig

NETWORKS = (
    *("rawnet2", "aasist", "aasist_l", "samo", "lfcc_lcnn", "w2v2_aasist", "hubert_wavlm"),
    *("sls", "nes2net", "mhfa", "antideepfake"),
)
RATE = 16000
SHORTEST = 0.1  # seconds


@dataclass(frozen=True)
class NetworkConfig:
    """How a network is trained; each system's published values stand in utils/conf/systems/<system>.yaml.

    Args:
        epochs: passes over the training set.
        batch: utterances of one optimiser step over all processes.
        lr: Adam's learning rate.
        lr_min: where a cosine schedule ends.
        betas: Adam's.
        weight_decay: Adam's L2 penalty.
        warmup: steps over which the learning rate rises linearly from zero.
        schedule: `constant`, or `cosine` to `lr_min`.
        clip: largest gradient norm; 0 for no limit.
        samples: length of the input; shorter utterances are repeated to it.
        crop: what of a longer training utterance is taken: `random`, or `first` as at test.
        loss: `softmax` (class-weighted cross-entropy), `ocsoftmax` or `samo`.
        class_weights: of spoofed and bona fide utterances in the cross-entropy; empty: inverse to their
            numbers, which on ASVspoof 2019 LA is the published [0.1, 0.9].
        m_real: margin of bona fide speech in the one-class losses.
        m_fake: margin of spoofed speech in them.
        alpha: their scale.
        renew: epochs between two renewals of SAMO's attractors.
        select: what chooses the epoch on the development set: `eer` (ties: loss) or `loss`.
        epoch_utts: utterances of what counts as an epoch, a different part each; 0 for all.
        dev_utts: utterances of the development set that are judged, the same every time; 0 for all.
        budget: utterance-steps in all, in place of `epochs`; 0 for none.
        precision: `float32`, `bf16` or `fp16` (forward pass; weights stay float32).
        threads: threads of one process. The bits depend on it, so it is not taken from the machine.
        deterministic: the same bits every time on a GPU too, by slower algorithms.
        workers: processes that read data; 0 reads in the training process.
        save_minutes: time between two saves inside an epoch.
        device: `auto` (a GPU if there is one), `cpu` or `cuda`.
    """

    epochs: int = 100
    batch: int = 24
    lr: float = 1e-4
    lr_min: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-4
    warmup: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    clip: float = 0.0
    samples: int = 64600
    crop: Literal["random", "first"] = "random"
    loss: Literal["softmax", "ocsoftmax", "samo"] = "softmax"
    class_weights: list[float] = field(default_factory=list)
    m_real: float = 0.7
    m_fake: float = 0.0
    alpha: float = 20.0
    renew: int = 3
    select: Literal["eer", "loss"] = "eer"
    epoch_utts: int = 0
    dev_utts: int = 0
    budget: int = 0
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    threads: int = 1
    deterministic: bool = False
    workers: int = 0
    save_minutes: float = 10.0
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for key, low in (("epochs", 1), ("batch", 2), ("samples", 4000), ("renew", 1), ("threads", 1)):
            if getattr(self, key) < low:
                raise MasdError(f"network.{key}: {getattr(self, key)} is less than {low}")
        if len(self.class_weights) not in (0, 2):
            raise MasdError(
                "network.class_weights: two numbers, of spoofed and bona fide utterances, or none"
            )

    def epoch_size(self, utterances: int) -> int:
        """Return how many of a set's utterances an epoch has: at least two."""
        return max(min(n for n in (self.epoch_utts, self.budget, utterances) if n), 2)


@dataclass(frozen=True)
class FrontEndConfig:
    """The pretrained front ends of w2v2_aasist, hubert_wavlm, sls, nes2net, mhfa and antideepfake.

    Args:
        checkpoints: files, or Hugging Face folders, in the order of the system's front ends; none: random
            weights of the `architecture` (for tests, and to see what pretraining gives).
        architectures: torchaudio's name for each (`wav2vec2_xlsr_300m`, `hubert_large`, `wavlm_large`, ...),
            where there are no checkpoints.
        tuned: whether they are trained on too; else they are frozen.
    """

    checkpoints: list[str] = field(default_factory=list)
    architectures: list[str] = field(default_factory=list)
    tuned: bool = True


@dataclass(frozen=True)
class GmmConfig:
    """LFCC-GMM, one mixture for bona fide and one for spoofed speech.

    Args:
        components: diagonal Gaussians of each mixture [512].
        iterations: of expectation-maximisation [10].
        max_frames: most frames a mixture is trained on, drawn over all utterances.
        init_frames: most frames that k-means starts it from.
        window: LFCC window, samples.
        hop: LFCC hop, samples.
        n_fft: points of the Fourier transform.
        f_max: upper edge of the filters, Hz.
    """

    components: int = 512
    iterations: int = 10
    max_frames: int = 2_000_000
    init_frames: int = 50_000
    window: int = 320
    hop: int = 160
    n_fft: int = 512
    f_max: float = 8000.0


@dataclass(frozen=True)
class TokensConfig:
    """Acoustic tokens: k-means units of the encoder's frames under a unigram model of bona fide speech.

    Args:
        units: clusters.
        kmeans_frames: most frames the clusters are fitted on.
        vocabulary: pieces of the sentencepiece model (fewer where the text does not give so many).
        collapse: whether repetitions of a unit count once.
        nbest: segmentations that the likelihood sums over; 1 takes the best alone.
    """

    units: int = 128
    kmeans_frames: int = 200_000
    vocabulary: int = 512
    collapse: bool = True
    nbest: int = 1


@dataclass(frozen=True)
class Settings:
    """All settings of training; each system uses its own part.

    Args:
        fit: fusion and SVM of MASD's rows.
        network: how a network is trained.
        front_end: pretrained front ends of a network.
        augment: augmentation of a network's training waveforms; off by default.
        gmm: LFCC-GMM.
        tokens: acoustic tokens.
        options: what the class of a system of your own is made with.
    """

    fit: FitConfig = FitConfig()  # noqa: RUF009 - frozen
    network: NetworkConfig = NetworkConfig()
    front_end: FrontEndConfig = FrontEndConfig()
    augment: AugmentConfig = AugmentConfig()  # noqa: RUF009 - frozen
    gmm: GmmConfig = GmmConfig()
    tokens: TokensConfig = TokensConfig()
    options: dict[str, Any] = field(default_factory=dict)
