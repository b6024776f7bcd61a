"""Training a network on bona fide and spoofed waveforms: what masd.training.loop needs to know of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from masd.metrics.eer import eer
from masd.models.normalization import share_batch_norms
from masd.models.one_class import Samo
from masd.models.state import write_tensors
from masd.ssl.data import FIXED
from masd.stage.files import write_json
from masd.systems.classifier import Classifier
from masd.systems.waveforms import WaveBatch, Waveforms
from masd.training.distributed import Processes
from masd.training.loop import Loop


class NetworkTrainer(Loop):
    """Trains a network on bona fide and spoofed waveforms; `run` does all that is left to do of it.

    The best epoch on the development set stands in best.safetensors, its scores of that set in
    best.json.

    Args:
        classifier: network and loss, on the CPU.
        train: training items; for this and what follows it see `Loop`.
        dev: development items, of other speakers.
    """

    unused = True  # SAMO and OC-Softmax take no logits

    def __init__(
        self,
        classifier: Classifier,
        train: Waveforms,
        dev: Waveforms,
        out: Path,
        seed: int,
        work: str,
        group: Processes,
    ) -> None:
        if group.world > 1:
            classifier.share = group.share
            share_batch_norms(classifier, group.share)
        self.classifier, self.dev, config = classifier.to(group.device), dev, classifier.config
        optimizer = torch.optim.Adam(
            (p for p in classifier.parameters() if p.requires_grad),
            lr=config.lr,
            betas=config.betas,
            weight_decay=config.weight_decay,
        )
        self.dev_scores: dict[str, float] = {}
        super().__init__(self.classifier, optimizer, train, config, out, seed, work, group)

    def begin(self) -> None:
        """Nothing is to be done before the first step."""

    def describe(self) -> str:
        """Return one line on the sets and the number of parameters."""
        count = sum(p.numel() for p in self.classifier.net.parameters())
        sets = f"{len(self.train)} training utterances, {len(self.dev)} of the development set"
        return f"{sets}; {count} parameters; {self.train.epoch_utts} utterances an epoch"

    def before_epoch(self) -> None:
        """Renew SAMO's attractors every few epochs, but not before the first."""
        epoch, head = self.state["epoch"], self.classifier.head
        if isinstance(head, Samo) and epoch > 0 and epoch % self.classifier.config.renew == 0:
            head.renew(self._speaker_means(head))

    @torch.no_grad()
    def _speaker_means(self, head: Samo) -> dict[str, torch.Tensor]:
        """Return each training speaker's mean embedding of bona fide speech, the network evaluating.

        Of a subset of utterances where an epoch is one (`epoch_utts`): as many as an epoch has.
        """
        rows = np.flatnonzero(self.train.bonafide & (np.array(self.train.speaker) >= 0))
        if self.classifier.config.epoch_utts:
            rows = rows[:: -(-len(rows) // self.train.epoch_utts)]
        sums = torch.zeros(len(head.index), head.attractors.shape[1] + 1, device=self.group.device)
        self.classifier.eval()
        size = self.classifier.config.batch
        chunks = [rows[i : i + size].tolist() for i in range(0, len(rows), size)]
        for batch in self.load(self.train, FIXED, chunks[self.group.rank :: self.group.world]):
            embedding = self.classifier.net(batch.x)[0].float()
            ones = torch.ones(len(embedding), 1, device=embedding.device)
            sums.index_add_(0, batch.speaker, torch.cat([embedding, ones], 1))
        sums = self.group.add_up(sums)
        names = [name for name, k in head.index.items() if sums[k, -1] > 0]
        return {name: sums[head.index[name], :-1] / sums[head.index[name], -1] for name in names}

    def summarise(self, sums: dict[str, float]) -> dict[str, float]:
        """Return the means of what was added up."""
        names = [name.removeprefix("sum/") for name in sums if name.startswith("sum/")]
        return {name: sums[f"sum/{name}"] / max(sums[f"n/{name}"], 1e-12) for name in names}

    def _judged(self) -> Iterator[tuple[int, WaveBatch]]:
        batches = list(enumerate(self.dev.batches(FIXED)))[self.group.rank :: self.group.world]
        loaded = self.load(self.dev, FIXED, [batch for _, batch in batches])
        yield from zip((number for number, _ in batches), loaded, strict=True)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the development set's loss and EER (a share), on the beginning of every utterance."""
        self.classifier.eval()
        device = self.group.device
        scores = torch.zeros(2, len(self.dev), dtype=torch.float64, device=device)
        sums = torch.zeros(2, dtype=torch.float64, device=device)
        for _, batch in self._judged():
            embedding, logits = self.classifier.net(batch.x)
            losses, weight = self.classifier.losses(embedding.float(), logits.float(), batch)
            sums += torch.stack([(losses * weight).sum(), weight.sum()]).double()
            scores[0, batch.index] = self.classifier.outputs_score(embedding, logits).double()
            scores[1, batch.index] = 1.0
        self.classifier.train()
        total, count = self.group.add_up(sums).tolist()
        values, there = (row.cpu().numpy() for row in self.group.add_up(scores))
        read, real = there > 0, self.dev.bonafide
        names = np.array(self.dev.utts)[read]
        self.dev_scores = dict(zip(names.tolist(), values[read].tolist(), strict=True))
        rate, _ = eer(values[read & real], values[read & ~real])
        return {"loss_total": total / count, "eer": rate}

    def criterion(self, dev: dict[str, float]) -> float | list[float]:
        """Return the EER, ties decided by the loss, or the loss."""
        by_loss = self.classifier.config.select == "loss"
        return dev["loss_total"] if by_loss else [dev["eer"], dev["loss_total"]]

    def keep(self, record: dict[str, Any]) -> None:
        """Store the network and its scores of the development set."""
        if not self.group.first:
            return
        write_tensors(self.out / "best.safetensors", self.classifier.state_dict())
        write_json(self.out / "best.json", {"epoch": record["epoch"], "dev_scores": self.dev_scores})

    def show(self, summary: dict[str, float]) -> str:
        """Return one line of a summary."""
        shown = f"loss {summary['loss_total']:.4f}"
        if "eer" in summary:
            shown += f", EER {100 * summary['eer']:.2f} %"
        return shown + (f", gradient {summary['grad_norm']:.2f}" if "grad_norm" in summary else "")


def still_falling(history: list[dict[str, Any]]) -> bool:
    """Return whether the development loss was lowest in the last tenth of the epochs."""
    losses = [record["dev"]["loss_total"] for record in history]
    return int(np.argmin(losses)) >= len(losses) - max(len(losses) // 10, 1)
