"""Which commands a run of stages leaves out: those for which nothing looks otherwise, and no others."""

import json
import os
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Two parts of a stage; what they start notes that it ran, and copies what it reads.
RUN = """#!/usr/bin/env bash
set -euo pipefail
export MASD_ROOT={root} PATH={root}/utils:$PATH
. "$MASD_ROOT/utils/stages.sh"
cmd=run.py train_cmd=run.py logs=exp/log nj=1 num_nodes=1 force=${{1:-false}} option=${{2:-1}}
remember
{before}
log "stage 3: features of train (log: exp/log/dump.log)"
single dump sh make.sh --config conf/dump.yaml --data data/train --rate "$option" --out exp/dump \\
  --force "$force"
log "stage 5: a model, of features"
here sh make.sh --config conf/fit.yaml --data exp/dump --out exp --force "$force"
log "done"
"""
MAKE = """words=" $* "
of() { echo "$words" | sed "s/.* $1 \\([^ ]*\\) .*/\\1/"; }
in=$(of --data) out=$(of --out)
echo "$out" >> ran
[ ! -e broken ] || exit 1
[ ! -e late ] || echo late >> "$in/list"
mkdir -p "$out"
[ -e "$out/list" ] && cmp -s "$in/list" "$out/list" || cp "$in/list" "$out/list"
echo '2026-11-28 07:00:00 make WARNING: one is short' >&2
"""


class Stages:
    """A folder with a script of two stages."""

    def __init__(self, folder):
        self.folder = folder
        self.write("make.sh", MAKE)
        self.write("conf/dump.yaml", "front: {checkpoint: given/weights.pt}\n")
        self.write("conf/fit.yaml", "c: 1\n")
        self.write("given/weights.pt", "1\n")
        self.write("data/train/list", "a\nb\n")
        self.write("local/own.py", "\n")

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, *options, before="", code=0):
        """Run it; return the outputs of the commands that were started, and the lines said without times."""
        (self.folder / "ran").unlink(missing_ok=True)
        self.write("run.sh", RUN.format(root=ROOT, before=before))
        done = subprocess.run(["bash", "run.sh", *options], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        ran = self.folder / "ran"
        lines = [line.partition("run.sh: ")[2] for line in done.stdout.splitlines()]
        return ran.read_text().split() if ran.exists() else [], lines


@pytest.fixture
def stages(tmp_path):
    """Stages that have been run once."""
    made = Stages(tmp_path)
    assert made.run()[0] == ["exp/dump", "exp"]
    return made


def test_what_has_nothing_to_do_starts_nothing_and_says_so_with_its_warnings(stages):
    ran, lines = stages.run()
    assert ran == []
    unchanged = ["stage 3: features of train: unchanged", "warning: one is short"]
    assert lines == [*unchanged, "stage 5: a model, of features: unchanged", "done"]


def edit(name, text="a\nc\n"):
    return lambda stages: stages.write(name, text)


def removed(name):
    return lambda stages: (stages.folder / name).unlink()


def truncated(name):
    return lambda stages: os.truncate(stages.folder / name, 1)


def same_size_and_time(stages):
    path = stages.folder / "data/train/list"
    seen = path.stat()
    path.write_text("b\na\n")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


BOTH, FIRST, LAST = ["exp/dump", "exp"], ["exp/dump"], ["exp"]
CHANGES = {
    "input": (edit("data/train/list"), BOTH),
    "input, its size and time kept": (same_size_and_time, BOTH),
    "input, one more file": (edit("data/train/text"), FIRST),
    "configuration named": (edit("conf/dump.yaml"), BOTH),
    "configuration not named": (edit("conf/other.yaml"), BOTH),
    "what a configuration names": (edit("given/weights.pt"), FIRST),
    "code of the recipe": (edit("local/own.py"), BOTH),
    "output deleted": (removed("exp/dump/list"), BOTH),
    "output truncated": (truncated("exp/dump/list"), BOTH),
    "last output deleted": (removed("exp/list"), LAST),
    "last output truncated": (truncated("exp/list"), LAST),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_run_and_only_then_forgotten(stages, change):
    make, expected = CHANGES[change]
    make(stages)
    assert stages.run()[0] == expected
    assert stages.run()[0] == []


def test_another_option_is_another_command_and_force_runs_all(stages):
    assert stages.run("false", "2")[0] == FIRST
    assert stages.run("true", "2")[0] == BOTH
    assert stages.run("false", "2")[0] == []


def test_what_failed_is_run_again(stages):
    stages.write("broken", "")
    stages.run("true", code=1)
    (stages.folder / "broken").unlink()
    assert stages.run()[0] == FIRST
    assert stages.run()[0] == []


def test_what_changed_while_a_command_ran_is_read_the_next_time(stages):
    stages.write("late", "")
    stages.run("true")
    (stages.folder / "late").unlink()
    assert stages.run()[0] == BOTH
    assert stages.run()[0] == []


@pytest.mark.parametrize("mark", [".done.json", ".jobs/.done.1of1.json"])
def test_an_audio_file_of_no_use_that_was_mended_is_tried_again(stages, mark):
    stages.write(f"exp/dump/{mark}", json.dumps({"unusable": {"/nowhere/a.wav": None, "a.wav": [0, 0]}}))
    stages.run("true")
    assert stages.run()[0] == []
    stages.write("a.wav", "mended")
    assert "exp/dump" in stages.run()[0]


def test_an_output_that_is_broken_is_never_unchanged_though_its_mark_says_so(stages):
    stages.write("exp/dump/feats.1.ark", "features")
    stages.run("true")
    stages.write("exp/dump/feats.1.ark", "feat")
    assert "exp/dump" in stages.run()[0] and "exp/dump" in stages.run()[0]
    stages.write("exp/dump/feats.1.ark", "features")
    stages.run()
    assert stages.run()[0] == []


def test_without_the_process_that_remembers_all_is_run(stages):
    assert stages.run(before='kill -9 "$MARKS_PID"; wait "$MARKS_PID" || true')[0] == BOTH


def test_memory_that_is_damaged_is_no_memory(stages):
    for path in (stages.folder / "exp/log/.fresh").iterdir():
        path.write_text("{}" if path.stat().st_size % 2 else '{"code": 1}')
    assert stages.run()[0] == BOTH


def test_a_sub_command_is_no_folder_that_has_its_name(tmp_path, monkeypatch):
    """`finish dump` reads the folder of its --out, not all that lies in dump/; `data merge` likewise."""
    monkeypatch.syspath_prepend(ROOT / "utils")
    monkeypatch.chdir(tmp_path)
    for name in ("dump/train", "merge", "a"):
        (tmp_path / name).mkdir(parents=True)
    command = import_module("skip_unchanged").Command
    assert command(["python3", "-m", "masd.bin.finish", "dump", "--out", "dump/train"]).read == {}
    merge = command(["python3", "-m", "masd.bin.data", "merge", "--data", "[a]", "--out", "b"])
    assert merge.read == {"a": True} and merge.own("a/data_merge.yaml")
