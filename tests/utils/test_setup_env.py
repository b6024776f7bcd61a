"""The environment script fails with one clear line, and finds an environment that is active."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def setup(*words, **variables):
    return subprocess.run(
        [ROOT / "tools" / "setup_env.sh", *words],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )


def old_python(folder):
    path = folder / "python3"
    path.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("case", ["extra", "interpreter", "old"])
def test_what_is_missing_is_one_line(tmp_path, case):
    words, variables, said = {
        "extra": (["bogus"], {}, "unknown extra 'bogus'"),
        "interpreter": ([], {"MASD_PYTHON": "no-such-python"}, "no 'no-such-python'"),
        "old": ([], {"MASD_PYTHON": old_python(tmp_path)}, "Python 3.9.2 is too old"),
    }[case]
    done = setup(*words, MASD_VENV=str(tmp_path / "venv"), **variables)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "venv").exists()


def test_what_was_installed_before_neither_goes_nor_hides_an_extra(tmp_path):
    """`all` has everything but what benchmarks compare with, so `bench` after it is work to do."""
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\n[ "$2" != venv ]\n')
    python.chmod(0o755)
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "masd.extras").write_text("all\nmini\n")
    done = setup("bench", MASD_VENV=str(tmp_path / "venv"), MASD_PYTHON=str(python))
    assert "with [all,bench]" in done.stderr
    assert "venv failed" in done.stderr


@pytest.mark.parametrize(
    ("before", "words", "said"),
    [("", ["base"], "[base]"), ("base\n", ["test"], "[test]"), ("mini\n", ["base"], "[mini]")],
)
def test_base_is_no_extra(tmp_path, before, words, said):
    """Whoever wants to detect does not download test tools and speech synthesisers."""
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\n[ "$2" != venv ]\n')
    python.chmod(0o755)
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "masd.extras").write_text(before)
    done = setup(*words, MASD_VENV=str(tmp_path / "venv"), MASD_PYTHON=str(python))
    assert f"with {said}" in done.stderr


@pytest.mark.parametrize(
    ("extra", "locked"),
    [("base", ""), ("serve", ""), ("recipes", ""), ("base", "1"), ("recipes", "1")],
)
def test_base_has_no_torch_and_locked_takes_the_tested_versions(tmp_path, extra, locked):
    """By an interpreter that only notes what it is called with."""
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    python.chmod(0o755)
    done = setup(extra, MASD_VENV=str(tmp_path), MASD_PYTHON=str(python), MASD_LOCKED=locked)
    assert done.returncode == 0, done.stderr
    install, check = (tmp_path / "calls").read_text().splitlines()[-2:]
    assert install.endswith(f"--editable {ROOT}" + ("" if extra == "base" else f"[{extra}]"))
    assert (f"--constraint {ROOT}/tools/constraints.txt" in install) == bool(locked)
    assert ("torch" in check) == (extra == "recipes")
    again = setup(extra, MASD_VENV=str(tmp_path), MASD_PYTHON=str(python), MASD_LOCKED=locked)
    assert "up to date" in again.stderr
    other = setup(extra, MASD_VENV=str(tmp_path), MASD_PYTHON=str(python), MASD_LOCKED="" if locked else "1")
    assert "up to date" not in other.stderr


def sourced(**variables):
    clean = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH"}}
    return subprocess.run(
        ["bash", "-c", f'. "{ROOT}/utils/find_env.sh" && command -v python3 && python3 -c "import masd"'],
        capture_output=True,
        text=True,
        cwd="/",
        env={**clean, **variables},
    )


def test_an_active_environment_with_torch_is_used_as_it_is():
    here = Path(sys.executable).parent
    done = sourced(VIRTUAL_ENV=str(here.parent), PATH=f"{here}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(here / "python3")


def test_without_an_environment_it_says_how_to_make_one(tmp_path):
    done = sourced(MASD_VENV=str(tmp_path / "none"), PATH="/usr/bin:/bin")
    assert done.returncode == 1
    assert "run tools/setup_env.sh" in done.stderr
