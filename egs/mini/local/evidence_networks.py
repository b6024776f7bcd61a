"""Fourth part of the evidence study: does a small network find more than the statistics do?

One convolutional network an attack, trained on the other attacks and on all speakers but two (evidence.py
--quick true judges the statistics by the same folds), on crops of one of three views of the waveform.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from evidence import AKIN, BONA_FIDE, Study, judge, plan_of, print_row
from numpy.random import Generator
from plan import read_protocol
from torch import Tensor, nn

from masd.cli import run
from masd.data.folder import read_folder
from masd.data.utterance import load_utterance
from masd.errors import MasdError
from masd.stage.files import write_json
from masd.stage.seeding import derive, generator

log = logging.getLogger("evidence_networks")
RATE = 16000
PLACES = (0.2, 0.8)  # where the crops that are scored begin, of what there is to choose


@dataclass(frozen=True)
class NetworkConfig:
    """How a network is trained.

    Args:
        view: mel (64 log-mel bins), linear (bins of 31 Hz: log power, and cosines of the phase steps over
            time and over frequency), residual (log power of the whitened waveform, 8 ms windows every 2 ms).
        top: highest frequency of the linear view, Hz.
        utterance_mean: take each bin's mean over the crop off its log power.
        pairs: bona fide speech and a copy of the same crop in one batch; false draws them independently.
        augment: white noise, a random smooth filter and a masked band for both classes.
        wide: share of the copies in a batch that are random ones (needs `--wide`).
        seconds: length of a crop.
        steps, batch, rate: of AdamW with one cycle of the learning rate.
    """

    view: str = "mel"
    top: float = 7400.0
    utterance_mean: bool = True
    pairs: bool = True
    augment: bool = True
    wide: float = 0.0
    seconds: float = 1.0
    steps: int = 300
    batch: int = 32
    rate: float = 3e-3


class Network(nn.Module):
    """Four convolutions, mean and deviation over time of every channel and row, one linear layer.

    Maps (B, C, F, T) to scores (B,), higher is more bona fide.
    """

    def __init__(self, channels: int, rows: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for wide, size, stride in ((24, 5, (2, 2)), (40, 3, (2, 2)), (56, 3, (2, 2)), (72, 3, (2, 1))):
            layers += [
                nn.Conv2d(channels, wide, size, stride, size // 2, bias=False),
                nn.BatchNorm2d(wide),
                nn.ReLU(),
            ]
            channels, rows = wide, (rows + 1) // 2
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(2 * channels * rows, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (B,)."""
        y = self.body(x)
        pooled = torch.cat([y.mean(3), (y.var(3, correction=0) + 1e-4).sqrt()], dim=1)
        return self.head(pooled.flatten(1))[:, 0]


def view_of(x: Tensor, config: NetworkConfig) -> Tensor:
    """Return the view (B, C, F, T) of waveforms (B, N), each of RMS 1."""
    if config.view == "residual":
        x = whiten(x)
        spectrum = torch.stft(x, 128, 32, window=torch.hann_window(128), center=False, return_complex=True)[
            :, :60
        ]
        return (spectrum.abs().square() + 1e-6).log()[:, None]
    spectrum = torch.stft(x, 512, 160, 400, torch.hann_window(400), center=False, return_complex=True)
    power = spectrum.abs().square()
    if config.view == "mel":
        from torchaudio.functional import melscale_fbanks

        return (melscale_fbanks(257, 0.0, 8000.0, 64, 16000).T @ power + 1e-4).log()[:, None]
    centre = torch.polar(torch.ones(257), -2 * torch.pi * torch.arange(257) * 160 / 512)[:, None]
    over_time = spectrum[:, :, 1:] * spectrum[:, :, :-1].conj() * centre
    # a window's centre lies 256 samples from the frame's start: every other bin turns its sign
    over_frequency = -spectrum[:, 1:, 1:] * spectrum[:, :-1, 1:].conj()
    rows = round(config.top / 8000 * 256)
    cosines = [s[:, :rows].real / (s[:, :rows].abs() + 1e-8) for s in (over_time, over_frequency)]
    return torch.stack([(power[:, :rows, 1:] + 1e-4).log(), *cosines], dim=1)


