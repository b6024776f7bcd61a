"""One step is the same on any number of processes; a run that loses one goes on as if nothing had been."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_training import call, same
from torchrun import ENVIRONMENT, ROOT, command, forked
from toy_corpus import words as toy_words

from masd.errors import MasdError
from masd.models.normalization import MaskedBatchNorm2d
from masd.ssl.adversarial import Adversarial
from masd.ssl.data import Crops
from masd.ssl.objective import Batch
from masd.training import distributed as group_of
from masd.training.distributed import TIMEOUT, Processes, processes, refuse_several

ENTRY = ("-m", "masd.bin.pretrain")
LENGTH = ("--ssl.epochs", "4", "--ssl.crop_seconds", "0.8")  # 81 frames: items with and without padding


def steps(out: Path, name: str = "loss_total") -> np.ndarray:
    """What every step's summary said."""
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    return np.array([event.value for event in events.Scalars(f"train/{name}")])


def weights(out: Path) -> dict[str, torch.Tensor]:
    """Final weights and running statistics."""
    state = load_file(out / "last.safetensors")
    return {n: value for n, value in state.items() if n.startswith("model.") and value.is_floating_point()}


def close(first: Path, second: Path, steps_within: float, weights_within: float) -> None:
    """Assert that two runs are one but for rounding: losses of every step, final weights."""
    for name in ("loss_mask", "loss_cpc", "loss_binary", "loss_vocoder", "loss_total", "grad_norm"):
        one, two = steps(first, name), steps(second, name)
        np.testing.assert_allclose(one, two, rtol=steps_within, err_msg=name)
    one, two = weights(first), weights(second)
    assert one.keys() == two.keys()
    for name, value in one.items():
        apart = float((value - two[name]).norm() / value.norm().clamp_min(1e-3))
        assert apart < weights_within, (name, apart)


@pytest.fixture(scope="module")
def pair(toy, tmp_path_factory):
    """The words of a run, and the folder of the same run on two processes, left alone."""
    words = [*toy_words(toy), *LENGTH]
    out = tmp_path_factory.mktemp("pair") / "two"
    said = out.with_name("said")
    forked(2, lambda: call(words, out), said)
    assert said.read_text().count("training and") == 1, "every process tells what all do"
    return words, out


@pytest.mark.slow
def test_two_processes_take_the_same_steps_as_one(toy, tmp_path):
    more = ("--ssl.epochs=2", "--ssl.cpc_pool=40", "--ssl.cpc_within=0.5")
    words = [*toy_words(toy), *LENGTH, *more]
    for count in (1, 2):
        forked(count, lambda: call(words, tmp_path / str(count)), tmp_path / "said", double=True)  # noqa: B023
    close(tmp_path / "1", tmp_path / "2", 2e-6, 1e-6)  # the log holds losses in single precision
    records = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in "12"
    ]
    for one, other in zip(*records, strict=True):
        for part in ("train", "dev"):
            assert one[part] == pytest.approx(other[part], rel=1e-6)


@pytest.mark.slow
def test_two_processes_with_micro_batches_take_the_same_steps_as_one(toy, tmp_path):
    words = [*toy_words(toy), "--ssl.epochs=1", "--ssl.accumulate=2", "--ssl.cpc_within=uniform"]
    forked(2, lambda: call(words, tmp_path / "two"), tmp_path / "said")
    call(words, tmp_path / "one")
    close(tmp_path / "one", tmp_path / "two", 1e-3, 0.05)


@pytest.mark.slow
def test_in_single_precision_they_part_by_rounding_alone(pair, tmp_path):
    words, two = pair
    call(words, tmp_path / "one")
    assert len(steps(two)) == 12
    np.testing.assert_allclose(steps(tmp_path / "one")[0], steps(two)[0], rtol=1e-5)
    np.testing.assert_allclose(steps(tmp_path / "one"), steps(two), rtol=0.05)


@pytest.fixture
def talks_again():
    """All processes but the first are told to say less, for as long as they live."""
    yield
    logging.getLogger("masd").setLevel(logging.NOTSET)


