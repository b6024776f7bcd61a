"""A model folder made small and fast: half precision, fewer support vectors, the encoder as an ONNX graph."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from masd.data.folder import read_folder
from masd.errors import MasdError
from masd.feats.config import classify_frames
from masd.metrics.eer import eer, split
from masd.stage.files import Mark, digest, input_digest, write_yaml
from masd.stage.seeding import generator
from masd.svm.fewer_vectors import reduced
from masd.svm.inputs import Inputs, compact_of
from masd.systems import load
from masd.systems.folder import GRAPH
from masd.systems.masd import MasdSystem

if TYPE_CHECKING:
    from masd.feats.dump import Dump

log = logging.getLogger(__name__)

VERSION = 1  # raise it when the same model comes to be exported otherwise
_BATCH = 16


@dataclass(frozen=True)
class ExportConfig:
    """What is made of a model.

    Args:
        half: encoder, fusion and support vectors in half precision.
        int8: the encoder's kernels stored in 8 bits, with a scale for each output channel; they are float32
            again when it runs.
        vectors: the SVM's vectors at most, see `masd.svm.fewer_vectors`; 0 keeps the support vectors.
        onnx: the encoder's graph for `detect --fast true`: `float32`, `int8` (which needs a calibration dump)
            or `none`.
        calibration: utterances of the calibration dump that the ranges of int8 are taken from.
    """

    half: bool = True
    int8: bool = False
    vectors: int = 0
    onnx: Literal["none", "float32", "int8"] = "none"
    calibration: int = 64

    def __post_init__(self) -> None:
        if self.vectors < 0 or self.vectors == 1:
            raise MasdError(f"export.vectors: {self.vectors}: 0 for all, or at least 2")
        if self.int8 and not self.half:
            raise MasdError("export.int8: all else is in half precision then; give --export.half true")
        if self.calibration < 1:
            raise MasdError(f"export.calibration: {self.calibration} must be above 0")


def export_to_folder(
    model: Path,
    out: Path,
    config: ExportConfig,
    calibration_dump: Path | None,
    test: tuple[Path, Path] | None,
    force: bool = False,
) -> None:
    """Write `out`, a model folder; with a labelled set, also `out`.cost.yaml: what the export cost.

    Args:
        model: what is exported.
        out: the new folder.
        config: how.
        calibration_dump: feature dump of the training set, for int8.
        test: data folder and feature dump of a labelled set.
        force: do it again though it is done.

    Raises:
        MasdError: the model cannot be exported so, or an input is not what it should be.
    """
    given = [path and input_digest(path) for path in (calibration_dump, *(test or ()))]
    work = digest("export", VERSION, input_digest(model / "model.yaml"), config, given)
    mark = Mark(out)
    if not force and mark.fresh(work):
        log.info("%s: exported already; nothing to do", out)
        return
    if out.resolve() == model.resolve():
        raise MasdError(f"--out {out}: is the model itself; choose another folder")
    mark.clear()
    system = masd_system(model)
    small = copy.copy(system)
    small.svm = reduced(system.svm, config.vectors) if config.vectors else system.svm
    small.info = copy.deepcopy(system.info)
    small.info["exported"] = {
        "from": input_digest(model / "model.yaml"), "half": config.half, "int8": config.int8
    }  # fmt: skip
    small.info["svm"] = {**small.info.get("svm", {}), "vectors": len(small.svm.dual)}
    small.save(out, config.half, _graph(system, config, calibration_dump), config.int8)
    sizes = {path.name: path.stat().st_size for path in sorted(out.iterdir()) if path.name[0] != "."}
    cost: dict[str, Any] = {
        "bytes": sizes,
        "vectors": {"full": len(system.svm.dual), "exported": len(small.svm.dual)},
    }
    if test is not None:
        cost |= price(model, out, *test)
    write_yaml(out.with_name(f"{out.name}.cost.yaml"), cost)
    mark.write(
        work, [path for path in out.iterdir() if path.name[0] != "." and path.name != "export_model.yaml"]
    )
    log.info("%s: %s", out, ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in sizes.items()))


def _graph(system: MasdSystem, config: ExportConfig, calibration_dump: Path | None) -> bytes | None:
    if config.onnx == "none":
        return None
    from masd.feats.dump import open_dump
    from masd.models.encoder import load_encoder
    from masd.models.onnx_encoder import encoder_graph, quantised

    if system.encoder_from is None:
        raise MasdError(
            f"{system.folder}: has no encoder, and only encoders are made graphs: statistics and SVM run in "
            "numpy, without PyTorch; give --export.onnx none"
        )
    graph = encoder_graph(load_encoder(system.encoder_from)[0])
    if config.onnx == "float32":
        return graph
    if calibration_dump is None:
        raise MasdError("int8 takes its ranges from training utterances; give --calibration_dump DUMP")
    dump = open_dump(calibration_dump, system.feats)
    chosen = generator(0, "calibration").permutation(len(dump.utts))[: config.calibration]
    frames = classify_frames(dump.config)
    return quantised(graph, (dump.feats.crop(dump.utts[i], 0, frames) for i in chosen))


def masd_system(folder: Path) -> MasdSystem:
    """Return the system of a model folder; `MasdError` if it is not one of MASD's own."""
    system = load(folder)
    if not isinstance(system, MasdSystem):
        raise MasdError(f"{folder}: a model of {system.name}; only MASD's own can be exported")
    return system


