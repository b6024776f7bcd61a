"""L_mask: which cells are hidden, and the error on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from masd.ssl.masking import Decoder, masked_error, patch_mask


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_fifteen_percent_of_the_patches_that_hold_speech():
    lengths = torch.tensor([401, 160, 33, 1])
    cells = patch_mask(lengths, 401, 64, 0.15, 16, generator())
    for item, length in enumerate(lengths.tolist()):
        rows = -(-length // 16)
        hidden = 0
        for r in range(26):
            for c in range(4):
                tile = cells[item, 16 * r : min(16 * (r + 1), length), 16 * c : 16 * (c + 1)]
                if tile.numel():
                    assert tile.all() or not tile.any()  # whole patches
                    hidden += bool(tile.any())
        assert hidden == max(1, round(0.15 * rows * 4))
        assert not cells[item, length:].any()


def test_every_patch_is_equally_likely():
    counts = sum(
        patch_mask(torch.tensor([64]), 64, 64, 0.25, 16, generator(i))[0, ::16, ::16] for i in range(800)
    )
    np.testing.assert_allclose(np.asarray(counts) / 800, 0.25, atol=0.07)


def test_no_share_hides_nothing():
    assert not patch_mask(torch.tensor([40, 7]), 40, 64, 0.0, 16, generator()).any()


def test_error_is_the_mean_square_over_hidden_cells():
    gen = generator()
    output, target = torch.randn(2, 2, 7, 5, generator=gen, dtype=torch.float64)
    cells = torch.rand(2, 7, 5, generator=gen) < 0.4
    error, chance, count = masked_error(output, target, cells)
    squares, zeros, number = 0.0, 0.0, 0
    for index in np.ndindex(2, 7, 5):
        if cells[index]:
            squares += float(output[index] - target[index]) ** 2
            zeros += float(target[index]) ** 2
            number += 1
    assert (float(error), float(chance), float(count)) == pytest.approx((squares, zeros, number))


@pytest.mark.parametrize(("step", "frames", "steps"), [(4, 401, 101), (32, 401, 13), (4, 3, 1)])
def test_decoder_gives_back_every_frame(step, frames, steps):
    assert Decoder(3 * 6, 10, 64, step)(torch.randn(2, 3, steps, 6), frames).shape == (2, frames, 64)
