"""Judging by a model of statistics alone: without torch, soon, in even memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from light_model import RATE, speech

ROOT = Path(__file__).parents[2]
HEAVY = {
    "torch",
    "torchaudio",
    "sklearn",
    "h5py",
    "kaldiio",
    "sentencepiece",
    "matplotlib",
    "jinja2",
    "onnxruntime",
    "starlette",
    "uvicorn",
}


def detect(*words):
    """Run the entry point; return its output, modules loaded, processor seconds and peak memory (MB)."""
    code = (
        "import resource, sys; from masd.bin.detect import command_line, detect; from masd.cli import run;"
        "run(detect, output='', argv=command_line(sys.argv[1:]));"
        "used = resource.getrusage(resource.RUSAGE_SELF); lines = open('/proc/self/status').readlines();"
        "peak = next(int(line.split()[1]) for line in lines if line.startswith('VmHWM'));"
        "print(used.ru_utime + used.ru_stime, peak / 1024, *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seconds, memory, *modules = done.stderr.splitlines()[-1].split()
    return done.stdout, set(modules), float(seconds), float(memory)


def test_judging_loads_no_torch_and_answers_soon(light, tmp_path):
    """Of any rate, channels and format, explained or not."""
    x = speech("x", 5, rate=44100)
    soundfile.write(tmp_path / "x.ogg", np.stack([x, x], 1), 44100)
    for words in ([], ["--explain"]):
        out, modules, seconds, memory = detect(tmp_path / "x.ogg", "--model", light, *words)
        assert "x.ogg" in out and "numpy" in modules
        assert not modules & HEAVY
        assert memory < 400
        assert words or seconds < 5  # of processor time, whatever else the machine does; 0.8 where it is idle


@pytest.mark.slow
def test_twenty_minutes_need_the_memory_of_one(light, tmp_path):
    """With all of it judged, and with its first seconds alone; the samples kept would be 77 MB."""
    minute = np.concatenate([speech(f"minute {i}", 4, voice=i % 4) for i in range(15)])
    memory = {}
    for name, times in (("short", 1), ("long", 20)):
        with soundfile.SoundFile(tmp_path / f"{name}.flac", "w", RATE, 1) as file:
            for _ in range(times):
                file.write(minute)
        for windows in ("true", "false"):
            words = (tmp_path / f"{name}.flac", "--model", light, f"--windows={windows}")
            memory[name, windows] = detect(*words)[3]
    for windows in ("true", "false"):
        assert memory["long", windows] < memory["short", windows] + 40
        assert memory["long", windows] < 600
