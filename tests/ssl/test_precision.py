"""`precision: auto` takes bf16 only where it pays, and all processes take the same."""

import pytest
import torch

from masd.ssl import precision
from masd.ssl.distributed import Processes

ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.mark.parametrize(("gain", "taken"), [(1.8, "bf16"), (1.1, "float32"), (0.7, "float32")])
def test_auto_takes_bf16_where_it_is_much_faster(monkeypatch, gain, taken):
    monkeypatch.setattr(precision, "bf16_gain", lambda device: gain)
    assert precision.chosen("auto", ALONE) == taken
    assert precision.chosen("bf16", ALONE) == "bf16", "what is asked for by name is not judged"


def test_the_gain_is_that_of_real_convolutions():
    """Here one way may win or the other, but not by the order of magnitude that a broken timing gives."""
    assert 0.1 < precision.bf16_gain(ALONE.device) < 10


class _SlowNeighbour(Processes):
    def most(self, value):
        return torch.maximum(value, torch.tensor(-0.5))  # another process finds bf16 half as fast


def test_the_slowest_process_decides(monkeypatch):
    monkeypatch.setattr(precision, "bf16_gain", lambda device: 2.0)
    assert precision.chosen("auto", _SlowNeighbour(0, 2, ALONE.device)) == "float32"
