"""Table II's driver: which runs of a recipe it asks for, by a recipe that only notes how it was called."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = """#!/usr/bin/env bash
echo "$*" >> calls
"""


@pytest.fixture
def recipe(tmp_path):
    """A recipe whose run.sh notes its arguments."""
    folder = tmp_path / "egs" / "toy"
    folder.mkdir(parents=True)
    for part in ("masd", "utils", "tools"):
        (tmp_path / part).symlink_to(ROOT / part)
    for name in ("path.sh", "cmd.sh"):
        shutil.copy(ROOT / "egs/asvspoof2019_la" / name, folder)
    (folder / "run.sh").write_text(RUN)
    (folder / "run.sh").chmod(0o755)
    (folder / "data/tiny").mkdir(parents=True)
    (folder / "data/tiny/pretrain_tags").write_text("griffin_lim\n")
    return folder


def call(recipe, *options, check=True):
    """Run the driver in the recipe's folder."""
    environment = {**os.environ, "MASD_VENV": sys.prefix}
    command = ["../../utils/run_table2.sh", *options]
    return subprocess.run(command, cwd=recipe, env=environment, capture_output=True, text=True, check=False)


def test_the_papers_rows_are_trained_with_every_seed_and_the_recipes_own_options_go_along(recipe):
    done = call(recipe, "--size", "tiny", "--seeds", "0 1", "--", "--corpus", "a dir")
    calls = (recipe / "calls").read_text().splitlines()
    assert all("--size tiny --corpus a dir" in line for line in calls)
    own = "../../utils/run_table2.sh --size tiny --seeds '0 1' --literal true -- --corpus a\\ dir"
    assert all(line.endswith(f"--command {own}") for line in calls[2:]), "which made all the scores"
    assert calls[0].endswith("--stage 0 --stop-stage 3")
    assert calls[1].endswith("--stage 3 --stop-stage 3 --variant paper_literal")
    trained = [line.split(" --seed ")[1].split() for line in calls[2:]]
    early = [line for line in calls[2:] if "--stage 2 " in line]
    assert len(early) == 1 and "--system plus" in early[0], "which has features of its own"
    rows = [(words[0], words[2], words[4]) for words in trained]
    systems = ("full", "ssl_multi", "concat", "attention", "ssl_single", "handcrafted")
    expected = {(seed, "masd", system) for seed in "01" for system in systems}
    expected |= {("0", f"{kind}_reversal", "full") for kind in ("no", "strong")}
    expected |= {("0", "paper_literal", "full"), ("0", "masd", "plus")}
    assert set(rows) == expected and len(rows) == len(expected)
    assert done.returncode == 1, "the toy recipe leaves no encoder to probe"
    assert "probe encoder: error" in done.stderr and "Traceback" not in done.stderr


def test_after_a_failure_every_row_is_looked_at_again(recipe):
    """Each knows by its own marks what is done."""
    (recipe / "run.sh").write_text(f"{RUN}[[ $* != *handcrafted* ]] || [ -e mended ]\n")
    options = ("--size", "tiny", "--seeds", "0", "--")
    assert "1 of 8 jobs failed" in call(recipe, *options).stderr
    (recipe / "calls").unlink()
    (recipe / "mended").touch()
    call(recipe, *options)
    systems = {
        line.split(" --system ")[1].split()[0] for line in (recipe / "calls").read_text().splitlines()[2:]
    }
    assert systems == {"full", "ssl_multi", "concat", "attention", "ssl_single", "handcrafted", "plus"}


def test_outside_a_recipe_it_says_so(tmp_path):
    command = [ROOT / "utils/run_table2.sh"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("run_table2.sh: error: no ./run.sh here")
