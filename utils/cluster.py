"""What slurm.py and sge.py share: an array of jobs is submitted, watched to its end, and its end explained.

On the shared file system a folder `.jobs/<log's name>` beside the logs holds, for one array:

    batch.K.json       what was submitted together: the command, and the job's number for each index
    exit.JOB           the job's exit status, written by the job itself when its command has ended
    queue.K.INDEX.txt  what the scheduler says to the task, such as why it was killed
    submitted.json     which task of the scheduler each job is

The exit file is believed first. A job that has left the queue without one is waited for (a shared file
system may show files late), then the scheduler is asked for its fate. The folder goes at the end.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import jobs

USAGE = """

usage: {name} [options] [JOB=1:N] LOG COMMAND [ARGUMENT ...]

Called as run.py is. The folder must be one that the nodes share. JOB in the log's name and in the
command is replaced by the number of the job.

options:
  --mem 4G           memory of one job
  --num-threads N    threads of one job, also set as OMP_NUM_THREADS (default: 1)
  --gpu N            GPUs of one job
  --time 1:00:00     how long one job may take
  --max-jobs-run N   how many jobs of the array run at once
  --config FILE      what these and any other options mean to {title}, in Kaldi's format
                     (default: {conf}, and if there is none, utils/{conf})
  --poll S           the most seconds between two questions to {title} (default: 15)
  --file-wait S      how long to wait for the exit file of a job that has left the queue (default: 90)

The exit status is 0 if every job ended with 0, else 1; then the last lines of the first failed job's
log are shown. When this process is told to stop, it takes the array out of the queue; its exit status
is then 128 + the signal."""
FIRST_PAUSE = 1.0  # seconds; the pauses between two questions grow from here to --poll
STOP_WAIT = 90.0  # seconds that cancelled jobs have to leave the queue
TRIES = 8  # how often a submission is tried that the scheduler could not answer


@dataclass(frozen=True)
class State:
    """What the scheduler says of a task: if it waits or runs (`active`), its words, if it never starts."""

    active: bool
    text: str
    hopeless: bool = False


class Refused(Exception):
    """A submission was refused: for good, for the moment (`busy`), or since it is too many jobs (`limit`)."""

    def __init__(self, message: str, busy: bool = False, limit: bool = False) -> None:
        super().__init__(message)
        self.busy, self.limit = busy, limit


class Silent(Exception):
    """The scheduler did not answer."""


@dataclass(frozen=True)
class Batch:
    """Jobs that are submitted together: the job's number for each index of the scheduler's array."""

    number: int
    folder: Path
    jobs: dict[int, int]
    label: str

    def script(self, index: str) -> Path:
        """Write and return what a task runs; `index` is the scheduler's variable with the task's index."""
        path = self.folder / f"batch.{self.number}.sh"
        task = [sys.executable, Path(jobs.__file__).resolve(), self.folder / f"batch.{self.number}.json"]
        jobs.write_whole(path, f'#!/bin/sh\nexec {shlex.join(map(str, task))} "${index}"\n')
        return path

    def queue_log(self, index: int | str) -> Path:
        """Where the scheduler writes what it says to a task."""
        return self.folder / f"queue.{self.number}.{index}.txt"


class Scheduler(ABC):
    """A batch system, through its own commands."""

    title = ""
    conf = Path()
    busy: re.Pattern[str]  # what a refusal for the moment says
    limit: re.Pattern[str]  # what one of too many jobs says

    @abstractmethod
    def max_tasks(self) -> int:
        """Return how many tasks one array may have."""

    @abstractmethod
    def indices(self, numbers: list[int]) -> list[int]:
        """Return the array indices for these jobs: their own numbers where the scheduler can have them."""

    @abstractmethod
    def submit(self, command: list[str], batch: Batch, at_once: int) -> str:
        """Submit an array, `at_once` (0: all) tasks of it at a time; return its id, or raise `Refused`."""

    def accepted(self, done: subprocess.CompletedProcess[str], pattern: str) -> str:
        """Return the array's id, which `pattern` finds in what the submission said, or raise `Refused`."""
        found = re.search(pattern, done.stdout, re.MULTILINE)
        if done.returncode == 0 and found:
            return found[1]
        said = " ".join((done.stderr or done.stdout).split())
        message = said or f"{done.args[0]} ended with {done.returncode}"
        raise Refused(message, bool(self.busy.search(message)), bool(self.limit.search(message)))

    @abstractmethod
    def states(self, arrays: Iterable[str]) -> dict[str, State]:
        """Return the states of tasks `<array>_<index>` that are still known, or raise `Silent`."""

    @abstractmethod
    def fate(self, task: str) -> str:
        """Return what the scheduler knows of how a task has ended, empty if nothing."""

    @abstractmethod
    def cancel(self, arrays: Iterable[str]) -> None:
        """Take whole arrays, or single tasks, out of the queue and end what runs of them."""


