"""Entry points: sections of configuration files, one-line errors, the written configuration."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import yaml
from entry_points import ENTRY_POINTS, ROOT

import masd
from masd.audio import write_wav
from masd.cli import section
from masd.data.folder import write_folder
from masd.errors import Failures, MasdError


def call(*words, cwd, **more):
    environment = {**os.environ, **more}
    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


def test_a_file_with_sections_gives_each_entry_point_its_own(tmp_path):
    path = tmp_path / "all.yaml"
    path.write_text("dump_feats:\n  compress: true\npretrain:\n  epochs: 3\n")
    assert yaml.safe_load(section(str(path), "dump_feats")) == {"compress": True}
    assert yaml.safe_load(section(str(path), "score")) == {}


def test_a_flat_file_is_taken_whole(tmp_path):
    path = tmp_path / "flat.yaml"
    path.write_text("compress: true\n")
    assert yaml.safe_load(section(str(path), "dump_feats")) == {"compress": True}


def test_a_stranger_among_sections_is_named(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("dump_feats: {}\npretrian: {}\n")
    with pytest.raises(MasdError, match=r"bad\.yaml: 'pretrian' is not an entry point"):
        section(str(path), "dump_feats")


def test_a_list_without_brackets_is_told_how_lists_are_written(tmp_path):
    """One data folder where several may stand: the class's name in the parser's words helps nobody."""
    done = call("masd.bin.data", "merge", "--data", "data/x", "--out", "o", cwd=tmp_path)
    assert done.returncode == 1 and 'Write a list, "[A,B]". Got value: data/x' in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "missing.yaml"], "missing.yaml: cannot be read"),
        (["--bogus", "1"], "bogus"),
        (["--config", "typo.yaml"], "compres"),
        (["--compress", "maybe"], "compress"),
        (["--feats.f_min", ".nan"], "--feats.f_min nan: no finite number"),
    ],
)
def test_wrong_arguments_are_one_line_and_status_one(tmp_path, words, said):
    (tmp_path / "typo.yaml").write_text("compres: true\n")
    done = call("masd.bin.dump_feats", "--data", "d", "--out", "o", *words, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "o").exists()


def test_an_output_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way\n")
    done = call("masd.bin.dump_feats", "--data", "d", "--out", "file/o", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "dump_feats: error: file/o: Not a directory\n"


@pytest.mark.parametrize(
    ("name", "words", "folder"),
    [
        ("dump_feats", ["--out", "o"], "o"),
        ("copy_synthesis", ["--out", "o", "--vocoder", "lpc", "--wav-dir", "wav"], "wav"),
    ],
)
def test_a_full_disk_is_one_line_and_leaves_no_half_file(tmp_path, name, words, folder):
    """A limit on the size of a file stands for it: of both the system says only that there is no room."""
    write_wav(tmp_path / "u.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 16000))
    write_folder(tmp_path / "data", {"u": tmp_path / "u.wav"}, {"u": "s"})
    done = subprocess.run(
        [sys.executable, "-m", f"masd.bin.{name}", "--data", "data", *words],
        **{"capture_output": True, "text": True, "cwd": tmp_path},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)),
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"{name}: error: {folder}: File too large")
    assert "Traceback" not in done.stderr
    assert not [path for path in (tmp_path / folder).iterdir() if path.suffix != ".yaml"]


@pytest.mark.parametrize(("level", "shown"), [("warning", False), ("info", True)])
def test_the_log_is_as_loud_as_the_environment_says(tmp_path, level, shown):
    (tmp_path / "scores").write_text("u1 1.0\nu2 -1.0\n")
    (tmp_path / "dev").write_text("v1 1.0\nv2 -1.0\n")
    (tmp_path / "key").write_text("v1 bonafide -\nv2 spoof A01\n")
    words = ["--scores", "scores", "--dev-scores", "dev", "--dev-key", "key", "--out", "o"]
    done = call("masd.bin.calibrate", *words, cwd=tmp_path, MASD_LOGLEVEL=level)
    assert (done.returncode, "INFO" in done.stderr) == (0, shown), done.stderr


def test_a_loudness_that_is_none_is_one_line(tmp_path):
    done = call("masd.bin.calibrate", "--out", "o", cwd=tmp_path, MASD_LOGLEVEL="loud")
    assert done.returncode == 1
    assert done.stderr == "calibrate: error: MASD_LOGLEVEL=LOUD: choose DEBUG, INFO, WARNING or ERROR\n"


def test_a_call_that_fails_leaves_the_configuration_of_the_finished_work(tmp_path):
    (tmp_path / "scores").write_text("u1 1.0\nu2 -1.0\n")
    words = ["masd.bin.calibrate", "--scores", "scores", "--dev_scores", "scores", "--out", "o"]
    stated = tmp_path / "o" / "calibrate.yaml"
    stated.parent.mkdir()
    assert call(*words, "--dev_data", "none", cwd=tmp_path).returncode == 1
    assert yaml.safe_load(stated.read_text())["dev_data"] == "none"  # nothing was there before
    stated.write_text("data: finished\n")
    done = call(*words, "--dev_data", "none", cwd=tmp_path)
    assert (done.returncode, stated.read_text()) == (1, "data: finished\n"), done.stderr


def test_a_folder_may_have_a_dot_in_its_name(tmp_path):
    """The configuration goes into it, where the results page looks for that of scores."""
    (tmp_path / "scores").write_text("u1 1.0\n")
    call("masd.bin.calibrate", "--scores", "scores", "--dev_scores", "none", "--out", "o.v2", cwd=tmp_path)
    assert (tmp_path / "o.v2" / "calibrate.yaml").is_file()
    call("masd.bin.results", "systems", "--systems", "[none]", "--out", "table.md", cwd=tmp_path)
    assert (tmp_path / "table.md.results_systems.yaml").is_file()


def test_failures_are_counted_against_their_share():
    failures = Failures("utterance", max_share=0.5)
    failures.add("u2", "silent\nfile")
    failures.check(2)
    assert failures.lines() == ["u2 silent file"]
    failures.add("u1", "empty")
    with pytest.raises(MasdError, match=r"2 of 3 utterances failed in data/x.*u1: empty"):
        failures.check(3, "data/x")


def test_a_script_of_a_recipe_says_in_its_help_how_it_is_called(tmp_path):
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "own.py").write_text(
        "from masd.cli import run\n\n\ndef own(x: int) -> None:\n    pass\n\n\nrun(own, output='')\n"
    )
    words = [sys.executable, "local/own.py", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.startswith("usage: python3 local/own.py ")
    assert call("masd.bin.proof", "pack", "--help", cwd=tmp_path).stdout.startswith(
        "usage: python3 -m masd.bin.proof pack "
    )


OWN = """
from pathlib import Path
from masd.cli import Command, run_commands


