"""The compile option: one graph for any batch, and a run without it where there is no compiler."""

from __future__ import annotations

import json

import pytest
import torch
from test_distributed import steps
from test_training import call
from torch._dynamo.testing import CompileCounter
from torchrun import forked
from toy_corpus import words as toy_words

from masd.models.encoder import Encoder
from masd.ssl.training import compiled
from masd.training.distributed import Processes


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


class _Failing(Processes):
    """Another process has no compiler."""

    def most(self, value):
        return value + 1


def test_no_process_compiles_where_another_cannot(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda f, **_: lambda *a: f(*a))
    encoder = Encoder()
    assert compiled(encoder, _Failing(0, 2, torch.device("cpu"))) == encoder.encode
    with torch._dynamo.config.patch(suppress_errors=False):
        assert compiled(encoder, Processes(0, 1, torch.device("cpu"))) != encoder.encode
        assert torch._dynamo.config.suppress_errors, "a part that cannot be compiled later runs as it is"


@pytest.mark.slow
def test_several_processes_compile_the_same_steps(toy, tmp_path, monkeypatch):
    """The first of them has a code generator that fails: what it cannot compile runs as it is."""
    compile_ = torch.compile

    def broken(graph, inputs):
        raise RuntimeError("no kernel for this")

    def backend(f, **keys):
        small = f.__name__ == "_trial"
        failing = torch.distributed.get_rank() == 0 and not small
        return compile_(f, **{**keys, "backend": broken if failing else "eager"})

    monkeypatch.setattr(torch, "compile", backend)
    more = (
        "--ssl.epochs=4",
        "--encoder.bands=single",
        "--ssl.objectives=[mask,cpc]",
        "--ssl.crop_seconds=0.8",
    )
    words = [*toy_words(toy), *more]
    for name, extra in (("plain", ()), ("compiled", ("--ssl.compile=true",))):
        forked(2, lambda: call(words, tmp_path / name, *extra), tmp_path / f"said_{name}")  # noqa: B023
    assert "not possible" not in (tmp_path / "said_compiled").read_text()
    plain, ours = steps(tmp_path / "plain"), steps(tmp_path / "compiled")
    assert len(ours) == 12 and ours == pytest.approx(plain, rel=0.02)
