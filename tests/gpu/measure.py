"""What a GPU does in a second: pretraining, reading, embeddings, vocoders, networks, and the SVM beside it.

Called by run.sh. `--device cpu` goes through the same with tiny sizes, and says nothing of any machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / room) for room in ("benchmarks", "ssl", "vocoders")]

from roofline import pretraining_step  # noqa: E402

FULL = SimpleNamespace(batch=256, side=8192, steps=10, items=4096, workers=8, clips=32, audio=16.0, batches=4)
TINY = SimpleNamespace(batch=4, side=128, steps=1, items=16, workers=0, clips=2, audio=0.1, batches=1)
ON_CPU = ("float32, no TF32, eager", "bf16")  # the others take minutes


class Measured:
    """The rows of the report, each with what the GPU's memory came to."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.rows: list[dict[str, object]] = []

    def seconds(self, work: Callable[[], object], times: int) -> float:
        """Return seconds of one call of `work`, after one that is not counted."""
        self._wait(work)
        begin = time.perf_counter()
        for _ in range(times):
            work()
        self._wait(lambda: None)
        return (time.perf_counter() - begin) / times

    def _wait(self, work: Callable[[], object]) -> None:
        work()
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    @contextmanager
    def row(self, what: str, unit: str) -> Iterator[list[float]]:
        """Report what the block puts into the list, or how it failed: the other rows are wanted too."""
        value: list[float] = []
        reason = ""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            yield value
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        peak = torch.cuda.max_memory_allocated() / 2**20 if self.device.type == "cuda" else None
        row = {"what": what, "value": value[0] if value else None, "unit": unit, "MiB": peak, "error": reason}
        self.rows.append(row)
        shown = f"{row['value']:.4g} {unit}" if value else f"failed, {reason}"
        print(f"{what}: {shown}" + (f", {peak:.0f} MiB" if peak is not None else ""), flush=True)


def pretraining(found: Measured, size: SimpleNamespace) -> None:
    """Steps in every arithmetic against plain eager float32, and what a product of matrices allows."""
    from masd.models.encoder import Encoder
    from masd.ssl.config import PretrainConfig
    from masd.ssl.objective import Batch, Objective
    from masd.ssl.training import compiled
    from masd.training.distributed import Processes

    device = found.device
    operations = sum(count for count, _ in pretraining_step(2, "float32").done) / 2
    group = Processes(0, 1, device)
    kinds = {
        "float32, no TF32, eager": ("float32", False, False, False),
        "TF32": ("float32", True, False, False),
        "bf16": ("bf16", True, False, False),
        "bf16 channels_last": ("bf16", True, True, False),
        "fp16 channels_last": ("fp16", True, True, False),
        "bf16 channels_last compiled": ("bf16", True, True, True),
    }
    for name, (precision, tf32, channels_last, fused) in kinds.items():
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        if device.type == "cpu" and name not in ON_CPU:
            continue
        with found.row(f"pretraining, {name}", "utterances a second") as value:
            torch.manual_seed(0)
            objective = Objective(Encoder(), PretrainConfig(precision=precision), ["a", "b"])
            layout = torch.channels_last if channels_last else torch.contiguous_format
            objective.to(device, memory_format=layout)
            objective.compiled = compiled(objective.encoder, group) if fused else None
            optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-4)
            scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
            mel = torch.randn(size.batch, 401, 64).to(device)
            lengths = torch.full((size.batch,), 401, device=device)
            batch = Batch(mel, lengths, (torch.arange(size.batch) % 3 - 1).to(device))

            def step(batch=batch, objective=objective, optimizer=optimizer, scaler=scaler) -> None:
                loss, _ = objective(batch, torch.Generator(device).manual_seed(0))
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad(set_to_none=True)

            for _ in range(2):
                step()
            value.append(size.batch / found.seconds(step, size.steps))
        bound = f"pretraining, {name}: no more than, by a product of matrices"
        with found.row(bound, "utterances a second") as value:
            kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
            one = torch.randn(size.side, size.side, device=device, dtype=kind)
            value.append(2 * size.side**3 / found.seconds(lambda one=one: one @ one, 5) / operations)


