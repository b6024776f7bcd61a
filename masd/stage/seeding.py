"""Random streams that depend on nothing but what they are for."""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed for the stream named by `names`, e.g. `derive(seed, "crop", epoch, index)`.

    The result is the same on every machine, worker and rank, and streams of different names are
    independent.
    """
    text = "\x1f".join([str(seed), *(str(n) for n in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return a numpy generator for the named stream (see `derive`)."""
    return np.random.default_rng(derive(seed, *names))
