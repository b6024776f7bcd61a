"""What explaining a score takes away: one measure, band or stretch at a time, and nothing else with it."""

import numpy as np
import pytest

from masd.feats.config import FeatsConfig, hand_size
from masd.judge.explain import Variant, effects, stretches, without_bands, without_measures, without_stretches
from masd.svm.config import ROWS
from masd.svm.features import FeatureMap
from masd.systems.masd import MasdSystem

MEL = np.ones((40, 64), np.float32)


def test_a_family_is_taken_away_as_a_whole_and_nothing_else_with_it():
    config = FeatsConfig(families=("frame_lines", "phase_mixed"))
    mean = np.arange(hand_size(config), dtype=np.float32) + 100
    found = without_measures(MEL, np.zeros(hand_size(config), np.float32), config, mean)
    assert [variant.part for variant in found] == ["PCS", "HFER", "SFI", "frame_lines", "phase_mixed"]
    places = {variant.part: np.flatnonzero(variant.hand).tolist() for variant in found}
    assert places["SFI"] == [2] and places["frame_lines"] == list(range(3, 27))
    assert places["phase_mixed"] == list(range(27, 91))
    np.testing.assert_array_equal(found[3].hand[3:27], mean[3:27])


def test_bands_and_stretches_of_the_log_mel_become_the_training_mean():
    neutral = np.arange(64, dtype=np.float32) + 5
    bands = without_bands(MEL, None, FeatsConfig(), neutral, None)
    touched = [np.flatnonzero((variant.mel != MEL).any(0)) for variant in bands]
    assert [variant.part for variant in bands] == ["low", "mid", "high"]
    assert touched[0][0] == 0 and touched[-1][-1] == 63
    for variant, columns in zip(bands, touched, strict=True):
        np.testing.assert_array_equal(variant.mel[0, columns], neutral[columns])
    parts = without_stretches(MEL, None, 0.01, 0.15, neutral)
    assert np.array([variant.part for variant in parts]) == pytest.approx(
        np.array([(0.0, 0.15), (0.15, 0.3), (0.3, 0.4)])
    )
    assert sum((variant.mel != MEL).all(1).sum() for variant in parts) == len(MEL)


def test_a_band_takes_the_figures_of_its_frequencies_with_it():
    config = FeatsConfig(families=("phase_mixed", "frame_lines", "covariance"))
    size, mean = hand_size(config), np.full(hand_size(config), 9.0, np.float32)
    found = without_bands(MEL, np.zeros(size, np.float32), config, None, mean)
    counts = {variant.part: int((variant.hand == 9).sum()) for variant in found}
    # of 16 bands of 462 Hz two lie below 1 kHz and seven more below 4; covariances are of thirds of 7.4 kHz
    third = 3 * 153
    assert counts == {"low": 4 * 2, "mid": 4 * 7 + 2 * third, "high": 4 * 7 + third}
    assert all(variant.mel is MEL for variant in found), "without an encoder the log-mel is of no use"
    lines = [(variant.hand == 9)[3 + 64 : 3 + 64 + 24].any() for variant in found]
    assert not any(lines), "rates of frames have no band"


def test_stretches_are_cut_out_without_an_edge():
    x = np.sin(np.arange(16000) / 50).astype(np.float32)
    found = list(stretches(x, 4000, 8000))
    assert [(start, stop) for start, stop, _ in found] == [(i, i + 4000) for i in range(0, 16000, 4000)]
    step = np.abs(np.diff(x)).max()
    for start, _, rest in found:
        assert len(rest) == (12000 if start in (0, 12000) else 12000 - 160)
        assert np.abs(np.diff(rest)).max() < 1.5 * step
    assert list(stretches(x, 12000, 8000)) == [], "too little would be left to measure anything on"


class Halving(MasdSystem):
    """A system whose f is the first figure, its temperature 1, its affine map twice that and one more."""

    def __init__(self):
        maps = {"temperature": {"value": 1.0}, "affine": {"a": 2.0, "b": 1.0, "prior": 0.5}}
        super().__init__("handcrafted", FeatureMap(ROWS["handcrafted"]), None, info={"calibration": maps})

    def values(self, inputs):
        return inputs.hand

    def decision(self, values):
        return values[:, 0]


@pytest.mark.parametrize(("affine", "score", "effect"), [(False, -3.0, -3.0), (True, -7.0, -6.0)])
def test_what_is_explained_is_the_score_that_is_printed(affine, score, effect):
    mel, hand = np.zeros((2, 3)), np.array([3.0, 1.0])
    without = Variant("PCS", mel, np.array([0.0, 1.0]))
    found = effects(Halving(), Variant("", mel, hand), [without], affine)
    assert found.score == score
    assert found.measures == {"PCS": effect}
