"""Augmentation of waveforms: RawBoost's three noises, codecs, bands, rates, rooms, speed, noises.

RawBoost is Tak et al., ICASSP 2022. Every draw comes from the generator that is given.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from masd.audio.resampling import resample
from masd.audio.stream import AudioStream, read_audio
from masd.audio.usable import fit
from masd.audio.walk import audio_paths
from masd.errors import MasdError

# name to what soundfile calls container, coding and the rate it needs
CODECS = {
    "ulaw": ("WAV", "ULAW", 8000),
    "alaw": ("WAV", "ALAW", 8000),
    "gsm": ("WAV", "GSM610", 8000),
    "mp3": ("MP3", "MPEG_LAYER_III", 16000),
    "vorbis": ("OGG", "VORBIS", 16000),
    "opus": ("OGG", "OPUS", 16000),
}
TELEPHONE_BAND = (300.0, 3400.0)
EDGES = (3400, 4000, 5500, 7000, 7400, 7600)  # Hz, where low-passes of recorders and coders begin
RATES = (8000, 12000, 22050, 24000, 44100)  # Hz, at which recordings and generators are kept


@dataclass(frozen=True)
class RawBoostConfig:
    """RawBoost's parameters; the defaults are the published ones.

    Args:
        bands: notch filters in series.
        centre: range of their centre frequencies, Hz.
        width: range of their widths, Hz.
        taps: range of their lengths, samples.
        gain: range of the linear part's peak gain, dB.
        bias: how far the gains of higher orders lie below, dB, at either end of the range.
        orders: powers of the signal that are filtered and summed; 1 is linear.
        impulses: largest share of samples hit by impulsive noise, per cent.
        impulse_gain: gain of that noise.
        snr: range of the coloured noise's signal-to-noise ratio, dB.
    """

    bands: int = 5
    centre: tuple[float, float] = (20.0, 8000.0)
    width: tuple[float, float] = (100.0, 1000.0)
    taps: tuple[int, int] = (10, 100)
    gain: tuple[float, float] = (0.0, 0.0)
    bias: tuple[float, float] = (5.0, 20.0)
    orders: int = 5
    impulses: float = 10.0
    impulse_gain: float = 2.0
    snr: tuple[float, float] = (10.0, 40.0)


PROBABILITIES = (
    *("codec", "telephone", "speed", "noise", "equaliser", "low_pass", "room", "rates"),
    *("background", "reverb"),
)


@dataclass(frozen=True)
class AugmentConfig:
    """What is done to training waveforms; all of it is off by default.

    Args:
        rawboost: RawBoost's algorithm: 0 none, 1 convolutive, 2 impulsive, 3 coloured additive noise, 4 all
            in series, 5 1 and 2, 6 1 and 3, 7 2 and 3 in series, 8 1 and 2 in parallel.
        rawboost_config: its parameters.
        codec: probability of a codec, drawn from `codecs`.
        bit_rates: shares of a codec's highest bit rate, drawn on a scale of logarithms; 0: its usual rate.
        codecs: which, of ulaw, alaw, gsm (8 kHz), mp3, vorbis, opus.
        telephone: probability of the telephone band, 300-3400 Hz at 8 kHz.
        speed: probability of a change of speed (and pitch), by up to `speed_range`.
        speed_range: largest change, as a share.
        noise: probability of coloured noise, its spectrum falling by 0 to 6 dB an octave.
        noise_snr: range of its signal-to-noise ratio, dB.
        equaliser: probability of a smooth filter of up to 8 dB either way.
        low_pass: probability of a low-pass at one of `EDGES`.
        room: probability of a room: noise that decays by 60 dB in 0.1 to 0.5 s behind the direct sound.
        rates: probability of resampling to one of `RATES` and back.
        background: probability of a stretch of a recording of `background_folders`.
        background_folders: folders of noise, searched through: MUSAN's noise and music, for instance.
        background_snr: range of the signal-to-noise ratio, dB.
        reverb: probability of an impulse response of `reverb_folders`.
        reverb_folders: folders of impulse responses, searched through, such as RIRS_NOISES/simulated_rirs.
    """

    rawboost: int = 0
    rawboost_config: RawBoostConfig = RawBoostConfig()
    codec: float = 0.0
    codecs: tuple[str, ...] = ("ulaw", "alaw", "mp3", "vorbis")
    telephone: float = 0.0
    speed: float = 0.0
    speed_range: float = 0.1
    noise: float = 0.0
    noise_snr: tuple[float, float] = (10.0, 30.0)
    bit_rates: tuple[float, float] = field(default=(0.0, 0.0), metadata={"omit": True})
    equaliser: float = field(default=0.0, metadata={"omit": True})
    low_pass: float = field(default=0.0, metadata={"omit": True})
    room: float = field(default=0.0, metadata={"omit": True})
    rates: float = field(default=0.0, metadata={"omit": True})
    background: float = field(default=0.0, metadata={"omit": True})
    background_folders: tuple[str, ...] = field(default=(), metadata={"omit": True})
    background_snr: tuple[float, float] = field(default=(0.0, 20.0), metadata={"omit": True})
    reverb: float = field(default=0.0, metadata={"omit": True})
    reverb_folders: tuple[str, ...] = field(default=(), metadata={"omit": True})

    def __post_init__(self) -> None:
        if self.rawboost not in range(9):
            raise MasdError(f"augment.rawboost: {self.rawboost} is no algorithm from 0 to 8")
        unknown = sorted(set(self.codecs) - CODECS.keys())
        if unknown:
            raise MasdError(f"augment.codecs: {unknown[0]} is unknown; choose from {', '.join(CODECS)}")
        for key in PROBABILITIES:
            if not 0.0 <= getattr(self, key) <= 1.0:
                raise MasdError(f"augment.{key}: {getattr(self, key)} is no probability")
        for key in ("background", "reverb"):
            if getattr(self, key) and not getattr(self, f"{key}_folders"):
                raise MasdError(f"augment.{key}: of which recordings? Give augment.{key}_folders, a list")
        if self.codec and not self.codecs:
            raise MasdError("augment.codec: of which? Give augment.codecs, a list")
        if not 0.0 <= self.speed_range < 1.0:
            raise MasdError(f"augment.speed_range: {self.speed_range} is no share below 1")
        if min(self.bit_rates) < 0 or max(self.bit_rates) > 1:
            raise MasdError(f"augment.bit_rates: {self.bit_rates} are no shares")
        for key in ("noise_snr", "background_snr", "bit_rates"):
            low, high = getattr(self, key)
            if not -np.inf < low <= high < np.inf:
                raise MasdError(
                    f"augment.{key}: {getattr(self, key)} is no range; give the lower number first"
                )

    @property
    def active(self) -> bool:
        """Whether anything is done at all."""
        return self.rawboost > 0 or any(getattr(self, key) for key in PROBABILITIES)


def augment(x: np.ndarray, config: AugmentConfig, rng: Generator, rate: int = 16000) -> np.ndarray:
    """Return an augmented copy of a waveform (N,) at `rate` Hz, float32; speed changes N."""
    if config.speed and rng.random() < config.speed:
        x = change_speed(x, 1.0 + rng.uniform(-config.speed_range, config.speed_range), rate)
    if config.equaliser and rng.random() < config.equaliser:
        x = equalised(x, rng)
    if config.low_pass and rng.random() < config.low_pass:
        x = low_passed(x, int(rng.choice(EDGES)), rate)
    if config.room and rng.random() < config.room:
        x = in_a_room(x, rng, rate)
    if config.reverb and rng.random() < config.reverb:
        x = reverberated(x, config.reverb_folders, rng, rate)
    if config.rates and rng.random() < config.rates:
        other = int(rng.choice(RATES))
        x = fit(resample(resample(x.astype(np.float32), rate, other), other, rate), len(x))
    if config.noise and rng.random() < config.noise:
        x = add_noise(x, rng.uniform(*config.noise_snr), rng.uniform(0.0, 2.0), rng)
    if config.background and rng.random() < config.background:
        x = with_background(x, config.background_folders, rng.uniform(*config.background_snr), rng, rate)
    if config.telephone and rng.random() < config.telephone:
        x = telephone_band(x, rate)
    if config.codec and rng.random() < config.codec:
        codec, bit_rate = str(rng.choice(list(config.codecs))), None
        if config.bit_rates[0]:
            bit_rate = float(np.exp(rng.uniform(*np.log(config.bit_rates))))
        x = through_codec(x, codec, rate, bit_rate)
    if config.rawboost:
        x = rawboost(x, config.rawboost, config.rawboost_config, rng, rate)
    return x.astype(np.float32, copy=False)


def rawboost(x: np.ndarray, algorithm: int, config: RawBoostConfig, rng: Generator, rate: int) -> np.ndarray:
    """Return x (N,) through one of RawBoost's algorithms 1 to 8 (see `AugmentConfig`)."""
    convolutive: Callable = functools.partial(convolutive_noise, config=config, rng=rng, rate=rate)
    impulsive: Callable = functools.partial(impulsive_noise, config=config, rng=rng)
    coloured: Callable = functools.partial(coloured_noise, config=config, rng=rng, rate=rate)
    if algorithm == 8:
        return limit_peak(convolutive(x) + impulsive(x))
    series = {
        1: (convolutive,), 2: (impulsive,), 3: (coloured,), 4: (convolutive, impulsive, coloured),
        5: (convolutive, impulsive), 6: (convolutive, coloured), 7: (impulsive, coloured),
    }  # fmt: skip
    for noise in series[algorithm]:
        x = noise(x)
    return x


