"""The whole loss (Eq. 5), its switches, and what is reported of it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from masd.errors import MasdError
from masd.models.encoder import Encoder, EncoderConfig
from masd.ssl.config import PretrainConfig
from masd.ssl.masking import patch_mask
from masd.ssl.objective import Batch, Objective, summarise

NAMES = ["hifigan", "world"]


def make(objectives=("mask", "cpc", "adv"), **keys) -> Objective:
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(channels=(4, 4, 4, 4, 4), dim=8, **keys.pop("encoder", {})))
    config = PretrainConfig(**{"objectives": list(objectives), "cpc_step": 6, "cpc_negatives": 12, **keys})
    return Objective(encoder, config, NAMES)


def batch() -> Batch:
    mel = torch.randn(5, 80, 64, generator=torch.Generator().manual_seed(2))
    return Batch(mel, torch.tensor([80, 71, 60, 80, 40]), torch.tensor([-1, 0, 1, -1, 1]))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(9)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_each_objective_can_be_switched_off_and_they_add_up(count):
    parts = {"mask": ["loss_mask"], "cpc": ["loss_cpc"], "adv": ["loss_binary", "loss_vocoder"]}
    for chosen in itertools.combinations(parts, count):
        model = make(chosen)
        loss, sums = model(batch(), generator())
        loss.backward()
        summary = summarise({name: float(value) for name, value in sums.items()}, model.config, NAMES)
        expected = sum(summary[name] for part in chosen for name in parts[part])
        assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
        assert summary["loss_total"] == pytest.approx(expected, rel=1e-5)
        assert {n for n in summary if n.startswith("loss_")} >= {n for part in chosen for n in parts[part]}
        assert all(p.grad is not None for p in model.encoder.blocks.parameters())


def test_one_forward_pass_serves_all_three(monkeypatch):
    model, calls = make(), []
    encode = model.encoder.encode
    monkeypatch.setattr(model.encoder, "encode", lambda *a: calls.append(1) or encode(*a))
    model(batch(), generator())
    assert len(calls) == 1


def test_hidden_cells_have_no_influence_on_z(monkeypatch):
    """Else the decoder could copy what it is to reconstruct."""
    model, first, seen = make(("mask",)), batch(), []
    cells = patch_mask(first.lengths, 80, 64, model.config.mask_share, model.config.patch, generator())
    other = first._replace(mel=first.mel.masked_fill(cells, 7.0))
    encode = model.encoder.encode
    monkeypatch.setattr(model.encoder, "encode", lambda *a: seen.append(encode(*a)[0]) or (seen[-1], a[1]))
    shown = first._replace(mel=first.mel.masked_fill(~cells, 7.0))
    for one in (first, other, shown):
        model(one, generator())
    assert cells.any() and torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


def test_the_keys_of_cpc_reach_the_head():
    """So that a configuration cannot say one thing and train another."""
    keys = {
        "cpc_step": 3,
        "cpc_negatives": 5,
        "cpc_within": "uniform",
        "cpc_temperature": 0.2,
        "cpc_pool": 99,
    }
    head = make(**keys).cpc
    assert keys == {f"cpc_{name.removeprefix('cpc_')}": getattr(head, name[4:]) for name in keys}
    loss = {}
    for step, within in ((6, 0.75), (12, 0.75), (6, "uniform"), (6, 0.0)):
        model = make(("cpc",), cpc_step=step, cpc_within=within)
        loss[step, within] = float(model(batch(), generator())[0].detach())
    assert len(set(loss.values())) == 4


def test_padding_does_not_change_the_loss():
    model, plain, padded = make(), batch(), batch()
    for item, length in enumerate(padded.lengths):
        padded.mel[item, length:] = float("nan") if item % 2 else 30.0
    first, second = (model(b, generator())[0] for b in (plain, padded))
    assert torch.equal(first, second)
    second.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_levels_of_chance():
    model = make()
    sums = {name: float(value) for name, value in model(batch(), generator())[1].items()}
    summary = summarise(sums, model.config, NAMES)
    assert summary["chance_loss_cpc"] == pytest.approx(math.log(13))
    assert summary["chance_acc_cpc_within"] == pytest.approx(1 / 13)
    assert summary["share_vocoded"] == pytest.approx(0.6)
    assert summary["chance_acc_binary"] == pytest.approx(0.6)
    assert summary["chance_loss_binary"] == pytest.approx(-0.6 * math.log(0.6) - 0.4 * math.log(0.4))
    assert (summary["share_hifigan"], summary["share_world"]) == pytest.approx((1 / 3, 2 / 3))
    assert summary["chance_acc_vocoder"] == pytest.approx(2 / 3)
    assert 0.7 < summary["chance_loss_mask"] < 1.3  # squared standard normal values


def test_without_vocoded_items_nothing_is_said_of_vocoders():
    model = make()
    loss, sums = model(batch()._replace(labels=torch.full((5,), -1)), generator())
    summary = summarise({name: float(value) for name, value in sums.items()}, model.config, NAMES)
    assert torch.isfinite(loss)
    assert not {"loss_vocoder", "acc_vocoder", "chance_loss_vocoder"} & summary.keys()


@pytest.mark.parametrize("encoder", [{"bands": "single"}, {"time_stride": (2, 2, 2, 2, 2)}])
def test_other_layouts(encoder):
    loss, _ = make(encoder=encoder, cpc_step=1)(batch(), generator())
    loss.backward()
    assert torch.isfinite(loss)


def test_bfloat16_gives_nearly_the_same_loss():
    plain, _ = make()(batch(), generator())
    mixed, _ = make(precision="bf16")(batch(), generator())
    assert mixed.dtype == torch.float32
    assert float(mixed.detach()) == pytest.approx(float(plain.detach()), rel=0.03)


def test_settings_that_cannot_work_are_refused():
    for keys, word in (
        ({"objectives": ["adversarial"]}, "adversarial"),
        ({"objectives": []}, "at least one"),
        ({"vocoded_ratio": 1.2}, "vocoded_ratio"),
        ({"cpc_within": -0.1}, "cpc_within"),
        ({"epochs": 0}, "epochs"),
    ):
        with pytest.raises(MasdError, match=word):
            PretrainConfig(**keys)
