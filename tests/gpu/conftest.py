"""What tests on a GPU share. MASD_GPU_TESTS=cpu runs them on the CPU, which shows that they run at all."""

import os
import sys
from pathlib import Path

import pytest
import torch

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before the first product of the process
sys.path += [str(Path(__file__).parents[1] / room) for room in ("ssl", "vocoders")]


@pytest.fixture
def device():
    """`cuda`, or `cpu` in its place."""
    wanted = os.environ.get("MASD_GPU_TESTS", "cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    return wanted