def ask(*command: str) -> subprocess.CompletedProcess[str]:
    """Run one of the scheduler's commands; one that is missing or hangs has failed."""
    try:
        # in English, and without what belongs to a job that this launcher itself may be
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SGE_")) or k in KEPT}
        environment = {**kept, "LC_ALL": "C"}
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
            env=environment,
            start_new_session=True,  # Ctrl-C is for this launcher alone: a submission is not torn apart
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]}: not found")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"{command[0]}: no answer in 120 seconds")


KEPT = {
    "SLURM_CONF",
    "SLURM_CLUSTERS",
    "SGE_ROOT",
    "SGE_CELL",
    "SGE_CLUSTER_NAME",
    "SGE_QMASTER_PORT",
    "SGE_EXECD_PORT",
}


def read_conf(conf: Path, text: str) -> tuple[list[str], dict[tuple[str, str], list[str]], dict[str, str]]:
    """Return the command, what each (option, value) adds to it, and the options' default values."""
    command: list[str] = []
    added: dict[tuple[str, str], list[str]] = {}
    defaults: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        kind, _, rest = line.partition(" ")
        match = re.fullmatch(r"([^=\s]+)=(\S+)\s*(.*)", rest.strip())
        if not line:
            continue
        if kind == "command" and rest.strip():
            command = shlex.split(rest)
        elif kind == "option" and match:
            added[match[1], match[2]] = shlex.split(match[3])
        elif kind == "default" and match and not match[3]:
            defaults[match[1]] = match[2]
        else:
            form = "'command ...', 'option name=value ...' or 'default name=value'"
            jobs.fail(f"{conf}:{number}: a line is {form}, not {line!r}")
    if not command:
        jobs.fail(f"{conf}: no line 'command ...'")
    return command, added, defaults


def resources(conf: Path, options: dict[str, str]) -> list[str]:
    """Return the submitting command's words for these options, as `conf` (Kaldi's format) maps them.

    `command ...` begins the command; `option mem=* --mem=$0` is what an option adds, `option gpu=0`
    what it adds for one value, which goes before `*`; `default gpu=0` is the value of an option that
    was not given.

    Args:
        conf: the file.
        options: the launcher's options, by their names with dashes.
    """
    command, added, values = read_conf(conf, conf.read_text(encoding="utf-8"))
    values |= {name.removeprefix("--").replace("-", "_"): value for name, value in options.items()}
    values.pop("max_jobs_run", None)  # each scheduler's own affair
    for name, value in values.items():
        words = added.get((name, value), added.get((name, "*")))
        if words is None:
            option = f"--{name.replace('_', '-')} {value}"
            jobs.fail(f"{conf}: does not say what {option} means; add 'option {name}=* ...'")
        command += [word.replace("$0", value) for word in words]
    return command


@dataclass
class Settings:
    """The launcher's own options: seconds between questions and to wait for a file, jobs at once (0: all)."""

    poll: float = 15.0
    file_wait: float = 90.0
    at_once: int = 0
    threads: int = 1


