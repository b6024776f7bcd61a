"""The mel spectrograms of published vocoders, against plain numpy."""

import numpy as np
import pytest
import torch

from masd.vocoders.mel import MelSpec, filters


def slaney_filters(spec):
    """Triangles on Slaney's mel scale (linear to 1 kHz, then logarithmic), of unit area."""

    def hz(mel):
        return mel * 200 / 3 if mel < 15 else 1000 * np.exp((mel - 15) * np.log(6.4) / 27)

    def mel(f):
        return 3 * f / 200 if f < 1000 else 15 + np.log(f / 1000) * 27 / np.log(6.4)

    edges = [hz(m) for m in np.linspace(mel(spec.f_min), mel(spec.f_max), spec.n_mels + 2)]
    out = np.zeros((spec.n_fft // 2 + 1, spec.n_mels))
    for k in range(len(out)):
        f = k * spec.rate / spec.n_fft
        for m in range(spec.n_mels):
            low, mid, high = edges[m : m + 3]
            rise, fall = (f - low) / (mid - low), (high - f) / (high - mid)
            out[k, m] = max(0.0, min(rise, fall)) * 2 / (high - low)
    return out


SPECS = [
    MelSpec(22050, magnitude_floor=1e-9),
    MelSpec(24000, 2048, 1200, 300, 80, 80.0, 7600.0, center=True, log_floor=1e-10, log10=True),
]


@pytest.mark.parametrize("spec", SPECS)
def test_filters_are_slaneys(spec):
    assert np.allclose(filters(spec).numpy(), slaney_filters(spec), atol=2e-5)


@pytest.mark.parametrize("spec", SPECS)
def test_spectrogram_agrees_with_a_loop_over_frames(spec):
    x = 0.1 * np.random.default_rng(0).standard_normal(5000)
    margin = spec.n_fft // 2 if spec.center else (spec.n_fft - spec.hop_length) // 2
    padded = np.pad(x, margin, mode="reflect")
    window = np.zeros(spec.n_fft)
    start = (spec.n_fft - spec.win_length) // 2
    n = np.arange(spec.win_length)
    window[start : start + spec.win_length] = 0.5 - 0.5 * np.cos(2 * np.pi * n / spec.win_length)
    got = spec(torch.from_numpy(x.astype(np.float32))).numpy()
    assert got.shape == (80, 1 + 5000 // 300 if spec.center else 5000 // 256)
    for t in range(got.shape[1]):
        piece = padded[t * spec.hop_length : t * spec.hop_length + spec.n_fft] * window
        magnitude = np.sqrt(np.abs(np.fft.rfft(piece)) ** 2 + spec.magnitude_floor)
        mel = np.maximum(magnitude @ slaney_filters(spec), spec.log_floor) if t < 2 else None
        if mel is not None:
            want = np.log10(mel) if spec.log10 else np.log(mel)
            assert np.allclose(got[:, t], want, atol=1e-3)


def test_a_signal_shorter_than_the_reflection_still_has_a_frame():
    assert MelSpec(22050)(torch.ones(10)).shape[1] >= 1
