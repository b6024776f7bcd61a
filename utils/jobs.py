#!/usr/bin/env python3
"""What the launchers run.py, slurm.py and sge.py share: the call, a job and its log, the report of failures.

On a cluster's node it runs one task of an array: jobs.py BATCH_FILE INDEX (see cluster.py).
Needs nothing but Python's own library: it is also run by a bare system Python.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

RESOURCES = ("--max-jobs-run", "--num-threads", "--mem", "--gpu", "--time")

running: set[subprocess.Popen[bytes]] = set()
lock = threading.Lock()
stopping = threading.Event()
stopped_by: list[int] = []


def name() -> str:
    """Return the launcher's name for messages."""
    return Path(sys.argv[0]).name


def printable(text: str) -> str:
    """Return text with what ends a line or orders a terminal about escaped."""
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text)


def say(message: str) -> None:
    """Print one line to standard error."""
    print(printable(f"{name()}: {message}"), file=sys.stderr, flush=True)


def fail(message: str) -> NoReturn:
    """Say what is wrong and end with status 1."""
    sys.exit(printable(f"{name()}: error: {message}"))


def usage(message: str) -> NoReturn:
    """Say what is wrong with the call and end with status 1."""
    fail(f"{message}; see the top of {name()} for its usage")


def whole_number(option: str, value: str) -> int:
    """Return an option's value, which must be a positive whole number."""
    if not value.isdigit() or int(value) < 1:
        usage(f"{option} takes a positive whole number, not {value!r}")
    return int(value)


@dataclass(frozen=True)
class Call:
    """One call of a launcher: `[options] [JOB=1:N] LOG COMMAND [ARGUMENT ...]`.

    Args:
        options: the options given, by their names with dashes.
        variable: what stands for the job's number, empty without an array.
        jobs: the numbers of the jobs.
        log: the log's path, with the variable.
        command: the command's words, with the variable.
    """

    options: dict[str, str]
    variable: str
    jobs: range
    log: str
    command: list[str]

    def numbered(self, text: str, job: int) -> str:
        """Return `text` with the job's number in place of the variable: `x.JOB.log`, not that of `JOBS`."""
        return self.replaced(text, str(job))

    def replaced(self, text: str, new: str) -> str:
        """Return `text` with something in place of the variable, where that is a word of its own."""
        return re.sub(rf"(?<!\w){self.variable}(?!\w)", new, text) if self.variable else text

    def log_of(self, job: int) -> Path:
        """Return the path of a job's log."""
        return Path(self.numbered(self.log, job))

    def command_of(self, job: int) -> list[str]:
        """Return a job's command."""
        return [self.numbered(word, job) for word in self.command]

    @property
    def folder(self) -> Path:
        """Where the launchers keep what they remember of this array, beside its logs."""
        # no name in it ends in .log: what is there is no log of the recipe's
        return Path(self.log).parent / ".jobs" / Path(self.log).name.removesuffix(".log")

    @property
    def digest(self) -> str:
        """What tells this array from another with the same logs; resources do not count."""
        text = json.dumps([self.variable, list(self.jobs), self.log, self.command])
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def parse(arguments: list[str], known: Iterable[str] | None = RESOURCES) -> Call:
    """Return the call that a command line makes; any option is taken if `known` is None."""
    options: dict[str, str] = {}
    arguments = list(arguments)
    while arguments and arguments[0].startswith("--"):
        option = arguments.pop(0)
        if known is not None and option not in known:
            usage(f"unknown option {option}")
        if not arguments:
            usage(f"option {option} needs a value")
        options[option] = arguments.pop(0)
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
    call = Call(options, variable, jobs, arguments[0], arguments[1:])
    if len(jobs) > 1 and call.log_of(jobs[0]) == call.log_of(jobs[1]):
        usage(f"{len(jobs)} jobs cannot share one log; write {variable} as a word into {arguments[0]}")
    return call


def run_job(call: Call, job: int, threads: int) -> int:
    """Run one job to its end, its output in its log, and return its exit status (128 + n for signal n)."""
    log, command = call.log_of(job), call.command_of(job)
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.time()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    with open_log(log, anew=True) as stream:
        print(f"# {printable(shlex.join(command))}\n# Started at {time.ctime()}\n#", file=stream, flush=True)
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
        if stopping.is_set():  # the signal came while the process was started, and `stop` did not see it
            send(process.pid, stopped_by[0])
        code = process.wait()
        with lock:
            running.discard(process)
        code = 128 - code if code < 0 else code
        print(
            f"# Ended (code {code}) at {time.ctime()}, elapsed time {time.time() - start:.0f} seconds",
            file=stream,
        )
    return code