def convolutive_noise(x: np.ndarray, config: RawBoostConfig, rng: Generator, rate: int) -> np.ndarray:
    """Linear and non-linear convolutive noise: y = sum_i x^i * b_i, without DC, its peak at most 1.

    Each b_i is a series of random notches; those of i > 1 lie `bias` lower.
    """
    y = np.zeros(len(x))
    for order in range(1, config.orders + 1):
        gain = config.gain
        if order > 1:
            gain = (config.gain[0] - config.bias[0], config.gain[1] - config.bias[1])
        y += _filtered(np.asarray(x, np.float64) ** order, notch_filter(config, gain, rng, rate))
    return limit_peak(y - y.mean())


def impulsive_noise(x: np.ndarray, config: RawBoostConfig, rng: Generator) -> np.ndarray:
    """Impulsive signal-dependent noise: at up to `impulses` per cent of the samples, x_n (1 + g u v).

    u and v are uniform in [-1, 1]; the peak is at most 1 afterwards.
    """
    y = np.array(x, np.float64)
    count = int(len(y) * rng.uniform(0, config.impulses) / 100)
    hit = rng.permutation(len(y))[:count]
    y[hit] *= 1 + config.impulse_gain * rng.uniform(-1, 1, count) * rng.uniform(-1, 1, count)
    return limit_peak(y)


