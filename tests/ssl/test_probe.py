"""The gates on the machinery: that they hold where they should and catch what they should."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from masd.bin.probe import encoder as probe_encoder
from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.models.encoder import Encoder, EncoderConfig, load_encoder, save_encoder
from masd.ssl.config import PretrainConfig
from masd.ssl.data import FIXED, open_crops
from masd.ssl.probe import Items, _named_right, batching_difference, embed, length_r2
from masd.ssl.training import recalibrated


@pytest.fixture()
def model(tmp_path) -> Path:
    """A random encoder with plausible statistics."""
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(channels=(8, 8, 8, 8, 8), dim=16))
    encoder.set_statistics(torch.full((64,), -6.0), torch.full((64,), 1.5))
    dev = {"loss_mask": 0.5, "chance_loss_mask": 1.0, "loss_cpc": 5.0, "chance_loss_cpc": 4.8}
    save_encoder(tmp_path / "ssl", encoder, encoder.config, FeatsConfig(), {"dev": dev})
    return tmp_path / "ssl"


def test_the_report_and_its_gates(model, toy, tmp_path):
    out = tmp_path / "probe.json"
    vocoded = ",".join(f"{v}={toy}/train_{v}" for v in ("hifigan", "world"))
    probe_encoder(model, toy / "train", out, vocoded, without_grl=model)
    result = json.loads(out.read_text())
    assert result["gates"]["batching"]["holds"]
    assert result["gates"]["held_out_loss_mask"]["holds"]
    assert not result["gates"]["held_out_loss_cpc"]["holds"]
    assert result["vocoder"]["chance"] == pytest.approx(24 / 47)  # one copy is missing
    assert result["vocoder"]["difference"] == 0  # compared with itself
    assert result["vocoder"]["difference_interval"] == [0, 0]
    low, high = result["vocoder"]["interval"]
    assert low <= result["vocoder"]["accuracy"] <= high
    with pytest.raises(MasdError, match="held_out_loss_cpc"):
        probe_encoder(model, toy / "train", out, vocoded, without_grl=model, strict=True)


def test_a_leaky_encoder_is_caught(toy):
    """Padding that counts as speech changes with the batch and tells the length."""

    class Leaky(Encoder):
        def forward(self, mel, lengths):
            return super().forward(mel, torch.full_like(lengths, mel.shape[1]))

    rng = np.random.default_rng(0)
    mels = [rng.normal(-6, 1.5, (int(n), 64)).astype(np.float32) for n in rng.integers(60, 200, 60)]
    values = {}
    for kind in (Encoder, Leaky):
        torch.manual_seed(0)
        encoder = kind(EncoderConfig(channels=(8, 8, 8, 8, 8), dim=16)).eval()
        encoder.set_statistics(torch.full((64,), -6.0), torch.full((64,), 1.5))
        values[kind] = batching_difference(encoder, mels)
    assert values[Encoder] < 1e-4
    assert values[Leaky] > 0.1
    assert length_r2(encoder, mels[:5], 0) == {"natural": None, "cut": None}


def test_embeddings_come_back_in_the_order_given():
    encoder = Encoder(EncoderConfig(channels=(4, 4, 4, 4, 4), dim=8)).eval()
    rng = np.random.default_rng(1)
    mels = [rng.normal(size=(n, 64)).astype(np.float32) for n in (50, 20, 70, 31, 20)]
    together = embed(encoder, mels, batch=2)
    alone = np.concatenate([embed(encoder, [mel]) for mel in mels])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_probe_keeps_sources_apart():
    """Values that name the source, and by it the label in training folds, do not help on unseen sources."""
    rng = np.random.default_rng(0)
    sources = np.repeat(np.arange(40), 2)
    labels = rng.integers(0, 2, 80)
    names = np.array([f"s{i}" for i in sources])
    by_source = rng.standard_normal((40, 30))[sources]
    assert abs(_named_right(by_source, Items([], labels, names)).mean() - 0.5) < 0.2
    telling = by_source + 5.0 * labels[:, None]
    assert _named_right(telling, Items([], labels, names)).mean() > 0.95


def test_train_and_eval_mode_are_compared_on_training_data(model, toy, tmp_path):
    """Recordings and copies mixed as in pretraining; statistics that are wrong are caught."""
    copies = ",".join(f"{v}={toy}/train_{v}" for v in ("hifigan", "world"))
    values = {}
    for name in ("random", "calibrated"):
        encoder, config, feats = load_encoder(model)
        if name == "calibrated":
            crops, _ = open_crops(toy / "train", {}, PretrainConfig(), 0)
            batches = [crops.collate([crops[FIXED, i] for i in batch]) for batch in crops.batches(FIXED)]
            encoder = recalibrated(encoder, iter(batches), "float32")
        save_encoder(tmp_path / name, encoder, config, feats, {})
        out = tmp_path / f"{name}.json"
        probe_encoder(tmp_path / name, toy / "train", out, train=toy / "train", train_vocoded=copies)
        values[name] = json.loads(out.read_text())["train_eval"]["relative"]
    assert values["calibrated"] < 0.2
    assert values["calibrated"] < 0.5 * values["random"]
