"""Published checkpoints: weight normalisation folded in, strict names and shapes."""

import pytest
import torch
from torch import nn

from masd.errors import MasdError
from masd.vocoders.checkpoint import fold_weight_norm, load_strictly, read_config


@pytest.mark.parametrize("make", [lambda: nn.Conv1d(3, 5, 7), lambda: nn.ConvTranspose1d(6, 4, 8, 4)])
def test_folding_gives_the_normalised_layers_output(make):
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.weight_norm(make())
    layer.parametrizations.weight.original0.data.mul_(1.7)
    x = torch.randn(1, layer.in_channels, 40)
    new = {f"a.{k}": v for k, v in layer.state_dict().items()}
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    old = {}
    for key, value in new.items():
        stem = key.removeprefix("a.")
        old[f"a.{names.get(stem, stem)}"] = value
    assert set(old) == {"a.bias", "a.weight_g", "a.weight_v"}
    for state in (old, new):
        plain = nn.ModuleDict({"a": make()})
        load_strictly(plain, fold_weight_norm(state), "x.pt")
        assert torch.allclose(plain["a"](x), layer(x), atol=1e-6)


def test_a_magnitude_that_is_missing_is_named():
    with pytest.raises(MasdError, match=r"a\.weight_v"):
        fold_weight_norm({"a.weight_v": torch.ones(2, 2, 1)})


def test_wrong_names_and_shapes_are_named_first():
    layer = nn.Conv1d(2, 3, 5)
    with pytest.raises(MasdError, match=r"w\.pt: tensor bias is nothing where .* asks for \(3,\)"):
        load_strictly(layer, {"kernel": torch.ones(1)}, "w.pt")
    with pytest.raises(MasdError, match=r"weight is \(3, 2, 4\) where .* asks for \(3, 2, 5\)"):
        load_strictly(layer, {"weight": torch.ones(3, 2, 4), "bias": torch.ones(3)}, "w.pt")


def test_config_json_without_a_key_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"n_fft": 1024}')
    with pytest.raises(MasdError, match=r"config\.json: no key 'hop_size'"):
        read_config(tmp_path / "config.json", ("n_fft", "hop_size"))
