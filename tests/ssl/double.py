"""Pretraining in double precision, for comparisons: in single precision a value that rounds to the other side
of a ReLU's kink makes two equal computations part after a few steps.

    python tests/ssl/double.py ARGUMENTS OF masd.bin.pretrain
"""

from __future__ import annotations

import torch

from masd.bin.pretrain import pretrain
from masd.cli import run

if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double
    run(pretrain)
