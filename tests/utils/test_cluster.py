"""The launchers for Slurm and Grid Engine: no exit status is lost, whatever the batch system does to a job.

A fake batch system (fake_scheduler.py) behaves as documented, or misbehaves as told. The real
ones are tried in tests/recipes/test_mini.py and test_grid_engine.py.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

UTILS = Path(__file__).parents[2] / "utils"
FAKE = Path(__file__).parent / "fake_scheduler.py"
COMMANDS = ("sbatch", "squeue", "scontrol", "scancel", "sacct", "qsub", "qstat", "qacct", "qdel", "qconf")


class Cluster:
    """A folder with a fake batch system on PATH."""

    def __init__(self, folder, launcher):
        self.path, self.launcher = folder, launcher
        self.home = folder / "scheduler"
        (self.home / "tasks").mkdir(parents=True)
        programs = folder / "bin"
        programs.mkdir()
        text = FAKE.read_text().split("\n", 1)[1]
        for name in COMMANDS:
            (programs / name).write_text(f"#!{sys.executable} -SE\n{text}")
            (programs / name).chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "FAKE_SCHEDULER": str(self.home),
            "OMP_NUM_THREADS": "7",
        }
        self.rules()

    def rules(self, tasks=None, **limits):
        (self.home / "rules.json").write_text(json.dumps({"tasks": tasks or {}, "limits": limits}))

    def start(self, *words, **options):
        command = [sys.executable, UTILS / self.launcher, "--poll", "0.1", "--file-wait", "0.6", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(
            list(map(str, command)), cwd=self.path, env=self.environment, **pipes, **options
        )

    def run(self, *words):
        started = self.start(*words)
        out, err = started.communicate(timeout=240)
        return subprocess.CompletedProcess(words, started.returncode, out, err)

    def log(self, job):
        return (self.path / f"log/x.{job}.log").read_text()

    def ran(self):
        """Which jobs have run, in order; to be written by the jobs' command `echo JOB >> ran`."""
        path = self.path / "ran"
        return sorted(int(line) for line in path.read_text().split()) if path.exists() else []

    def calls(self, name):
        lines = (self.home / "calls").read_text().splitlines()
        return [line.split()[1:] for line in lines if line.split()[0] == name]

    def wait_for(self, path):
        for _ in range(2400):
            if (self.path / path).exists():
                return
            time.sleep(0.05)
        raise AssertionError(f"{path} does not appear")


@pytest.fixture(params=["slurm.py", "sge.py"])
def cluster(request, tmp_path):
    return Cluster(tmp_path, request.param)


@pytest.fixture
def slurm(tmp_path):
    return Cluster(tmp_path, "slurm.py")


SUBMIT = {"slurm.py": "sbatch", "sge.py": "qsub"}
ARRAY = ("JOB=1:3", "log/x.JOB.log", "sh", "-c")


def test_an_array_is_one_submission_and_leaves_its_logs_alone(cluster):
    done = cluster.run(*ARRAY, "echo job-JOB with $OMP_NUM_THREADS thread")
    assert done.returncode == 0, done.stderr
    for job in (1, 2, 3):
        assert f"\njob-{job} with 1 thread\n" in cluster.log(job)
        assert "# Ended (code 0)" in cluster.log(job)
    assert len(cluster.calls(SUBMIT[cluster.launcher])) == 1
    assert sorted(os.listdir(cluster.path / "log")) == ["x.1.log", "x.2.log", "x.3.log"]


def test_a_failed_job_is_reported_and_the_same_call_submits_all(cluster):
    """What ended well has nothing to do then, which entry points know by their own marks."""
    command = "echo JOB >> ran; [ JOB != 2 ] || [ -e mended ] || { echo the reason; exit 7; }"
    done = cluster.run(*ARRAY, command)
    assert done.returncode == 1
    assert "1 of 3 jobs failed; job 2 ended with status 7; its log, log/x.2.log, ends:" in done.stderr
    assert "  the reason" in done.stderr
    assert not (cluster.path / "log/.jobs").exists()
    (cluster.path / "mended").touch()
    done = cluster.run(*ARRAY, command)
    assert done.returncode == 0, done.stderr
    assert cluster.ran() == [1, 1, 2, 2, 3, 3]


def test_a_job_that_never_started_is_a_failure(cluster):
    cluster.rules({"2": "vanish"})
    done = cluster.run(*ARRAY, "true")
    assert done.returncode == 1
    assert "1 of 3 jobs failed; job 2 never started" in done.stderr
    assert "NODE_FAIL" in done.stderr
    assert "# Ended (no exit status): job 2 never started" in cluster.log(2)


