"""The kill harness, short: kill.py has the long mode."""

import itertools
import os
import resource
import shutil
import signal
import sys
import threading
from types import SimpleNamespace

import pytest
from kill import ended, forked, killed_runs
from toy_stages import dump, lay_out, results, stages

from masd.stage import files


def test_work_killed_at_random_moments_ends_with_the_same_bits(tmp_path):
    found = killed_runs(forked(stages), lay_out, tmp_path / "toy", kills=2, seed=1)
    assert found["kills"] == 2
    assert found["files"] > 50
    assert not found["different"]
    assert not found["blocked"]


@pytest.mark.parametrize("rename", [1, 12, 30, 70, 84, 86])
def test_work_killed_before_a_file_gets_its_name_ends_with_the_same_bits(tmp_path, rename):
    def dies(root):
        count, replace = itertools.count(1), os.replace

        def killed(*paths):
            if next(count) == rename:
                os.kill(os.getpid(), signal.SIGKILL)
            replace(*paths)

        files.os = SimpleNamespace(**{**vars(os), "replace": killed})
        stages(root)

    root = tmp_path / "toy"
    lay_out(root)
    stages(root)
    expected = results(root)
    shutil.rmtree(root)
    lay_out(root)
    assert not ended(forked(dies)(root)), "it was to be killed"
    assert ended(forked(stages)(root))
    assert results(root) == expected


def test_the_harness_sees_a_difference_and_a_run_that_is_blocked(tmp_path):
    def half(folder):  # work that is neither resumed nor told from what is finished
        path = folder / "out"
        if path.exists():
            sys.exit("there already")
        path.write_text("")
        threading.Event().wait(0.2)
        path.write_text("whole")

    def fresh(folder):
        folder.mkdir()

    found = killed_runs(forked(half), fresh, tmp_path / "half", kills=10, seed=0)
    assert found["different"]
    assert found["blocked"]


@pytest.fixture
def place(tmp_path):
    """A folder in which stage 3 has run alone, and what that gave; the folder is as before it again."""
    root = tmp_path / "toy"
    lay_out(root)
    dump(root, "train")
    expected = results(root)
    shutil.rmtree(root)
    lay_out(root)
    return root, expected


def test_two_at_once_make_it_once_or_say_who_does(place):
    root, expected = place
    start = forked(lambda folder: dump(folder, "train"))
    codes = [os.waitpid(pid, 0)[1] for pid in [start(root), start(root)]]
    assert 0 in codes
    dump(root, "train")
    assert results(root) == expected


@pytest.mark.parametrize("limit", [0, 20000])
def test_a_full_disk_ends_a_run_and_the_next_one_ends_as_any(place, limit):
    def full(folder):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        dump(folder, "train")

    root, expected = place
    assert os.waitpid(forked(full)(root), 0)[1] != 0
    dump(root, "train")
    assert results(root) == expected


def test_clocks_in_the_future_and_the_past_change_nothing(place):
    root, expected = place
    dump(root, "train")
    for number, path in enumerate(sorted(root.rglob("*"))):
        os.utime(path, (4_000_000_000, 4_000_000_000) if number % 2 else (1, 1))
    dump(root, "train")
    assert results(root) == expected
