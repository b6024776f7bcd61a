"""What a training step of a network sees."""

import dataclasses

import numpy as np
import pytest
import torch

from masd.audio.augment import AugmentConfig
from masd.ssl.data import FIXED
from masd.systems.config import NetworkConfig
from masd.systems.recordings import fixed_subset
from masd.systems.waveforms import Waveforms, fit_length

CONFIG = NetworkConfig(batch=4, samples=6000)


def test_short_utterances_are_repeated_and_long_ones_cut():
    assert fit_length(np.array([1.0, 2, 3]), 7).tolist() == [1, 2, 3, 1, 2, 3, 1]
    assert fit_length(np.arange(9.0), 4).tolist() == [0, 1, 2, 3]


def test_an_item_depends_on_seed_epoch_and_index_alone(corpus):
    train, _ = corpus
    augmentation = AugmentConfig(rawboost=3)
    one = Waveforms(train, train.utts, CONFIG, augmentation, seed=1)
    other = Waveforms(train, train.utts, CONFIG, augmentation, seed=1)
    other[(5, 3)]
    np.testing.assert_array_equal(one[(2, 7)][0], other[(2, 7)][0])
    assert not np.array_equal(one[(2, 7)][0], one[(3, 7)][0])
    np.testing.assert_array_equal(one[(FIXED, 7)][0], Waveforms(train, train.utts, CONFIG)[(FIXED, 7)][0])


def test_epochs_of_a_part_use_every_utterance_equally_often(corpus):
    train, _ = corpus
    items = Waveforms(train, train.utts, dataclasses.replace(CONFIG, epoch_utts=9))
    assert len(items) == 24
    seen = [i for epoch in range(8) for batch in items.batches(epoch) for i in batch]
    assert np.bincount(seen).tolist() == [3] * 24
    assert {len(b) for b in items.batches(0)} == {3}


def test_labels_and_speakers_go_with_their_waveforms(corpus):
    train, _ = corpus
    items = Waveforms(train, train.utts, CONFIG, speakers=["c", "a"])
    batch = items.collate([items[(FIXED, i)] for i in range(24)])
    for i, utt in enumerate(train.utts):
        assert bool(batch.bonafide[i]) == ("bonafide" in utt)
        assert int(batch.speaker[i]) == {"a": 1, "b": -1, "c": 0}[utt[0]]
    assert batch.x.shape == (24, 6000)
    assert batch.x.dtype == torch.float32


def test_an_unreadable_utterance_is_left_out_of_its_batch(corpus, tmp_path, caplog):
    train, _ = corpus
    broken = dataclasses.replace(train, wav=train.wav | {train.utts[0]: str(tmp_path / "no.wav")})
    items = Waveforms(broken, broken.utts, CONFIG)
    batch = items.collate([items[(0, i)] for i in range(3)])
    assert batch.index.tolist() == [1, 2]
    assert train.utts[0] in caplog.text


def test_a_subset_keeps_both_classes_and_is_the_same_every_time(corpus):
    _, dev = corpus
    subset = fixed_subset(dev, 4, 0)
    assert len(subset) == 4
    assert {dev.lab(utt) for utt in subset} == {"bonafide", "spoof"}
    assert subset == fixed_subset(dev, 4, 0)
    assert fixed_subset(dev, 0, 0) == dev.utts


@pytest.mark.parametrize("settings", [{"batch": 1}, {"samples": 10}, {"class_weights": [1.0]}])
def test_settings_that_cannot_be_are_refused(settings):
    from masd.errors import MasdError

    with pytest.raises(MasdError, match=r"network\."):
        NetworkConfig(**settings)
