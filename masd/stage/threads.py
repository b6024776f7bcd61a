"""How many threads numbers are computed on: another number of them adds up in another order."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_READ_WHEN_LOADED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def pinned(threads: int = 1) -> Iterator[None]:
    """Compute on `threads` threads in the block, whatever the environment and the number of cores say.

    That holds for torch, BLAS and OpenMP: what is loaded is told so, and what is loaded in the block, or in
    processes that it starts, finds it in the environment. Afterwards all is as before.
    """
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")  # a second or two, where nothing else wants it
    before = torch.get_num_threads() if torch else 0
    environment = {name: os.environ.get(name) for name in _READ_WHEN_LOADED}
    os.environ.update(dict.fromkeys(_READ_WHEN_LOADED, str(threads)))
    try:
        with threadpool_limits(threads):
            if torch:
                torch.set_num_threads(threads)
            yield
    finally:
        for name, value in environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if torch:
            torch.set_num_threads(before)
