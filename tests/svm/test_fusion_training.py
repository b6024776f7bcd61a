"""Training of the fusion: it learns, repeats itself bit for bit, stops on held-out speakers, moves alpha."""

import numpy as np
import pytest
import torch

from masd.svm.config import ROWS, FitConfig
from masd.svm.features import FeatureMap, Scaler
from masd.svm.fusion_training import held_out_rows, stratified_rows, train_fusion


def features_of(data, alpha, standardise=True):
    features = FeatureMap(ROWS["full"], alpha=alpha)
    features.ssl = Scaler.of(features.f_ssl(data.inputs), standardise)
    features.hand = Scaler.of(data.inputs.hand, standardise)
    return features


def fit(data, start, seed=0, **keys):
    config = FitConfig(**{"epochs": 12, "batch_size": 16, **keys})
    features = features_of(data, start, config.fusion_standardise)
    return train_fusion(features, data.inputs, data.is_fake, data.speakers, config, seed)


def test_it_learns_and_keeps_the_best_epoch(train, dev, alpha):
    trained = fit(train, alpha)
    losses = [entry["held_loss"] for entry in trained.history]
    assert trained.best_epoch == int(np.argmin(losses)) + 1
    assert losses[trained.best_epoch - 1] < 0.5 * np.log(2)
    assert trained.head_eer(dev.inputs, dev.is_fake) < 0.2
    assert 0 < len(trained.held_speakers) < 4


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(train, alpha):
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    one = fit(train, alpha, epochs=3)
    assert torch.equal(torch.random.get_rng_state(), before), "the caller's random stream was moved"
    torch.manual_seed(99)
    two, other = fit(train, alpha, epochs=3), fit(train, alpha, seed=1, epochs=3)
    for name, value in one.features.fusion.state_dict().items():
        assert torch.equal(value, two.features.fusion.state_dict()[name])
    assert one.history == two.history
    assert not torch.equal(one.features.fusion.w_q.weight, other.features.fusion.w_q.weight)


def test_alpha_is_fine_tuned_or_left(train, alpha):
    moved = fit(train, alpha, epochs=4).features.alpha
    assert moved.sum() == pytest.approx(1.0, abs=1e-6) and np.abs(moved - alpha).max() > 1e-3
    np.testing.assert_array_equal(fit(train, alpha, epochs=2, alpha="fixed").features.alpha, alpha)


def test_decay_pulls_at_the_weights_and_not_at_alpha(train, alpha):
    kept = {decay: fit(train, alpha, epochs=2, patience=0, weight_decay=decay) for decay in (0.0, 50.0)}
    sizes = [float(one.features.fusion.w_o.weight.norm()) for one in kept.values()]
    assert sizes[1] < 0.8 * sizes[0]
    plain, decayed = (one.features.alpha for one in kept.values())
    np.testing.assert_allclose(plain, decayed, atol=0.02)


def test_the_trained_map_is_what_was_trained(train, alpha):
    """Values through the final map give the held-out loss that training recorded for the kept epoch."""
    trained = fit(train, alpha)
    held = np.flatnonzero(np.isin(train.speakers, trained.held_speakers))
    kept = train.rows(held)
    with torch.inference_mode():
        logits = trained.head(torch.from_numpy(trained.features.values(kept.inputs)))[:, 0].double().numpy()
    fitted = train.rows(np.setdiff1d(np.arange(len(train)), held)).is_fake
    weight = np.where(kept.is_fake, 0.5 / fitted.mean(), 0.5 / (1 - fitted.mean()))
    p = 1 / (1 + np.exp(-logits))
    loss = np.mean(weight * -np.where(kept.is_fake, np.log(p), np.log(1 - p)))
    assert loss == pytest.approx(trained.history[trained.best_epoch - 1]["held_loss"], rel=1e-4)


def test_literal_training(train, alpha):
    """SGD at 1e-3 for all epochs, nothing held out; W_o hardly moves, as method.md measured."""
    keys = {
        "optimizer": "sgd",
        "patience": 0,
        "fusion_standardise": False,
        "class_balanced": False,
        "tokens": "one",
    }
    trained = fit(train, alpha, batch_size=64, alpha="fixed", **keys)
    assert len(trained.history) == 12 == trained.best_epoch and trained.held_speakers == []
    assert "held_loss" not in trained.history[0]
    start = fit(train, alpha, batch_size=64, alpha="fixed", epochs=1, lr=1e-12, **keys)
    weights = [t.features.fusion.w_o.weight for t in (start, trained)]
    assert 0 < (weights[1] - weights[0]).norm() / weights[0].norm() < 0.05


def test_embeddings_of_one_band_or_from_elsewhere(train):
    train.inputs.vectors = np.concatenate([train.inputs.compact.mu[:, 0], train.inputs.hand], axis=1)
    try:
        trained = fit(train, None, epochs=2)
    finally:
        train.inputs.vectors = None
    assert trained.features.alpha is None and trained.features.fusion.config.ssl_dim == 13


def test_held_out_speakers_are_whole(train):
    rows, names = held_out_rows(train.speakers, train.is_fake, 0.2, seed=5)
    assert names and set(np.flatnonzero(np.isin(train.speakers, names))) == set(rows)
    assert 0.2 <= len(rows) / len(train) < 0.5


def test_one_speaker_or_one_class_a_speaker():
    """WaveFake's case: there are no speakers to hold out, so utterances are."""
    is_fake = np.arange(50) % 5 > 0
    for speakers in (["s"] * 50, ["f" if f else "r" for f in is_fake]):
        rows, names = held_out_rows(speakers, is_fake, 0.2, seed=0)
        assert names == [] and (len(rows), is_fake[rows].sum()) == (10, 8)


def test_stratified_rows_keep_both_classes():
    is_fake = np.arange(100) < 90
    rows = stratified_rows(is_fake, 0.2, 0, "x")
    assert (len(rows), is_fake[rows].sum()) == (20, 18)
    assert list(rows) == sorted(set(rows))
    assert len(stratified_rows(np.array([True, True, False, False]), 0.01, 0, "x")) == 2
