"""What reads files of strangers, each with a file that it takes and what it is read by."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from masd.audio import read_audio, write_wav
from masd.data.archive import Writer, open_reader
from masd.data.folder import read_folder
from masd.data.keys import file_key
from masd.feats.config import FeatsConfig
from masd.metrics.scores import read_scores
from masd.models.config import EncoderConfig
from masd.models.encoder import Encoder, load_encoder, save_encoder
from masd.report.proof import unpack
from masd.stage.files import Mark, config_from, read_yaml, sha256, write_yaml
from masd.systems import load
from masd.systems.config import GmmConfig
from masd.systems.gmm import Gmm, GmmSystem
from masd.vocoders.copy_synthesis import vocoder_of

Read = Callable[[Path], object]


class Target(NamedTuple):
    """A reader, and the folder of files it takes.

    Attributes:
        folder: the files.
        names: those of them that are damaged.
        read: reads the folder.
    """

    folder: Path
    names: tuple[str, ...]
    read: Read


def targets(root: Path) -> dict[str, Target]:
    """Lay out good files below `root` and return what reads them, by name."""
    return {name: make(root / name) for name, make in MAKERS.items()}


def _audio(folder: Path) -> Target:
    x = 0.1 * np.random.default_rng(0).normal(size=4000).astype(np.float32)
    for name in ("x.wav", "x.flac"):
        write_wav(folder / name, x, 16000)

    def read(at: Path) -> None:
        for name in ("x.wav", "x.flac"):
            read_audio(at / name)

    return Target(folder, ("x.wav", "x.flac"), read)


def _tables(folder: Path) -> Target:
    folder.mkdir()
    (folder / "wav.scp").write_text("a x.wav\nb y.wav\n")
    (folder / "utt2spk").write_text("a-0 s\nb-0 t\n")
    (folder / "segments").write_text("a-0 a 0.0 1.5\nb-0 b 0.5 2\n")
    (folder / "utt2lab").write_text("a-0 bonafide\nb-0 spoof\n")
    return Target(folder, ("wav.scp", "utt2spk", "segments", "utt2lab"), read_folder)


def _scores(folder: Path) -> Target:
    folder.mkdir()
    (folder / "scores").write_text("a -1.5\nb 0.2574\nc 3e-4\n")
    (folder / "key").write_text("s a - - bonafide\ns b - A01 spoof\ns c - A02 spoof\n")
    (folder / "rows").write_text('{"file": "a", "score": 0.5}\n{"file": "b", "score": 1}\n')

    def read(at: Path) -> None:
        read_scores(at / "scores")
        file_key(at / "key")
        read_scores(at / "rows")

    return Target(folder, ("scores", "key", "rows"), read)


def _yaml(folder: Path) -> Target:
    write_yaml(folder / "encoder.yaml", EncoderConfig())
    write_yaml(folder / "feats.yaml", FeatsConfig())
    write_yaml(folder / "vocoder.yaml", {"type": "lpc", "order": 12})

    def read(at: Path) -> None:
        config_from(EncoderConfig, read_yaml(at / "encoder.yaml"), at)
        FeatsConfig.from_dict(read_yaml(at / "feats.yaml"), at)
        vocoder_of("x", at / "vocoder.yaml")

    return Target(folder, ("encoder.yaml", "feats.yaml", "vocoder.yaml"), read)


def _marks(folder: Path) -> Target:
    folder.mkdir()
    Mark(folder).write("work", total=3, failures={"a": "b"})

    def read(at: Path) -> None:
        Mark(at).fresh("work")

    return Target(folder, (".done.json",), read)


def _archives(folder: Path) -> Target:
    draw = np.random.default_rng(0)
    for name, fmt, compress in (("feats", "ark", True), ("hand", "ark", False), ("mu", "h5", False)):
        with Writer(folder, name, fmt=fmt, compress=compress) as writer:
            for utt in ("a", "b"):
                writer.write(utt, draw.normal(size=(9, 4)))
    for path in folder.glob("*.scp"):  # found wherever the folder is copied to
        path.write_text(path.read_text().replace(f"{folder}/", "AT/"))
    files = ("feats.1.ark", "hand.1.ark", "mu.1.h5", "feats.1.scp", "hand.1.crc", "mu.1.scp")

    def read(at: Path) -> None:
        for path in at.glob("*.scp"):
            path.write_bytes(path.read_bytes().replace(b"AT/", f"{at}/".encode()))
        for name in ("feats", "hand", "mu"):
            reader = open_reader(at / f"{name}.1.scp")
            for utt in reader:
                reader.num_frames(utt)
                reader.crop(utt, 1, 3)
            reader.close()

    return Target(folder, files, read)


def _encoder(folder: Path) -> Target:
    config = EncoderConfig(channels=(4, 4), freq_stride=(2, 2), time_stride=(2, 2), dim=4)
    feats = FeatsConfig()
    save_encoder(folder, Encoder(config, feats.n_mels, feats.f_min, feats.f_max), config, feats, {})
    return Target(folder, ("encoder.yaml", "encoder.safetensors"), load_encoder)


def _models(folder: Path) -> Target:
    gmm = Gmm(np.full(2, 0.5), np.zeros((2, 60)), np.ones((2, 60)))
    system = GmmSystem("lfcc_gmm", GmmConfig(), gmm, gmm)
    system.info |= {
        "calibration": {
            "offset": 0.0,
            "temperature": {"value": 1.0},
            "affine": {"a": 1.0, "b": 0.0, "prior": 0.5},
            "thresholds": {"dev_eer": 0.0, "dev_eer_affine": 0.0},
            "posterior": {"a": 1.0, "b": 0.0, "prior": 0.5},
        },
        "ranges": {},
    }
    system.save(folder)

    def read(at: Path) -> None:
        text, path = (at / "model.yaml").read_bytes(), at / "model.safetensors"
        if path.is_file():  # a stranger states the digests of his own files
            before = sha256(folder / "model.safetensors").encode()
            (at / "model.yaml").write_bytes(text.replace(before, sha256(path).encode()))
        load(at)

    return Target(folder, ("model.yaml", "model.safetensors"), read)


def _proof(folder: Path) -> Target:
    folder.mkdir()
    (folder / "R.manifest.json").write_text(json.dumps({"files": {}}))
    with tarfile.open(folder / "R.proof.tar.xz", "w:xz") as archive:
        archive.add(folder / "R.manifest.json", "R.manifest.json")
    (folder / "R.manifest.json").unlink()
    return Target(folder, ("R.proof.tar.xz",), lambda at: unpack(at / "R.proof.tar.xz", at / "out"))


def _onnx(folder: Path) -> Target:
    from masd.models.onnx_encoder import OnnxEncoder, encoder_graph

    config = EncoderConfig(channels=(4,), freq_stride=(2,), time_stride=(2,), dim=4)
    feats = FeatsConfig()
    encoder = Encoder(config, feats.n_mels, feats.f_min, feats.f_max).eval()
    folder.mkdir()
    (folder / "encoder.onnx").write_bytes(encoder_graph(encoder))
    torch.set_num_threads(1)
    return Target(folder, ("encoder.onnx",), lambda at: OnnxEncoder(at / "encoder.onnx", config))


MAKERS: dict[str, Callable[[Path], Target]] = {
    "audio": _audio, "tables": _tables, "scores": _scores, "yaml": _yaml, "marks": _marks,
    "archives": _archives, "encoder": _encoder, "models": _models, "proof": _proof, "onnx": _onnx,
}  # fmt: skip