def coloured_noise(x: np.ndarray, config: RawBoostConfig, rng: Generator, rate: int) -> np.ndarray:
    """Stationary signal-independent noise: white noise through random notches, added at a random SNR."""
    noise = _filtered(rng.standard_normal(len(x)), notch_filter(config, config.gain, rng, rate))
    return x + _at_snr(noise, x, rng.uniform(*config.snr))


def notch_filter(config: RawBoostConfig, gain: tuple[float, float], rng: Generator, rate: int) -> np.ndarray:
    """Return an FIR filter of random band-stops in series, its largest gain drawn from `gain` (dB)."""
    from scipy import signal

    b = np.ones(1)
    for _ in range(config.bands):
        centre, width = rng.uniform(*config.centre), rng.uniform(*config.width)
        taps = int(rng.uniform(*config.taps))
        taps += 1 - taps % 2
        edges = [max(centre - width / 2, 1e-3), min(centre + width / 2, rate / 2 - 1e-3)]
        b = np.convolve(signal.firwin(taps, edges, window="hamming", fs=rate), b)
    peak = np.abs(signal.freqz(b, 1)[1]).max()
    return 10 ** (rng.uniform(min(gain), max(gain)) / 20) * b / peak


def _filtered(x: np.ndarray, b: np.ndarray) -> np.ndarray:
    from scipy import signal

    start = (len(b) - 1) // 2  # the delay of a symmetric filter
    return signal.oaconvolve(x, b)[start : start + len(x)]


def limit_peak(x: np.ndarray) -> np.ndarray:
    """Scale a waveform down to a peak of 1 if it is higher."""
    return x / max(float(np.abs(x).max(initial=0.0)), 1.0)


def _at_snr(noise: np.ndarray, x: np.ndarray, snr: float) -> np.ndarray:
    return noise * (np.linalg.norm(x) / max(np.linalg.norm(noise), 1e-12) / 10 ** (snr / 20))


def add_noise(x: np.ndarray, snr: float, slope: float, rng: Generator) -> np.ndarray:
    """Return x (N,) with noise whose power falls as 1 / f^slope (0 white, 1 pink, 2 brown), at `snr` dB."""
    spectrum = np.fft.rfft(rng.standard_normal(len(x)))
    f = np.maximum(np.arange(len(spectrum)), 1)
    return x + _at_snr(np.fft.irfft(spectrum / f ** (slope / 2), len(x)), x, snr)


def equalised(x: np.ndarray, rng: Generator) -> np.ndarray:
    """Return x (N,) through a smooth filter whose gain is drawn at nine frequencies, within 8 dB."""
    from scipy import signal

    return _filtered(x, signal.firwin2(129, np.linspace(0, 1, 9), 10 ** (rng.uniform(-8, 8, 9) / 20)))