def price(model: Path, exported: Path, data: Path, dump: Path) -> dict[str, Any]:
    """Return EER of both models on a labelled set, and how far scores and labels move.

    Of every encoder the exported folder has: its own and, where there is one, the graph.

    Args:
        model: the full model.
        exported: what was made of it.
        data: data folder with utt2lab.
        dump: its feature dump.
    """
    from masd.feats.dump import open_dump

    system = masd_system(model)
    opened, folder = open_dump(dump, system.feats), read_folder(data)
    known = set(opened.utts)
    utts = [utt for utt in folder.utts if utt in known]
    if not utts:
        raise MasdError(f"{dump}: none of the utterances of {data}")
    is_fake = np.array([folder.lab(utt) == "spoof" for utt in utts])
    before = _scores(system, opened, utts)
    found: dict[str, Any] = {
        "set": data.name,
        "utterances": len(utts),
        "eer": eer(*split(before, is_fake))[0],
    }
    kinds = [False, True] if (exported / GRAPH).is_file() else [False]
    for fast in kinds:
        small = masd_system(exported)
        small.fast = fast
        after = _scores(small, opened, utts)
        threshold = float(system.calibration.scores(np.float64(system.calibration.posterior.boundary())))
        cost = {
            "eer": eer(*split(after, is_fake))[0],
            "largest_score_change": float(np.abs(after - before).max()),
            "mean_score_change": float(np.abs(after - before).mean()),
            "labels_changed": int(((before <= threshold) != (after <= threshold)).sum()),
        }
        found["fast" if fast else "exported"] = cost
        log.info(
            "%s%s: EER %.3f %% -> %.3f %%, largest score change %.4f, %d of %d labels changed",
            *(exported, " --fast true" if fast else "", 100 * found["eer"], 100 * cost["eer"]),
            *(cost["largest_score_change"], cost["labels_changed"], len(utts)),
        )
    return found


def _scores(system: MasdSystem, dump: Dump, utts: list[str]) -> np.ndarray:
    """Return the scores (N,) of utterances of a dump, embedded here; those of like length side by side."""
    frames = classify_frames(dump.config)
    order = sorted(range(len(utts)), key=lambda i: min(frames, dump.feats.num_frames(utts[i])))
    scores = np.empty(len(utts))
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        names = [utts[i] for i in rows]
        inputs = Inputs(names, hand=np.stack([np.asarray(dump.hand[utt]) for utt in names]))
        if system.features.row.ssl:
            mels = [dump.feats.crop(utt, 0, frames) for utt in names]
            inputs.compact = compact_of(system.encoder(), mels)
        scores[rows] = system.calibration.scores(system.judge(inputs).f)
    return scores