@dataclass
class Array:
    """One array of jobs from its submission to its end.

    Args:
        call: what to run.
        scheduler: where.
        command: the submitting command with its resources.
        settings: how often and how long to wait.
    """

    call: jobs.Call
    scheduler: Scheduler
    command: list[str]
    settings: Settings
    waiting: list[int] = field(default_factory=list)
    live: dict[int, str] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = self.call.folder.absolute()
        self.queue_logs: dict[int, Path] = {}
        self.gone: dict[int, float] = {}
        self.pause = min(FIRST_PAUSE, self.settings.poll)
        self.size = self.scheduler.max_tasks()
        self.tries, self.retry_at, self.complained = 0, 0.0, 0.0
        self.batches = 0
        plain = self.call.replaced(self.call.log, "")
        self.label = "masd_" + re.sub(r"[^\w-]+", "_", Path(plain).stem).strip("_")

    def run(self) -> None:
        """Submit the jobs; stay until every one has ended or a signal says to stop."""
        self.recover()
        self.waiting = [job for job in self.call.jobs if job not in self.live]
        try:
            while (self.waiting or self.live) and not jobs.stopping.is_set():
                self.submit()
                self.look()
                if self.live or self.waiting:
                    jobs.stopping.wait(self.pause)
                    self.pause = min(self.settings.poll, self.pause * 1.5)
        finally:
            if self.live:
                self.withdraw()

    def recover(self) -> None:
        """Wait for what a killed launcher of this call has left in the queue; end what another has left."""
        kept = jobs.read_json(self.folder / "submitted.json")
        tasks = {int(job): task for job, task in kept.get("tasks", {}).items()}
        try:
            states = self.scheduler.states({task.split("_")[0] for task in tasks.values()}) if tasks else {}
        except Silent as error:
            jobs.fail(
                f"{self.scheduler.title} does not answer ({error}), and jobs of {self.folder} may still run"
            )
        active = {job: task for job, task in tasks.items() if task in states and states[task].active}
        same = kept.get("call") == self.call.digest
        if active and same:
            self.live = active
            logs = kept.get("queue_logs", {})
            self.queue_logs = {job: Path(logs[str(job)]) for job in self.live}
            self.batches = len(list(self.folder.glob("batch.*.json")))
            jobs.say(
                f"waiting for {len(self.live)} jobs that a launcher before this one has left in the queue"
            )
        elif active:
            jobs.say(f"ending {len(active)} jobs in the queue that an earlier call has left there")
            self.live = active
            self.withdraw()
            # how the other call's jobs ended says nothing of this one's
            self.done.clear()
            self.failed.clear()
        if not self.live:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)

    def submit(self) -> None:
        """Submit what can be submitted now, in as many arrays as the scheduler's limits ask for."""
        while self.waiting and time.monotonic() >= self.retry_at and not jobs.stopping.is_set():
            if self.settings.at_once and self.live:
                return  # a limit on one array does not hold for two: one at a time
            numbers = self.waiting[: self.size]
            indices = self.scheduler.indices(numbers)
            batch = Batch(self.batches, self.folder, dict(zip(indices, numbers, strict=True)), self.label)
            self.prepare(batch)
            try:
                array = self.scheduler.submit(self.command, batch, self.settings.at_once)
            except Refused as error:
                self.refused(error)
                continue
            self.tries, self.batches = 0, self.batches + 1
            self.waiting = self.waiting[len(numbers) :]
            self.live |= {job: f"{array}_{index}" for index, job in batch.jobs.items()}
            self.queue_logs |= {job: batch.queue_log(index) for index, job in batch.jobs.items()}
            self.record()

    def prepare(self, batch: Batch) -> None:
        """Write what the tasks read, and remove what a stale log or exit file could be mistaken for."""
        for job in batch.jobs.values():
            log = self.call.log_of(job)
            log.parent.mkdir(parents=True, exist_ok=True)
            log.unlink(missing_ok=True)
            (self.folder / f"exit.{job}").unlink(missing_ok=True)
        content = {
            "variable": self.call.variable,
            "log": self.call.log,
            "command": self.call.command,
            "threads": self.settings.threads,
            "jobs": {str(index): job for index, job in batch.jobs.items()},
        }
        jobs.write_json(self.folder / f"batch.{batch.number}.json", content)

    def record(self) -> None:
        """Write down which tasks the jobs are, for a launcher that comes after this one."""
        content = {
            "call": self.call.digest,
            "tasks": self.live,
            "queue_logs": {job: str(path) for job, path in self.queue_logs.items()},
        }
        jobs.write_json(self.folder / "submitted.json", content)

    def refused(self, error: Refused) -> None:
        """Try later, or fewer at once, or give up."""
        count = min(self.size, len(self.waiting))
        if error.limit and (self.live or count > 1):
            if not self.live:
                self.size = (count + 1) // 2
            else:
                self.retry_at = time.monotonic() + self.settings.poll
            return
        self.tries += 1
        if not error.busy or self.tries >= TRIES:
            if not self.live and not self.failed:
                jobs.fail(f"{self.scheduler.title} refuses the jobs: {error}")
            self.failed |= dict.fromkeys(self.waiting, f"was never submitted ({error})")
            self.waiting = []
            return
        self.retry_at = time.monotonic() + min(self.settings.poll, 2.0**self.tries)

    def look(self) -> None:
        """See which jobs have ended, and how."""
        states = self.ask_states()
        codes = self.exit_codes()
        for job, task in list(self.live.items()):
            state = states.get(task, State(False, "")) if states is not None else None
            code = codes.get(job)
            if code == 0:
                self.end(job)
            elif state is None:
                continue
            elif state.hopeless:
                self.scheduler.cancel([task])
                self.end(job, f"never starts: {self.scheduler.title} says {state.text}")
            elif state.active:
                self.gone.pop(job, None)  # it may have been put into the queue again
            elif code is not None:
                self.end(
                    job,
                    self.explained(jobs.describe(code), task, state) if code > 128 else jobs.describe(code),
                )
            elif time.monotonic() - self.gone.setdefault(job, time.monotonic()) >= self.settings.file_wait:
                self.lost(job, task, state)
        if self.gone:
            self.pause = min(FIRST_PAUSE, self.settings.poll)

    def ask_states(self) -> dict[str, State] | None:
        """Return the scheduler's states, None if it does not answer; that is said once in ten minutes."""
        if not self.live:
            return {}
        try:
            return self.scheduler.states({task.split("_")[0] for task in self.live.values()})
        except Silent as error:
            if time.monotonic() - self.complained > 600 or not self.complained:
                self.complained = time.monotonic()
                jobs.say(f"{self.scheduler.title} does not answer ({error}); asking again")
            return None

    def exit_codes(self) -> dict[int, int]:
        """Return the exit statuses that jobs have left, by job."""
        # a change of our own makes a network file system look at the folder afresh
        nudge = self.folder / f".look.{os.getpid()}"
        nudge.touch()
        nudge.unlink()
        codes = {}
        for entry in os.listdir(self.folder):
            match = re.fullmatch(r"exit\.(\d+)", entry)
            if match and int(match[1]) in self.live:
                with contextlib.suppress(OSError, ValueError):
                    codes[int(match[1])] = int((self.folder / entry).read_text())
        return codes

    def explained(self, why: str, task: str, state: State) -> str:
        """Return how a job ended with what the scheduler says of it."""
        fate = self.scheduler.fate(task) or state.text
        return f"{why} ({self.scheduler.title} says {fate})" if fate else why

    def lost(self, job: int, task: str, state: State) -> None:
        """End a job that has left neither the queue's trust nor an exit file; its log says so."""
        log = self.call.log_of(job)
        why = self.explained("left no exit status" if log.exists() else "never started", task, state)
        said = jobs.tail(self.queue_logs.get(job, Path()))
        with jobs.open_log(log) as stream:
            print(*said, f"# Ended (no exit status): job {job} {why}, {time.ctime()}", sep="\n", file=stream)
        self.end(job, why)

    def end(self, job: int, failure: str = "") -> None:
        """Write a job off, as failed if there is a `failure`."""
        del self.live[job]
        self.gone.pop(job, None)
        if failure:
            self.failed[job] = failure
        else:
            self.done.add(job)

    def withdraw(self) -> None:
        """Cancel all that is in the queue, and wait until it has left it."""
        arrays = {task.split("_")[0] for task in self.live.values()}
        self.scheduler.cancel(arrays)
        give_up = time.monotonic() + STOP_WAIT
        while time.monotonic() < give_up:
            with contextlib.suppress(Silent):
                states = self.scheduler.states(arrays)
                if not any(states[task].active for task in self.live.values() if task in states):
                    break
            time.sleep(min(FIRST_PAUSE, self.settings.poll))
        else:
            jobs.say(f"{', '.join(sorted(arrays))} are still in the queue; look after them yourself")
        codes = self.exit_codes()
        for job in list(self.live):
            self.end(job, "" if codes.get(job) == 0 else "was cancelled with this launcher")