def low_passed(x: np.ndarray, edge: int, rate: int = 16000) -> np.ndarray:
    """Return x (N,) without what lies above `edge` Hz."""
    from scipy import signal

    return _filtered(x, signal.firwin(161, edge, fs=rate))


def in_a_room(x: np.ndarray, rng: Generator, rate: int = 16000) -> np.ndarray:
    """Return x (N,) with decaying noise for an impulse response behind the direct sound."""
    from scipy import signal

    decay = int(rng.uniform(0.1, 0.5) * rate)
    tail = rng.standard_normal(decay) * np.exp(-6.9 * np.arange(decay) / decay)
    tail *= rng.uniform(0.02, 0.3) / np.linalg.norm(tail)
    return x + signal.oaconvolve(x, tail)[: len(x)]


@functools.lru_cache(maxsize=16)
def recordings(folders: tuple[str, ...]) -> list[str]:
    """Return the audio files of folders and of those in them, in order; `MasdError` where there is none."""
    found = [path for folder in folders for path in audio_paths(folder)]
    if not found:
        raise MasdError(f"{', '.join(folders)}: no recording in it to augment by")
    return found


def _one_of(folders: tuple[str, ...], rng: Generator) -> str:
    found = recordings(tuple(folders))
    return found[rng.integers(len(found))]


def reverberated(x: np.ndarray, folders: tuple[str, ...], rng: Generator, rate: int = 16000) -> np.ndarray:
    """Return x (N,), of its energy and no later, through an impulse response drawn from folders."""
    from scipy import signal

    path = _one_of(folders, rng)
    response, _ = read_audio(path, rate)
    if not response.any():
        raise MasdError(f"{path}: silent, no impulse response")
    direct = int(np.abs(response).argmax())
    y = signal.oaconvolve(x, response)[direct : direct + len(x)]
    return y * (np.linalg.norm(x) / max(np.linalg.norm(y), 1e-12))


def with_background(
    x: np.ndarray, folders: tuple[str, ...], snr: float, rng: Generator, rate: int = 16000
) -> np.ndarray:
    """Return x (N,) with a stretch of a recording of folders, at `snr` dB; a short one is repeated."""
    path, seconds = _one_of(folders, rng), len(x) / rate
    with AudioStream(path, rate) as stream:
        spare = stream.length() - seconds
    start = rng.uniform(0, max(spare, 0.0))
    noise, _ = read_audio(path, rate, start, start + seconds if spare > 0 else None)
    return x + _at_snr(np.resize(noise, len(x)), x, snr)


def change_speed(x: np.ndarray, factor: float, rate: int = 16000) -> np.ndarray:
    """Return x (N,) played `factor` times as fast, pitch with it: about N / factor samples.

    The factor is rounded to whole per cent, so that few resampling filters are made.
    """
    return resample(x, round(100 * factor) * (rate // 100), rate)


def telephone_band(x: np.ndarray, rate: int = 16000) -> np.ndarray:
    """Return x (N,) with what an 8 kHz telephone line passes, 300-3400 Hz, at the same rate and length."""
    from scipy import signal

    sos = signal.butter(4, TELEPHONE_BAND, "bandpass", fs=8000, output="sos")
    narrow = signal.sosfiltfilt(sos, resample(x, rate, 8000)) if len(x) > 100 else resample(x, rate, 8000)
    return fit(resample(narrow, 8000, rate), len(x))


def through_codec(x: np.ndarray, codec: str, rate: int = 16000, bit_rate: float | None = None) -> np.ndarray:
    """Return x (N,) coded and decoded by a codec of `CODECS`, at the same rate and length.

    `bit_rate` is a share of the highest, of codecs that have several: voice messages have a sixteenth of
    Opus's 256 kbit/s.

    Raises:
        MasdError: the codec is unknown, or this machine's libsndfile lacks it.
    """
    import soundfile

    if codec not in CODECS:
        raise MasdError(f"codec {codec}: unknown; choose from {', '.join(CODECS)}")
    container, coding, needed = CODECS[codec]
    stream = io.BytesIO()
    try:
        level = {} if bit_rate is None or container == "WAV" else {"compression_level": 1 - bit_rate}
        sound = np.clip(resample(x, rate, needed), -1, 1)
        soundfile.write(stream, sound, needed, coding, format=container, **level)
        stream.seek(0)
        y, decoded_rate = soundfile.read(stream, dtype="float32")
    except (soundfile.SoundFileError, ValueError) as error:
        raise MasdError(f"codec {codec}: this libsndfile cannot ({' '.join(str(error).split())})") from None
    return fit(resample(y, decoded_rate, rate), len(x))
