"""Train a small LFCC-LCNN without dropout: python two_processes.py TRAIN DEV OUT; one process or more."""

import sys
from pathlib import Path

import masd.detectors.networks
from masd.cli import setup_logging
from masd.data.folder import read_folder
from masd.detectors.config import DetectorConfig, TrainConfig
from masd.detectors.fit import Job, train_detector
from masd.models.lcnn import Lcnn

if __name__ == "__main__":
    setup_logging()
    masd.detectors.networks.network = lambda *_: Lcnn(dropout=0.0)
    train, dev, out = sys.argv[1:]
    config = TrainConfig(
        epochs=2, batch=6, samples=6000, lr=1e-3, class_weights=(0.1, 0.9), device="cpu", crop="first"
    )
    train_detector(
        Job("lfcc_lcnn", read_folder(train), read_folder(dev), Path(out), DetectorConfig(train=config))
    )
