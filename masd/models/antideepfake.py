"""AntiDeepfake (Ge et al., 2025): a pretrained front end's mean over time, and a linear layer."""

from __future__ import annotations

from torch import Tensor, nn

from masd.models.front_ends import FrontEnd, OnFrontEnds


class AntiDeepfake(OnFrontEnds, nn.Module):
    """The last layer's frames, their mean, two logits; names are those of the released checkpoints.

    Args:
        front_end: wav2vec 2.0, XLS-R or MMS.
        tuned: whether the front end is trained on; else it is frozen.
    """

    def __init__(self, front_end: FrontEnd, tuned: bool = True) -> None:
        super().__init__()
        self.attach([front_end], tuned)
        self.dim = front_end.dim
        self.proj_fc = nn.Linear(self.dim, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map waveforms (B, N) at 16 kHz to (B, D) and logits (B, 2), [spoof, bona fide]."""
        with self.front_end_grad():
            embedding = self.front_ends[0](x).mean(1)
        return embedding, self.proj_fc(embedding)
