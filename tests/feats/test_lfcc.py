"""LFCC against loops over frames, filters and coefficients."""

import numpy as np
import pytest
import torch

from masd.feats.lfcc import Lfcc, LfccConfig, delta, filter_bank


def reference(x, config):
    """The definition, frame by frame, in float64."""
    x = np.concatenate([x[:1], x[1:] - config.preemphasis * x[:-1]])
    half = config.n_fft // 2
    padded = np.concatenate([np.zeros(half), x, np.zeros(half)])
    n = np.arange(config.window)
    window = np.zeros(config.n_fft)
    left = (config.n_fft - config.window) // 2
    window[left : left + config.window] = 0.54 - 0.46 * np.cos(2 * np.pi * n / config.window)
    f = np.arange(half + 1) * config.sample_rate / config.n_fft
    edges = np.linspace(0, config.f_max, config.filters + 2)
    rows = []
    for t in range(1 + len(x) // config.hop):
        frame = padded[t * config.hop : t * config.hop + config.n_fft] * window
        power = np.abs(np.fft.rfft(frame)) ** 2
        logs = []
        for k in range(config.filters):
            weight = np.interp(f, edges[k : k + 3], [0, 1, 0], left=0, right=0)
            logs.append(np.log10(weight @ power + np.finfo(np.float32).eps))
        size = config.filters
        scale = [np.sqrt(1 / size)] + [np.sqrt(2 / size)] * (size - 1)
        row = [
            scale[k] * sum(logs[m] * np.cos(np.pi * k * (m + 0.5) / size) for m in range(size))
            for k in range(size)
        ]
        if config.energy:
            row[0] = np.log10(power.sum() / config.n_fft + np.finfo(np.float32).eps)
        rows.append(row)
    static = np.array(rows)
    out = [static]
    for _ in range(2):
        last = np.concatenate([out[-1][:1], out[-1], out[-1][-1:]])
        out.append(last[2:] - last[:-2])
    return np.concatenate(out, axis=1)


@pytest.mark.parametrize("config", [LfccConfig(), LfccConfig(n_fft=1024, f_max=4000.0, energy=True)])
def test_lfcc_is_the_definition(config):
    x = 0.1 * np.random.default_rng(0).standard_normal(2000)
    mine = Lfcc(config)(torch.from_numpy(x).float()[None])[0].numpy()
    assert mine.shape == (13, 60)
    np.testing.assert_allclose(mine, reference(x, config), atol=2e-4)


def test_filters_end_at_the_upper_edge():
    bank = filter_bank(LfccConfig(n_fft=1024, f_max=4000.0))
    assert bank[257:].abs().max() == 0  # bins of 15.625 Hz: 256 is 4 kHz
    assert bank.amax(0).min() > 0.9


def test_deltas_of_a_ramp():
    ramp = torch.arange(5.0)[None, :, None]
    assert delta(ramp)[0, :, 0].tolist() == [1, 2, 2, 2, 1]
