"""The shell option parser: what was not declared is an error, help is the comments."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """#!/usr/bin/env bash
# Does a thing with options.
#   ./script.sh --nj 4

set -euo pipefail
# options
nj=2              # number of jobs
some_name="a b"   # a name
data=             # a folder
force=false       # redo
. "$MASD_ROOT/utils/parse_options.sh"
hidden=1
echo "$nj|$some_name|$force|$hidden|$*"
"""


def call(path, *words, cwd=None):
    env = {"MASD_ROOT": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(["bash", path, *words], capture_output=True, text=True, cwd=cwd, env=env)


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.sh"
    path.write_text(SCRIPT)
    return lambda *words: call(path, *words)


def test_declared_options_are_set_and_the_rest_is_left(script):
    done = script("--nj", "4", "--some-name", "x; rm -rf $HOME", "rest", "--nj")
    assert done.stdout == "4|x; rm -rf $HOME|false|1|rest --nj\n"


def test_an_equals_sign_may_stand_before_the_value(script):
    assert script("--nj=4", "--some-name=a=b", "--data=", "rest").stdout == "4|a=b|false|1|rest\n"


def test_options_declared_in_a_common_file_are_taken_and_may_be_declared_otherwise(tmp_path):
    common, path = tmp_path / "common.sh", tmp_path / "script.sh"
    common.write_text("# options\nnj=8   # jobs of all\nseed=3   # of chance\n")
    path.write_text(
        SCRIPT.replace("# options", f". {common}\n_option_files=({common})\n# options") + "echo $seed\n"
    )
    assert call(path, "--seed", "5").stdout == "2|a b|false|1|\n5\n"
    said = call(path, "--help").stdout
    assert said.count("--nj ") == 1 + 1 and "number of jobs [2]" in said and "of chance [3]" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--bogus", "1"], "unknown option --bogus"),
        (["--hidden", "2"], "unknown option --hidden"),
        (["--nj"], "option --nj needs a value"),
        (["--bogus=1"], "unknown option --bogus"),
        (["--force", "yes"], "takes true or false, not 'yes'"),
    ],
)
def test_wrong_options_are_one_line_and_status_one(script, words, said):
    done = script(*words)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_help_prints_the_comments_and_the_defaults(script):
    done = script("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Does a thing with options.\n")
    assert "--some-name" in done.stdout
    assert "number of jobs [2]" in done.stdout
    assert "a folder\n" in done.stdout, "an empty default says nothing"
    assert done.stdout.count(f"relative paths begin at {Path.cwd()}") == 1
    assert "hidden" not in done.stdout


def test_a_script_that_changes_its_folder_may_be_called_from_anywhere(tmp_path):
    recipe = tmp_path / "egs" / "x"
    recipe.mkdir(parents=True)
    (recipe / "run.sh").write_text(SCRIPT.replace("# options", 'cd "$(dirname "$0")"\n# options'))
    done = call("egs/x/run.sh", "--nj", "4", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("4|a b|false|1|\n", "")


def test_the_first_of_many_options_is_found(tmp_path):
    """The list is longer than what a pipe holds: its end must not be lost on who looked at the first line."""
    many = "".join(f"option_{i}=  # {'what it does ' * 5}\n" for i in range(2000))
    path = tmp_path / "script.sh"
    path.write_text(SCRIPT.replace(". ", f"{many}. ", 1))
    done = call(path, "--nj", "4")
    assert (done.stdout, done.stderr) == ("4|a b|false|1|\n", "")
