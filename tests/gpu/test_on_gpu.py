"""What a GPU computes against the CPU, and against itself; run by tests/gpu/run.sh."""

import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_training import call, same
from toy_corpus import copy_of, toy_mel, words, write_dump

from masd.feats.config import FeatsConfig
from masd.models.encoder import Encoder
from masd.models.normalization import MaskedBatchNorm2d, frame_mask
from masd.ssl.config import PretrainConfig
from masd.ssl.objective import Batch, Objective
from masd.stage.devices import device_of, exact
from masd.svm.inputs import embed
from masd.systems import classifier
from masd.systems.config import FrontEndConfig
from masd.training.loop import Loop


@pytest.fixture
def same_draws(monkeypatch):
    """Masks and negatives drawn on the CPU whatever computes: a GPU's generator gives other numbers."""
    rand, randperm, seeded = torch.rand, torch.randperm, torch.Generator()

    def drawn(function):
        def draw(*sizes, generator=None, device=None):
            return function(*sizes, generator=seeded).to(device)

        return draw

    monkeypatch.setattr(torch, "rand", drawn(rand))
    monkeypatch.setattr(torch, "randperm", drawn(randperm))
    return seeded


def step(objective, device, precision, seeded):
    """The loss, its parts and the gradients of one step, on the CPU again."""
    objective = copy.deepcopy(objective).to(device)
    objective.config = PretrainConfig(precision=precision)
    generator = torch.Generator().manual_seed(3)
    mel = torch.randn(6, 161, 64, generator=generator).to(device)
    lengths = torch.tensor([161, 161, 161, 140, 120, 161], device=device)
    batch = Batch(mel, lengths, torch.tensor([-1, 0, 1, -1, 0, -1], device=device))
    seeded.manual_seed(7)
    with exact():
        loss, sums = objective(batch, torch.Generator(device).manual_seed(0))
        loss.backward()
    gradients = torch.cat([p.grad.flatten() for p in objective.parameters() if p.grad is not None])
    parts = {name: float(value.detach()) for name, value in sums.items()}
    return float(loss.detach()), parts, gradients.cpu()


@pytest.mark.parametrize(("precision", "losses", "gradients"), [("float32", 1e-4, 1e-3), ("bf16", 0.02, 0.3)])
def test_a_training_step_agrees_with_the_cpus(device, same_draws, precision, losses, gradients):
    torch.manual_seed(0)
    objective = Objective(Encoder(), PretrainConfig(), ["a", "b"])
    want, want_sums, want_gradients = step(objective, "cpu", "float32", same_draws)
    loss, sums, found = step(objective, device, precision, same_draws)
    assert loss == pytest.approx(want, rel=losses)
    for name in ("sum/loss_mask", "sum/loss_cpc", "sum/loss_binary", "sum/loss_vocoder"):
        assert sums[name] == pytest.approx(want_sums[name], rel=losses), name
    apart = float((found - want_gradients).norm() / want_gradients.norm())
    print(f"\n{precision}: loss off by {abs(loss / want - 1):.1e}, gradient by {apart:.1e}")
    assert apart < gradients


