"""L_CPC against loops: which negatives, which loss, which accuracies."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from masd.models.normalization import frame_mask
from masd.ssl.cpc import Cpc, draw_outside
from masd.training.batch_place import alone

LENGTHS = torch.tensor([14, 9, 4, 11])
K = 5


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(within, pool=4096, negatives=16) -> tuple[Cpc, torch.Tensor]:
    torch.manual_seed(1)
    cpc = Cpc(6, K, negatives, within, 0.07, pool)
    z = torch.randn(4, 14, 6) * frame_mask(LENGTHS, 14)[..., None]
    return cpc, z


def drawn(cpc: Cpc, z: torch.Tensor, seed: int = 0) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The indices a forward pass with this seed draws, and the pool they point into."""
    gen, place = generator(seed), alone(LENGTHS, LENGTHS)
    pool = cpc._pool(z.shape[1], gen, place)
    return cpc._indices(torch.empty(4, z.shape[1] - K, z.shape[1]), pool, LENGTHS, gen, place), pool


def by_loop(cpc: Cpc, z: torch.Tensor) -> dict[str, float]:
    """Loss and hits of every valid anchor, one negative at a time."""
    index, pool = drawn(cpc, z)
    contexts = cpc.gru(z)[0].detach().numpy()
    frames = z.numpy()
    frames_of = [(int(i) // z.shape[1], int(i) % z.shape[1]) for i in pool]
    out = dict.fromkeys(("loss", "correct", "within", "across", "anchors"), 0.0)

    def similarity(c, f):
        return float(c @ f / (np.linalg.norm(c) * np.linalg.norm(f)))

    for b, length in enumerate(LENGTHS.tolist()):
        for t in range(length - K):
            c = contexts[b, t]
            positive = similarity(c, frames[b, t + K])
            within = [similarity(c, frames[b, i]) for i in index["within"][b, t].tolist()]
            across = [similarity(c, frames[frames_of[i]]) for i in index["across"][b, t].tolist()]
            if cpc.within == "uniform":
                negatives = [similarity(c, frames[frames_of[i]]) for i in index["uniform"][b, t].tolist()]
            else:
                cut = round(cpc.within * cpc.negatives)
                negatives = within[:cut] + across[: cpc.negatives - cut]
            scores = [math.exp(s / cpc.temperature) for s in (positive, *negatives)]
            out["loss"] -= math.log(scores[0] / sum(scores))
            out["anchors"] += 1
            for name, rivals in (("correct", negatives), ("within", within), ("across", across)):
                out[name] += positive > max(rivals)
    return out


@pytest.mark.parametrize("pool", [4096, 12])
@pytest.mark.parametrize("within", [0.75, 0.0, 1.0, "uniform"])
def test_loss_and_accuracies_follow_equation_4(within, pool):
    cpc, z = make(within, pool)
    with torch.no_grad():
        out = cpc(z, LENGTHS, generator())
    expected = by_loop(cpc, z)
    assert float(out.loss) == pytest.approx(expected["loss"], rel=1e-5)
    for name in ("correct", "within", "across", "anchors"):
        assert float(getattr(out, name)) == expected[name], name


def test_negatives_are_valid_frames_and_never_the_positive():
    cpc, z = make("uniform", negatives=400)
    index, pool = drawn(cpc, z)
    flat = pool.tolist()
    for b, length in enumerate(LENGTHS.tolist()):
        for t in range(length - K):
            own = set(index["within"][b, t].tolist())
            assert own == set(range(length)) - {t + K}  # 400 draws reach all of at most 13
            others = {flat[i] for i in index["across"][b, t].tolist()}
            assert others <= {i for i in flat if i // 14 != b}
            uniform = {flat[i] for i in index["uniform"][b, t].tolist()}
            assert uniform == set(flat) - {14 * b + t + K}
    assert sorted(flat) == [14 * b + t for b, length in enumerate(LENGTHS.tolist()) for t in range(length)]


def test_draws_are_uniform_outside_the_gap():
    index = draw_outside(torch.rand(90_000, generator=generator()), 10, 3, 2)
    counts = np.bincount(index.numpy(), minlength=10) / 90_000
    np.testing.assert_allclose(counts, [1 / 8, 1 / 8, 1 / 8, 0, 0, *[1 / 8] * 5], atol=0.005)


def test_draws_stay_in_range_at_the_edges():
    top = torch.tensor([np.nextafter(np.float32(1), np.float32(0))])
    assert draw_outside(top, 7, 6, 1).item() == 5
    assert draw_outside(top, 20_000_001, 0, 0).item() <= 20_000_000
    assert draw_outside(top, 4, 0, 4).item() == 0


def test_a_lone_utterance_takes_all_negatives_from_itself():
    cpc, z = make(0.75)
    out = cpc(z[:1], LENGTHS[:1], generator())
    assert torch.isfinite(out.loss)
    assert out.across_anchors == 0
    assert out.anchors == 9


@pytest.mark.parametrize("lengths", [[5, 5, 4, 1], [14, 9, 4, 11]])
def test_no_anchor_gives_zero_loss_with_a_gradient(lengths):
    """All utterances no longer than k, or the whole batch no longer than k."""
    cpc, z = make(0.75)
    if max(lengths) > K:
        cpc.step = 14
    out = cpc(z.requires_grad_(), torch.tensor(lengths), generator())
    out.loss.backward()
    assert out.loss == 0
    assert out.anchors == 0
    assert z.grad is not None


def test_padded_frames_get_no_gradient_and_give_no_influence():
    cpc, z = make(0.75)
    noisy = (z + 7.0 * ~frame_mask(LENGTHS, 14)[..., None]).requires_grad_()
    out = cpc(noisy, LENGTHS, generator())
    assert float(out.loss) == pytest.approx(float(cpc(z, LENGTHS, generator()).loss), rel=1e-6)
    out.loss.backward()
    assert (noisy.grad * ~frame_mask(LENGTHS, 14)[..., None]).abs().max() == 0


def test_memory_holds_no_product_of_batch_time_negatives_and_dimension():
    batch, frames, dim, negatives = 6, 40, 64, 128
    cpc, z, sizes = Cpc(dim, 5, negatives), torch.randn(batch, frames, dim), []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            parts = out if isinstance(out, (tuple, list)) else [out]
            sizes.extend(part.numel() for part in parts if torch.is_tensor(part))
            return out

    with Watch():
        cpc(z, torch.full((batch,), frames), generator())
    assert max(sizes) < batch * (frames - 5) * negatives * dim / 10
