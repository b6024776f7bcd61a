"""Which code this is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_HERE = Path(__file__).resolve().parents[1]


def installed(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def output_of(*command: str) -> str:
    """Return what a command prints, without the last line feed; empty if it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.rstrip("\n") if done.returncode == 0 else ""


def repository() -> Path | None:
    """Return this repository's folder, None where masd is installed, be it in another's working tree."""
    root = output_of("git", "-C", str(_HERE), "rev-parse", "--show-toplevel")
    return Path(root) if root and Path(root).resolve() == _HERE.parent else None


def commit() -> str:
    """Return the commit that is checked out, empty where there is none."""
    root = repository()
    return output_of("git", "-C", str(root), "rev-parse", "HEAD") if root else ""
