"""The networks by name, and a network with the loss it is trained by and the score it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from masd.errors import MasdError
from masd.models.normalization import Share
from masd.models.one_class import OCSoftmax, Samo, samo_scores
from masd.stage.own import named_class
from masd.systems.config import FrontEndConfig, NetworkConfig
from masd.systems.waveforms import WaveBatch
from masd.training.precision import autocast_options

XLSR = ["wav2vec2_xlsr_300m"]
FRONT_ENDS = {
    "w2v2_aasist": XLSR,
    "hubert_wavlm": ["hubert_large", "wavlm_large"],
    "sls": XLSR,
    "nes2net": XLSR,
    "mhfa": ["wavlm_large"],
    "antideepfake": XLSR,
}
BACK_ENDS = {
    "sls": "masd.models.sls:Sls",
    "nes2net": "masd.models.nes2net:Nes2Net",
    "mhfa": "masd.models.mhfa:Mhfa",
    "antideepfake": "masd.models.antideepfake:AntiDeepfake",
}


def network(
    system: str,
    front_end: FrontEndConfig,
    architectures: Sequence[Mapping] = (),
    samples: int = NetworkConfig.samples,
) -> nn.Module:
    """Return a system's network with random weights, its front ends read from their checkpoints.

    Args:
        system: its name.
        front_end: where the pretrained front ends are.
        architectures: of front ends whose weights will be loaded afterwards, in place of `front_end`.
        samples: length of the waveforms, which decides the size of sls.

    Raises:
        MasdError: a system or architecture is unknown, or a checkpoint does not fit.
    """
    if system in ("aasist", "samo", "aasist_l"):
        from masd.models.aasist import AASIST, AASIST_L, Aasist

        return Aasist(AASIST_L if system == "aasist_l" else AASIST)
    if system == "rawnet2":
        from masd.models.rawnet2 import RawNet2

        return RawNet2()
    if system == "lfcc_lcnn":
        from masd.models.lcnn import Lcnn

        return Lcnn()
    if system not in FRONT_ENDS:
        raise MasdError(f"system {system}: no network of that name")
    if architectures:
        return on_front_ends(system, architectures, front_end.tuned, samples)
    return _on(system, _front_ends(system, front_end), front_end.tuned, samples)


def on_front_ends(
    system: str, architectures: Sequence[Mapping], tuned: bool = True, samples: int = NetworkConfig.samples
) -> nn.Module:
    """Return a network of `FRONT_ENDS` with random weights, on front ends of these architectures."""
    from masd.models.front_ends import FrontEnd

    return _on(system, [FrontEnd(dict(one)) for one in architectures], tuned, samples)


def _on(system: str, ends: Sequence[Any], tuned: bool, samples: int) -> nn.Module:
    if system in BACK_ENDS:
        sized = {"samples": samples} if system == "sls" else {}
        return named_class(BACK_ENDS[system], f"system {system}:", False)(ends[0], tuned, **sized)
    from masd.models.ssl_aasist import SslAasist

    return SslAasist(ends, tuned)


def _front_ends(system: str, config: FrontEndConfig) -> list:
    from masd.models.front_ends import NAMED, FrontEnd, read_front_end

    expected = FRONT_ENDS[system]
    if config.checkpoints:
        if len(config.checkpoints) != len(expected):
            raise MasdError(
                f"front_end.checkpoints: {system} takes {len(expected)} ({', '.join(expected)}), "
                f"{len(config.checkpoints)} given"
            )
        return [read_front_end(path) for path in config.checkpoints]
    names = config.architectures
    if not names:
        files = ",".join(["FILE"] * len(expected))
        raise MasdError(
            f"{system}: give its pretrained weights, --front_end.checkpoints [{files}] "
            f"(published: {', '.join(expected)}), or take random ones, --front_end.architectures"
        )
    for name in names:
        if name not in NAMED:
            raise MasdError(f"front_end.architectures: {name} is unknown; there are {', '.join(NAMED)}")
    return [FrontEnd(NAMED[name]) for name in names]


class Classifier(nn.Module):
    """A network with its loss.

    Args:
        net: maps waveforms (B, N) to an embedding (B, D) and logits (B, 2), [spoof, bona fide].
        config: loss, margins, class weights.
        class_weights: (spoofed, bona fide) of the cross-entropy.
        speakers: training speakers with bona fide speech, for SAMO.

    Attributes:
        share: None, or what adds up over all processes: the loss is the mean over their batches together.
    """

    share: Share | None = None

    def __init__(
        self,
        net: nn.Module,
        config: NetworkConfig,
        class_weights: tuple[float, float] = (0.5, 0.5),
        speakers: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.net, self.config, self.speakers = net, config, list(speakers)
        self.register_buffer("class_weights", torch.tensor(class_weights), persistent=False)
        margins = (config.m_real, config.m_fake, config.alpha)
        if config.loss == "ocsoftmax":
            self.head: nn.Module | None = OCSoftmax(net.dim, *margins)
        elif config.loss == "samo":
            self.head = Samo(speakers, net.dim, *margins)
        else:
            self.head = None

    @property
    def one_class(self) -> bool:
        """Whether the score is a cosine, rather than a difference of logits."""
        return self.head is not None

    def forward(self, batch: WaveBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean loss and sums to be added up; dropout draws from `generator`.

        With `share`, the loss is this process's part of the mean, the parts to be added up.
        """
        devices = [batch.x.device] if batch.x.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(generator.initial_seed())
            with torch.autocast(batch.x.device.type, **autocast_options(self.config.precision)):
                embedding, logits = self.net(batch.x)
        losses, weight = self.losses(embedding.float(), logits.float(), batch)
        total, count = (losses * weight).sum(), weight.sum()
        every = count if self.share is None else self.share(count)
        return total / every, {"sum/loss_total": total.detach(), "n/loss_total": count}

    def losses(self, embedding: Tensor, logits: Tensor, batch: WaveBatch) -> tuple[Tensor, Tensor]:
        """Return each item's loss (B,) and weight (B,)."""
        ones = torch.ones_like(logits[:, 0])
        if isinstance(self.head, Samo):
            return self.head(embedding, batch.bonafide, batch.speaker), ones
        if isinstance(self.head, OCSoftmax):
            return self.head(embedding, batch.bonafide), ones
        target = batch.bonafide.long()
        return F.cross_entropy(logits, target, reduction="none"), self.class_weights[target]

    def score(
        self, x: Tensor, speakers: Sequence[str] | None = None, enrolled: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Return scores (B,) of waveforms (B, N), higher is more bona fide (see `outputs_score`)."""
        return self.outputs_score(*self.net(x), speakers, enrolled)

    def outputs_score(
        self,
        embedding: Tensor,
        logits: Tensor,
        speakers: Sequence[str] | None = None,
        enrolled: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Return scores (B,): the difference of the logits, or the cosine of the one-class losses.

        Args:
            embedding: (B, D) of the network.
            logits: (B, 2) of the network.
            speakers: claimed speakers, for SAMO with enrolment.
            enrolled: {speaker: mean embedding (D,)}, for SAMO with enrolment.
        """
        if isinstance(self.head, Samo):
            return samo_scores(embedding.float(), self.head.attractors, speakers, enrolled)
        if isinstance(self.head, OCSoftmax):
            return self.head.score(embedding.float())
        return (logits[:, 1] - logits[:, 0]).float()


def class_weights(bonafide: Sequence[bool], given: Sequence[float]) -> tuple[float, float]:
    """Return the weights of (spoofed, bona fide): those given, else inverse to the classes' numbers, sum 1.

    Raises:
        MasdError: there are no given weights and a class is missing.
    """
    if given:
        return float(given[0]), float(given[1])
    real = sum(bool(b) for b in bonafide) / max(len(bonafide), 1)
    if real in (0.0, 1.0):
        raise MasdError("training needs both bona fide and spoofed utterances")
    return real, 1.0 - real
