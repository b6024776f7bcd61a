"""Masked batch normalisation against the plain kind over the valid frames alone."""

from __future__ import annotations

import pytest
import torch

from masd.models.normalization import MaskedBatchNorm2d, frame_mask

LENGTHS = torch.tensor([5, 3, 1])


def both(layout, dtype=torch.float32):
    """Our module on a padded batch, torch's own on the valid frames; outputs, gradients, statistics."""
    gen = torch.Generator().manual_seed(0)
    x = (torch.randn(3, 8, 2, 5, generator=gen) * 2 + 1.5).to(dtype)
    weight, bias = torch.randn(2, 8, generator=gen)
    upstream = torch.randn(3, 8, 2, 5, generator=gen).to(dtype)
    mask = frame_mask(LENGTHS, 5)[:, None, None, :]
    select = mask.expand(3, 1, 2, 5)[:, 0]
    results = []
    for norm in (MaskedBatchNorm2d(8), torch.nn.BatchNorm1d(8)):
        with torch.no_grad():
            norm.weight.copy_(weight)
            norm.bias.copy_(bias)
        leaf = x.clone(memory_format=layout).requires_grad_()
        if isinstance(norm, MaskedBatchNorm2d):
            full = norm(leaf, mask.to(dtype))
            valid = full.permute(0, 2, 3, 1)[select]
            (full * upstream).sum().backward()
        else:
            valid = norm(leaf.permute(0, 2, 3, 1)[select])
            (valid * upstream.permute(0, 2, 3, 1)[select]).sum().backward()
        parts = (valid, leaf.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var)
        results.append([part.detach().float() for part in parts])
    return results, full.detach(), mask


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_gradients_and_statistics_are_those_of_the_valid_frames(layout):
    (ours, theirs), _, _ = both(layout)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_bfloat16_keeps_statistics_in_float32():
    (ours, theirs), _, _ = both(torch.channels_last, torch.bfloat16)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=0.06, rtol=0.03)


def test_padded_frames_are_zero():
    _, full, mask = both(torch.contiguous_format)
    assert (full * ~mask).abs().max() == 0


def test_a_full_mask_gives_what_no_mask_gives():
    """The fast path for batches of equal length is the same function."""
    x = torch.randn(4, 6, 3, 7, generator=torch.Generator().manual_seed(1))
    fast, masked = MaskedBatchNorm2d(6), MaskedBatchNorm2d(6)
    torch.testing.assert_close(fast(x), masked(x, torch.ones(4, 1, 1, 7)), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(fast.running_var, masked.running_var)
    torch.testing.assert_close(fast.running_mean, masked.running_mean)


def test_averaging_gives_the_plain_mean_over_batches():
    norm = MaskedBatchNorm2d(2)
    norm.averaged = 0
    batches = [torch.full((1, 2, 1, 3), float(v)) for v in (1, 2, 6)]
    for batch in batches:
        norm(batch)
    torch.testing.assert_close(norm.running_mean, torch.full((2,), 3.0))


def test_a_shared_variance_is_right_where_the_mean_is_large_beside_it():
    """A mean of squares less the square of the mean is nothing but rounding here."""
    norm = MaskedBatchNorm2d(4)
    norm.share = lambda sums: sums  # one process that shares with none
    x = 1000.0 + 0.05 * torch.randn(3, 4, 2, 5, generator=torch.Generator().manual_seed(0))
    mask = frame_mask(LENGTHS, 5)[:, None, None, :]
    valid = x.permute(1, 0, 2, 3)[:, mask.expand(3, 1, 2, 5)[:, 0]].double()
    out = norm(x, mask.float()).permute(1, 0, 2, 3)[:, mask.expand(3, 1, 2, 5)[:, 0]]
    want = (valid - valid.mean(1, True)) / (valid.var(1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    torch.testing.assert_close(out.double(), want, atol=0.01, rtol=0.0)
    var = 0.9 + 0.1 * valid.var(1)
    torch.testing.assert_close(norm.running_var.double(), var, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("share", [None, lambda sums: sums])
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_reduced_precision_is_rounded_once(share, kind):
    """A scale rounded to 8 bits is wrong by up to 0.2 % in all that a channel gives."""
    gen = torch.Generator().manual_seed(0)
    norm = MaskedBatchNorm2d(16)
    norm.share = share
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2.0, generator=gen)
        norm.bias.normal_(generator=gen)
    x = torch.randn(3, 16, 4, 5, generator=gen).to(kind)
    mask = frame_mask(LENGTHS, 5)[:, None, None, :]
    out = norm(x, mask.to(kind))
    keep = mask.expand(3, 1, 4, 5)[:, 0]
    valid = x.permute(1, 0, 2, 3)[:, keep].double()
    scale = norm.weight.double()[:, None] / (valid.var(1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    want = (valid - valid.mean(1, True)) * scale + norm.bias.double()[:, None]
    out = out.permute(1, 0, 2, 3)[:, keep]
    unit = torch.finfo(kind).eps / 2
    assert ((out.double() - want).abs() <= 1.01 * unit * want.abs() + 1e-5).all()
