"""Where a result comes from: code, time, software, hardware, configurations, and how long it took."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from masd import __version__
from masd.errors import MasdError
from masd.stage.files import read_json, sha256
from masd.stage.versions import commit, installed, output_of, repository

PACKAGES = (
    *("torch", "torchaudio", "numpy", "scipy", "scikit-learn", "soundfile", "kaldiio"),
    *("pyworld", "pyworld-prebuilt", "ai-edge-litert", "piper-tts", "av"),
)


def git_version(ignore: Iterable[Path] = ()) -> str:
    """Return the commit and how many tracked files (but for `ignore`) differ from it; `-` outside git."""
    root, now = repository(), commit()
    if root is None or not now:
        return "-"
    status = output_of("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    own = {path.resolve() for path in ignore}
    changed = [line[3:] for line in status.splitlines() if (root / line[3:]).resolve() not in own]
    return f"{now} with {len(changed)} changed files" if changed else now


def versions() -> str:
    """Return `masd w, Python x, package y, ...` of what is installed."""
    found = {"masd": __version__, "Python": platform.python_version()} | installed(PACKAGES)
    return ", ".join(f"{name} {number}" for name, number in found.items())


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
        gpus = output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
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


@dataclass
class Cost:
    """What an entry point took.

    Args:
        jobs: how many jobs of it there were.
        seconds: elapsed time of all jobs.
        processor: processor seconds of all jobs; None where it is not known.
        mib: largest resident memory of a job in MiB; None where it is not known.
    """

    jobs: int = 0
    seconds: float = 0.0
    processor: float | None = None
    mib: int | None = None

    def add(self, jobs: int, seconds: float, processor: float | None, mib: int | None) -> None:
        """Add jobs; what is not known of them adds nothing."""
        self.jobs, self.seconds = self.jobs + jobs, self.seconds + seconds
        if processor is not None and mib is not None:
            self.processor, self.mib = (self.processor or 0.0) + processor, max(self.mib or 0, mib)


STAGES = {
    0: ("fetch", "locate"),
    2: ("copy_synthesis", "finish_copy_synthesis", "choose_vocoders"),
    3: ("dump_feats", "finish_dump", "add_tokens"),
    4: ("pretrain", "probe_encoder"),
    5: ("extract_embeddings", "finish_embeddings", "train", "calibrate", "export_model"),
    6: ("score", "finish_scores", "time_model"),
    7: ("evaluate", "compare", "results_page", "results_systems", "results_key"),
}


def stage_of(entry_point: str) -> int:
    """Return the stage that an entry point belongs to; what is not listed prepares data, stage 1."""
    return next((stage for stage, names in STAGES.items() if entry_point in names), 1)


def costs(folders: Iterable[Path]) -> dict[str, Cost]:
    """Return what each entry point took, by the logs and the marks of finished work below `folders`.

    A log begins with `# <command>`, ends with `... elapsed time N seconds` and has a line `processor time
    N s, peak memory N MiB`. It is of the last run, which may have found the work done; the mark is of the
    run that did it. Of either kind of record that counts which has more processor time.
    """
    folders = list(folders)
    logs, marks = _log_costs(folders), _mark_costs(folders)
    out = dict(logs)
    for name, made in marks.items():
        last = logs.get(name, Cost())
        more = (made.processor or 0.0) > (last.processor or 0.0)
        best = made if more or name not in logs else last
        out[name] = Cost(
            last.jobs or made.jobs, best.seconds, best.processor, max(made.mib or 0, last.mib or 0)
        )
    return out


def _log_costs(folders: list[Path]) -> dict[str, Cost]:
    out: dict[str, Cost] = {}
    for path in sorted({path for folder in folders for path in folder.rglob("*.log")}):
        text = path.read_text(encoding="utf-8", errors="replace")
        command = re.search(r"^#.*?(?:\bmasd\.bin\.|\blocal/)(\w+)(?:(?:\.py)? ([a-z][a-z-]*)(?=\s))?", text)
        ended = re.findall(r"^# Ended .*elapsed time (\d+(?:\.\d+)?) seconds", text, flags=re.MULTILINE)
        used = re.findall(r"processor time (\d+\.\d) s, peak memory (\d+) MiB$", text, flags=re.MULTILINE)
        if command and ended:
            processor = sum(float(one) for one, _ in used) if used else None
            mib = max(int(one) for _, one in used) if used else None
            name = "_".join(filter(None, command.groups())).replace("-", "_")
            out.setdefault(name, Cost()).add(1, float(ended[-1]), processor, mib)
    return out


def _mark_costs(folders: list[Path]) -> dict[str, Cost]:
    out: dict[str, Cost] = {}
    for path in sorted({path for folder in folders for path in folder.rglob(".done*.json")}):
        try:
            mark = read_json(path)
            cost, seconds = mark["cost"], mark["seconds"]
            seconds = float(seconds) if isinstance(seconds, int | float) else float(cost["processor"])
            found = (seconds, float(cost["processor"]), int(cost["mib"]))
            out.setdefault(str(cost["by"]), Cost()).add(1, *found)
        except (MasdError, KeyError, TypeError, ValueError):
            continue  # of an earlier version, or nothing of ours
    return out
