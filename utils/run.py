#!/usr/bin/env python3
"""Run a command, or an array of them, as processes on this machine.

usage: run.py [options] [JOB=1:N] LOG COMMAND [ARGUMENT ...]

JOB in the log's name and in the command is replaced by the number of the job. Each job's output goes
to its log, with the command and date at the top and the exit status and time at the end.

options:
  --max-jobs-run N   how many jobs run at once (default: the number of cores)
  --num-threads N    threads of one job, set as OMP_NUM_THREADS (default: what that variable says already,
                     else cores / jobs that run at once)
  --mem 4G, --gpu N, --time H:MM:SS
                     what a cluster's launcher would ask for; this one takes them and does nothing with them

The exit status is 0 if every job ended with 0, else 1; then the last lines of the first failed
job's log are shown. A job killed by a signal has failed. When this process is told to stop, so are
its jobs.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

running: set[subprocess.Popen[bytes]] = set()
lock = threading.Lock()
stopping = threading.Event()


def usage(message: str) -> None:
    """Say what is wrong with the call and end with status 1."""
    sys.exit(f"run.py: error: {message}; see the top of {Path(__file__).name} for its usage")


def parse(arguments: list[str]) -> tuple[dict[str, str], str, range, list[str]]:
    """Return options, the name of the job variable, the job numbers, and [log, command, ...]."""
    options = {}
    while arguments and arguments[0].startswith("--"):
        name = arguments.pop(0)
        if name not in {"--max-jobs-run", "--num-threads", "--mem", "--gpu", "--time"}:
            usage(f"unknown option {name}")
        if not arguments:
            usage(f"option {name} needs a value")
        options[name] = arguments.pop(0)
    variable, jobs = "", range(1, 2)
    match = re.fullmatch(r"([A-Za-z_]\w*)=(\d+)(?::(\d+))?", arguments[0]) if arguments else None
    if match:
        arguments.pop(0)
        variable, first = match[1], int(match[2])
        jobs = range(first, int(match[3] or first) + 1)
        if not jobs:
            usage(f"an empty range of jobs, {match[0]}")
    if len(arguments) < 2:
        usage("a log file and a command are needed")
    return options, variable, jobs, arguments


def positive(options: dict[str, str], name: str, default: int) -> int:
    """Return an option that must be a positive whole number."""
    value = options.get(name, str(default))
    if not value.isdigit() or int(value) < 1:
        usage(f"{name} takes a positive whole number, not {value!r}")
    return int(value)


def run_job(log: Path, command: list[str], threads: int) -> int:
    """Run one job to its end and return its exit status (128 + n for signal n)."""
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.time()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    with open(log, "w", encoding="utf-8") as stream:
        print(f"# {shlex.join(command)}\n# Started at {time.ctime()}\n#", file=stream, flush=True)
        with lock:
            if stopping.is_set():
                return 130
            try:
                process = subprocess.Popen(
                    command,
                    stdout=stream,
                    stderr=stream,
                    stdin=subprocess.DEVNULL,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                print(f"{command[0]}: {error.strerror}", file=stream)
                return 127
            running.add(process)
        code = process.wait()
        with lock:
            running.discard(process)
        code = 128 - code if code < 0 else code
        print(
            f"# Ended (code {code}) at {time.ctime()}, elapsed time {time.time() - start:.0f} seconds",
            file=stream,
        )
    return code


def stop(number: int, _frame: FrameType | None) -> None:
    """Pass the signal on to every running job."""
    stopping.set()
    for process in list(running):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            continue


def main() -> None:
    """Run the jobs the command line asks for."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in {"-h", "--help"}:
        sys.exit(print(__doc__.strip()))
    options, variable, jobs, (log, *command) = parse(arguments)
    cores = len(os.sched_getaffinity(0))
    at_once = min(positive(options, "--max-jobs-run", cores), len(jobs))
    inherited = os.environ.get("OMP_NUM_THREADS", "")
    share = int(inherited) if inherited.isdigit() and int(inherited) else max(1, cores // at_once)
    threads = positive(options, "--num-threads", share)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)

    def numbered(text: str, job: int) -> str:
        return text.replace(variable, str(job)) if variable else text

    def one(job: int) -> tuple[int, Path, int]:
        path = Path(numbered(log, job))
        return job, path, run_job(path, [numbered(word, job) for word in command], threads)

    with ThreadPoolExecutor(at_once) as pool:
        failed = [(job, path, code) for job, path, code in pool.map(one, jobs) if code != 0]
    if failed:
        job, path, code = failed[0]
        why = f"was ended by signal {code - 128}" if code > 128 else f"ended with status {code}"
        print(
            f"run.py: {len(failed)} of {len(jobs)} jobs failed; job {job} {why}; its log, {path}, ends:",
            file=sys.stderr,
        )
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-10:]:
            print(f"  {line}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
