"""The sole right to a piece of work: two processes that would make the same thing are told apart."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from masd.errors import MasdError

_FIRST = "process "  # what a lock file begins with
_HELD = (errno.EACCES, errno.EAGAIN)


@contextmanager
def sole(folder: str | Path, name: str = "") -> Iterator[None]:
    """Hold `<folder>/.lock[.<name>]` while the block runs; the first of torchrun's processes does so for all.

    It is a record lock: it ends with its process, in whatever way that ends, so that a killed run leaves
    nothing in the way; the process's children do not inherit it; hosts share it where their file system has
    locks. Where it has none, nobody is told apart.

    Args:
        folder: where the work's output goes; made if need be.
        name: which shard of it, empty for all of it.

    Raises:
        MasdError: another process holds it; the line says which, where, and since when.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    path = Path(folder) / (f".lock.{name}" if name else ".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _take(path, f"{folder}, shard {name}," if name else f"{folder}")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the lock goes: who comes later makes a file of its own
        os.close(descriptor)


def _take(path: Path, what: str) -> int:
    """Return the descriptor of a lock file that is now this process's."""
    while True:
        descriptor = _open(path)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                holder = os.pread(descriptor, 500, 0).decode(errors="replace").strip()
                os.close(descriptor)
                raise MasdError(
                    f"{what} is being made by {holder or 'another process'}; "
                    f"wait for it, or remove {path} if it is dead"
                ) from None
        if _is(path, descriptor):
            os.ftruncate(descriptor, 0)
            holder = f"{_FIRST}{os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}\n"
            os.pwrite(descriptor, holder.encode(), 0)
            return descriptor
        os.close(descriptor)  # its holder ended, and removed it, between our two calls


def _open(path: Path) -> int:
    """Open a lock file that is our own, or make one: what another file holds is never lost for it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise MasdError(f"{path}: is a link, no lock; remove it") from None
    status = os.fstat(descriptor)
    ours = status.st_size == 0 or os.pread(descriptor, len(_FIRST), 0).decode(errors="replace") == _FIRST
    if not (stat.S_ISREG(status.st_mode) and status.st_nlink <= 1 and ours):
        os.close(descriptor)
        raise MasdError(f"{path}: another file, no lock; move it away")
    return descriptor


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
