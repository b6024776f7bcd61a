"""Speech-like signals and checkpoints in the published formats, with random weights."""

import json
import re

import numpy as np
import torch
from scipy.signal import lfilter

RATE = 16000
HIFIGAN = {
    "resblock": "1",
    "upsample_rates": [8, 8, 2, 2],
    "upsample_kernel_sizes": [16, 16, 4, 4],
    "upsample_initial_channel": 32,
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
    "num_mels": 80,
    "n_fft": 1024,
    "hop_size": 256,
    "win_size": 1024,
    "sampling_rate": 22050,
    "fmin": 0,
    "fmax": 8000,
}


def speech(seconds=1.2, f0=120.0, seed=0):
    """Return a vowel with a moving F0, a pause and a noise burst: float32 (N,)."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    track = f0 * (1 + 0.1 * np.sin(2 * np.pi * 1.5 * np.arange(n) / RATE))
    pulses = np.diff(np.floor(np.cumsum(track / RATE)), prepend=0.0)
    x = pulses + 0.01 * rng.standard_normal(n)
    for centre, width in ((600, 80), (1300, 100), (2600, 150), (4500, 300)):
        r = np.exp(-np.pi * width / RATE)
        x = lfilter([1.0], [1, -2 * r * np.cos(2 * np.pi * centre / RATE), r * r], x)
    gate = np.ones(n)
    gate[int(0.55 * n) : int(0.65 * n)] = 1e-3
    x = x / np.abs(x).max() * gate
    x[int(0.8 * n) : int(0.95 * n)] = 0.1 * rng.standard_normal(int(0.95 * n) - int(0.8 * n))
    return (0.4 * x + 1e-4 * rng.standard_normal(n)).astype(np.float32)


def random_state(module, seed=0, scale=1.0):
    """Fill a module with random weights of the usual size and return its state dict."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in module.named_parameters():
        fan = p[0].numel() if p.dim() > 1 else 100
        p.data = torch.randn(p.shape, generator=generator) * scale / fan**0.5
        if re.search(r"\.(alpha|beta)$", name):
            p.data.add_(1.0)
    return {k: v.clone() for k, v in module.state_dict().items()}


def with_weight_norm(state, plain=()):
    """Return a state dict as training code saves it: weight_g and weight_v, but for names in `plain`."""
    out = {}
    for name, value in state.items():
        stem, _, last = name.rpartition(".")
        if last != "weight" or any(p in name for p in plain):
            out[name] = value
            continue
        norm = torch.linalg.vector_norm(value, dim=tuple(range(1, value.dim())), keepdim=True)
        out[f"{stem}.weight_g"] = norm
        out[f"{stem}.weight_v"] = 3.7 * value  # only its direction counts
    return out


def save_hifigan(folder, config=HIFIGAN, seed=0, edit=lambda state: state):
    """Write a generator and its config.json; return the adapter's configuration."""
    from masd.vocoders.hifigan import Generator

    state = edit(with_weight_norm(random_state(Generator(config), seed)))
    torch.save({"generator": state}, folder / "generator.pth.tar")
    (folder / "config.json").write_text(json.dumps(config))
    return {"checkpoint": str(folder / "generator.pth.tar"), "config": str(folder / "config.json")}


def tiny_flow():
    """Return a small WaveGlow whose 1x1 convolutions can be inverted."""
    from masd.vocoders.waveglow import Flow

    flow = Flow(80, [8, 8, 6, 6, 4], 16, 3, 3)
    random_state(flow, scale=0.3)
    for k, invert in enumerate(flow.convinv):
        c = invert.conv.in_channels
        q = torch.linalg.qr(torch.randn(c, c, generator=torch.Generator().manual_seed(k)))[0]
        invert.conv.weight.data = q[:, :, None].clone()
    return flow.eval().requires_grad_(False)


def save_networks(folder):
    """Write a small checkpoint of each kind of network; return the adapters' configurations by kind."""
    import transformers

    from masd.vocoders import bigvgan, melgan

    def save(name, content):
        torch.save(content, folder / name)
        return {"checkpoint": str(folder / name)}

    h = HIFIGAN | {"activation": "snakebeta", "snake_logscale": True}
    (folder / "bigvgan.json").write_text(json.dumps(h))
    big = with_weight_norm(random_state(bigvgan.Generator(h), scale=0.3))
    torch.manual_seed(0)
    small = {"model_hidden_channels": 8, "kernel_predictor_hidden_channels": 8, "model_in_channels": 8}
    univnet = transformers.UnivNetModel(transformers.UnivNetConfig(**small))
    random_state(univnet)
    univnet.save_pretrained(folder / "univnet")
    flow = with_weight_norm(tiny_flow().state_dict(), ("upsample.weight", "convinv", ".end."))
    return {
        "hifigan": save_hifigan(folder),
        "bigvgan": save("bigvgan.pt", {"generator": big}) | {"config": str(folder / "bigvgan.json")},
        "melgan": save("melgan.pt", with_weight_norm(random_state(melgan.DescriptGenerator(80, 4, 2)))),
        "univnet": {"checkpoint": str(folder / "univnet")},
        "waveglow": save("waveglow.pt", flow),
    }