def whiten(x: Tensor) -> Tensor:
    """Return waveforms (B, N) divided, frame by frame, by a cepstrally smoothed spectrum."""
    window = torch.hann_window(512)
    spectrum = torch.stft(x, 512, 128, window=window, return_complex=True)
    cepstrum = torch.fft.irfft((spectrum.abs() + 1e-3).log(), dim=1)
    cepstrum[:, 24:-23] = 0
    smooth = torch.fft.rfft(cepstrum, dim=1).real
    y = torch.istft(spectrum * (-smooth).exp(), 512, 128, window=window, length=x.shape[1])
    return y / (y.square().mean(1, keepdim=True).sqrt() + 1e-6)


class Audio:
    """Waveforms of a study in memory, as 16-bit samples, and crops of `size` samples."""

    def __init__(self, waves: list[np.ndarray], size: int) -> None:
        self.waves, self.size = waves, size

    def crop(self, index: int, place: float) -> np.ndarray:
        """Return a crop of RMS 1 that begins at share `place` of the possible starts; repeat a short one."""
        x = self.waves[index].astype(np.float32)
        x = np.tile(x, -(-self.size // len(x)))[: self.size] if len(x) < self.size else x
        start = int(place * (len(x) - self.size))
        x = x[start : start + self.size]
        return x / (np.sqrt(np.mean(x**2)) + 1e-6)


def load(data: Path, speakers: dict[str, str], seconds: float) -> tuple[Study, Audio]:
    """Return the utterances of a data folder whose sources are in `speakers`, and their audio."""
    folder = read_folder(data)
    utts = [utt for utt in folder.utts if folder.source(utt) in speakers]
    waves = [(load_utterance(folder, utt) * 32767).astype(np.int16) for utt in utts]
    source = np.array([folder.source(utt) for utt in utts])
    attack = np.array([folder.attack(utt) for utt in utts])
    return Study(source, np.array([speakers[s] for s in source]), attack, {}), Audio(
        waves, int(seconds * RATE)
    )


class Batches:
    """Draws training batches of one fold.

    Args:
        study, audio: the set.
        fold: (attack, speakers) left out.
        config: the training.
        wide: random copies, of which those akin to the left-out attack are not used.
        rng: of every draw.
    """

    def __init__(
        self,
        study: Study,
        audio: Audio,
        fold: tuple[str, list[str]],
        config: NetworkConfig,
        wide: tuple[Study, Audio] | None,
        rng: Generator,
    ) -> None:
        out, speakers = fold
        use = ~np.isin(study.speaker, speakers) & (study.attack != out)
        self.audio, self.config, self.rng = audio, config, rng
        self.bona = np.flatnonzero(use & (study.attack == BONA_FIDE))
        self.copies: dict[str, list[tuple[Audio, int]]] = {}
        self.random: dict[str, list[tuple[Audio, int]]] = {}
        for k in np.flatnonzero(use & (study.attack != BONA_FIDE)):
            self.copies.setdefault(study.source[k], []).append((audio, int(k)))
        if wide is not None:
            keep = ~np.isin(wide[0].speaker, speakers) & ~np.isin(wide[0].attack, AKIN.get(out, ()))
            for k in np.flatnonzero(keep):
                self.random.setdefault(wide[0].source[k], []).append((wide[1], int(k)))
        self.source = study.source
        self.both = np.array([k for k in self.bona if study.source[k] in self.copies])

    def draw(self) -> tuple[Tensor, Tensor]:
        """Return waveforms (batch, N), recordings first, and their labels, 1 for bona fide."""
        half, rng = self.config.batch // 2, self.rng
        bona = rng.choice(self.both, half, replace=False)
        partners = bona if self.config.pairs else rng.choice(self.both, half, replace=False)
        places = rng.random(half)
        rows = [self.audio.crop(k, p) for k, p in zip(bona, places, strict=True)]
        for k, p in zip(partners, places if self.config.pairs else rng.random(half), strict=True):
            source = self.source[k]
            pool = self.copies[source]
            if rng.random() < self.config.wide and source in self.random:
                pool = self.random[source]
            audio, index = pool[rng.integers(len(pool))]
            rows.append(audio.crop(index, p))
        x = torch.from_numpy(np.stack(rows))
        if self.config.augment:
            noise = torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
            x = x + noise * torch.from_numpy(10 ** (rng.uniform(-45, -15, (len(x), 1)) / 20)).float()
        return x, torch.cat([torch.ones(half), torch.zeros(half)])

    def distort(self, view: Tensor) -> Tensor:
        """Filter (log power alone) and mask views (B, C, F, T) at random."""
        if not self.config.augment:
            return view
        batch, _, rows, _ = view.shape
        knots = torch.from_numpy(self.rng.uniform(-1.2, 1.2, (batch, 1, 9)).astype(np.float32))
        curve = torch.nn.functional.interpolate(knots, rows, mode="linear", align_corners=True)
        view = torch.cat([view[:, :1] + curve[..., None], view[:, 1:]], dim=1)
        for item in range(batch):
            width = int(self.rng.integers(0, rows // 5))
            low = int(self.rng.integers(0, rows - width))
            view[item, :, low : low + width] = view[item].mean((1, 2), keepdim=True)
        return view


def prepare(view: Tensor, config: NetworkConfig, scale: tuple[Tensor, Tensor] | None) -> Tensor:
    """Take the crop's mean off the log power if asked to, then standardise each channel's rows."""
    if config.utterance_mean:
        view = torch.cat([view[:, :1] - view[:, :1].mean(3, keepdim=True), view[:, 1:]], dim=1)
    if scale is not None:
        view = (view - scale[0]) / scale[1]
    return view.contiguous(memory_format=torch.channels_last)


def train(batches: Batches, config: NetworkConfig) -> tuple[Network, tuple[Tensor, Tensor]]:
    """Return a trained network and the scale of its input."""
    with torch.no_grad():
        sample = prepare(torch.cat([view_of(batches.draw()[0], config) for _ in range(4)]), config, None)
    scale = sample.mean((0, 3), keepdim=True), sample.std((0, 3), keepdim=True) + 1e-3
    network = Network(sample.shape[1], sample.shape[2]).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), config.rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.rate, config.steps)
    losses = []
    for step in range(config.steps):
        x, labels = batches.draw()
        with torch.no_grad():
            view = prepare(batches.distort(view_of(x, config)), config, scale)
        loss = nn.functional.binary_cross_entropy_with_logits(network(view), 0.9 * labels + 0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            log.info("step %d: loss %.3f", step + 1, np.mean(losses[-50:]))
    return network.eval(), scale


@torch.inference_mode()
def score(
    network: Network, scale: tuple[Tensor, Tensor], audio: Audio, rows: np.ndarray, config: NetworkConfig
) -> np.ndarray:
    """Return scores of utterances: the mean over two crops."""
    found = []
    for part in np.array_split(rows, max(1, len(rows) // 32)):
        x = torch.from_numpy(np.stack([audio.crop(k, place) for k in part for place in PLACES]))
        found.append(
            network(prepare(view_of(x, config), config, scale)).reshape(-1, len(PLACES)).mean(1).numpy()
        )
    return np.concatenate(found)


def evidence_networks(
    data: Path,
    protocol: Path,
    out: Path,
    network: NetworkConfig = NetworkConfig(),
    wide: Path | None = None,
    seed: int = 0,
) -> None:
    """Train and judge one network a left-out attack, print the row and write it with its scores.

    Args:
        data: the conditioned train set.
        protocol: the size's list of utterances; those of its train set alone are read.
        out: JSON of the figures; the scores go beside it as npz.
        network: view and training.
        wide: data folder of random copies (evidence_wide.py).
        seed: of weights and draws.
    """
    if network.view not in ("mel", "linear", "residual"):
        raise MasdError(f"--network.view {network.view}: it is mel, linear or residual")
    speakers = {item.utt: item.speaker for item in read_protocol(protocol) if item.set == "train"}
    study, audio = load(data, speakers, network.seconds)
    more = load(wide, speakers, network.seconds) if wide else None
    scores, took = {}, time.process_time()
    for fold in plan_of(study, quick=True):
        torch.manual_seed(derive(seed, "weights", fold[0]))
        rng = generator(seed, "network", fold[0])
        model, scale = train(Batches(study, audio, fold, network, more, rng), network)
        test = np.flatnonzero(np.isin(study.speaker, fold[1]))
        scores[fold[0]] = np.full(len(study.source), np.nan)
        scores[fold[0]][test] = score(model, scale, audio, test, network)
        parameters = sum(p.numel() for p in model.parameters())
        log.info("%s left out: %d parameters, %.0f s so far", fold[0], parameters, time.process_time() - took)
    row = judge(scores, study, 500, seed) | {"dim": parameters}
    print_row(network.view, None)
    print_row(network.view, row)
    write_json(out, row | {"seconds": time.process_time() - took, "wide": str(wide), "seed": seed})
    np.savez_compressed(
        out.with_suffix(".npz"), source=study.source, attack=study.attack, speaker=study.speaker, **scores
    )


if __name__ == "__main__":
    run(evidence_networks, file=True)
