"""Condition both classes alike, as a recipe has it, so that what is left between them is synthesis."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import firwin, firwin2, oaconvolve, welch

from masd.audio.resampling import resample
from masd.errors import MasdError
from masd.stage.files import digest, read_yaml
from masd.stage.seeding import generator

GUARD = 1600  # samples of mirrored context that codecs see at both ends and that are cut off again
LOW_PASS_TAPS = 401
CODECS = ("none", "vorbis", "mp3", "opus", "g722")


@dataclasses.dataclass(frozen=True)
class ConditionConfig:
    """What `condition` does; ranges are [low, high] of a uniform draw, levels in dB; no low-pass at 0 Hz."""

    seed: int
    low_pass_hz: float
    spectrum_bands: int
    spectrum_db: float
    envelope_seconds: float
    envelope_db: float
    crest_db: tuple[float, float]
    level_db: tuple[float, float]
    noise_db: tuple[float, float]
    floor_db: float
    codecs: tuple[str, ...]
    polarity: bool


@dataclasses.dataclass(frozen=True)
class Track:
    """The keys of conf/track_<name>.yaml: one way for both classes, from recordings to what systems hear.

    Attributes:
        trim: keywords of `trim`; None where recordings are trimmed before they are copied.
        through: the rate in Hz that everything is resampled through; None where bona fide speech is resampled
            through the rates of its copies.
        condition: what follows.
    """

    trim: dict[str, float] | None
    through: int | None
    condition: ConditionConfig


def load_track(name: str, conf: Path) -> Track:
    """Return the track that `<conf>/track_<name>.yaml` describes.

    Raises:
        MasdError: there is none of this name, a key is unknown or missing, or a codec is not known.
    """
    path = conf / f"track_{name}.yaml"
    if not path.is_file():
        known = sorted(other.stem.removeprefix("track_") for other in conf.glob("track_*.yaml"))
        raise MasdError(f"no {path} for --track {name}; there are {', '.join(known)}")
    values = read_yaml(path)
    _check_keys(values, Track, path)
    chain = values["condition"]
    _check_keys(chain, ConditionConfig, path)
    unknown = set(chain["codecs"]) - set(CODECS)
    if unknown or not chain["codecs"]:
        raise MasdError(f"{path}: codecs must be some of {', '.join(CODECS)}, not {chain['codecs']}")
    config = ConditionConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in chain.items()})
    return Track(values["trim"], values["through"], config)


def _check_keys(values: dict[str, Any], kind: type, path: Path) -> None:
    """Raise `MasdError` unless the keys are the fields of a dataclass."""
    names = {field.name for field in dataclasses.fields(kind)}
    if set(values) != names:
        raise MasdError(
            f"{path}: keys must be {', '.join(sorted(names))}; differing: {sorted(set(values) ^ names)}"
        )


@dataclasses.dataclass(frozen=True)
class Draw:
    """What chance gave a source recording; the same for all its versions."""

    crest_db: float
    level_db: float
    noise_db: float
    codec: str
    quality: float


def draw(source: str, config: ConditionConfig) -> Draw:
    """Return the draw of the source recording `source`."""
    rng = generator(config.seed, "condition", source)
    return Draw(
        crest_db=rng.uniform(*config.crest_db),
        level_db=rng.uniform(*config.level_db),
        noise_db=rng.uniform(*config.noise_db),
        codec=config.codecs[int(rng.integers(len(config.codecs)))],
        quality=rng.uniform(0.3, 0.8),
    )


def signs(strata: dict[str, tuple[str, ...]], config: ConditionConfig) -> dict[str, int]:
    """Return {source: 1 or -1}, the polarity of every source recording and of all its versions.

    Args:
        strata: {source: what it shares with others}, the finest last (set, speaker, attacks, say).
        config: `polarity: false` leaves all as they are.

    In every stratum, and in those that it is part of, as many are turned over as not, to one: drawn one by
    one, a small set would be out of balance, and polarity a cue again.
    """
    order = sorted(strata, key=lambda source: (strata[source], digest(config.seed, "polarity", source)))
    first: dict[tuple[str, ...], int] = {}
    out = {}
    for source in order:
        whole = strata[source][:-1]
        if whole not in first:
            first[whole] = int(generator(config.seed, "polarity", *whole).choice((-1, 1)))
        out[source] = first[whole] if config.polarity else 1
        first[whole] = -first[whole]
    return out


def condition(
    x: np.ndarray,
    reference: np.ndarray,
    source: str,
    version: str,
    through: int,
    config: ConditionConfig,
    rate: int = 16000,
    sign: int = 1,
) -> np.ndarray:
    """Return the conditioned version of a waveform.

    In this order: resampling to `through` Hz and back, polarity, mean removal, the reference's
    long-term spectrum and level over time, both as chance bends them, low-pass, limiting to the drawn crest
    factor, noise at the drawn level under the speech, the drawn codec, the dither floor, the drawn level.

    Args:
        x: float samples (N,) at `rate` Hz.
        reference: the source recording that `x` is, or is a copy of.
        source: id of the source recording, which decides the draw.
        version: names this version of it (an attack, `bonafide`), which decides the noise's waveform alone.
        through: the rate in Hz that copies of this kind were made at; `rate` for none. Only bona fide speech
            needs it, copies have been there.
        config: see a track of the recipe, `condition`.
        rate: in Hz.
        sign: -1 turns the waveform over.

    Returns:
        float32 (N,), peak below 1.

    Raises:
        MasdError: the input is silent or not finite, or the output would clip.
    """
    if not np.isfinite(x).all() or np.sqrt(np.mean(np.square(x))) < 1e-5:
        raise MasdError(f"{source} ({version}): silent, or not finite numbers")
    chance = draw(source, config)
    noise = generator(config.seed, "noise", source, version).standard_normal((2, len(x) + 2 * GUARD))
    y = sign * resample(resample(x, rate, through), through, rate)[: len(x)].astype(np.float64)
    y = np.pad(y, (0, len(x) - len(y)))
    bends = generator(config.seed, "bends", source)
    y = equalise(y - y.mean(), reference, config.spectrum_bands, config.spectrum_db, bends, rate)
    y = follow(y, reference, config.envelope_seconds, config.envelope_db, bends, rate)
    y = np.pad(y, GUARD, mode="reflect")
    if config.low_pass_hz:
        y = oaconvolve(y, firwin(LOW_PASS_TAPS, config.low_pass_hz, fs=rate), mode="same")
    y = limit(y, chance.crest_db, rate)
    y /= np.sqrt(np.mean(y**2))
    y += 10 ** (chance.noise_db / 20) * noise[0]
    y *= 10 ** (chance.level_db / 20) / np.sqrt(np.mean(y**2))
    y = through_codec(y, chance.codec, chance.quality, rate)[GUARD:-GUARD]
    y = y + 10 ** (config.floor_db / 20) * noise[1][GUARD:-GUARD]
    y = (y - y.mean()) * (10 ** (chance.level_db / 20) / np.sqrt(np.mean((y - y.mean()) ** 2)))
    if np.abs(y).max() >= 0.999:
        raise MasdError(f"{source} ({version}): clips after conditioning; lower level_db or crest_db")
    return y.astype(np.float32)


def trim(x: np.ndarray, rate: int, below_db: float, keep: float) -> np.ndarray:
    """Return `x` (N,) without the silence at its ends, but for `keep` seconds of it.

    Silence are frames of 20 ms that are more than `below_db` under the loudest twentieth of all frames.
    """
    size = rate // 50
    frames = x[: len(x) // size * size].reshape(-1, size).astype(np.float64)
    level = 10 * np.log10(np.mean((frames - frames.mean(axis=1, keepdims=True)) ** 2, axis=1) + 1e-12)
    sound = np.nonzero(level > np.quantile(level, 0.95) - below_db)[0]
    margin = round(keep * rate)
    return x[max(0, sound[0] * size - margin) : (sound[-1] + 1) * size + margin]


def equalise(
    x: np.ndarray, reference: np.ndarray, bands: int, bend_db: float, rng: np.random.Generator, rate: int
) -> np.ndarray:
    """Return `x` (N,) with the long-term spectrum of `reference` in broad bands, by a filter of linear phase.

    A vocoder that was trained on one voice, or that is fed with statistics estimated for it, colours
    everything alike; that is a channel and no trace of synthesis. Bands are equally wide in mel from 60 to
    7600 Hz, gains at most 15 dB; each band's target is bent by up to `bend_db` either way, so that bona fide
    speech is filtered as well. 0 bands leave `x` as it is.
    """
    if bands == 0:
        return x
    hertz, power = welch(x, rate, nperseg=1024)
    wanted = welch(reference, rate, nperseg=1024)[1]
    mel = np.linspace(*(2595 * np.log10(1 + np.array([60.0, 7600.0]) / 700)), 2 * bands + 1)
    points = 700 * (10 ** (mel / 2595) - 1)  # band edges and, between them, centres
    gains = rng.uniform(-bend_db, bend_db, bands)
    for band, (low, high) in enumerate(zip(points[:-1:2], points[2::2], strict=True)):
        inside = (hertz >= low) & (hertz < max(high, low + rate / 1024))
        ratio = (wanted[inside].mean() + 1e-14) / (power[inside].mean() + 1e-14)
        gains[band] += np.clip(10 * np.log10(ratio), -15, 15)
    grid = np.linspace(0, rate / 2, 257)
    response = 10 ** (np.interp(grid, points[1::2], gains) / 20)
    return oaconvolve(np.pad(x, 256, mode="reflect"), firwin2(513, grid, response, fs=rate), mode="valid")


def follow(
    x: np.ndarray, reference: np.ndarray, seconds: float, bend_db: float, rng: np.random.Generator, rate: int
) -> np.ndarray:
    """Return `x` (N,) with the level of `reference` over time, as far as a gain that changes slowly can.

    Vocoders differ in what they leave in pauses and in how they render dynamics. Levels are taken over
    `seconds`, not below 50 dB under the reference's own; the gain is at most 15 dB, and is bent by a random
    curve of up to `bend_db` either way, so that bona fide speech gets a gain too. 0 seconds: `x` as it is.
    """
    if seconds == 0:
        return x
    size = int(seconds * rate)
    floor = 10 ** (-50 / 20) * np.sqrt(np.mean(np.square(reference)))
    has, wants = (np.sqrt(np.maximum(_smooth(np.square(v), size), 0)) + floor for v in (x, reference))
    gain = _smooth(np.clip(wants / has, 10 ** (-15 / 20), 10 ** (15 / 20)), size // 2)
    knots = rng.uniform(-bend_db, bend_db, 2 + int(len(x) / rate / 0.1))
    bend = np.interp(np.linspace(0, len(knots) - 1, len(x)), np.arange(len(knots)), knots)
    return x * gain * 10 ** (bend / 20)


def _smooth(x: np.ndarray, size: int) -> np.ndarray:
    """Return the running mean of `x` (N,) over `size` samples, centred."""
    from scipy.ndimage import uniform_filter1d

    return uniform_filter1d(x.astype(np.float64), size, mode="nearest")


def limit(x: np.ndarray, crest_db: float, rate: int) -> np.ndarray:
    """Return `x` (N,) with its peaks turned down until peak over RMS is `crest_db`, to 0.05 dB.

    The gain follows the loudest sample within 2 ms and is smoothed over 4 ms, so that no edge appears. A
    signal whose crest factor is lower already is returned as it is.
    """
    from scipy.ndimage import maximum_filter1d

    wanted = 10 ** (crest_db / 20)
    span = int(0.002 * rate)
    envelope = maximum_filter1d(np.abs(x), 2 * span + 1)
    window = np.hanning(2 * span + 1)
    window /= window.sum()

    def limited(threshold: float) -> np.ndarray:
        gain = np.minimum(1.0, threshold / np.maximum(envelope, 1e-12))
        return x * oaconvolve(np.pad(gain, span, mode="edge"), window, mode="valid")

    low, high = 0.0, float(np.abs(x).max())
    if high <= wanted * np.sqrt(np.mean(x**2)):
        return x
    y = x
    for _ in range(30):
        middle = (low + high) / 2
        y = limited(middle)
        crest = np.abs(y).max() / np.sqrt(np.mean(y**2))
        if abs(20 * np.log10(crest / wanted)) < 0.05:
            break
        low, high = (low, middle) if crest > wanted else (middle, high)
    return y


def through_codec(x: np.ndarray, codec: str, quality: float, rate: int) -> np.ndarray:
    """Return `x` (N,) encoded and decoded in memory, of the same length and without delay.

    Args:
        x: float samples within -1 to 1.
        codec: none, vorbis, mp3, opus (all by libsndfile) or g722 (64 kbit/s).
        quality: 0 (worst) to 1, what libsndfile calls 1 - compression level; G.722 has only one.
        rate: in Hz.
    """
    import soundfile

    if codec == "none":
        return x
    if codec == "g722":
        y = _g722(x, rate)
    else:
        kind = {"vorbis": ("OGG", "VORBIS"), "mp3": ("MP3", "MPEG_LAYER_III"), "opus": ("OGG", "OPUS")}[codec]
        stream = io.BytesIO()
        soundfile.write(stream, x, rate, format=kind[0], subtype=kind[1], compression_level=1 - quality)
        stream.seek(0)
        y = soundfile.read(stream, dtype="float64")[0]
    return np.pad(y[: len(x)], (0, max(0, len(x) - len(y))))


def _g722(x: np.ndarray, rate: int) -> np.ndarray:
    """Return `x` through G.722 at 64 kbit/s, its delay of 22 samples taken out."""
    import av

    delay = 22
    pcm = np.round(np.clip(np.pad(x, (0, 2 * delay)), -1, 1) * 32767).astype(np.int16)
    pcm = pcm[: len(pcm) // 2 * 2]
    encoder = av.CodecContext.create("g722", "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate, "mono", "s16"
    decoder = av.CodecContext.create("g722", "r")
    decoder.sample_rate, decoder.layout = rate, "mono"
    frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
    frame.sample_rate = rate
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    frames = [f for p in packets for f in decoder.decode(p)]
    y = np.concatenate([f.to_ndarray().reshape(-1) for f in frames])
    return y.astype(np.float64)[delay:] / 32768.0
