"""AASIST: the published sizes, names, shapes and outputs."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from masd.errors import MasdError
from masd.models.aasist import AASIST, AASIST_L, Aasist
from masd.models.graph import GraphAttention, GraphPool
from masd.models.sinc import sinc_filters
from masd.systems.released import released


def given(variable):
    """The file an environment variable names, or a skipped test."""
    if variable not in os.environ:
        pytest.skip(f"{variable} names no file")
    return Path(os.environ[variable])


def example_signal():
    """The deterministic signal (1, 64600) that reference outputs are stated for."""
    n = torch.arange(64600, dtype=torch.float64)
    phase = 2 * torch.pi * n / 16000
    x = 0.3 * (220 * phase).sin() + 0.2 * ((300 + 0.02 * n) * phase).sin() + 0.05 * (3100 * phase).sin()
    return x.float()[None]


@pytest.mark.parametrize(("config", "published"), [(AASIST, 297_866), (AASIST_L, 85_306)])
def test_the_published_numbers_of_parameters(config, published):
    assert sum(p.numel() for p in Aasist(config).parameters()) == published


def test_names_and_shapes_are_those_of_the_released_checkpoint():
    lines = given("AASIST_STATE_DICT").read_text().splitlines()[1:]
    expected = {name: shape for name, shape, _ in (line.split("\t") for line in lines)}
    assert {name: str(tuple(value.shape)) for name, value in Aasist().state_dict().items()} == expected


@pytest.mark.slow
def test_released_weights_give_the_reference_outputs():
    objective = released("aasist", given("AASIST_CHECKPOINT"))
    reference = json.loads(given("AASIST_REFERENCE").read_text())
    with torch.inference_mode():
        hidden, logits = objective.net(example_signal())
    np.testing.assert_allclose(logits[0].numpy(), reference["logits"], atol=1e-4)
    assert float(hidden.norm()) == pytest.approx(reference["last_hidden_norm"], abs=1e-4)
    score = objective.outputs_score(hidden, logits)[0]
    assert float(score) == pytest.approx(reference["logits"][1] - reference["logits"][0], abs=1e-3)


def test_a_wrong_checkpoint_is_refused_with_the_first_differing_name_and_shapes(tmp_path):
    torch.save(Aasist(AASIST_L).state_dict(), tmp_path / "l.pth")
    with pytest.raises(MasdError, match=r"l\.pth: tensor GAT_layer_S\.att_proj\.bias is \(24,\) .* \(64,\)"):
        released("aasist", tmp_path / "l.pth")
    torch.save({"model": {"weight": torch.zeros(3)}}, tmp_path / "other.pth")
    with pytest.raises(MasdError, match=r"tensor GAT_layer_S\.att_proj\.bias is nothing"):
        released("aasist", tmp_path / "other.pth")


def test_attention_is_the_formula_in_a_loop():
    """a_ij = softmax_j(w tanh(W (x_i * x_j)) / T), y = SELU(BN(W1 a x + W2 x))."""
    torch.manual_seed(0)
    layer = GraphAttention(4, 3, temperature=2.0).eval()
    x = torch.randn(1, 5, 4)
    energy = torch.empty(5, 5)
    for i in range(5):
        for j in range(5):
            energy[i, j] = torch.tanh(layer.att_proj(x[0, i] * x[0, j])) @ layer.att_weight[:, 0] / 2.0
    share = energy.exp() / energy.exp().sum(1, keepdim=True)
    y = layer.proj_with_att(share @ x[0]) + layer.proj_without_att(x[0])
    expected = torch.nn.functional.selu(y / np.sqrt(1 + layer.bn.eps))
    torch.testing.assert_close(layer(x)[0], expected)


def test_pooling_keeps_the_nodes_with_the_highest_gates():
    torch.manual_seed(1)
    pool = GraphPool(0.5, 3).eval()
    x = torch.randn(2, 6, 3)
    gates = torch.sigmoid(pool.proj(x))[..., 0]
    for row, kept in enumerate(pool(x)):
        order = gates[row].argsort(descending=True)[:3]
        torch.testing.assert_close(kept, x[row, order] * gates[row, order, None])


def test_filters_pass_their_band_and_part_the_mel_scale():
    filters = sinc_filters(20, 1024)
    assert filters.shape == (20, 1, 1025)
    response = np.abs(np.fft.rfft(filters[:, 0].numpy(), 16000))  # 1 Hz a bin
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 21)
    edges = 700 * (10 ** (mel / 2595) - 1)
    for k in (5, 10, 19):
        centre = round((edges[k] + edges[k + 1]) / 2)
        assert response[k, centre] == pytest.approx(1, abs=0.05)
        assert response[k, round(edges[k]) - 60] < 0.05