def take_one(x: int, out: Path) -> None:
    '''Take one thing.'''
    print(x, out)


def fail() -> None:
    '''Fail.'''
    raise OSError(2, "No such file or directory", "f")


if __name__ == "__main__":
    run_commands((Command(take_one), Command(fail, output="")))
"""


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--help"], 0, "  take-one  Take one thing.\n  fail      Fail.\n"),
        ([], 1, "usage: python3 own.py COMMAND"),
        (["take-one", "--help"], 0, "usage: python3 own.py take-one "),
        (["take-one", "--x", "3", "--out", "o"], 0, "3 o\n"),
        (["take-one", "--y", "3"], 1, "own take-one: error: unrecognized arguments: --y"),
        (["take_two"], 1, "own: error: no command 'take_two'; there are take-one, fail\n"),
        (["fail"], 1, "own fail: error: f: No such file or directory\n"),
    ],
)
def test_an_entry_point_may_have_sub_commands(tmp_path, words, status, said):
    (tmp_path / "own.py").write_text(OWN)
    done = subprocess.run([sys.executable, "own.py", *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == status and said in done.stdout + done.stderr, done.stderr
    assert (tmp_path / "o" / "own_take_one.yaml").is_file() == ("o" in words)


def test_a_sub_command_reads_its_part_of_its_entry_points_section(tmp_path):
    path = tmp_path / "all.yaml"
    path.write_text("data:\n  split: {num_parts: 2}\npretrain:\n  epochs: 3\n")
    assert yaml.safe_load(section(str(path), "data split")) == {"num_parts": 2}
    assert yaml.safe_load(section(str(path), "data merge")) == {}


def test_every_entry_point_is_a_command_of_masd(tmp_path):
    said = call("masd", "--help", cwd=tmp_path).stdout.splitlines()
    listed = {line.split()[0]: " ".join(line.split()[1:]) for line in said[said.index("commands:") + 1 :]}
    assert sorted(listed) == ENTRY_POINTS and all(listed.values())
    assert call("masd", "--version", cwd=tmp_path).stdout == f"masd {masd.__version__}\n"
    done = call("masd", "calibrate", "--help", cwd=tmp_path)
    assert done.stdout.startswith("usage: python3 -m masd calibrate ")
    done = call("masd", "calibrate", "--nonsense", "1", cwd=tmp_path)
    assert (done.returncode, done.stderr.split("(")[0]) == (
        1,
        "calibrate: error: unrecognized arguments: --nonsense 1 ",
    )
    done = call("masd", "calibrat", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        "masd: error: no command 'calibrat'; masd --help lists them\n",
    )


def test_the_console_command_is_the_same(tmp_path):
    """What the installed script `masd` does: it imports `main` and calls it."""
    script = tmp_path / "masd"
    script.write_text("from masd.__main__ import main\nmain()\n")
    words = [sys.executable, script, "compare", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stdout[:20]) == (0, "usage: masd compare ")
