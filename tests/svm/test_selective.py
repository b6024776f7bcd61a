"""Coverage curves against a count by hand."""

import numpy as np
import pytest

from masd.errors import MasdError
from masd.metrics.eer import eer
from masd.svm.selective import coverage_curve


def test_the_surest_are_kept():
    rng = np.random.default_rng(0)
    bona, spoof = rng.normal(1.5, 1, 300), rng.normal(-1, 1, 500)
    for point in coverage_curve(bona, spoof, [0.1, 0.4, 1.0]):
        labelled = sorted(
            [(abs(s), s, True) for s in bona] + [(abs(s), s, False) for s in spoof], reverse=True
        )
        kept = labelled[: round(point.coverage * 800)]
        b, s = [v for _, v, real in kept if real], [v for _, v, real in kept if not real]
        assert (point.bonafide, point.spoof) == (len(b), len(s))
        assert point.eer == eer(np.array(b), np.array(s))[0]


def test_full_coverage_is_the_plain_eer_and_less_coverage_helps():
    rng = np.random.default_rng(1)
    bona, spoof = rng.normal(1, 1, 2000), rng.normal(-1, 1, 2000)
    curve = coverage_curve(bona, spoof)
    assert curve[-1].eer == eer(bona, spoof)[0]
    assert curve[7].eer < 0.3 * curve[-1].eer  # 40 %


def test_ties_are_kept_together_and_a_missing_class_is_nan():
    points = coverage_curve(np.array([2.0, 2.0, 0.1]), np.array([-0.2]), [0.25, 1.0])
    assert (points[0].coverage, points[0].bonafide) == (0.5, 2)
    assert np.isnan(points[0].eer) and not np.isnan(points[1].eer)


@pytest.mark.parametrize("coverages", [[0.0], [1.5]])
def test_coverage_out_of_range(coverages):
    with pytest.raises(MasdError, match="coverage"):
        coverage_curve(np.ones(3), np.zeros(3), coverages)