@pytest.mark.parametrize("share", [None, lambda sums: sums])
def test_batch_normalisation_agrees_with_the_cpus(device, share):
    generator = torch.Generator().manual_seed(0)
    x, mask = torch.randn(3, 8, 4, 50, generator=generator) + 3, frame_mask(torch.tensor([50, 30, 7]), 50)
    found = []
    for where in ("cpu", device):
        norm = MaskedBatchNorm2d(8).to(where)
        norm.share = share
        out = norm(x.to(where), mask[:, None, None].float().to(where))
        found.append([out.detach().cpu(), norm.running_mean.cpu(), norm.running_var.cpu()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """Dumps of a toy corpus, as tests/ssl makes them."""
    root, rng = tmp_path_factory.mktemp("toy"), np.random.default_rng(5)
    for name, count in (("train", 24), ("dev", 8)):
        real = {f"{name}{i:02d}": toy_mel(rng, 60 + 4 * i, np.zeros(4)) for i in range(count)}
        write_dump(root / name, real, FeatsConfig())
        for vocoder in ("hifigan", "world"):
            copies = {f"{vocoder}-{u}": copy_of(mel, vocoder) for u, mel in real.items()}
            write_dump(root / f"{name}_{vocoder}", copies, FeatsConfig())
    return root


def trained(toy, out, device, *more):
    """The losses of each epoch, and the final weights and moments."""
    records = call(words(toy), out, "--ssl.device", device, *more)
    losses = [[record[part]["loss_total"] for part in ("train", "dev")] for record in records]
    return losses, load_file(out / "last.safetensors")


@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_a_training_runs_in_every_precision(toy, tmp_path, device, precision):
    losses, _ = trained(toy, tmp_path / "out", device, "--ssl.precision", precision)
    assert np.isfinite(losses).all()
    marked = json.loads((tmp_path / "out/.done.json").read_text())
    assert marked["precision"] == precision


def test_deterministic_is_the_same_bits(toy, tmp_path, device):
    runs = [
        trained(toy, tmp_path / name, device, "--ssl.deterministic", "true", "--ssl.precision", "bf16")
        for name in ("one", "two")
    ]
    assert runs[0][0] == runs[1][0] and same(runs[0][1], runs[1][1])


def test_a_killed_training_ends_as_if_it_had_not_been(toy, tmp_path, device, monkeypatch):
    more = ("--ssl.deterministic", "true", "--ssl.save_minutes", "0")
    whole = trained(toy, tmp_path / "whole", device, *more)
    save, saves = Loop._save, []

    def killed(self):
        save(self)
        saves.append(self.step)
        if len(saves) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Loop, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(toy, tmp_path / "out", device, *more)
    monkeypatch.setattr(Loop, "_save", save)
    assert 0 < saves[-1] < 9
    losses, final = trained(toy, tmp_path / "out", device, *more)
    assert losses == whole[0] and same(final, whole[1])


def test_embeddings_of_a_batch_are_the_cpus(device):
    torch.manual_seed(0)
    encoder = Encoder().eval().requires_grad_(False)
    rng = np.random.default_rng(0)
    mels = [rng.standard_normal((n, 64)).astype(np.float32) for n in (401, 300, 401, 155)]
    want = embed(encoder, mels)
    where = device_of(device)
    for one, other in zip(want, embed(encoder.to(where), mels, where), strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * np.abs(a).max())


@pytest.mark.parametrize("name", ["rawnet2", "aasist", "lfcc_lcnn"])
def test_networks_give_the_cpus_logits(name, device):
    torch.manual_seed(0)
    net = classifier.network(name, FrontEndConfig()).eval()
    x = 0.1 * torch.randn(2, 64600, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode(), exact():
        want = net(x)[1]
        found = net.to(device)(x.to(device))[1].cpu()
    torch.testing.assert_close(found, want, atol=1e-3, rtol=1e-3)


def test_copies_are_the_cpus_but_for_rounding_and_the_same_bits_every_time(device, tmp_path):
    pytest.importorskip("transformers")
    from vocoder_samples import save_networks, speech

    from masd.vocoders import get

    items = [(speech(0.5, seed=k), f"u{k}") for k in range(3)]
    for kind, config in save_networks(tmp_path).items():
        placed = get(kind, config)
        placed.place("cpu:0" if device == "cpu" else device_of(device))
        once, again = placed.copies(items), placed.copies(items)
        for (x, utt), y, second in zip(items, once, again, strict=True):
            assert np.array_equal(y, second), kind
            want = get(kind, config)(x, 16000, utt)
            apart = np.sqrt(np.mean((y - want) ** 2)) / np.sqrt(np.mean(want**2))
            print(f"\n{kind}: off by {apart:.1e}")
            assert apart < 0.1, kind  # TF32, through random weights
