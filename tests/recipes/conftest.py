"""One tiny run of the mini recipe, from packages to results, that every test of the recipe looks at."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "egs" / "mini"
DOWNLOADS = os.environ.get("MASD_DOWNLOADS", str(RECIPE / "downloads"))
OUTPUTS = shutil.ignore_patterns("downloads", "data", "dump", "exp")


class Slurm:
    """A real Slurm of one host (tools/slurm_cluster.sh)."""

    TOOL = ROOT / "tools" / "slurm_cluster.sh"

    def __init__(self, folder: Path):
        self.folder = folder
        subprocess.run([self.TOOL, "start", folder], check=True, capture_output=True, text=True)
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "MASD_CMD": "slurm"}

    def tasks(self, name: str) -> list[tuple[str, str]]:
        """The tasks of all arrays of this name, oldest first: <array>_<index> and state."""
        command = ["squeue", "--noheader", "--array", "--states=all", "--format=%F_%K|%T", f"--name={name}"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        return sorted(tuple(line.strip().split("|")) for line in done.stdout.splitlines())

    def running(self, name: str, index: int) -> str:
        """Wait for the newest such array's task to run, and return its name."""
        for _ in range(3000):
            found = [task for task, state in self.tasks(name) if state == "RUNNING"]
            for task in found:
                if task.endswith(f"_{index}"):
                    return task
            time.sleep(0.1)
        raise AssertionError(f"no task {index} of {name} runs: {self.tasks(name)}")

    def stop(self) -> None:
        """End it; nothing of it goes on."""
        for action, code in (("status", 0), ("stop", 0), ("status", 1)):
            done = subprocess.run([self.TOOL, action, self.folder], capture_output=True, text=True)
            assert done.returncode == code, done.stdout + done.stderr


class Recipe:
    """A copy of the mini recipe in a folder of its own."""

    def __init__(self, folder: Path):
        self.path = folder / "egs" / "mini"
        for name in ("masd", "utils", "tools"):
            (folder / name).symlink_to(ROOT / name)
        shutil.copytree(RECIPE, self.path, ignore=OUTPUTS)

    def command(self, *options):
        """The command line of `run.sh` in the tiny size."""
        return ["./run.sh", "--size", "tiny", "--nj", "1", "--downloads", DOWNLOADS, *map(str, options)]

    def run(self, *options, check=True, env=None):
        """Run the recipe to its end."""
        done = subprocess.run(self.command(*options), cwd=self.path, capture_output=True, text=True, env=env)
        assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def python(self, *words):
        """Run `python3 -m ...` as the recipe does, in its folder."""
        script = '. ./path.sh && exec python3 -m "$@"'
        return subprocess.run(
            ["bash", "-c", script, "bash", *map(str, words)], cwd=self.path, capture_output=True, text=True
        )

    def copy(self, folder: Path) -> "Recipe":
        """Return a second copy that has all this one has made so far."""
        twin = Recipe.__new__(Recipe)
        twin.path = folder / "egs" / "mini"
        for name in ("masd", "utils", "tools"):
            (folder / name).symlink_to(ROOT / name)
        shutil.copytree(self.path, twin.path)
        return twin

    def scores(self, tag="full_s0", name="eval"):
        """The bytes of a score file."""
        return (self.path / "exp" / "tiny" / tag / "scores" / name / "scores").read_bytes()


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The recipe after a whole run from stage 0 to stage 7."""
    recipe = Recipe(tmp_path_factory.mktemp("recipe"))
    recipe.run()
    return recipe


@pytest.fixture
def twin(finished, tmp_path):
    """A copy of the finished recipe that a test may change."""
    return finished.copy(tmp_path)


@pytest.fixture
def slurm(tmp_path):
    """A real Slurm, where this is root on a host with its packages."""
    missing = [name for name in ("munged", "slurmctld", "slurmd") if not Path("/usr/sbin", name).exists()]
    if os.getuid() != 0 or missing:
        pytest.skip("needs root and Debian's munge, slurmctld, slurmd, slurm-client")
    cluster = Slurm(tmp_path / "slurm")
    yield cluster
    cluster.stop()