@pytest.mark.usefixtures("talks_again")
def test_a_process_tells_nccl_its_gpu_and_how_long_to_wait(monkeypatch):
    """No GPU is here: what torch is told of one is looked at."""
    told, destroyed = {}, []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: told.update(current=device))
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda kind, **more: told.update(more, kind=kind)
    )
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: "kind" in told)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: destroyed.append(True))
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with processes("auto") as group:
        assert group.device == torch.device("cuda:1") and group.rank == 5
    assert told == {
        "current": "cuda:1", "kind": "nccl", "device_id": torch.device("cuda:1"), "timeout": TIMEOUT,
    }  # fmt: skip
    assert destroyed == [True]
    with pytest.raises(MasdError, match="no row"), processes("cuda"):
        raise MasdError("no row")
    assert destroyed == [True], "NCCL would wait for the others, who may wait for this one"
    with pytest.raises(MasdError, match="process 5 of 8 has lost another one"), processes("cuda"):
        raise torch.distributed.DistBackendError("NCCL communicator was aborted")


@pytest.mark.slow
def test_who_does_not_come_is_waited_for_no_longer_than_that(tmp_path, monkeypatch):
    monkeypatch.setattr(group_of, "TIMEOUT", timedelta(seconds=2))

    def wait():
        with pytest.raises(MasdError, match="lost another one"), processes("cpu") as group:
            if group.first:
                group.wait()
            time.sleep(6)
            group.wait()

    begin = time.monotonic()
    forked(2, wait, tmp_path / "said")
    assert time.monotonic() - begin < 60


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    "error", [MasdError("feats.1.ark: utterance a is damaged"), ValueError("two\nlines")]
)
def test_a_batch_that_one_process_cannot_read_ends_all_with_a_line_each(
    toy, tmp_path, monkeypatch, workers, error
):
    collate = Crops.collate

    def failing(self, items):
        if os.environ["RANK"] == "1" and len(self) > 8:  # of the training set alone
            raise error
        return collate(self, items)

    monkeypatch.setattr(Crops, "collate", failing)

    def train():
        try:
            call(toy_words(toy), tmp_path / "out", f"--ssl.workers={workers}")
        except MasdError as ours:
            (tmp_path / os.environ["RANK"]).write_text(str(ours))

    forked(2, train, tmp_path / "said")
    lost, cause = (tmp_path / rank for rank in "01")
    assert lost.read_text().startswith("process 0 of 2 has lost another one")
    said = "utterance a is damaged" if isinstance(error, MasdError) else "a batch could not be read (lines)"
    assert said in cause.read_text() and "\n" not in cause.read_text() + lost.read_text()


def workers(process: subprocess.Popen) -> dict[str, int]:
    """The process ids of what torchrun started, by rank."""
    found = {}
    for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        content = Path(f"/proc/{word}/environ").read_bytes().split(b"\0")
        ranks = [one[5:].decode() for one in content if one.startswith(b"RANK=")]
        found |= dict.fromkeys(ranks, int(word))
    return found


