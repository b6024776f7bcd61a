"""Eq. 8 against loops, its size, and what the literal reading comes to."""

import numpy as np
import pytest
import torch

from masd.errors import MasdError
from masd.models.fusion import Fusion, FusionConfig


def make(tokens="three", **sizes):
    torch.manual_seed(3)
    return Fusion(FusionConfig(tokens=tokens, **sizes)).eval()


def inputs(batch=5, dim=130):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, dim, generator=generator), torch.randn(batch, 3, generator=generator)


def by_loops(fusion, f_ssl, f_hand):
    """Eq. 8 an utterance, a token and a dimension at a time, in double precision."""
    p = {name: value.detach().double().numpy() for name, value in fusion.state_dict().items()}
    out, attention = [], []
    for x, y in zip(f_ssl.double().numpy(), f_hand.double().numpy(), strict=True):
        query = p["w_q.weight"] @ x
        if fusion.config.tokens == "one":
            keys = [sum(y[i] * p["w_k"][i] for i in range(3))]
            values = [sum(y[i] * p["w_v"][i] for i in range(3))]
        else:
            keys = [y[i] * p["w_k"][i] + p["b_k"][i] for i in range(3)]
            values = [y[i] * p["w_v"][i] + p["b_v"][i] for i in range(3)]
        e = [np.exp(sum(q * k for q, k in zip(query, key, strict=True)) / np.sqrt(64.0)) for key in keys]
        weights = [v / sum(e) for v in e]
        h = sum(w * v for w, v in zip(weights, values, strict=True))
        u = p["w_o.weight"] @ np.concatenate([x, h])
        mean = sum(u) / len(u)
        variance = sum((v - mean) ** 2 for v in u) / len(u)
        out.append([(v - mean) / np.sqrt(variance + 1e-5) for v in u])
        attention.append(weights)
    return np.array(out), np.array(attention)


@pytest.mark.parametrize("tokens", ["three", "one"])
def test_equation_8(tokens):
    fusion = make(tokens)
    f_ssl, f_hand = inputs()
    expected, weights = by_loops(fusion, f_ssl, f_hand)
    np.testing.assert_allclose(fusion(f_ssl, f_hand).detach().numpy(), expected, atol=2e-5)
    np.testing.assert_allclose(fusion.attention(f_ssl, f_hand).numpy(), weights, atol=1e-6)


def test_the_literal_token_leaves_nothing_to_attend():
    """The softmax of one number is 1, whatever query and key are."""
    fusion = make("one")
    f_ssl, f_hand = inputs(20)
    assert (fusion.attention(10 * f_ssl, 10 * f_hand) == 1).all()
    fusion.w_q.weight.data.normal_()
    torch.testing.assert_close(fusion(f_ssl, f_hand), fusion(f_ssl, f_hand))
    before = fusion(f_ssl, f_hand)
    fusion.w_k.data.zero_()
    torch.testing.assert_close(fusion(f_ssl, f_hand), before, rtol=0, atol=0)


def test_three_tokens_attend_differently_for_different_speech():
    weights = make().attention(*inputs(50))
    assert weights.shape == (50, 3)
    assert weights.std(0).min() > 0.01
    torch.testing.assert_close(weights.sum(1), torch.ones(50))


@pytest.mark.parametrize(("tokens", "count"), [("one", 58368), ("three", 58752)])
def test_number_of_parameters(tokens, count):
    """0.058 M in the paper: W_Q 64x130, W_K and W_V 64x3, W_o 256x194; the three tokens' biases 2x3x64."""
    assert sum(p.numel() for p in make(tokens).parameters()) == count


def test_f_fused_has_a_fixed_scale():
    """Mean 0 and squared norm 256, which is what the kernel's gamma relies on."""
    out = make()(*inputs(9)).detach()
    assert out.shape == (9, 256)
    torch.testing.assert_close(out.mean(1), torch.zeros(9), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.square().sum(1), torch.full((9,), 256.0), atol=0.05, rtol=0)


def test_dropout_acts_on_attention_in_training_only():
    fusion = make()
    f_ssl, f_hand = inputs(400)
    plain = fusion(f_ssl, f_hand)
    torch.testing.assert_close(fusion(f_ssl, f_hand), plain, rtol=0, atol=0)
    fusion.train()
    changed = (fusion(f_ssl, f_hand) - plain).abs().amax(1) > 1e-6
    # every weight that is kept is scaled by 1 / 0.9, so nearly every row moves
    assert changed.float().mean() > 0.99
    quiet = make()
    quiet.config.dropout = 0.0
    quiet.train()
    torch.testing.assert_close(quiet(f_ssl, f_hand), plain, rtol=0, atol=0)


def test_all_weights_learn():
    fusion = make().train()
    fusion(*inputs(32)).square().matmul(torch.randn(256)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in fusion.parameters())


def test_embeddings_of_any_size():
    assert make(ssl_dim=7, d_fused=32)(torch.randn(2, 7), torch.randn(2, 3)).shape == (2, 32)


def test_unknown_reading():
    with pytest.raises(MasdError, match="tokens"):
        make("two")
