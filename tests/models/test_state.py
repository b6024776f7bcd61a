"""Tensors on disk: nothing unpickled, nothing run, every name and shape as it should be."""

import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from masd.errors import MasdError
from masd.models.state import load_state, read_checkpoint, read_tensors, write_tensors


class Evil:
    def __reduce__(self):
        return os.mkdir, (os.environ["EVIL_PATH"],)


def test_pickled_objects_are_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.setenv("EVIL_PATH", str(tmp_path / "ran"))
    torch.save({"model": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(MasdError, match=r"holds pickled objects.*convert it"):
        read_checkpoint(tmp_path / "evil.pt", ("model",))
    assert not (tmp_path / "ran").exists()


def test_files_that_hold_no_weights_are_refused(tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(MasdError, match=r"text\.pt"):
        read_checkpoint(tmp_path / "text.pt")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    with pytest.raises(MasdError, match=r"empty\.pt: holds no state dict"):
        read_checkpoint(tmp_path / "empty.pt", ("generator",))
    torch.save({3: torch.ones(1)}, tmp_path / "numbers.pt")
    with pytest.raises(MasdError, match=r"numbers\.pt: holds no state dict"):
        read_checkpoint(tmp_path / "numbers.pt")
    odd = torch.eye(2).to_sparse(), torch.ones(2, dtype=torch.complex64), torch.ones(2, device="meta")
    for tensor in odd:
        torch.save({"a": tensor}, tmp_path / "odd.pt")
        with pytest.raises(MasdError, match=r"odd\.pt: tensor a is sparse, complex or without values"):
            read_checkpoint(tmp_path / "odd.pt")


def test_entries_prefixes_half_precision_and_safetensors(tmp_path):
    state = {"module.a.weight": torch.ones(2, dtype=torch.float16), "module.n": torch.tensor(3)}
    torch.save({"state_dict": state, "config": {"x": 1}}, tmp_path / "a.pth")
    save_file(state, tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        got = read_checkpoint(tmp_path / name, ("state_dict",))
        assert got["a.weight"].dtype == torch.float32 and got["n"].dtype == torch.int64


def test_tensors_come_back_and_others_may_read_them(tmp_path):
    """safetensors' own way of writing leaves a file to its owner alone, whatever the umask."""
    path = tmp_path / "x.safetensors"
    strided = torch.arange(6.0).view(2, 3).t().requires_grad_()
    write_tensors(path, {"a": strided}, {"state": "{}"})
    assert torch.equal(read_tensors(path)["a"], strided) and load_file(path)["a"].is_contiguous()
    (tmp_path / "any").touch()
    assert path.stat().st_mode == (tmp_path / "any").stat().st_mode
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MasdError, match=r"x\.safetensors: cannot be read as safetensors"):
        read_tensors(path)


def test_the_first_tensor_that_does_not_fit_is_named_and_nothing_is_loaded():
    layer = nn.Linear(2, 1)
    kept = layer.weight.clone()
    for state, said in (
        ({"weight": torch.zeros(1, 2)}, r"bias is nothing where .* \(1,\)"),
        ({"weight": torch.zeros(1, 3), "bias": torch.zeros(1)}, r"weight is \(1, 3\) where .* \(1, 2\)"),
        ({"weight": kept, "bias": torch.zeros(1), "more": kept}, r"more is \(1, 2\) where .* nothing"),
    ):
        with pytest.raises(MasdError, match=rf"^here: tensor {said}"):
            load_state(layer, state, "here")
    assert torch.equal(layer.weight, kept)
