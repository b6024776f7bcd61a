"""Stage 4: self-supervised pretraining of the encoder."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run
from masd.models.config import EncoderConfig
from masd.ssl.config import PretrainConfig


def pretrain(
    train: Path,
    dev: Path,
    out: Path,
    vocoded: str = "",
    dev_vocoded: str = "",
    encoder: EncoderConfig = EncoderConfig(),  # noqa: B008 - frozen
    ssl: PretrainConfig = PretrainConfig(),  # noqa: B008 - frozen
    seed: int = 0,
    force: bool = False,
) -> None:
    """Pretrain the encoder on dumps of recordings and of their vocoded copies (Sec. II-A).

    Writes the best encoder (encoder.safetensors, encoder.yaml), last.safetensors to go on from,
    metrics.jsonl (a line an epoch), train.log and tensorboard/. The same command goes on where a
    killed run was last saved. Under torchrun it trains on all its processes together.

    Args:
        train: dump of the training recordings.
        dev: dump of recordings of other speakers; the best epoch is chosen on it.
        out: output folder.
        vocoded: dumps of the training set's copies, `NAME=DUMP,NAME=DUMP`; ids are `<NAME>-<utt>`.
        dev_vocoded: likewise for `dev`; names must be among those of `vocoded`.
        encoder: the encoder, e.g. `--encoder.bands single`.
        ssl: the pretraining, e.g. `--ssl.epochs 10 --ssl.objectives [mask,cpc]`.
        seed: root of every random draw.
        force: begin anew though it is done or begun.
    """
    from masd.ssl.pretrain import pretrain as work

    work(train, dev, out, vocoded, dev_vocoded, encoder, ssl, seed, force)


if __name__ == "__main__":
    run(pretrain)