def number(option: str, value: str) -> float:
    """Return an option's value in seconds."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1
    if seconds < 0:
        jobs.usage(f"{option} takes a number of seconds, not {value!r}")
    return seconds


def launch(scheduler: Scheduler, summary: str) -> None:
    """Run the call that the command line makes on `scheduler`, to its end."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in {"-h", "--help"}:
        about = {"name": jobs.name(), "title": scheduler.title, "conf": scheduler.conf}
        sys.exit(print(summary + USAGE.format(**about)))
    call = jobs.parse(arguments, known=None)
    options = dict(call.options)
    conf = Path(options.pop("--config", ""))
    if conf == Path():
        conf = scheduler.conf if scheduler.conf.is_file() else Path(__file__).parent / scheduler.conf
    elif not conf.is_file():
        jobs.fail(f"{conf}: no such file, named by --config")
    settings = Settings(
        poll=max(0.05, number("--poll", options.pop("--poll", "15"))),
        file_wait=number("--file-wait", options.pop("--file-wait", "90")),
        at_once=jobs.whole_number("--max-jobs-run", options.get("--max-jobs-run", "1"))
        if "--max-jobs-run" in options
        else 0,
        threads=jobs.whole_number("--num-threads", options.get("--num-threads", "1")),
    )
    command = resources(conf, options)
    jobs.heed_signals()
    array = Array(call, scheduler, command, settings)
    try:
        array.run()
    except OSError as error:
        jobs.fail(f"{error.filename or call.log}: {error.strerror}")
    unsent = set(call.jobs) - array.done - array.failed.keys()
    array.failed |= dict.fromkeys(unsent, "was not submitted before this launcher was stopped")
    shutil.rmtree(array.folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        array.folder.parent.rmdir()
    if array.failed:
        jobs.report(call, array.failed)
