"""mu, sigma_tr and kappa against loops, and their compact form under any alpha."""

from __future__ import annotations

import numpy as np
import torch

from masd.models.pooling import LEAST, compact, from_compact, interior, statistics


def by_loop(z: np.ndarray) -> np.ndarray:
    """f_SSL (D + 2,) of frames z (T, D), as the formulas read."""
    mu = sum(z) / len(z)
    distances = [np.sqrt(sum((v - m) ** 2 for v, m in zip(frame, mu, strict=True))) for frame in z]
    sigma = np.sqrt(np.mean([d**2 for d in distances]))
    kappa = np.mean([(d / sigma) ** 3 for d in distances])
    return np.array([*mu, sigma, kappa])


def example(dtype=torch.float64):
    gen = torch.Generator().manual_seed(0)
    z = torch.randn(3, 3, 9, 5, generator=gen, dtype=dtype) ** 3
    return z, torch.tensor([9, 4, 2])


def test_statistics_follow_the_formulas():
    z, lengths = example()
    out = statistics(z[:, 0], lengths)
    assert out.shape == (3, 7)
    for item, length in enumerate(lengths):
        np.testing.assert_allclose(out[item], by_loop(z[item, 0, :length].numpy()), rtol=1e-12)


def test_one_utterance_needs_no_batch_dimension():
    z, _ = example()
    torch.testing.assert_close(statistics(z[0, 0]), statistics(z[:1, 0])[0])


def test_compact_form_is_exact_for_any_alpha():
    z, lengths = example()
    mu, gram = compact(z, lengths)
    assert mu.shape == (3, 3, 5)
    assert gram.shape == (3, 9, 3, 3)
    for alpha in (torch.tensor([1 / 3] * 3), torch.tensor([0.05, 0.9, 0.05]), torch.tensor([1.5, -2.0, 0.7])):
        alpha = alpha.to(z.dtype)
        fused = torch.einsum("j,bjtd->btd", alpha, z)
        torch.testing.assert_close(from_compact(mu, gram, alpha, lengths), statistics(fused, lengths))


def test_gradient_in_alpha_is_exact():
    z, lengths = example()
    mu, gram = compact(z, lengths)
    weights = torch.randn(3, 7, generator=torch.Generator().manual_seed(1), dtype=z.dtype)
    gradients = []
    for route in ("compact", "frames"):
        alpha = torch.tensor([0.2, 0.5, 0.3], dtype=z.dtype, requires_grad=True)
        fused = torch.einsum("j,bjtd->btd", alpha, z)
        out = from_compact(mu, gram, alpha, lengths) if route == "compact" else statistics(fused, lengths)
        (out * weights).sum().backward()
        gradients.append(alpha.grad)
    torch.testing.assert_close(*gradients)
    alpha = torch.tensor([0.2, 0.5, 0.3], dtype=z.dtype, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a: from_compact(mu, gram, a, lengths), (alpha,))


def test_padding_has_no_influence():
    z, lengths = example()
    other = z.clone()
    other[1, :, 4:] = float("nan")
    other[2, :, 2:] = 1e9
    for a, b in zip(compact(z, lengths), compact(other, lengths), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(statistics(z[:, 1], lengths), statistics(other[:, 1], lengths))


def test_kappa_is_at_least_one_and_two_equal_peaks_give_one():
    z = torch.tensor([[[1.0], [-1.0], [1.0], [-1.0]]])
    torch.testing.assert_close(statistics(z)[0, 1:], torch.tensor([1.0, 1.0]))
    assert (statistics(torch.randn(20, 30, 4))[:, -1] >= 1).all()


def test_a_constant_sequence_stays_finite_with_its_gradient():
    z = torch.ones(1, 4, 3, requires_grad=True)
    out = statistics(z)
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(z.grad).all()


def test_interior_leaves_out_the_ends_of_each_utterance():
    """Long ones lose `edge` frames at both ends, short ones as many as leave LEAST, one frame stays."""
    lengths = torch.tensor([12, 7, 3, 1])
    z = torch.arange(4 * 2 * 12 * 3, dtype=torch.float64).view(4, 2, 12, 3)
    inner, left = interior(z, lengths, 3)
    assert left.tolist() == [6, 3, 3, 1]
    assert LEAST == 2
    for item, (first, last) in enumerate([(3, 9), (2, 5), (0, 3), (0, 1)]):
        torch.testing.assert_close(inner[item, :, : last - first], z[item, :, first:last])
    flat, _ = interior(z[:, 0], lengths, 3)
    torch.testing.assert_close(flat, inner[:, 0])


def test_interior_with_no_edge_is_the_literal_pooling():
    z, lengths = example()
    same, left = interior(z, lengths, 0)
    assert same is z
    assert left is lengths


def test_gradient_reaches_the_interior_alone():
    z = torch.randn(1, 10, 4, dtype=torch.float64, requires_grad=True)
    inner, left = interior(z, torch.tensor([10]), 3)
    statistics(inner, left)[:, :4].sum().backward()
    assert (z.grad.abs().sum(-1) > 0)[0].tolist() == [False] * 3 + [True] * 4 + [False] * 3
