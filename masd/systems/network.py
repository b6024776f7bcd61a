"""Networks on waveforms of one length: RawNet2, AASIST, SAMO, LFCC-LCNN, pretrained front ends, your own."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from masd.errors import MasdError
from masd.models.encoder import load_weights
from masd.models.one_class import Samo
from masd.models.state import load_state
from masd.stage.devices import deterministic, exact
from masd.stage.files import config_from, input_digest, read_json, read_text
from masd.stage.seeding import derive
from masd.systems import classifier as networks
from masd.systems.base import WaveformSystem
from masd.systems.calibration import UNCALIBRATED
from masd.systems.classifier import FRONT_ENDS, Classifier, class_weights
from masd.systems.config import FrontEndConfig, NetworkConfig
from masd.systems.items import Hearing
from masd.systems.network_training import NetworkTrainer, still_falling
from masd.systems.recordings import fixed_subset, load_speech
from masd.systems.waveforms import Waveforms, fit_length
from masd.training.distributed import processes
from masd.training.loop import LAST

if TYPE_CHECKING:
    from masd.data.folder import DataFolder
    from masd.systems.train import Job

log = logging.getLogger(__name__)

HOW = ("device", "workers", "save_minutes")  # keys that change nothing in the result
AT_ONCE = 8


class NetworkSystem(WaveformSystem):
    """A network on waveforms of one length.

    Args:
        name: its name, which says what network it is, unless the class has a `module`.
        classifier: network and loss head, evaluating.
        options: what the `module` was made with.

    Attributes:
        module: the network of a system of your own: see `masd.systems.system_class`.
        enrolled: {speaker: mean embedding (D,)} for SAMO with enrolment.
    """

    type = "network"
    several = True
    module: ClassVar[type[nn.Module] | None] = None

    def __init__(self, name: str, classifier: Classifier, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(name)
        self.classifier, self.options = classifier, dict(options or {})
        self.enrolled: Mapping[str, Tensor] | None = None
        self.one_class = classifier.one_class
        self.hearing = Hearing(classifier.config.samples)
        self.device = "cpu"

    @classmethod
    def make_net(
        cls,
        name: str,
        front_end: FrontEndConfig,
        options: Mapping[str, Any],
        ends: Sequence[Mapping],
        samples: int,
    ) -> nn.Module:
        """Return the network with random weights (see `classifier.network`)."""
        if cls.module is None:
            return networks.network(name, front_end, ends, samples)
        return cls.module(**options)

    @classmethod
    def released(cls, name: str, checkpoint: str | Path) -> NetworkSystem:
        """Return the system with its authors' weights: its raw scores are differences of logits."""
        from masd.systems.released import released

        system = cls(name, released(name, checkpoint))
        system.info = {"calibration": UNCALIBRATED}
        return system

    @classmethod
    def uses(cls, job: Job) -> Any:
        """Return settings and the front ends' digests."""
        told = job.settings
        network = {k: v for k, v in dataclasses.asdict(told.network).items() if k not in HOW}
        ends = told.front_end if job.system in FRONT_ENDS else FrontEndConfig()
        options = told.options if cls.module else {}
        return [network, told.augment, ends, [input_digest(path) for path in ends.checkpoints], options]

    @classmethod
    def fit(cls, job: Job, work: str, force: bool = False) -> NetworkSystem | None:
        """Train the network, or go on with it; the epoch is chosen on the development set."""
        told = job.settings
        config = planned(told.network, len(job.train.utts))
        speakers = sorted({job.train.spk(u) for u in job.train.utts if job.train.lab(u) == "bonafide"})
        train = Waveforms(
            job.train, job.train.utts, config, told.augment, speakers, job.seed, job.allow_pipes
        )
        dev_utts = fixed_subset(job.dev, config.dev_utts, job.seed)
        dev = Waveforms(job.dev, dev_utts, config, seed=job.seed, allow_pipes=job.allow_pipes)
        weights = class_weights(train.bonafide, config.class_weights)
        with torch.random.fork_rng():
            torch.manual_seed(derive(job.seed, "init"))
            net = cls.make_net(job.system, told.front_end, told.options, (), config.samples)
            classifier = Classifier(net, config, weights, speakers if config.loss == "samo" else ())
        with deterministic(config.deterministic), processes(config.device) as group:
            if group.first and force:
                (job.out / LAST).unlink(missing_ok=True)
            group.wait()
            trainer = NetworkTrainer(classifier, train, dev, job.out, job.seed, work, group)
            best = trainer.run()
            if not group.first:
                return None
        history = trainer.state["history"]
        load_weights(classifier.cpu(), job.out / "best.safetensors")
        system = cls(job.system, classifier.eval(), told.options if cls.module else None)
        raw = {utt: float(v) for utt, v in read_json(job.out / "best.json")["dev_scores"].items()}
        job.calibrate(system, raw)
        system.info["run"] = {
            "seconds": round(sum(record["seconds"] for record in history), 1),
            "utterance_steps": config.epochs * train.epoch_utts,
            "epochs": config.epochs,
            "best_epoch": best["epoch"],
            "dev_loss_falling": still_falling(history),
            "dev_utterances": len(dev),
            "precision": config.precision,
            "device": group.device.type,
            "processes": group.world,
            "threads": config.threads,
        }
        return system

    def place(self, device: str) -> None:
        """Compute on torch's `device` from now on."""
        self.classifier.to(device)
        self.device = device

    def raw(self, waves: Sequence[np.ndarray], speakers: Sequence[str]) -> np.ndarray:
        """Return raw scores (B,) of the recordings' beginnings (see `WaveformSystem.raw`)."""
        with torch.inference_mode(), exact():
            parts = [
                self.classifier.score(self._stacked(waves[part]), speakers[part], self.enrolled).double()
                for part in self._parts(len(waves))
            ]
        return torch.cat(parts).cpu().numpy()

    def embeddings(self, waves: Sequence[np.ndarray]) -> Tensor:
        """Return embeddings (B, D) of the recordings' beginnings."""
        with torch.inference_mode(), exact():
            parts = [self.classifier.net(self._stacked(waves[part]))[0] for part in self._parts(len(waves))]
        return torch.cat(parts).float().cpu()

    def _stacked(self, waves: Sequence[np.ndarray]) -> Tensor:
        stacked = np.stack([fit_length(x, self.hearing.samples) for x in waves])
        return torch.from_numpy(stacked).to(self.device)

    def _parts(self, count: int) -> list[slice]:
        """On the CPU one at a time: a batch's size shows in the last digits."""
        size = 1 if self.device == "cpu" else count
        return [slice(i, i + size) for i in range(0, count, size)]

    @property
    def parameters(self) -> int:
        """Parameters of the network and of the loss's centre, if it has one."""
        return sum(p.numel() for p in self.classifier.parameters())

    def parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the loss's settings, SAMO's speakers, the front ends' architectures, and all tensors."""
        ends = [one.architecture for one in getattr(self.classifier.net, "front_ends", ())]
        config = self.classifier.config
        kept = {name: getattr(config, name) for name in ("loss", "samples", "m_real", "m_fake", "alpha")}
        settings = {"network": kept, "speakers": self.classifier.speakers, "front_ends": ends}
        state = self.classifier.state_dict()
        tensors = {name: value.detach().cpu().numpy() for name, value in state.items()}
        return settings | ({"options": self.options} if self.options else {}), tensors

    @classmethod
    def of(
        cls, name: str, settings: dict[str, Any], tensors: dict[str, np.ndarray], folder: Path
    ) -> NetworkSystem:
        """Return the system that `parts` described."""
        where, options = folder / "model.yaml", settings.get("options") or {}
        config = config_from(NetworkConfig, settings["network"], where)
        net = cls.make_net(name, FrontEndConfig(), options, settings["front_ends"], config.samples)
        classifier = Classifier(net, config, speakers=settings["speakers"])
        load_state(classifier, {k: torch.from_numpy(v) for k, v in tensors.items()}, where)
        return cls(name, classifier.eval().requires_grad_(False), options)


