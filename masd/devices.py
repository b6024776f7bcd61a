"""Where networks are evaluated."""

from __future__ import annotations

from masd.errors import MasdError


def device_of(name: str, job: int = 1) -> str:
    """Return torch's device for `auto` (a GPU if there is one), `cpu` or `cuda`.

    Several jobs on a host take its GPUs in turn; a cluster's jobs see those they were given alone.

    Raises:
        MasdError: `cuda` is asked for and there is none.
    """
    if name == "cpu":
        return name
    import torch  # it takes longer than all else where nothing is to be done

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count and name == "cuda":
        raise MasdError("--device cuda: no GPU can be used here; --device auto then takes the CPU")
    return f"cuda:{(job - 1) % count}" if count else "cpu"
