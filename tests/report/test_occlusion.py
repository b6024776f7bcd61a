"""What explaining an utterance takes away: one measure at a time, a family of statistics as a whole."""

from types import SimpleNamespace

import numpy as np
import torch

from masd.feats.config import FeatsConfig, hand_size
from masd.report.insight import _occluded


def test_a_family_is_taken_away_as_a_whole_and_nothing_else_with_it():
    config = FeatsConfig(families=("waveform", "polarity"))
    mean = np.arange(hand_size(config), dtype=np.float32) + 100
    system = SimpleNamespace(
        feats_config=lambda: config,
        features=SimpleNamespace(hand=SimpleNamespace(mean=mean)),
        encoder=lambda: SimpleNamespace(mel_mean=torch.zeros(64)),
    )
    hand = np.zeros(hand_size(config), np.float32)
    variants, names = _occluded(SimpleNamespace(system=system), np.ones((40, 64), np.float32), hand, 0.01)
    found = {
        name[1]: changed
        for (_, changed), name in zip(variants[1:], names, strict=True)
        if name[0] == "measure"
    }
    assert list(found) == ["PCS", "HFER", "SFI", "waveform", "polarity"]
    places = {name: np.flatnonzero(changed).tolist() for name, changed in found.items()}
    assert places["SFI"] == [2] and places["waveform"] == list(range(3, 21))
    assert places["polarity"] == list(range(21, 34))
    np.testing.assert_array_equal(found["waveform"][3:21], mean[3:21])
