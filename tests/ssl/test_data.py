"""What a step sees: crops, vocoded copies by Eq. 2, batches, statistics."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from toy_corpus import toy_mel, write_dump

from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.ssl.config import DIFFICULTY, PretrainConfig, difficulty_of
from masd.ssl.data import FIXED, mel_statistics, open_crops


def crops(toy, vocoders=("hifigan", "world"), names=None, seed=1, **keys):
    config = PretrainConfig(**{"batch": 7, "crop_seconds": 0.8, "epochs": 3, **keys})
    copies = {v: toy / f"train_{v}" for v in vocoders}
    return open_crops(toy / "train", copies, config, seed, names)[0]


def test_items_depend_on_seed_epoch_and_index_alone(toy):
    first, second = crops(toy), crops(toy)
    for key in [(0, 3), (2, 5), (FIXED, 0)]:
        second[(1, 1)]  # an order of access that differs
        (a, k), (b, m) = first[key], second[key]
        assert k == m
        assert np.array_equal(a, b)
    several = [[first[(e, i)][0].tobytes() for i in range(10)] for e in (0, 1)]
    assert several[0] != several[1]
    assert [crops(toy, seed=2)[(0, i)][0].tobytes() for i in range(10)] != several[0]


def test_a_crop_is_a_stretch_of_its_utterance(toy):
    data = crops(toy, vocoded_ratio=0.0)
    assert data.frames == 81
    starts = set()
    for epoch in range(20):
        mel, label = data[(epoch, 4)]
        whole = data.real[data.utts[4]]
        assert label == -1
        assert len(mel) == min(81, len(whole))
        found = [s for s in range(len(whole) - len(mel) + 1) if np.array_equal(whole[s : s + len(mel)], mel)]
        assert len(found) == 1
        starts.add(found[0])
    assert len(starts) > 5
    fixed = crops(toy, vocoded_ratio=0.0, crop="first")
    assert np.array_equal(fixed[(1, 4)][0], fixed.real[fixed.utts[4]][:81])


def test_copies_are_of_the_same_utterance(toy):
    data = crops(toy, vocoded_ratio=1.0, crop="first")
    for index in range(1, 6):
        mel, label = data[(0, index)]
        name = ("hifigan", "world")[label]
        assert np.array_equal(mel, data.readers[label][f"{name}-{data.utts[index]}"][: len(mel)])


def test_shares_are_the_ratio_and_equation_2(toy):
    data = crops(toy, vocoded_ratio=0.4, difficulty={"hifigan": 20, "world": 5}, epochs=11)
    p = data.probabilities(5)
    e = 5 * 99 / 10
    weights = np.exp(0.01 * e * np.array([20, 5]))
    np.testing.assert_allclose(p, weights / weights.sum())
    many = np.array([data[(0, i)][1] for i in range(1, 24)])
    for data.seed in range(2, 30):
        many = np.append(many, [data[(0, i)][1] for i in range(1, 24)])
    assert abs((many >= 0).mean() - 0.4) < 0.06
    assert abs((many == 0).sum() / (many >= 0).sum() - 0.5) < 0.1  # e = 0: all alike


def test_a_vocoder_without_a_copy_is_left_out_of_the_draw(toy):
    data = crops(toy, vocoded_ratio=1.0, difficulty={"hifigan": 500, "world": 0})
    assert data.utts[0].endswith("00")
    assert data[(2, 0)][1] == 1  # HiFi-GAN, nearly certain otherwise, has none of it
    assert data[(2, 1)][1] == 0


def test_an_utterance_without_any_copy_stays_real(toy):
    assert crops(toy, vocoders=("hifigan",), vocoded_ratio=1.0)[(0, 0)][1] == -1


def test_validation_takes_the_label_order_of_training(toy):
    data = crops(toy, vocoders=("world",), names=["hifigan", "world"], vocoded_ratio=1.0)
    assert data[(0, 3)][1] == 1
    with pytest.raises(MasdError, match="the vocoder world is not among"):
        crops(toy, vocoders=("world",), names=["hifigan"])


@pytest.mark.parametrize("bucket", [True, False])
def test_an_epoch_holds_every_utterance_once_in_even_batches(toy, bucket):
    data = crops(toy, bucket=bucket)
    batches = data.batches(0)
    assert sorted(i for batch in batches for i in batch) == list(range(24))
    assert {len(batch) for batch in batches} == {6}
    assert batches == crops(toy, bucket=bucket).batches(0)
    assert batches != data.batches(1)


def test_buckets_put_like_lengths_together(toy):
    data = crops(toy, crop_seconds=4.0)
    spreads = [np.ptp(data.lengths[batch]) for batch in data.batches(0)]
    free = [np.ptp(data.lengths[b]) for b in crops(toy, crop_seconds=4.0, bucket=False).batches(0)]
    assert np.mean(spreads) < np.mean(free) / 2


def test_padding_is_marked_or_counts_as_silence(toy):
    data, literal = crops(toy, crop_seconds=2.0), crops(toy, crop_seconds=2.0, padding="zero")
    items = [data[(0, i)] for i in range(4)]
    batch, filled = data.collate(items), literal.collate(items)
    counts = [len(mel) for mel, _ in items]
    assert batch.lengths.tolist() == counts
    assert batch.mel.shape[1] == max(counts)
    assert filled.lengths.tolist() == [201] * 4
    for row, count in zip(filled.mel, counts, strict=True):
        assert torch.equal(row[count:], torch.full((201 - count, 64), math.log(1e-9)))


def test_statistics_are_over_all_frames(toy):
    data = crops(toy)
    mean, std = mel_statistics(data.real, 10_000, 0)
    frames = np.concatenate([data.real[utt] for utt in data.utts]).astype(np.float64)
    np.testing.assert_allclose(mean, frames.mean(0), rtol=1e-5)
    np.testing.assert_allclose(std, frames.std(0), rtol=1e-4)
    some = mel_statistics(data.real, 5, 0)[0]
    assert not torch.equal(some, mean)
    assert torch.equal(some, mel_statistics(data.real, 5, 0)[0])


def test_mistakes_are_named(toy, tmp_path):
    assert PretrainConfig(difficulty={"mine": 2, "world": 3}).difficulty == DIFFICULTY | {
        "mine": 2,
        "world": 3,
    }
    with pytest.raises(MasdError, match="no value for the vocoder mine"):
        difficulty_of(PretrainConfig().difficulty, "mine")
    mel = toy_mel(np.random.default_rng(0), 70, np.zeros(4))
    write_dump(tmp_path / "other", {"world-stranger": mel}, FeatsConfig())
    config = PretrainConfig()
    with pytest.raises(MasdError, match="no copy of any utterance"):
        open_crops(toy / "train", {"world": tmp_path / "other"}, config, 0)
    write_dump(tmp_path / "hop", {"world-train01": mel}, FeatsConfig(hop_length=200))
    with pytest.raises(MasdError, match="hop_length"):
        open_crops(toy / "train", {"world": tmp_path / "hop"}, config, 0)


def sequential(toy, **keys):
    return crops(toy, **{"batch": 4, "read": "sequential", "read_run": 3, "read_buffer": 12, **keys})


def test_sequential_reading_keeps_neighbours_together(toy):
    data = sequential(toy)
    order = [index for batch in data.batches(0) for index in batch]
    assert sorted(order) == list(range(24))
    for start in (0, 12):  # a buffer holds whole runs of what stands side by side in the archive
        held = sorted(order[start : start + 12])
        assert len({index // 3 for index in held}) == 4
    assert order != sorted(order)
    assert data.batches(0) == sequential(toy).batches(0)
    assert data.batches(0) != data.batches(1)
    assert data.batches(0) != sequential(toy, seed=2).batches(0)
    # an item is the same however it is reached
    assert np.array_equal(data[(1, 5)][0], crops(toy)[(1, 5)][0])


def test_what_a_buffer_needs_is_announced_front_to_back(toy, monkeypatch):
    asked = []
    monkeypatch.setattr("os.posix_fadvise", lambda *a: asked.append(a[1:3]))
    data, seen = sequential(toy, vocoded_ratio=0.0), []
    batches = data.batches(0)
    for batch in data.announce(0, batches):
        if not seen:
            size = (toy / "train" / "feats.1.ark").stat().st_size
            places = [line.split(":")[-1] for line in (toy / "train" / "feats.scp").read_text().splitlines()]
            for index in (i for one in batches[:3] for i in one):
                ends = [first + (length or size - first) for first, length in asked]
                spans = list(zip((first for first, _ in asked), ends, strict=True))
                assert any(first <= int(places[index]) < end for first, end in spans)
            assert asked == sorted(asked)
            assert len(asked) <= 4  # runs, not utterances
        seen.append(batch)
    assert seen == batches
    assert len(asked) <= 8
    asked.clear()
    assert list(crops(toy).announce(0, batches)) == batches
    assert not asked


def test_a_loader_of_another_process_gets_the_same_items(toy):
    data = crops(toy)
    data[(0, 1)]  # its files are open
    again = pickle.loads(pickle.dumps(data))  # what a spawned worker is given
    for key in ((0, 1), (3, 7)):
        assert np.array_equal(again[key][0], data[key][0])
    assert len(pickle.dumps(data)) < 20_000
