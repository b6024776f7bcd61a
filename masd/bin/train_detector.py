"""Stage 5 of the comparison systems: training, choice of the epoch, calibration."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run
from masd.detectors.config import DetectorConfig


def train_detector(
    system: str,
    train_data: Path,
    dev_data: Path,
    out: Path,
    detector: DetectorConfig = DetectorConfig(),  # noqa: B008 - frozen
    budgets: dict[str, int] = {},  # noqa: B006 - never changed
    ssl: Path | None = None,
    seed: int = 0,
    allow_pipes: bool = False,
    max_fail: float = 0.01,
    share_speakers: bool = False,
    force: bool = False,
) -> None:
    """Train a system that MASD is compared with, from waveforms.

    rawnet2, aasist, aasist_l, samo, lfcc_lcnn, w2v2_aasist and hubert_wavlm are networks: the epoch is chosen
    on the development set; the same command goes on where a killed run was last saved; torchrun trains
    on several GPUs. lfcc_gmm fits two mixtures, tokens k-means units and a unigram model. Writes OUT/model
    (calibrated on the development set), and for networks last.safetensors, metrics.jsonl, train.log,
    tensorboard/.

    Args:
        system: its name.
        train_data: data folder with utt2lab.
        dev_data: data folder with utt2lab, of other speakers.
        out: output folder.
        detector: all settings, e.g. `--detector.train.epochs 10`; published: utils/conf/systems/.
        budgets: utterance-steps by system, in place of the epochs of the networks named.
        ssl: pretraining folder, for tokens.
        seed: root of every random draw.
        allow_pipes: run commands in wav.scp.
        max_fail: share of the utterances, 0 to 1, that lfcc_gmm and tokens may leave out.
        share_speakers: let a speaker be in both sets, as in a corpus of one speaker; no recording may be.
        force: begin anew though it is done or begun.
    """
    import dataclasses

    from masd.detectors.config import budget_of
    from masd.detectors.fit import open_job
    from masd.detectors.fit import train_detector as work

    budget = budget_of(system, budgets)
    if budget:
        train = dataclasses.replace(detector.train, budget=budget)
        detector = dataclasses.replace(detector, train=train)
    job = open_job(
        system, train_data, dev_data, out,
        config=detector, ssl=ssl, seed=seed, allow_pipes=allow_pipes, max_fail=max_fail,
        share_speakers=share_speakers,
    )  # fmt: skip
    work(job, force)


if __name__ == "__main__":
    run(train_detector)