def test_a_job_that_is_killed_with_its_keeper_is_a_failure_with_what_the_node_said(cluster):
    cluster.rules({"3": "murder"})
    victim = "touch victim; until [ -e murdered ]; do sleep 0.1; done"
    done = cluster.run(*ARRAY, f"echo begun; [ JOB != 3 ] || {{ {victim}; }}")
    assert done.returncode == 1
    assert "job 3 left no exit status" in done.stderr
    assert {"slurm.py": "FAILED, signal 9", "sge.py": "exit status 137"}[cluster.launcher] in done.stderr
    assert "\nbegun\nthe node says why\n# Ended (no exit status)" in cluster.log(3)


def test_a_command_that_is_killed_has_failed_with_its_signal(cluster):
    done = cluster.run(*ARRAY, "[ JOB != 1 ] || kill -9 $$")
    assert done.returncode == 1
    assert "job 1 was ended by signal 9" in done.stderr
    assert "# Ended (code 137)" in cluster.log(1)


def test_a_job_that_waits_for_what_never_comes_is_taken_out_of_the_queue(cluster):
    cluster.rules({"2": "held"})
    done = cluster.run(*ARRAY, "true")
    assert done.returncode == 1
    assert "job 2 never starts" in done.stderr
    assert cluster.calls("scancel") + cluster.calls("qdel")


def test_an_exit_file_that_shows_late_is_waited_for(slurm):
    slurm.rules({"1": "late"})
    done = slurm.run("--file-wait", 120, *ARRAY, "sleep 1")
    assert done.returncode == 0, done.stderr


def test_a_job_put_into_the_queue_again_is_not_taken_for_ended(slurm):
    slurm.rules({"2": "requeue"})
    done = slurm.run(*ARRAY, "echo JOB >> ran")
    assert done.returncode == 0, done.stderr
    assert slurm.ran() == [1, 2, 2, 3]


def test_more_jobs_than_an_array_may_have_are_several_arrays(cluster):
    cluster.rules(array=3)
    done = cluster.run("JOB=1:7", "log/x.JOB.log", "sh", "-c", "echo JOB >> ran")
    assert done.returncode == 0, done.stderr
    assert cluster.ran() == [1, 2, 3, 4, 5, 6, 7]
    assert len(cluster.calls(SUBMIT[cluster.launcher])) == {"slurm.py": 4, "sge.py": 3}[cluster.launcher]


def test_a_limit_on_submissions_is_kept_to_by_sending_fewer_at_a_time(cluster):
    cluster.rules(submit=2)
    done = cluster.run("JOB=1:5", "log/x.JOB.log", "sh", "-c", "echo JOB >> ran")
    assert done.returncode == 0, done.stderr
    assert cluster.ran() == [1, 2, 3, 4, 5]


def test_a_scheduler_too_busy_to_answer_is_asked_again(slurm):
    slurm.rules(busy=2, silent=2)
    done = slurm.run(*ARRAY, "echo JOB >> ran")
    assert done.returncode == 0, done.stderr
    assert slurm.ran() == [1, 2, 3]
    assert "Slurm does not answer" in done.stderr


def test_at_most_so_many_at_once_is_a_limit_of_the_array(cluster):
    assert cluster.run("--max-jobs-run", 2, *ARRAY, "true").returncode == 0
    (call,) = cluster.calls(SUBMIT[cluster.launcher])
    assert "--array=1-3%2" in call or call[call.index("-tc") + 1] == "2"


def test_stopping_the_launcher_cancels_the_array(cluster):
    command = "echo JOB >> ran; [ JOB = 1 ] || [ -e mended ] || { touch begun.JOB; exec sleep 600; }"
    started = cluster.start(*ARRAY, command)
    for name in ("begun.2", "begun.3"):
        cluster.wait_for(name)
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=240)
    assert started.returncode == 128 + signal.SIGINT
    assert "2 of 3 jobs failed; job 2 was cancelled with this launcher" in err
    assert cluster.calls("scancel") + cluster.calls("qdel")
    assert "# Ended (code 143)" in cluster.log(2)
    (cluster.path / "mended").touch()
    done = cluster.run(*ARRAY, command)
    assert done.returncode == 0, done.stderr
    assert cluster.ran() == [1, 1, 2, 2, 3, 3]


def killed(cluster, command, *names):
    """Start an array, wait for these files, and kill the launcher: its jobs stay in the queue."""
    started = cluster.start(*ARRAY, command)
    for name in (*names, "log/.jobs/x.JOB/submitted.json"):
        cluster.wait_for(name)
    started.kill()
    started.communicate()


