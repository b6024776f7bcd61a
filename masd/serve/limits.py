"""What the server takes; read without its framework."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from masd.errors import MasdError


@dataclass(frozen=True)
class Limits:
    """What is taken.

    Args:
        megabytes: of a recording's file.
        seconds: that a recording may last.
        per_minute: requests of a client to judge.
        jobs: recordings that are judged at a time.
        waiting: further ones that may wait for that; each is held in memory.
    """

    megabytes: float = 50.0
    seconds: float = 600.0
    per_minute: int = 300
    jobs: int = 2
    waiting: int = 8

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:  # nor NaN
                raise MasdError(f"--limits.{name} {value:g}: must be above 0")
