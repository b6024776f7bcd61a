"""Damaged files end in one line or in a result, short: fuzz.py has the long mode."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fuzz import Fuzz
from fuzz_targets import MAKERS, Target


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory):
    pytest.importorskip("onnxruntime")
    return Fuzz(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("name", MAKERS)
def test_damaged_files_end_in_one_line_or_a_result(fuzz, name):
    target = fuzz.targets[name]
    target.read(target.folder if name != "archives" else _copy(target))  # whole, it is taken
    bad, cases = fuzz.bad, fuzz.found["cases"]
    fuzz.run(name, 60)
    assert fuzz.found["cases"] - cases > 30
    assert fuzz.bad == bad, "\n".join(fuzz.places.values())


def _copy(target: Target) -> Path:
    import shutil

    return shutil.copytree(target.folder, target.folder.with_name("copy"))


def test_a_traceback_would_be_seen(fuzz):
    def broken(_):
        raise KeyError("x")

    before = fuzz.found["tracebacks"]
    fuzz.case(fuzz.targets["marks"]._replace(read=broken), 0, [("cut", 0.5, None)])
    assert fuzz.found["tracebacks"] == before + 1
    fuzz.found["tracebacks"] = before
