"""Which mel bin belongs to which band."""

from __future__ import annotations

import numpy as np
import pytest
import torchaudio

from masd.errors import MasdError
from masd.models.bands import band_ranges, mel_centres


def test_bands_hold_22_27_and_15_bins():
    assert band_ranges() == [(0, 22), (22, 49), (49, 64)]


def test_single_band_is_everything():
    assert band_ranges("single") == [(0, 64)]


def test_centres_are_where_the_filter_bank_peaks():
    """The bank of the front end, at a resolution fine enough to show each filter's peak."""
    bank = torchaudio.functional.melscale_fbanks(80001, 0.0, 8000.0, 64, 16000, norm=None, mel_scale="htk")
    peaks = bank.numpy().argmax(0) * 0.1
    np.testing.assert_allclose(mel_centres(), peaks, atol=0.2)


def test_centres_fall_into_their_bands():
    centres = mel_centres()
    for (start, stop), (low, high) in zip(
        band_ranges(), [(0, 1000), (1000, 4000), (4000, 8000)], strict=True
    ):
        assert (centres[start:stop] >= low).all()
        assert (centres[start:stop] < high).all()


def test_a_filter_bank_that_leaves_a_band_empty_is_refused():
    with pytest.raises(MasdError, match="leave a band empty"):
        band_ranges(n_mels=20, f_max=3500.0)