def reading(found: Measured, size: SimpleNamespace, folder: Path) -> None:
    """A whole training from dumps: whether the workers keep up with the steps."""
    from test_training import call
    from toy_corpus import write_dump

    from masd.feats.config import FeatsConfig

    rng = np.random.default_rng(0)
    for name, count in (("train", size.items), ("dev", 8)):
        mels = {f"{name}{i:05d}": rng.standard_normal((450, 64), dtype=np.float32) for i in range(count)}
        write_dump(folder / name, mels, FeatsConfig())
        write_dump(folder / f"{name}_lpc", {f"lpc-{utt}": mel for utt, mel in mels.items()}, FeatsConfig())
    words = ["--train", f"{folder}/train", "--dev", f"{folder}/dev", "--vocoded", f"lpc={folder}/train_lpc"]
    words += ["--dev_vocoded", f"lpc={folder}/dev_lpc", "--ssl.epochs", "2", "--ssl.batch", str(size.batch)]
    words += ["--ssl.precision", "auto", "--ssl.workers", str(size.workers), "--ssl.bn_recalibrate", "1"]
    words += ["--ssl.device", found.device.type]
    with found.row("pretraining from dumps, the second epoch", "utterances a second") as value:
        value.append(size.items / call(words, folder / "exp")[-1]["seconds"])


def networks(found: Measured, size: SimpleNamespace) -> None:
    """Embeddings by the encoder and scores by networks, in batches, as stages 5 and 6 compute them."""
    from masd.models.encoder import Encoder
    from masd.stage.devices import exact
    from masd.svm.inputs import embed
    from masd.systems import classifier
    from masd.systems.config import FrontEndConfig

    mels = [np.zeros((401, 64), np.float32)] * size.clips
    with found.row("embeddings", "seconds of audio a second") as value:
        encoder = Encoder().eval().to(found.device, memory_format=torch.channels_last)
        value.append(4.0 * size.clips / found.seconds(lambda: embed(encoder, mels, _name(found)), size.steps))
    for name in ("rawnet2", "aasist", "lfcc_lcnn"):
        with found.row(f"scores by {name}", "seconds of audio a second") as value:
            net = classifier.network(name, FrontEndConfig()).eval().to(found.device)
            x = 0.1 * torch.randn(size.clips, 64600, device=found.device)
            with torch.inference_mode(), exact():
                value.append(size.clips * 64600 / 16000 / found.seconds(partial(net, x), size.steps))


def _name(found: Measured) -> str:
    return "cpu:0" if found.device.type == "cpu" else "cuda:0"  # `cpu` takes them one by one


def vocoders(found: Measured, size: SimpleNamespace) -> None:
    """Networks of the published sizes with random weights, in batches as stage 2 makes them."""
    from roofline import published

    from masd.stage.devices import repeatable

    for name, make in published().items():
        with found.row(f"copies by {name}", "seconds of audio a second") as value:
            network, call, rate = make()
            network.eval().requires_grad_(False).to(found.device)
            mel = torch.randn(size.batches, 80, round(size.audio * rate / 256), device=found.device)
            with torch.inference_mode(), repeatable(tf32=True):
                took = found.seconds(partial(call, network, mel), min(size.steps, 3))
            value.append(size.audio * size.batches / took)


def svm(found: Measured) -> None:
    """The SVM, which stays on the CPU."""
    from masd.svm.kernel import KernelSvm

    rng = np.random.default_rng(0)
    support, values = (rng.standard_normal((count, 256)).astype(np.float32) for count in (2000, 2048))
    what = "scores by the SVM, 2,000 support vectors, on the CPU"
    with found.row(what, "seconds of audio a second") as value:
        machine = KernelSvm(support, rng.standard_normal(2000), 0.0, 0.004)
        value.append(4.0 * len(values) / found.seconds(lambda: machine.decision(values), 3))


def main() -> None:
    """Measure all, and write the rows as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    size, found = (FULL if given.device == "cuda" else TINY), Measured(given.device)
    card = (
        torch.cuda.get_device_name()
        if given.device == "cuda"
        else "the CPU, tiny sizes: no figure of any machine"
    )
    print(f"measured on {card}, torch {torch.__version__}", flush=True)

    def write() -> None:
        report = {"device": card, "torch": torch.__version__, "rows": found.rows}
        given.out.write_text(json.dumps(report, indent=1))

    with tempfile.TemporaryDirectory() as folder:
        sections = (
            lambda: pretraining(found, size),
            lambda: networks(found, size),
            lambda: vocoders(found, size),
            lambda: svm(found),
            lambda: reading(found, size, Path(folder)),
        )
        for section in sections:
            section()
            write()  # what is cut off by time leaves what came before it


if __name__ == "__main__":
    main()
