"""L_adv: the gradient reversal layer and the two heads."""

from __future__ import annotations

import math

import pytest
import torch

from masd.ssl.adversarial import Adversarial, mean_over_time, reverse_gradient

LENGTHS = torch.tensor([6, 3, 1, 4])
LABELS = torch.tensor([-1, 2, 0, -1])


def make() -> tuple[Adversarial, torch.Tensor]:
    torch.manual_seed(0)
    return Adversarial(5, 3, 0.3, standardise=False), torch.randn(4, 6, 5)


def test_reversal_is_the_identity_with_minus_lambda_times_the_gradient():
    x = torch.randn(3, 4, requires_grad=True)
    y = reverse_gradient(x, 0.3)
    assert torch.equal(y, x)
    upstream = torch.randn(3, 4)
    y.backward(upstream)
    torch.testing.assert_close(x.grad, -0.3 * upstream)


def test_losses_are_cross_entropies_by_hand():
    head, z = make()
    head.requires_grad_(False)
    out = head(z, LENGTHS, LABELS)
    binary = vocoder = 0.0
    for item, label in enumerate(LABELS.tolist()):
        pooled = sum(z[item, t] for t in range(int(LENGTHS[item]))) / int(LENGTHS[item])
        p = 1 / (1 + math.exp(-float(head.binary(pooled))))
        binary -= math.log(p if label >= 0 else 1 - p)
        if label >= 0:
            scores = [math.exp(s) for s in head.vocoder(pooled).tolist()]
            vocoder -= math.log(scores[label] / sum(scores))
    assert float(out.binary) == pytest.approx(binary, rel=1e-5)
    assert float(out.vocoder) == pytest.approx(vocoder, rel=1e-5)
    assert (int(out.items), int(out.vocoded)) == (4, 2)


def test_only_the_vocoder_term_is_reversed_and_only_in_the_encoder():
    """Encoder: +binary, -0.3 x vocoder. Head: its own full gradient (lambda stands once)."""
    head, z = make()
    gradients = {}
    for scale in (0.3, -1.0):  # -1 makes the layer transparent
        head.scale = scale
        for term in ("binary", "vocoder"):
            leaf = z.clone().requires_grad_()
            head.zero_grad()
            getattr(head(leaf, LENGTHS, LABELS), term).backward()
            weight = head.vocoder[0].weight.grad
            gradients[scale, term] = (leaf.grad, None if term == "binary" else weight.clone())
    torch.testing.assert_close(gradients[0.3, "binary"][0], gradients[-1.0, "binary"][0])
    torch.testing.assert_close(gradients[0.3, "vocoder"][0], -0.3 * gradients[-1.0, "vocoder"][0])
    torch.testing.assert_close(gradients[0.3, "vocoder"][1], gradients[-1.0, "vocoder"][1])
    assert gradients[0.3, "vocoder"][0][0].abs().max() == 0  # a real recording has no vocoder term


def test_a_batch_without_vocoded_items_has_no_second_term():
    head, z = make()
    out = head(z.requires_grad_(), LENGTHS, torch.full((4,), -1))
    assert float(out.vocoder.detach()) == 0
    assert int(out.vocoded) == 0
    out.vocoder.backward()
    assert z.grad.abs().max() == 0


def test_mean_leaves_padding_out():
    _, z = make()
    other = z.clone()
    other[1, 3:] = 99.0
    torch.testing.assert_close(mean_over_time(z, LENGTHS), mean_over_time(other, LENGTHS))


def test_standardised_heads_see_neither_offset_nor_scale():
    """What a head learns from must not depend on how large z is; running statistics serve validation."""
    torch.manual_seed(0)
    head, z = Adversarial(5, 3), torch.randn(4, 6, 5)
    for scaled in (z, 1000.0 + 0.01 * z):
        head.train()
        losses = [head(scaled, LENGTHS, LABELS).binary for _ in range(200)]
        pooled = mean_over_time(scaled.double(), LENGTHS)
        by_hand = (pooled - pooled.mean(0)) / pooled.std(0, unbiased=False)
        expected = torch.nn.functional.binary_cross_entropy_with_logits(
            head.binary(by_hand.float())[:, 0], (LABELS >= 0).float(), reduction="sum"
        )
        assert float(losses[-1].detach()) == pytest.approx(float(expected.detach()), rel=0.05)
    torch.testing.assert_close(head.norm.running_mean, pooled.mean(0).float(), rtol=1e-4, atol=1e-3)
    assert torch.isfinite(head(z[:1], LENGTHS[:1], LABELS[:1]).binary)  # one item has no deviation
    head.eval()
    before = head.norm.running_mean.clone()
    head(z, LENGTHS, LABELS)
    torch.testing.assert_close(head.norm.running_mean, before)
