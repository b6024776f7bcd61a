"""Families of utterance statistics: where in a recording might synthesis show?

Each family maps a waveform to a fixed number of figures, whatever its length. They are made to be compared
with each other by a plain classifier (egs/mini/local/evidence.py) and to be used beside an encoder's
embedding. Level and length enter none of them, for a waveform is brought to an RMS of 1 first; nor, but for
the family of that name, does polarity.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise

import numpy as np

from masd.errors import MasdError
from masd.feats.config import SIZES, FeatsConfig
from masd.feats.local import (
    WINDOWS,
    Resolution,
    covariance,
    covariance_loud,
    covariance_quiet,
    patch_covariance,
    tones,
)
from masd.feats.spectra import BANDS, EPS, RATE, TOP, band_edges, band_means, power, stft

VERSION = 2  # raise it when a family comes to give other figures
HOP = 160
FRAME_RATES = (50.0, 62.5, 80.0, 86.1328125, 93.75, 100.0, 125.0, 172.265625, 187.5, 200.0)

Family = Callable[["Analysis"], np.ndarray]


def describe(x: np.ndarray, names: list[str] | None = None) -> dict[str, np.ndarray]:
    """Return the figures of each family (D,), float32, of a waveform.

    Args:
        x: (N,) samples at 16 kHz, any level, at least 0.5 s.
        names: families, all of `FAMILIES` by default.

    Raises:
        MasdError: a family is unknown, or the waveform too short, silent or not finite.
    """
    check_names(names or [])
    analysis = Analysis(x)
    values = {name: FAMILIES[name](analysis) for name in names or FAMILIES}
    return {
        name: np.nan_to_num(value, posinf=0, neginf=0).astype(np.float32) for name, value in values.items()
    }


def check_names(names: list[str]) -> None:
    """Raise `MasdError` that tells the families there are if one of `names` is none."""
    unknown = sorted(set(names) - FAMILIES.keys())
    if unknown:
        raise MasdError(f"family {unknown[0]}: unknown; there are {', '.join(FAMILIES)}")


class Analysis:
    """What the families share about one waveform: spectra, envelopes, pitch, each computed once.

    Args:
        x: (N,) samples at 16 kHz.
    """

    def __init__(self, x: np.ndarray) -> None:
        x = np.asarray(x, dtype=np.float64)
        x = x - x.mean() if len(x) else x
        level = np.sqrt(np.mean(x**2)) if len(x) else 0.0
        if len(x) < RATE // 2 or not np.isfinite(x).all() or level < 1e-7:
            raise MasdError("statistics need at least 0.5 s of finite, non-silent samples at 16 kHz")
        self.x = (x / level).astype(np.float32)

    @cached_property
    def spectrum(self) -> np.ndarray:
        """(T, 257) complex spectra: 25 ms Hann windows every 10 ms, 512 points."""
        return stft(self.x, 400, HOP, 512)

    @cached_property
    def log_power(self) -> np.ndarray:
        """(T, 257) natural log of the power."""
        return np.log(power(self.spectrum) + EPS)

    @cached_property
    def bands(self) -> np.ndarray:
        """(T, 16) natural log of the power in equal bands."""
        return np.log(band_means(power(self.spectrum)) + EPS)

    @cached_property
    def mel(self) -> np.ndarray:
        """(T, 64) log-mel as the encoder sees it, but for the level."""
        from torchaudio.functional import melscale_fbanks

        bank = melscale_fbanks(257, 0.0, RATE / 2, 64, RATE).numpy()
        return np.log(power(self.spectrum) @ bank + EPS)

    @cached_property
    def short(self) -> np.ndarray:
        """(T, 65) complex spectra: 8 ms Hann windows every millisecond."""
        return stft(self.x, 128, 16, 128)

    @cached_property
    def loud(self) -> np.ndarray:
        """(T,) whether a 10 ms frame is within 15 dB of the loudest twentieth."""
        energy = np.log(power(self.spectrum).sum(1) + EPS)
        return energy > np.quantile(energy, 0.95) - 15 * np.log(10) / 10

    @cached_property
    def pitch(self) -> np.ndarray:
        """(T,) F0 in Hz every 10 ms, 0 where unvoiced, from a quarter of the rate, where harmonics are."""
        from scipy.signal import resample_poly

        from masd.feats.pitch import pitch

        return pitch(resample_poly(self.x, 1, 4), RATE // 4, HOP // 4)[: len(self.spectrum)]

    @cached_property
    def voiced(self) -> np.ndarray:
        """(T,) whether a frame is voiced."""
        return np.pad(self.pitch > 0, (0, len(self.spectrum) - len(self.pitch)))

    @cached_property
    def resolutions(self) -> list[Resolution]:
        """Spectra at five resolutions, 8 to 128 ms, and what is local in them."""
        return [Resolution(self.x, window) for window in WINDOWS]

    @cached_property
    def prediction(self) -> tuple[np.ndarray, np.ndarray]:
        """Shape (T / 2, 5) of the prediction residual every 20 ms, and its complex spectra (T / 2, 257).

        Shape: skewness, log kurtosis, highest and lowest sample over the RMS, log gain of the prediction.
        """
        from masd.feats.lpc import analyse

        frames = np.lib.stride_tricks.sliding_window_view(self.x, 400)[:: 2 * HOP].astype(np.float64)
        filters, gains = analyse(frames, 16)
        spectra = np.fft.rfft(frames * np.hanning(400), 512) * np.fft.rfft(filters, 512)
        error = np.fft.irfft(spectra)[:, 16:400]
        error = error / (np.sqrt((error**2).mean(1, keepdims=True)) + EPS)
        square = error * error
        columns = [(square * error).mean(1), np.log((square * square).mean(1) + EPS)]
        columns += [error.max(1), -error.min(1)]
        columns.append(np.log(gains + EPS) - 0.5 * np.log((frames**2).mean(1) + EPS))
        return np.stack(columns, axis=1), spectra

    @cached_property
    def polarity(self) -> float:
        """1 or -1: the sign of the residual's skewness in voiced frames, in all where none is voiced."""
        skewness = self.prediction[0][:, 0]
        voiced = self.voiced[::2]
        return -1.0 if np.median(skewness[voiced] if voiced.any() else skewness) < 0 else 1.0


