"""The local job launcher: Kaldi's calling convention, no lost exit status, no stray processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "utils" / "run.py"


def launch(*words, cwd=None):
    return subprocess.run([sys.executable, RUN, *map(str, words)], capture_output=True, text=True, cwd=cwd)


def test_job_number_replaces_its_name_in_log_and_command(tmp_path):
    done = launch("JOB=2:4", tmp_path / "x.JOB.log", "sh", "-c", "echo job-JOB")
    assert done.returncode == 0
    for job in (2, 3, 4):
        assert f"\njob-{job}\n" in (tmp_path / f"x.{job}.log").read_text()


def test_log_shows_command_status_and_time(tmp_path):
    launch(tmp_path / "x.log", "sh", "-c", "exit 0")
    text = (tmp_path / "x.log").read_text()
    assert text.startswith("# sh -c 'exit 0'\n# Started at ")
    assert "# Ended (code 0) at " in text


def test_a_log_that_there_is_no_room_for_is_one_line(tmp_path):
    """The system's own error names no file."""
    words = ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", sys.executable, str(RUN), "x.log", "echo", "hi"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "run.py: error: x.log: File too large\n")


def test_one_failed_job_fails_the_array_and_shows_its_log(tmp_path):
    done = launch(
        "JOB=1:3", tmp_path / "x.JOB.log", "sh", "-c", "[ JOB != 2 ] || { echo the reason; exit 7; }"
    )
    assert done.returncode == 1
    assert "1 of 3 jobs failed; job 2 ended with status 7" in done.stderr
    assert "the reason" in done.stderr


def test_the_error_is_shown_though_torchrun_says_much_after_it(tmp_path):
    script = "echo x: error: the reason; for i in $(seq 30); do echo of torchrun $i; done; exit 1"
    done = launch(tmp_path / "x.log", "sh", "-c", script)
    assert done.stderr.count("x: error: the reason") == 1
    assert "of torchrun 30" in done.stderr and "of torchrun 10" not in done.stderr


def test_two_jobs_that_write_one_log_write_over_no_line_of_each_other(tmp_path):
    """The second is a run that finds the first at its work, and says so."""
    log = tmp_path / "x.log"
    waits = ["sh", "-c", "echo begun; read line < go; echo the first"]
    first = subprocess.Popen([sys.executable, RUN, log, *waits], cwd=tmp_path)
    os.mkfifo(tmp_path / "go")
    while not log.exists() or "begun" not in log.read_text():
        time.sleep(0.05)
    launch(log, "sh", "-c", "echo the second")
    (tmp_path / "go").write_text("now\n")
    assert first.wait(120) == 0
    text = log.read_text()
    assert "\0" not in text and text.index("\nthe second\n") < text.index("\nthe first\n")


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "log").touch()
    done = launch("log/x.log", "true", cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "log: " in done.stderr


def test_a_job_killed_by_a_signal_has_failed(tmp_path):
    done = launch(tmp_path / "x.log", "sh", "-c", "kill -9 $$")
    assert done.returncode == 1
    assert "was ended by signal 9" in done.stderr


def test_a_command_that_does_not_exist_is_named(tmp_path):
    done = launch(tmp_path / "x.log", "no-such-command-here")
    assert done.returncode == 1
    assert "no-such-command-here: No such file" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--bogus", "1"], "unknown option --bogus"),
        (["JOB=3:2", "log", "true"], "empty range"),
        (["--num-threads", "zero", "log", "true"], "--num-threads takes a positive whole number"),
        (["log"], "a log file and a command"),
        (["--mem"], "needs a value"),
    ],
)
def test_wrong_calls_get_one_line(tmp_path, words, said):
    done = launch(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_threads_are_shared_among_the_jobs_that_run_at_once(tmp_path):
    launch(
        "--max-jobs-run",
        1,
        "--num-threads",
        3,
        tmp_path / "x.log",
        "sh",
        "-c",
        "echo threads=$OMP_NUM_THREADS",
    )
    assert "threads=3" in (tmp_path / "x.log").read_text()


def test_stopping_the_launcher_stops_its_jobs(tmp_path):
    started = subprocess.Popen(
        [sys.executable, RUN, tmp_path / "x.log", "sh", "-c", "echo $$; exec sleep 600"]
    )
    pid = int(wait_for_line(tmp_path / "x.log", str.isdigit))
    started.send_signal(signal.SIGTERM)
    assert started.wait(timeout=120) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_signal_while_a_job_is_started_is_not_lost(tmp_path):
    """Else a launcher that is stopped in that moment would wait for the job's end."""
    script = f"""
import os, signal, subprocess, sys
sys.path.insert(0, {str(RUN.parent)!r})
import jobs
class Interrupted(subprocess.Popen):
    def __init__(self, *words, **options):
        super().__init__(*words, **options)
        os.kill(os.getpid(), signal.SIGTERM)
subprocess.Popen = Interrupted
jobs.heed_signals()
sys.exit(jobs.run_job(jobs.Call({{}}, "", range(1, 2), "x.log", ["sleep", "600"]), 1, 1))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, timeout=120)
    assert done.returncode == 128 + signal.SIGTERM


def test_a_second_signal_kills_jobs_that_the_first_did_not_end(tmp_path):
    """Those of a launcher within a job too, such as Table II's: nothing goes on unseen."""
    # no command substitution in it, which the signal would end with nothing left to do
    stubborn = "trap 'echo asked' TERM; echo $$; i=0; while [ $i -lt 6000 ]; do sleep 0.1; i=$((i + 1)); done"
    command = [sys.executable, RUN, "outer.log", sys.executable, RUN, "inner.log", "sh", "-c", stubborn]
    started = subprocess.Popen(command, cwd=tmp_path)
    pid = int(wait_for_line(tmp_path / "inner.log", str.isdigit))
    started.send_signal(signal.SIGTERM)
    wait_for_line(tmp_path / "inner.log", "asked".__eq__)
    assert started.poll() is None
    started.send_signal(signal.SIGTERM)
    assert started.wait(timeout=120) == 128 + signal.SIGTERM
    assert ended(pid)


def wait_for_line(path, wanted):
    """Return a line of a log once it has one that is wanted."""
    for _ in range(2400):
        time.sleep(0.05)
        lines = path.read_text().splitlines() if path.exists() else []
        found = [line for line in lines if wanted(line)]
        if found:
            return found[0]
    raise AssertionError(f"{path} has no such line")


def ended(pid):
    """Whether a process ends, be it that nobody has asked how."""
    for _ in range(1200):
        status = Path(f"/proc/{pid}/status")
        if not status.exists() or "State:\tZ" in status.read_text():
            return True
        time.sleep(0.05)
    return False
