"""Detection of one file from end to end, the encoder alone, and the cold start."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
from timing import Row, alternate

from masd.audio import read_audio
from masd.bin.detect import make_fast
from masd.judge.verdict import Judge
from masd.stage.files import read_yaml
from masd.svm.inputs import embed
from masd.systems import load
from masd.systems.folder import GRAPH


def rows(model: Path, clips: list[Path], repeats: int) -> list[Row]:
    """Return the rows of a model folder; those of the faster mode where it has a graph."""
    seconds = sum(soundfile.info(p).duration for p in clips)
    system = load(model)
    plain = Judge(system)
    inputs = [system.inputs(plain.pieces(read_audio(p)[0])) for p in clips]
    mels = [np.zeros((401, system.feats.n_mels), np.float32)]
    tasks = {
        "float32": lambda: [plain.judge(p) for p in clips],
        "svm": lambda: [system.judge(one) for one in inputs],
    }
    if system.features.row.ssl:
        tasks["encoder"] = lambda: embed(system.encoder(), mels)
    fast = (model / GRAPH).is_file()
    if fast:
        other = load(model)
        make_fast(other)
        quick = Judge(other)
        tasks["fast"] = lambda: [quick.judge(p) for p in clips]
    times = alternate(tasks, repeats)
    ms = {name: 1000 * least / (4.0 if name == "encoder" else seconds) for name, (least, _) in times.items()}
    alone = f"{ms['encoder']:.2f} ms (encoder alone)" if "encoder" in ms else "-"
    note = (
        f"Best of {repeats} alternating rounds over {len(clips)} clips of 4 s, one thread, from FLAC to "
        f"P(fake). Fusion and SVM take {ms['svm']:.2f} ms of it."
    )
    out = [
        Row(
            "detection, ms of processor a second of audio, float32",
            f"{ms['float32']:.2f} ms",
            alone,
            ms["float32"],
            "<= 20",
            note,
        )
    ]
    if fast:
        what = f"detection, the faster mode (encoder as an ONNX graph, {_kind(model)}), against float32"
        out.append(Row(what, f"{ms['fast']:.2f} ms", f"{ms['float32']:.2f} ms", ms["fast"], "<= 12"))
        out += _price(model)
    return [*out, cold(model, clips[0], repeats)]


def _kind(model: Path) -> str:
    """Return what export_model was asked to make the graph in."""
    return read_yaml(model / "export_model.yaml")["export"]["onnx"]


def _price(model: Path) -> list[Row]:
    """Return what export_model measured of the faster mode on its labelled set."""
    path = model.with_name(f"{model.name}.cost.yaml")
    cost = read_yaml(path) if path.is_file() else {}
    if "fast" not in cost:
        return []
    fast = cost["fast"]
    note = (
        f"On {cost['utterances']} utterances of {cost['set']}, as export_model measured it: largest change "
        f"of a score {fast['largest_score_change']:.2g}, mean {fast['mean_score_change']:.2g}, "
        f"{fast['labels_changed']} labels changed."
    )
    before, after = 100 * cost["eer"], 100 * cost["fast"]["eer"]
    return [
        Row(
            "EER of the faster mode, points from float32's",
            f"{after:.2f} %",
            f"{before:.2f} %",
            abs(after - before),
            "<= 0.1",
            note,
        )
    ]


def cold(model: Path, clip: Path, repeats: int) -> Row:
    """Return processor seconds of a new process from its start to the first answer, imports included."""
    command = [sys.executable, "-m", "masd.bin.detect", "--model", str(model), str(clip)]
    taken = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    note = (
        "Processor seconds of `python3 -m masd.bin.detect` for one file; most of it is the import of torch."
    )
    return Row(
        "first answer from a cold start, s",
        f"{np.median(taken):.2f} s",
        "-",
        float(np.median(taken)),
        "<= 4",
        note,
    )
