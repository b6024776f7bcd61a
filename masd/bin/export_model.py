"""A small and fast copy of a fitted model."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run
from masd.judge.export import ExportConfig


def export_model(
    model: Path,
    out: Path,
    export: ExportConfig = ExportConfig(),  # noqa: B008 - frozen
    calibration_dump: Path | None = None,
    data: Path | None = None,
    dump: Path | None = None,
    force: bool = False,
) -> None:
    """Write a model folder in half precision, with fewer SVM vectors, and the encoder as an ONNX graph.

    OUT is a model folder like any other: `detect --model OUT`, with a graph also `detect --fast true`. The
    graph is the encoder's. There is none from audio to score: where speech begins and ends, level, dither and
    statistics depend on the whole recording and stay numpy's, as in training; none of it needs PyTorch. A
    model without an encoder, as the packaged one, is refused a graph.
    OUT.cost.yaml says how large its files are and, with a labelled set, what the export costs there: EER
    before and after, the largest change of a score, labels that changed.

    Args:
        model: model folder of one of MASD's own systems.
        out: the new model folder.
        export: what is made of it, e.g. `--export.vectors 500 --export.onnx int8`.
        calibration_dump: feature dump of training utterances, for int8.
        data: data folder with utt2lab that the cost is measured on, the development set say.
        dump: its feature dump.
        force: export again though it is done.
    """
    from masd.errors import MasdError
    from masd.judge.export import export_to_folder

    if (data is None) != (dump is None):
        raise MasdError(
            "the cost is measured on a data folder and its dump; give --data and --dump, or neither"
        )
    test = None if data is None or dump is None else (data, dump)
    export_to_folder(model, out, export, calibration_dump, test, force)


if __name__ == "__main__":
    run(export_model)
