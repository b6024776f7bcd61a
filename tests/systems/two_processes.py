"""Train a small LFCC-LCNN without dropout: python two_processes.py TRAIN DEV OUT; one process or more."""

import sys
from pathlib import Path

import masd.systems.classifier
from masd.cli import setup_logging
from masd.models.lcnn import Lcnn
from masd.systems.config import NetworkConfig, Settings
from masd.systems.train import Job, train

if __name__ == "__main__":
    setup_logging()
    masd.systems.classifier.network = lambda *_: Lcnn(dropout=0.0)
    config = NetworkConfig(
        epochs=2, batch=6, samples=6000, lr=1e-3, class_weights=(0.1, 0.9), device="cpu", crop="first"
    )
    train(Job.open("lfcc_lcnn", *map(Path, sys.argv[1:]), settings=Settings(network=config)))