def planned(config: NetworkConfig, utterances: int) -> NetworkConfig:
    """Return the settings with `epochs` as the budget says, if there is one: at least one epoch."""
    if not config.budget:
        return config
    epochs = math.ceil(config.budget / config.epoch_size(utterances))
    return dataclasses.replace(config, epochs=max(epochs, 1))


def enrol(
    system: object, folder: DataFolder, enrolment: Mapping[str, Sequence[str]], allow_pipes: bool = False
) -> None:
    """Give SAMO the speakers' attractors: the mean embedding of each one's enrolment recordings.

    Raises:
        MasdError: the system is not SAMO, or an enrolment recording cannot be read.
    """
    if not isinstance(system, NetworkSystem) or not isinstance(system.classifier.head, Samo):
        raise MasdError(f"{getattr(system, 'name', system)}: only samo takes enrolment")
    means = {}
    for speaker, utts in enrolment.items():
        waves = [load_speech(folder, utt, system.hearing, allow_pipes) for utt in utts]
        parts = [system.embeddings(waves[i : i + AT_ONCE]) for i in range(0, len(waves), AT_ONCE)]
        means[speaker] = sum(part.sum(0) for part in parts) / len(waves)
    system.enrolled = means
    log.info("%d speakers enrolled from %s", len(means), folder.path)


def read_enrolment(paths: Iterable[str | Path]) -> dict[str, list[str]]:
    """Return {speaker: enrolment utterances} of ASV protocols, lines `LA_0001 LA_E_1,LA_E_2`.

    Raises:
        MasdError: a line has not two columns, or a speaker stands in two lines.
    """
    enrolment: dict[str, list[str]] = {}
    for path in paths:
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            fields = line.split()
            if len(fields) != 2:
                raise MasdError(
                    f"{path}:{number}: expected `<speaker> <utt>,<utt>`, found {len(fields)} columns"
                )
            if fields[0] in enrolment:
                raise MasdError(f"{path}:{number}: speaker {fields[0]} is enrolled twice")
            enrolment[fields[0]] = fields[1].split(",")
    return enrolment
