"""`precision: auto` follows from the hardware, never from a clock, and all processes take the same."""

import time

import pytest
import torch

from masd.training import precision
from masd.training.distributed import Processes

CPU, GPU = torch.device("cpu"), torch.device("cuda")
ALONE = Processes(0, 1, CPU)


@pytest.mark.parametrize(
    ("vendor", "flags", "taken"),
    [
        ("AuthenticAMD", "avx2 avx512f avx512_bf16", "bf16"),
        ("GenuineIntel", "avx2 avx512f avx512_bf16", "float32"),
        ("GenuineIntel", "avx512f avx512_bf16 amx_tile amx_bf16", "bf16"),
        ("AuthenticAMD", "avx2", "float32"),
    ],
)
def test_a_cpu_is_known_by_vendor_and_instruction_sets(monkeypatch, tmp_path, vendor, flags, taken):
    one = f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: fpu {flags}\n\n"
    (tmp_path / "cpuinfo").write_text(2 * one)
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")
    assert precision.chosen("auto", ALONE) == taken
    assert precision.chosen("fp16", ALONE) == "fp16", "what is asked for by name is not judged"


def test_an_unknown_cpu_computes_in_float32(monkeypatch, tmp_path):
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "none")
    assert precision.suited(CPU) == "float32"


@pytest.mark.parametrize(
    ("capability", "taken"), [((6, 1), "float32"), ((7, 0), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16")]
)
def test_a_gpu_is_known_by_its_capability(monkeypatch, capability, taken):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert precision.suited(GPU) == taken


def test_no_clock_has_a_say(monkeypatch):
    """The choice was timed: beside other work it was another one, and so was the encoder."""

    def clock():
        raise AssertionError("the choice looked at a clock")

    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
        monkeypatch.setattr(time, name, clock)
    assert len({precision.chosen("auto", ALONE) for _ in range(3)}) == 1


class _Lesser(Processes):
    def most(self, value):
        return value.maximum(torch.tensor(-1))  # another process has a GPU that suits fp16 at most


def test_the_least_capable_process_decides(monkeypatch):
    monkeypatch.setattr(precision, "suited", lambda device: "bf16")
    assert precision.chosen("auto", _Lesser(0, 2, CPU)) == "fp16"
    monkeypatch.setattr(precision, "suited", lambda device: "float32")
    assert precision.chosen("auto", _Lesser(0, 2, CPU)) == "float32"
