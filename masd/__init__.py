"""MASD: multi-scale artifact-aware self-supervised deepfake detection, as staged recipes.

Nothing is loaded before it is asked for: import from the modules (docs/library.md shows them in use).

- `masd.data.folder`: `read_folder`, `write_folder`.
- `masd.data.utterance`: `load_utterance`, its waveform.
- `masd.data.archive`: `open_reader`, of ark and h5.
- `masd.audio`: `read_audio`, `write_wav`; waveforms are float32 (N,), mono.
- `masd.feats.extract`: `front_end`, log-mel (T, 64) and handcrafted features (3,).
- `masd.feats.dump`: `open_dump`, what stage 3 made.
- `masd.models.encoder`: `load_encoder`.
- `masd.models.pooling`: `statistics`, f_SSL (130,) of the encoder's output.
- `masd.systems`: `load`, a fitted system of a model folder; `masd.systems.base` says what a system is.
- `masd.judge.detector`: `Detector`, as `masd.Detector` too, judges files, bytes and arrays of samples.
- `masd.judge.verdict`: `Judge`, whose `judge` gives a verdict on a recording by any system.
- `masd.pretrained`: `PLUS`, the folder of the model that comes along.
- `masd.vocoders`: `get`, copy-synthesis of a waveform.
- `masd.metrics`: `eer`, `dcf`, `tdcf`, `scores` and others. Scores are higher for bona fide speech.
- `masd.errors`: `MasdError`, what can be wrong with files and data.
- `masd.bin`: the entry points, `python3 -m masd.bin.<name> --help`; each is a function of the same name.
"""

from __future__ import annotations

import importlib as _importlib
import os as _os
import sys as _sys
from typing import Any as _Any

__version__ = "0.1.0"

# `python3 -m masd...` has put the working directory first: a file there called as a library is would be run
_ours = _sys.argv[:1] == ["-m"] and any(word.split(".")[0] == __name__ for word in _sys.orig_argv)
if _ours and not _sys.flags.safe_path and _sys.path[0] != _os.path.dirname(__path__[0]):
    _sys.path.pop(0)


def __getattr__(name: str) -> _Any:
    if name == "Detector":
        return _importlib.import_module("masd.judge.detector").Detector
    raise AttributeError(f"module 'masd' has no attribute {name!r}")
