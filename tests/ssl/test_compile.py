"""The compile option: one graph for any batch, and a run without it where there is no compiler."""

from __future__ import annotations

import json

import pytest
import torch
from test_training import call
from torch._dynamo.testing import CompileCounter


def test_where_nothing_compiles_training_goes_on_without(arguments, tmp_path, monkeypatch, caplog):
    def compiler_missing(*_, **__):
        raise RuntimeError("no C++ compiler\nand more lines")

    plain = call(arguments, tmp_path / "plain", "--ssl.epochs", "4")
    monkeypatch.setattr(torch, "compile", compiler_missing)
    records = call(arguments, tmp_path / "exp", "--ssl.epochs", "4", "--ssl.compile", "true")
    assert "compile: not possible here (no C++ compiler); training goes on without" in caplog.text
    assert records[-1]["train"]["loss_total"] == plain[-1]["train"]["loss_total"]


@pytest.mark.slow
def test_few_graphs_serve_all_steps(arguments, tmp_path, monkeypatch):
    """Traced by dynamo, run without a code generator: that takes minutes. Crops of several lengths."""
    counter, compile_ = CompileCounter(), torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **keys: compile_(f, **{**keys, "backend": counter}))
    more = ("--ssl.epochs", "5", "--encoder.bands", "single", "--ssl.objectives", "[mask,cpc]")
    plain = call(arguments, tmp_path / "plain", *more)
    records = call(arguments, tmp_path / "exp", *more, "--ssl.compile", "true")
    assert (tmp_path / "exp" / "encoder.safetensors").is_file()
    assert 0 < counter.frame_count < 12
    for name in ("loss_mask", "loss_cpc"):
        assert records[-1]["train"][name] == pytest.approx(plain[-1]["train"][name], rel=0.02)
    assert json.loads((tmp_path / "exp" / ".done.json").read_text())["best_epoch"] > 0