def moments(x: np.ndarray) -> np.ndarray:
    """Return mean, deviation, skewness and kurtosis of x (T, D) over time, (4, D)."""
    mean, dev = x.mean(0), x.std(0) + 1e-6
    z = (x - mean) / dev
    square = z * z  # z**3 takes ten times as long
    return np.stack([mean, dev, (square * z).mean(0), (square * square).mean(0)])


def quantiles(x: np.ndarray) -> np.ndarray:
    """Return five quantiles of x (T,) or (T, D), zeros of an empty one."""
    return np.quantile(x, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0) if len(x) else np.zeros((5, *x.shape[1:]))


def mel_mean(a: Analysis) -> np.ndarray:
    """Mean of each of 64 log-mel bins over time (64)."""
    return a.mel.mean(0)


def mel_dev(a: Analysis) -> np.ndarray:
    """Deviation of each log-mel bin over time (64)."""
    return a.mel.std(0)


def mel_shape(a: Analysis) -> np.ndarray:
    """Skewness and kurtosis of each log-mel bin, and its quantiles against the median (384)."""
    spread = quantiles(a.mel)
    return np.concatenate([moments(a.mel)[2:].ravel(), (spread[[0, 1, 3, 4]] - spread[2]).ravel()])


def mel_modulation(a: Analysis) -> np.ndarray:
    """Log share of six bands of modulation frequency, 1 to 50 Hz, in 16 groups of mel bins (96).

    Of what is longer than 10.24 s the beginning is heard.
    """
    groups = a.mel.reshape(len(a.mel), 16, 4).mean(2)
    spectrum = (
        np.abs(np.fft.rfft((groups - groups.mean(0)) * np.hanning(len(groups))[:, None], 1024, axis=0)) ** 2
    )
    hertz = np.fft.rfftfreq(1024, HOP / RATE)
    edges = [1, 3, 6, 12, 20, 32, 50.1]
    parts = [spectrum[(hertz >= f) & (hertz < g)].mean(0) for f, g in pairwise(edges)]
    logs = np.log(np.array(parts) + EPS)
    return (logs - logs.mean(0)).ravel()


