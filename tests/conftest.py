"""What tests of several packages share."""

import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch
from threadpoolctl import threadpool_limits


@pytest.fixture
def elsewhere():
    """A context that is like a busy machine of another size: two busy loops, two threads in place of one."""

    @contextmanager
    def context():
        loops = [subprocess.Popen([sys.executable, "-SE", "-c", "while True: pass"]) for _ in range(2)]
        before = torch.get_num_threads()
        try:
            with threadpool_limits(2):
                torch.set_num_threads(2)
                yield
        finally:
            torch.set_num_threads(before)
            for loop in loops:
                loop.kill()
                loop.wait()

    return context
