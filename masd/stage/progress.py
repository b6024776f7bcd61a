"""Lines that say how far a long piece of work is."""

from __future__ import annotations

import logging
import time

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Logs `<done> of <total> <what>, <failed> failed, <rate> a second`: every ten seconds, and at the end.

    Args:
        log: the logger of the module at work.
        total: how many there are to do.
        what: what there are so many of.
    """

    def __init__(self, log: logging.Logger, total: int, what: str = "utterances") -> None:
        self.log, self.total, self.what = log, total, what
        self._begin = self._last = time.monotonic()

    def __call__(self, done: int, failed: int = 0) -> None:
        """Say, if it is time to, that `done` are done, `failed` of which failed."""
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES and done < self.total:
            return
        self._last = now
        rate = done / max(now - self._begin, 1e-9)
        self.log.info("%d of %d %s, %d failed, %.1f a second", done, self.total, self.what, failed, rate)