def linear_high_mean(a: Analysis) -> np.ndarray:
    """Mean log power of each bin of 31 Hz from 4 to 7.4 kHz (109)."""
    return a.log_power[:, 128:237].mean(0)


def linear_high_dev(a: Analysis) -> np.ndarray:
    """Deviation of the log power of each bin of 31 Hz from 4 to 7.4 kHz (109)."""
    return a.log_power[:, 128:237].std(0)


def linear_low_dev(a: Analysis) -> np.ndarray:
    """Deviation of the log power of each bin of 31 Hz below 4 kHz (128)."""
    return a.log_power[:, :128].std(0)


def linear_fine(a: Analysis) -> np.ndarray:
    """Fine structure of the mean log spectrum: bins of 31 Hz, 0 to 7.4 kHz, less a mean over 470 Hz (237)."""
    from scipy.ndimage import uniform_filter1d

    mean = a.log_power.mean(0)
    return (mean - uniform_filter1d(mean, 15))[:237]


def lfcc(a: Analysis) -> np.ndarray:
    """Mean and deviation of 20 LFCC and of their first and second differences (120)."""
    import torch

    from masd.feats.lfcc import Lfcc

    with torch.inference_mode():
        values = Lfcc()(torch.from_numpy(a.x)[None])[0].numpy()
    return np.concatenate([values.mean(0), values.std(0)])


