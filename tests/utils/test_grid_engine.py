"""The launcher for Grid Engine in a real one of one host (tools/sge_cluster.sh), where its packages are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "sge_cluster.sh"

pytestmark = pytest.mark.slow


@pytest.fixture
def environment(tmp_path):
    """The environment in which qsub finds the cluster."""
    programs = [Path("/usr/lib/gridengine", name) for name in ("sge_qmaster", "sge_execd", "qsub")]
    if os.getuid() != 0 or not all(path.exists() for path in programs):
        pytest.skip("needs root and Debian's gridengine-master, gridengine-exec, gridengine-client")
    folder = tmp_path / "cluster"
    done = subprocess.run([TOOL, "start", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    words = (folder / "env.sh").read_text().split()
    yield {**os.environ, **dict(word.split("=", 1) for word in words if "=" in word)}
    for action, code in (("status", 0), ("stop", 0), ("status", 1)):
        assert subprocess.run([TOOL, action, folder], stdout=subprocess.DEVNULL).returncode == code


def test_failed_and_killed_jobs_are_reported_and_can_run_again(environment, tmp_path):
    command = "echo JOB >> ran; [ -e mended ] || case JOB in 2) exit 7;; 3) kill -9 $PPID;; esac"
    words = ["--poll", "1", "--file-wait", "5", "--mem", "100M", "--time", "0:10:00", "--max-jobs-run", "3"]
    launch = [sys.executable, ROOT / "utils/sge.py", *words, "JOB=1:3", "log/x.JOB.log", "sh", "-c", command]
    done = subprocess.run(launch, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert "2 of 3 jobs failed; job 2 ended with status 7" in done.stderr
    assert "job 3 left no exit status (Grid Engine says failed 100" in done.stderr
    assert "exit status 137" in (tmp_path / "log/x.3.log").read_text()
    (tmp_path / "mended").touch()
    done = subprocess.run(launch, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert sorted((tmp_path / "ran").read_text().split()) == ["1", "1", "2", "2", "3", "3"]
    assert "# Ended (code 0)" in (tmp_path / "log/x.3.log").read_text()