def kill_one(words: list[str], out: Path, rank: str, saves: int) -> tuple[int, str]:
    """Kill a rank after so many saves; return torchrun's exit status and what was said."""
    run = command(2, *ENTRY, *words, "--out", str(out), "--ssl.save_minutes", "0")
    with subprocess.Popen(run, env=ENVIRONMENT, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        last, before, seen = out / "last.safetensors", 0, 0
        deadline = time.monotonic() + 180
        while seen < saves and time.monotonic() < deadline and process.poll() is None:
            now = last.stat().st_mtime_ns if last.exists() else 0
            seen, before = seen + (now != before), now
            time.sleep(0.001)
        assert seen == saves, "it ended, or saves too slowly, to be killed in the middle"
        os.kill(workers(process)[rank], signal.SIGKILL)
        said = process.communicate(timeout=180)[1]
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are found in /proc")
def test_a_lost_process_costs_nothing_but_the_time(pair, tmp_path):
    words, alone = pair
    out = tmp_path / "out"
    status, said = kill_one(words, out, "1", 5)  # of 3 steps an epoch
    assert status != 0
    assert "pretrain: error: process 0 of 2 has lost another one" in said or "Signal 9" in said
    assert "Error: process" not in said, "a traceback of ours"
    assert not (out / ".done.json").exists()
    begun = tmp_path / "begun"
    subprocess.run(["cp", "-r", out, begun], check=True)
    forked(2, lambda: call(words, out), tmp_path / "said")
    assert "from epoch 1, step 0" not in (tmp_path / "said").read_text()
    for name in ("last.safetensors", "encoder.safetensors"):  # on as many processes, to the bit
        assert same(load_file(out / name), load_file(alone / name))
    call(words, begun)  # on another number of them, to rounding
    np.testing.assert_allclose(steps(begun), steps(alone), rtol=0.05)


@pytest.fixture
def frozen(monkeypatch):
    """Batch norm whose statistics stay what they are."""
    for kind in (MaskedBatchNorm2d, Adversarial):
        forward = kind.forward

        def evaluated(self, *args, forward=forward, **keys):
            before, self.training = self.training, False
            try:
                return forward(self, *args, **keys)
            finally:
                self.training = before

        monkeypatch.setattr(kind, "forward", evaluated)


def test_micro_batches_are_the_whole_batch_but_for_what_is_drawn_from_it(arguments, tmp_path, frozen):
    """Normalisation frozen and negatives from the own utterance: nothing looks at other items."""
    more = ("--ssl.cpc_within", "1.0", "--ssl.epochs", "2")
    for parts in ("1", "2", "3"):
        call(arguments, tmp_path / parts, *more, "--ssl.accumulate", parts)
        close(tmp_path / "1", tmp_path / parts, 1e-3, 0.01)


def test_micro_batches_change_what_is_drawn_from_the_batch(arguments, tmp_path):
    for parts in ("1", "2"):
        call(arguments, tmp_path / parts, "--ssl.epochs", "1", "--ssl.accumulate", parts)
    assert abs(steps(tmp_path / "1", "loss_binary") / steps(tmp_path / "2", "loss_binary") - 1).max() > 0.01


@pytest.mark.parametrize(("world", "parts", "size"), [(1, 1, 5), (2, 1, 7), (2, 3, 13), (3, 2, 6)])
def test_rows_are_dealt_out_once_and_evenly(world, parts, size):
    dealt = [Processes(rank, world, torch.device("cpu")).rows(size, parts) for rank in range(world)]
    assert sorted(row for rows in dealt for part in rows for row in part) == list(range(size))
    for part in range(parts):  # a micro-batch does not depend on the number of processes
        assert sorted(row for rows in dealt for row in rows[part]) == list(range(part, size, parts))
    assert np.ptp([len(part) for rows in dealt for part in rows]) <= 1


def test_a_batch_alone_is_left_as_it_is():
    batch = Batch(torch.zeros(3, 9, 4), torch.tensor([9, 8, 7]), torch.tensor([-1, 0, -1]))
    assert batch.parts(3, 1, Processes(0, 1, torch.device("cpu")))[0] is batch


def test_mistakes_of_several_processes_are_named(arguments, tmp_path, monkeypatch):
    with pytest.raises(
        MasdError, match=r"batch: too small .* 1 processes an item in each of 9 micro-batches"
    ):
        call(arguments, tmp_path / "a", "--ssl.accumulate", "9")
    with pytest.raises(MasdError, match="accumulate: 0"):
        call(arguments, tmp_path / "a", "--ssl.accumulate", "0")
    refuse_several("lfcc_gmm")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MasdError, match="lfcc_gmm is fitted in one process, torchrun has started 2"):
        refuse_several("lfcc_gmm")


@pytest.mark.parametrize(
    ("said", "lost"), [("[pair.cc:553] Connection closed by peer", True), ("mat1 and mat2 differ", False)]
)
def test_the_loss_of_a_process_is_told_from_other_errors(monkeypatch, said, lost):
    monkeypatch.setattr("torch.distributed.init_process_group", lambda *_, **__: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    kind = MasdError if lost else RuntimeError
    with pytest.raises(kind, match="lost another" if lost else said), processes("cpu"):
        raise RuntimeError(said)