def _phase(steps: np.ndarray, weights: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Circular statistics of products of spectra (T, F) in 16 bands over kept frames (64).

    Mean |angle|, mean cosine, mean cosine weighted with the magnitude, and deviation over time of the mean
    cosine.
    """
    size = np.abs(steps) + 1e-12
    cosine, angle = steps.real / size, np.abs(np.angle(steps))
    keep = keep[: len(steps)] if keep[: len(steps)].any() else np.ones(len(steps), bool)
    per_frame = band_means(cosine)[keep]
    weighted = band_means(cosine * weights)[keep].sum(0) / (band_means(weights)[keep].sum(0) + EPS)
    return np.concatenate([band_means(angle)[keep].mean(0), per_frame.mean(0), weighted, per_frame.std(0)])


def phase_group_delay(a: Analysis) -> np.ndarray:
    """Phase steps from bin to bin (group delay against the window's centre), in loud frames (64)."""
    s = a.spectrum
    return _phase(s[:, 1:] * s[:, :-1].conj(), np.abs(s[:, 1:]), a.loud)


def phase_advance(a: Analysis) -> np.ndarray:
    """Phase advance from frame to frame less that of the bin's centre (baseband phase difference) (64)."""
    s = a.spectrum
    centre = np.exp(-2j * np.pi * np.arange(s.shape[1]) * HOP / 512).astype(np.complex64)
    return _phase(s[1:] * s[:-1].conj() * centre, np.abs(s[1:]), a.loud)


def phase_mixed(a: Analysis) -> np.ndarray:
    """Change of the phase step from bin to bin between frames: the mixed derivative of phase (64)."""
    s = a.spectrum
    steps = s[:, 1:] * s[:, :-1].conj()
    return _phase(steps[1:] * steps[:-1].conj(), np.abs(s[1:, 1:]), a.loud)


def phase_short(a: Analysis) -> np.ndarray:
    """Group delay and phase advance over 2 ms, of windows of 8 ms, all frames (128)."""
    s = a.short[::2]
    centre = np.exp(-2j * np.pi * np.arange(s.shape[1]) * 32 / 128).astype(np.complex64)
    keep = np.ones(len(s), bool)
    return np.concatenate(
        [
            _phase(s[:, 1:] * s[:, :-1].conj(), np.abs(s[:, 1:]), keep),
            _phase(s[1:] * s[:-1].conj() * centre, np.abs(s[1:]), keep),
        ]
    )


def phase_pcs(a: Analysis) -> np.ndarray:
    """PCS (Eq. 6) per band: mean |phase step| of 2048-point spectra in 16 bands, all and loud frames (32).

    Phases are taken at the window's centre, which makes it pi minus what Eq. 6 gives.
    """
    s = stft(a.x, 2048, 320, 2048)
    angle = band_means(np.abs(np.angle(s[:, 1:] * s[:, :-1].conj())))
    loud = np.log(power(s).sum(1))
    return np.concatenate([angle.mean(0), angle[loud >= np.median(loud)].mean(0)])


def pauses(a: Analysis) -> np.ndarray:
    """The quietest fifth of the frames: bands against the whole's mean, deviation, spectral flatness (48)."""
    total = a.bands.mean(1)
    quiet = a.bands[total <= np.quantile(total, 0.2)]
    rows = power(a.spectrum)[total <= np.quantile(total, 0.2)]
    flat = band_means(np.log(rows + EPS)) - np.log(band_means(rows) + EPS)
    return np.concatenate([quiet.mean(0) - a.bands.mean(0), quiet.std(0), flat.mean(0)])


def flux(a: Analysis) -> np.ndarray:
    """|Change of log power| of 16 bands in 10 ms: mean, deviation, kurtosis; 20 and 40 ms: ratio (80)."""
    step = np.abs(np.diff(a.bands, axis=0))
    rows = [np.log(step.mean(0) + EPS), step.std(0), np.log(moments(step)[3])]
    rows += [np.log(np.abs(a.bands[k:] - a.bands[:-k]).mean(0) / (step.mean(0) + EPS) + EPS) for k in (2, 4)]
    return np.concatenate(rows)


def flux_bins(a: Analysis) -> np.ndarray:
    """The same of single bins of 31 Hz, averaged in 16 bands: texture rather than loudness (64)."""
    step = a.log_power[1:] - a.log_power[:-1]
    across = np.diff(a.log_power, axis=1)
    rows = [band_means(np.abs(step)).mean(0), band_means(step**2).mean(0) ** 0.5]
    rows += [band_means(np.abs(across)).mean(0), band_means(across**2).mean(0) ** 0.5]
    return np.log(np.concatenate(rows) + EPS)


RESOLUTIONS = ((128, 32), (256, 64), (512, 128), (1024, 256), (2048, 256))  # window and hop in samples


def grain(a: Analysis) -> np.ndarray:
    """Grain of the log spectrogram at five resolutions, 8 to 128 ms, in 8 bands (240).

    Log of the mean |difference| of neighbouring cells over time, over frequency and over both; of its root
    mean square over time; mean |second difference| over time against the first; the same over frequency.
    """
    rows = []
    for window, hop in RESOLUTIONS:
        cells = np.log(power(stft(a.x, window, hop, window)) + EPS)
        time, frequency = np.diff(cells, axis=0), np.diff(cells, axis=1)
        parts = [np.abs(time), np.abs(frequency), np.abs(np.diff(time, axis=1)), time * time]
        parts += [np.abs(np.diff(time, axis=0)), np.abs(np.diff(frequency, axis=1))]
        logs = [np.log(band_means(part, 8).mean(0) + EPS) for part in parts]
        rows += [*logs[:3], 0.5 * logs[3] - logs[0], logs[4] - logs[0], logs[5] - logs[1]]
    return np.concatenate(rows)


def grain_split(a: Analysis) -> np.ndarray:
    """Mean |difference| of log power over time and frequency, cells 10 dB over their floor, 16 bands (96).

    Apart for voiced frames, for other loud ones, and for the level of the cells over the floor.
    """
    floor = np.quantile(a.log_power, 0.05, axis=0)
    high = (a.log_power > floor + 2.3).astype(np.float32)
    time, frequency = np.abs(np.diff(a.log_power, axis=0)), np.abs(np.diff(a.log_power, axis=1))
    both, beside = high[1:] * high[:-1], high[:, 1:] * high[:, :-1]
    rows = []
    for keep in (a.voiced, a.loud & ~a.voiced):
        for step, mask in ((time, both), (frequency, beside)):
            here = keep[len(keep) - len(step) :, None] * mask
            rows.append(np.log((band_means(step * here).sum(0) + 1) / (band_means(here).sum(0) + 1)))
        rows.append(band_means(high)[keep].mean(0) if keep.any() else np.zeros(BANDS))
    return np.concatenate(rows)


def advance_multi(a: Analysis) -> np.ndarray:
    """Regularity of phase at five resolutions, 8 to 128 ms, in 8 bands (240).

    Mean cosine of the phase advance less that of the bin's centre, of its change from frame to frame, and of
    the mixed difference over time and frequency; plain and weighted with the magnitude.
    """
    rows = []
    for window, hop in RESOLUTIONS:
        s = stft(a.x, window, hop, window)
        centre = np.exp(-2j * np.pi * np.arange(s.shape[1]) * hop / window).astype(np.complex64)
        size = np.abs(s)
        unit = s / (size + 1e-12)
        advance = unit[1:] * unit[:-1].conj() * centre
        parts = (advance, advance[1:] * advance[:-1].conj(), advance[:, 1:] * advance[:, :-1].conj())
        for part in parts:
            weight = size[len(s) - len(part) :, : part.shape[1]]
            weighted = band_means(part.real * weight, 8).sum(0) / (band_means(weight, 8).sum(0) + EPS)
            rows += [band_means(part.real, 8).mean(0), weighted]
    return np.concatenate(rows)


def texture(a: Analysis) -> np.ndarray:
    """Distribution of the bins' power around their band's mean: shape in 16 bands, loud frames (64).

    For Gaussian noise log power has a deviation of 1.28 and a mean of -0.58; vocoders may differ from it.
    """
    keep = a.loud
    local = np.repeat(a.bands, np.diff(band_edges(257)), axis=1)[keep]
    ratio = a.log_power[keep, : local.shape[1]] - local
    pad = np.zeros((len(ratio), 257 - ratio.shape[1]), ratio.dtype)
    parts = [
        band_means(np.concatenate([v, pad], 1)).mean(0)
        for v in (ratio, ratio * ratio, ratio * ratio * ratio, np.exp(2 * np.minimum(ratio, 3)))
    ]
    return np.concatenate([parts[0], np.sqrt(parts[1]), np.cbrt(parts[2]), np.log(parts[3] + EPS)])


def band_correlation(a: Analysis) -> np.ndarray:
    """Correlations between the log levels of 16 bands over time, and between their changes (240)."""
    upper = np.triu_indices(BANDS, 1)
    changes = np.diff(a.bands, axis=0)
    return np.concatenate([np.corrcoef(v.T + 0.0)[upper] for v in (a.bands, changes)])


def periodicity(a: Analysis) -> np.ndarray:
    """Autocorrelation at the pitch period in 5 bands of voiced frames, jitter, shimmer, course of F0 (41)."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(a.x, 512), 1024)[:: 2 * HOP]
    f0 = a.pitch[::2]
    keep = f0 > 0
    if keep.sum() < 5:
        return np.zeros(41)
    window = np.hanning(1024)
    spectra = np.abs(np.fft.rfft(frames[: len(f0)][keep] * window, 2048)) ** 2
    lag = RATE / f0[keep]
    of_window = np.fft.irfft(np.abs(np.fft.rfft(window, 2048)) ** 2)
    hertz, row, rows = np.fft.rfftfreq(2048, 1 / RATE), np.arange(keep.sum()), []
    for low, high in ((60, 800), (800, 1600), (1600, 2800), (2800, 4500), (4500, 7400)):
        r = np.fft.irfft(spectra * ((hertz >= low) & (hertz < high)))
        at = np.stack([r[row, np.clip(np.round(lag).astype(int) + d, 1, 1000)] for d in range(-2, 3)]).max(0)
        ratio = at / (r[:, 0] + EPS) * of_window[0] / of_window[np.round(lag).astype(int)]
        rows.append(np.concatenate([[ratio.mean(), ratio.std()], quantiles(ratio)]))
    near = a.voiced[1:] & a.voiced[:-1]
    change = np.abs(np.diff(np.log(np.maximum(a.pitch, 1))))[near[: len(a.pitch) - 1]]
    energy = np.log(power(a.spectrum).sum(1) + EPS)
    shimmer = np.abs(np.diff(energy))[near]
    extra = [
        np.mean(change),
        np.median(change),
        np.mean(shimmer),
        np.median(shimmer),
        keep.mean(),
        np.log(f0[keep]).std(),
    ]
    return np.concatenate([*rows, extra])


def pitch_modulation(a: Analysis) -> np.ndarray:
    """Envelopes of 8 bands within 64 ms: depth at 60 to 400 Hz, its peak, and how bands go together (60)."""
    level = np.sqrt(band_means(power(a.short), 8))
    pieces = np.lib.stride_tricks.sliding_window_view(level, 64, axis=0)[::32]  # (S, 8, 64)
    pieces = pieces / (pieces.mean(2, keepdims=True) + EPS) - 1
    spectra = np.fft.rfft(pieces * np.hanning(64), axis=2)[:, :, 4:26]
    squared = np.abs(spectra) ** 2
    depth, peak = np.log(squared.mean(2) + EPS), np.log(squared.max(2) / (squared.mean(2) + EPS) + EPS)
    cross = np.einsum("sif,sjf->sij", spectra, spectra.conj())
    size = np.sqrt(np.einsum("sii->si", cross).real)
    coherence = (cross.real / (size[:, :, None] * size[:, None, :] + EPS)).mean(0)[np.triu_indices(8, 1)]
    return np.concatenate([depth.mean(0), depth.std(0), peak.mean(0), peak.std(0), coherence])


def frame_lines(a: Analysis) -> np.ndarray:
    """Lines in the spectrum of band envelopes at frame rates that vocoders use: height over the surroundings.

    Log of the power at each rate of `FRAME_RATES` over the median within 6 Hz, for low and high bands, and
    the two highest rates of each half (24).
    """
    level = np.log(band_means(power(a.short), 8) + EPS)
    level = level - level.mean(0)
    size = 1 << (len(level) - 1).bit_length() + 1
    spectrum = np.abs(np.fft.rfft(level * np.hanning(len(level))[:, None], size, axis=0)) ** 2
    step = 1000 / size
    rows = []
    for half in (spectrum[:, :4].sum(1), spectrum[:, 4:].sum(1)):
        heights = []
        for rate in FRAME_RATES:
            at = round(rate / step)
            wide, narrow = int(6 / step), max(1, int(0.15 / step))
            around = half[at - wide : at + wide + 1]
            heights.append(
                np.log(half[at - narrow : at + narrow + 1].max() / (np.median(around) + EPS) + EPS)
            )
        rows.append(np.concatenate([heights, np.sort(heights)[-2:]]))
    return np.concatenate(rows)


def residual(a: Analysis) -> np.ndarray:
    """Residual of linear prediction (order 16): shape in voiced and other loud frames, spectrum (68)."""
    shape, spectra = a.prediction
    shape = shape.copy()
    if a.polarity < 0:
        shape[:, 0] *= -1
        shape[:, [2, 3]] = shape[:, [3, 2]]
    voiced, loud = a.voiced[::2], a.loud[::2]
    parts = [quantiles(shape[keep]).ravel() for keep in (voiced, loud & ~voiced)]
    flat = np.log(power(spectra) + EPS)
    return np.concatenate([*parts, band_means(flat)[loud].mean(0), [voiced.mean(), shape[:, 0].mean()]])


OCTAVES = ((60, 300), (300, 1000), (1000, 2000), (2000, 4000), (4000, 5600), (5600, 7400))  # Hz


def waveform(a: Analysis) -> np.ndarray:
    """Skewness, log kurtosis of the samples of 6 bands (by octaves), and skewness of their slope (18)."""
    from scipy.fft import irfft, next_fast_len, rfft

    size = next_fast_len(len(a.x), real=True)
    spectrum, hertz = rfft(a.x, size), np.fft.rfftfreq(size, 1 / RATE)
    rows = []
    for low, high in OCTAVES:
        y = irfft(spectrum * ((hertz >= low) & (hertz < high)).astype(np.float32), size)[: len(a.x)]
        y = y / (y.std() + EPS)
        slope = np.diff(y)
        square = y * y  # x**3 takes ten times as long
        cube = slope * slope * slope
        rows += [
            a.polarity * (square * y).mean(),
            np.log((square * square).mean()),
            a.polarity * cube.mean() / (slope.std() ** 3 + EPS),
        ]
    return np.array(rows)


def polarity(a: Analysis) -> np.ndarray:
    """Skewness of the samples and of the slope of 6 bands with the sign they have, residual's sign (13).

    What a recorder's wiring decides, or the voice that a vocoder was trained on: no trace of synthesis, and
    here to show how much it gives away. All other families take a waveform and its negative as the same.
    """
    signed = waveform(a).reshape(len(OCTAVES), 3)[:, [0, 2]] * a.polarity
    return np.append(signed.ravel(), a.polarity)


def bispectrum(a: Analysis) -> np.ndarray:
    """Bicoherence of 8 ms spectra up to 4 kHz in 8 x 8 cells: size, and real part (72)."""
    s = stft(a.x, 128, 128, 128)
    s = s / (np.sqrt(power(s).sum(1, keepdims=True)) + EPS)
    size, count = power(s), len(s)
    low, of_low = s[:, 1:33], size[:, 1:33]
    third = np.zeros((32, 32), s.dtype)  # mean of X(f) X(g) X*(f + g)
    for f in range(32):  # the other half is the same
        third[f, f:] = low[:, f] @ (low[:, f:] * s[:, 2 * f + 2 : f + 34].conj()) / count
    third += np.triu(third, 1).T
    both = np.add.outer(np.arange(1, 33), np.arange(1, 33))
    value = third / np.sqrt(of_low.T @ of_low / count * size.mean(0)[both] + EPS**2)
    parts = (np.abs(value), a.polarity * value.real)
    cells = [v.reshape(8, 4, 8, 4).mean((1, 3))[np.triu_indices(8)] for v in parts]
    return np.concatenate(cells)


def handcrafted(a: Analysis) -> np.ndarray:
    """PCS, HFER and SFI as the method defines them (3)."""
    from masd.feats.measures import pcs_hfer_sfi

    return pcs_hfer_sfi(a.x, FeatsConfig())


FAMILIES: dict[str, Family] = {
    f.__name__: f
    for f in (
        mel_mean, mel_dev, mel_shape, mel_modulation, linear_high_mean, linear_high_dev, linear_low_dev,
        linear_fine, lfcc, phase_group_delay, phase_advance, phase_mixed, phase_short, phase_pcs, pauses,
        flux, flux_bins, grain, grain_split, advance_multi, texture, band_correlation, periodicity,
        pitch_modulation, frame_lines, residual,
        waveform, bispectrum, handcrafted, polarity, covariance, covariance_loud, covariance_quiet,
        patch_covariance, tones,
    )
}  # fmt: skip


def frequencies(name: str) -> np.ndarray:
    """Return the frequency in Hz that each figure of a family is about (D,), NaN where it is of none."""
    bands = (np.arange(BANDS) + 0.5) * TOP / BANDS
    if name in ("flux_bins", "phase_advance", "phase_mixed"):
        return np.tile(bands, 4)
    if name == "waveform":
        return np.repeat([(low + high) / 2 for low, high in OCTAVES], 3)
    if name == "residual":  # the shape of its samples, its spectrum, and two figures of voicing
        return np.concatenate([np.full(50, np.nan), bands, np.full(2, np.nan)])
    return np.full(SIZES[name], np.nan)