def open_log(path: Path, anew: bool = False) -> TextIO:
    """Open a log for writing at its end, so that no two jobs write over one another; `anew` empties it first.

    A link is not followed, nor is a file written to that has other names: nobody's file is lost for a log.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    status = os.fstat(descriptor)
    if status.st_nlink > 1 and stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise OSError(errno.EMLINK, "has other names; remove it", str(path))
    if anew and stat.S_ISREG(status.st_mode):
        os.ftruncate(descriptor, 0)
    return open(descriptor, "a", encoding="utf-8")


def stop(number: int, _frame: FrameType | None) -> None:
    """Pass the signal on to every running job; a second one kills them, or this process if none runs."""
    again = stopping.is_set()
    if again and not running:
        os._exit(128 + number)
    stopped_by.append(number)
    stopping.set()
    for process in list(running):
        if again:
            kill(process.pid)
        else:
            send(process.pid, number)


def send(job: int, number: int) -> None:
    """Send a signal to a job's process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(job, number)


def kill(job: int) -> None:
    """Kill a job and all that it has started; the jobs of a launcher within it have groups of their own."""
    family = [job]
    for process in family:  # grows
        for path in Path(f"/proc/{process}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                family += map(int, path.read_text().split())
    send(job, signal.SIGKILL)
    for process in family[1:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def heed_signals() -> None:
    """From now on a signal to stop is passed on to the jobs; a terminal's end is not, under nohup."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


def write_whole(path: Path, text: str) -> None:
    """Write a small file whole or not at all, and to the disk."""
    aside = path.with_name(f"{path.name}.tmp{os.getpid()}")
    aside.unlink(missing_ok=True)
    with open(aside, "x", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(aside, path)


def write_json(path: Path, value: dict) -> None:
    """Write a small file of our own, whole or not at all."""
    write_whole(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> dict:
    """Return what a file of our own holds, nothing if it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def describe(code: int) -> str:
    """Return how a job with this exit status ended, in words."""
    if code == 137 and not stopping.is_set():
        return "was ended by signal 9 (for want of memory?)"
    return f"was ended by signal {code - 128}" if code > 128 else f"ended with status {code}"


def report(call: Call, failed: dict[int, str]) -> NoReturn:
    """Say which jobs failed and why, show how the log of the first ends, and end this process as failed."""
    (job, why), *others = sorted(failed.items())
    path = call.log_of(job)
    say(f"{len(failed)} of {len(call.jobs)} jobs failed; job {job} {why}; its log, {path}, ends:")
    for line in ending(path) or ["(there is no log)"]:
        print(f"  {printable(line)}", file=sys.stderr)
    for job, why in others[:9]:
        say(f"job {job} {why}; its log is {call.log_of(job)}")
    if len(others) > 9:
        say(f"and {len(others) - 9} more jobs")
    sys.exit(128 + stopped_by[0] if stopped_by else 1)


def ending(path: Path) -> list[str]:
    """Return a log's last 10 lines, after the last that names an error if torchrun has said more since."""
    lines = tail(path, 100)
    last = next((line for line in reversed(lines) if ": error: " in line), None)
    return [*([] if last is None or last in lines[-10:] else [last, "..."]), *lines[-10:]]


def tail(path: Path, lines: int = 10) -> list[str]:
    """Return a log's last lines, none if there is no log."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, path.stat().st_size - 65536))
            return stream.read().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        return []


def run_task(batch_file: str, index: str) -> None:
    """Run the task of an array on a node and leave its exit status in a file beside `batch_file`."""
    batch = json.loads(Path(batch_file).read_text(encoding="utf-8"))
    job = batch["jobs"][index]
    call = Call({}, batch["variable"], range(job, job + 1), batch["log"], batch["command"])
    status = Path(batch_file).parent / f"exit.{job}"
    status.unlink(missing_ok=True)  # of a first run, if the scheduler has put the job into the queue again
    heed_signals()
    code = run_job(call, job, batch["threads"])
    write_whole(status, f"{code}\n")
    # 99 and 100 would make Grid Engine run the job again, or put it into an error state
    sys.exit(1 if code in {99, 100} else code)


if __name__ == "__main__":
    run_task(*sys.argv[1:])