def test_jobs_of_a_launcher_that_was_killed_are_waited_for(slurm):
    command = "echo JOB >> ran; touch begun.JOB; until [ -e go ]; do sleep 0.1; done"
    killed(slurm, command, "begun.1", "begun.2", "begun.3")
    again = slurm.start(*ARRAY, command)
    assert "waiting for 3 jobs" in again.stderr.readline()
    (slurm.path / "go").touch()
    _, err = again.communicate(timeout=240)
    assert again.returncode == 0, err
    assert slurm.ran() == [1, 2, 3]


def test_jobs_left_by_another_call_with_the_same_logs_are_ended_first(slurm):
    killed(slurm, "touch begun.JOB; exec sleep 600", "begun.1", "begun.2", "begun.3")
    done = slurm.run(*ARRAY, "echo JOB >> ran")
    assert done.returncode == 0, done.stderr
    assert "ending 3 jobs" in done.stderr
    assert slurm.ran() == [1, 2, 3]


def test_jobs_of_another_call_are_not_counted_as_done(slurm):
    """One that has ended well while the queue still holds it is none of this call's jobs."""
    slurm.rules({"1": "linger"})
    command = "[ JOB = 1 ] || { touch begun.JOB; exec sleep 600; }"
    killed(slurm, command, "begun.2", "begun.3", "log/.jobs/x.JOB/exit.1")
    slurm.rules()
    done = slurm.run(*ARRAY, "echo JOB >> ran")
    assert done.returncode == 0, done.stderr
    assert "ending 3 jobs" in done.stderr
    assert slurm.ran() == [1, 2, 3]


def test_resources_mean_what_the_configuration_says(cluster):
    kind = cluster.launcher.removesuffix(".py")
    (cluster.path / "conf").mkdir()
    (cluster.path / f"conf/{kind}.conf").write_text(
        "# a site's own\n"
        f"command {SUBMIT[cluster.launcher]} --account 'a b'   # who pays\n"
        "option mem=* --ram=$0 --swap=$0\noption gpu=0\noption gpu=* --cards=$0\ndefault gpu=0\n"
        "option num_threads=* --cores=$0\noption site=near --place=here\n"
    )
    options = ["--mem", "4G", "--num-threads", 2, "--site", "near"]
    done = cluster.run(*options, *ARRAY, "echo threads=$OMP_NUM_THREADS")
    assert done.returncode == 0, done.stderr
    (call,) = cluster.calls(SUBMIT[cluster.launcher])
    assert call[:3] == ["--account", "a", "b"]
    assert {"--ram=4G", "--swap=4G", "--cores=2", "--place=here"} <= set(call)
    assert not any("cards" in word for word in call)
    assert "threads=2" in cluster.log(1)
    done = cluster.run("--time", "1:00:00", *ARRAY, "true")
    assert done.returncode == 1
    assert f"conf/{kind}.conf: does not say what --time 1:00:00 means" in done.stderr


def test_without_a_configuration_the_usual_resources_are_known(cluster):
    options = ["--mem", "4G", "--num-threads", 2, "--gpu", 1, "--time", "1:00:00"]
    done = cluster.run(*options, *ARRAY, "true")
    assert done.returncode == 0, done.stderr
    call = " ".join(cluster.calls(SUBMIT[cluster.launcher])[0])
    for words in {
        "slurm.py": ("--mem=4G", "--cpus-per-task=2", "--gres=gpu:1", "--time=1:00:00"),
        "sge.py": ("-l mem_free=4G", "-pe smp 2", "-l gpu=1", "-l h_rt=1:00:00"),
    }[cluster.launcher]:
        assert words in call


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "nowhere.conf", "log/x", "true"], "nowhere.conf: no such file"),
        (["--poll", "often", "log/x", "true"], "--poll takes a number of seconds"),
        (["JOB=1:2", "log/x", "true"], "2 jobs cannot share one log"),
        (["--num-threads", "0", "log/x", "true"], "--num-threads takes a positive whole number"),
    ],
)
def test_a_wrong_call_gets_one_line(slurm, words, said):
    done = slurm.run(*words)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_the_batch_system_the_missing_command_is_named(tmp_path):
    slurm = Cluster(tmp_path, "slurm.py")
    slurm.environment["PATH"] = "/nowhere"
    done = slurm.run(*ARRAY, "true")
    assert done.returncode == 1
    assert "Slurm refuses the jobs: sbatch: not found" in done.stderr
