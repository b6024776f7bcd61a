"""One-class losses on the unit sphere: OC-Softmax and speaker attractors (SAMO)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def margin_loss(cosine: Tensor, bonafide: Tensor, m_real: float, m_fake: float, alpha: float) -> Tensor:
    """Return each item's softplus(alpha (m_real - cos)) if bona fide, softplus(alpha (cos - m_fake)) if not.

    Eq. 4 of Zhang, Jiang, Duan (IEEE SPL 2021) of cosines (B,) to a centre; bona fide speech is drawn within
    an angle of it, spoofed speech pushed out of a wider one.
    """
    return F.softplus(alpha * torch.where(bonafide, m_real - cosine, cosine - m_fake))


class OCSoftmax(nn.Module):
    """One-class softmax: one learnt centre; the score is the cosine to it.

    Args:
        dim: dimension of the embedding.
        m_real: margin of bona fide speech (published 0.9; 0.7 in SAMO's comparison).
        m_fake: margin of spoofed speech (0.2; 0.0).
        alpha: scale (20).
    """

    def __init__(self, dim: int, m_real: float = 0.9, m_fake: float = 0.2, alpha: float = 20.0) -> None:
        super().__init__()
        self.m_real, self.m_fake, self.alpha = m_real, m_fake, alpha
        self.center = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(1, dim), 0.25))

    def score(self, embedding: Tensor) -> Tensor:
        """Return (B,) cosines of (B, D), higher is more bona fide."""
        return F.cosine_similarity(embedding, self.center)

    def forward(self, embedding: Tensor, bonafide: Tensor) -> Tensor:
        """Return each item's loss (B,)."""
        return margin_loss(self.score(embedding), bonafide, self.m_real, self.m_fake, self.alpha)


class Samo(nn.Module):
    """Speaker attractor multi-centre one-class learning (Ding, Zhang, Duan, ICASSP 2023).

    Each training speaker has an attractor: first a one-hot vector, later the mean of the speaker's bona
    fide embeddings, renewed every few epochs (`renew`). Bona fide speech is drawn to its own speaker's
    attractor, spoofed speech pushed away from the nearest of all.

    Args:
        speakers: training speakers with bona fide speech.
        dim: dimension of the embedding.
        m_real: margin of bona fide speech.
        m_fake: margin of spoofed speech.
        alpha: scale.

    Attributes:
        attractors: buffer (K, D) in the order of `speakers`.
    """

    def __init__(
        self, speakers: Sequence[str], dim: int, m_real: float = 0.7, m_fake: float = 0.0, alpha: float = 20.0
    ) -> None:
        super().__init__()
        self.index = {name: k for k, name in enumerate(speakers)}
        self.m_real, self.m_fake, self.alpha = m_real, m_fake, alpha
        # more speakers than dimensions share axes until the first renewal
        self.register_buffer("attractors", torch.eye(dim)[torch.arange(len(speakers)) % dim])

    def renew(self, means: Mapping[str, Tensor]) -> None:
        """Replace attractors by speakers' mean embeddings (D,); those not named stay."""
        for name, mean in means.items():
            self.attractors[self.index[name]] = mean.to(self.attractors)

    def forward(self, embedding: Tensor, bonafide: Tensor, speaker: Tensor) -> Tensor:
        """Return each item's loss (B,).

        Args:
            embedding: (B, D).
            bonafide: (B,) booleans.
            speaker: (B,) positions in `speakers`, -1 for one without attractor (the nearest counts).
        """
        cosine = cosines(embedding, self.attractors)
        own = cosine.gather(1, speaker.clamp_min(0)[:, None]).squeeze(1)
        chosen = torch.where(bonafide & (speaker >= 0), own, cosine.amax(1))
        return margin_loss(chosen, bonafide, self.m_real, self.m_fake, self.alpha)


def cosines(embedding: Tensor, attractors: Tensor) -> Tensor:
    """Return (B, K) cosines of embeddings (B, D) and attractors (K, D)."""
    return F.normalize(embedding, dim=1) @ F.normalize(attractors, dim=1).T


def samo_scores(
    embedding: Tensor,
    attractors: Tensor,
    speakers: Sequence[str] | None = None,
    enrolled: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Return (B,) scores, higher is more bona fide, in one of SAMO's two inference modes.

    Without enrolment: the largest cosine over the training attractors. With enrolment: the cosine to the
    claimed speaker's own attractor, and the largest cosine for speakers who are not enrolled.

    Args:
        embedding: (B, D).
        attractors: (K, D) of the training speakers.
        speakers: the claimed speaker of each item.
        enrolled: mean embedding (D,) of each enrolled speaker.
    """
    scores = cosines(embedding, attractors).amax(1)
    if not enrolled or speakers is None:
        return scores
    for row, name in enumerate(speakers):
        if name in enrolled:
            scores[row] = F.cosine_similarity(embedding[row], enrolled[name].to(embedding), dim=0)
    return scores
