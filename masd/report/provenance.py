"""Where a result comes from: code, time, software, hardware, configurations, and how long it took."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from masd import __version__
from masd.errors import MasdError
from masd.files import read_json, sha256

PACKAGES = (
    "torch",
    "torchaudio",
    "numpy",
    "scipy",
    "scikit-learn",
    "soundfile",
    "kaldiio",
    "pyworld",
    "pyworld-prebuilt",
    "ai-edge-litert",
    "piper-tts",
    "av",
)


def git_version(ignore: Iterable[Path] = ()) -> str:
    """Return the commit and how many tracked files (but for `ignore`) differ from it; `-` outside git."""
    folder = Path(__file__).resolve().parent
    commit = _output(["git", "-C", str(folder), "rev-parse", "HEAD"])
    if not commit:
        return "-"
    root = Path(_output(["git", "-C", str(folder), "rev-parse", "--show-toplevel"]))
    status = _output(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no", str(root)])
    own = {path.resolve() for path in ignore}
    changed = [line[3:] for line in status.splitlines() if (root / line[3:]).resolve() not in own]
    return f"{commit} with {len(changed)} changed files" if changed else commit


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.rstrip("\n") if done.returncode == 0 else ""


def versions() -> str:
    """Return `masd w, Python x, package y, ...` of what is installed."""
    parts = [f"masd {__version__}", f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(parts)


def hardware() -> str:
    """Return processor, usable cores, memory and GPUs; no host name."""
    cpu = re.search(r"model name\s*:\s*(.+)", _file("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+) kB", _file("/proc/meminfo"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [cpu[1] if cpu else platform.machine(), f"{cores} cores"]
    if memory:
        parts.append(f"{int(memory[1]) / 2**20:.0f} GiB")
    gpus = ""
    if shutil.which("nvidia-smi"):
        gpus = _output(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return ", ".join([*parts, *(gpus.splitlines() or ["no GPU"])])


def _file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def now() -> str:
    """Return the date and time, UTC, to the minute."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def short_digests(paths: Iterable[Path], root: Path) -> list[tuple[str, str]]:
    """Return (path below `root`, first 12 digits of its sha256) of the files that exist."""
    out = []
    for path in paths:
        if path.is_file():
            name = path.relative_to(root) if path.is_relative_to(root) else path
            out.append((str(name), sha256(path)[:12]))
    return out


def log_times(folder: Path) -> dict[str, tuple[int, float]]:
    """Return {entry point: (jobs, seconds in all)} of the last run, from the launchers' logs below `folder`.

    A log begins with `# <command>` and ends with `... elapsed time N seconds`.
    """
    out: dict[str, tuple[int, float]] = {}
    for path in sorted(folder.rglob("*.log")):
        text = path.read_text(encoding="utf-8", errors="replace")
        command = re.search(r"^#.*?\bmasd\.bin\.(\w+)", text)
        ended = re.findall(r"^# Ended .*elapsed time (\d+(?:\.\d+)?) seconds", text, flags=re.MULTILINE)
        if command and ended:
            jobs, seconds = out.get(command[1], (0, 0.0))
            out[command[1]] = (jobs + 1, seconds + float(ended[-1]))
    return out


def mark_times(folders: Iterable[Path]) -> dict[str, float]:
    """Return {folder: seconds} of the finished work whose marks below `folders` say how long it took."""
    out: dict[str, float] = {}
    for root in folders:
        for path in sorted(root.rglob(".done*.json")):
            try:
                seconds = read_json(path).get("seconds")
            except (MasdError, AttributeError):
                continue
            if isinstance(seconds, int | float):
                out[str(path.parent)] = out.get(str(path.parent), 0.0) + float(seconds)
    return out
