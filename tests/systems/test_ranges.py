"""What a recording is compared with before it is called unlike the training data."""

import numpy as np
import pytest
from scipy.signal import firwin, lfilter

from masd.audio import resample
from masd.audio.stream import Clipping
from masd.feats.config import FeatsConfig
from masd.feats.logmel import logmel
from masd.systems.ranges import CLIPPED_SHARE, bandwidth, unlike_training

CONFIG = FeatsConfig()


def speechlike(seed=0, n=32000):
    """Noise that falls by 6 dB an octave above 500 Hz, with pauses: bandwidth 8 kHz."""
    rng = np.random.default_rng(seed)
    x = lfilter([1.0], [1.0, -0.82], rng.normal(size=n)) * (np.sin(np.arange(n) / 2000) > -0.5)
    x += 1e-5 * rng.normal(size=n)
    return (x / np.abs(x).max()).astype(np.float32)


def test_bandwidth_of_full_and_narrow_band():
    x = speechlike()
    assert bandwidth(logmel(x, CONFIG), CONFIG) > 7400
    narrow = resample(resample(x, 16000, 8000), 8000, 16000)
    assert 3400 < bandwidth(logmel(narrow, CONFIG), CONFIG) < 4700
    low = lfilter(firwin(801, 2000, fs=16000, window="blackman"), [1.0], x)
    assert 1700 < bandwidth(logmel(low, CONFIG), CONFIG) < 2800


def clipped_share(x):
    counted = Clipping()
    counted.add(x)
    return counted.share


def test_clipping_is_flat():
    x = speechlike()
    assert clipped_share(x) == 0.0
    assert clipped_share(np.clip(x, -0.3, 0.3)) > 5 * CLIPPED_SHARE
    assert clipped_share(np.sin(np.arange(16000) / 20)) < CLIPPED_SHARE
    assert clipped_share(np.zeros(100)) == 0.0


RANGES = {
    "seconds": {"min": 1.0, "p1": 1.5, "median": 3, "p99": 8, "max": 12},
    "bandwidth": {"min": 6900.0, "p1": 7000.0, "median": 7500, "p99": 7700, "max": 7700},
    "pcs": {"min": 1.0, "p1": 1.1, "median": 1.2, "p99": 1.5, "max": 1.6},
}


def test_the_zero_line_of_a_one_sided_signal_is_not_clipped():
    click = np.zeros(16000)
    click[8000:8010] = np.hanning(10)
    assert clipped_share(click) == clipped_share(-click) == 0


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [("seconds", 0.7, "too short"), ("bandwidth", 3900.0, "narrow band"), ("pcs", 2.0, "unusual PCS")],
)
def test_each_quantity_outside_its_range_is_named(name, value, word):
    (line,) = unlike_training(RANGES, {name: value})
    assert line.startswith(word)


def test_nothing_to_say():
    assert unlike_training(RANGES, {"seconds": 30.0, "bandwidth": 6900.0, "pcs": 1.3, "sfi": 99.0}) == []
    assert unlike_training({}, {"seconds": 0.1}) == []
