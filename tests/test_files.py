"""Whole files, digests and marks: what resuming rests on."""

import os
from pathlib import Path

import numpy as np
import pytest

from masd.errors import MasdError
from masd.stage import files


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "list.txt"
    files.write_text(path, "old\n")
    with pytest.raises(ZeroDivisionError), files.atomic(path) as tmp:
        tmp.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old\n"
    assert [p.name for p in tmp_path.iterdir()] == ["list.txt"]


def test_what_cannot_be_replaced_is_named_by_its_own_name(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as raised:
        files.write_text(tmp_path / "folder", "x")
    assert raised.value.filename == str(tmp_path / "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_file_and_folder_are_synced_around_the_rename(tmp_path, monkeypatch):
    """Else a power cut leaves an empty file under the new name, or a mark of a file that is not there."""
    done, descriptors = [], {}
    fsync, replace, opened = os.fsync, os.replace, os.open

    def opening(path, *more):
        descriptor = opened(path, *more)
        descriptors[descriptor] = Path(path)
        return descriptor

    def syncing(descriptor):
        done.append("folder" if descriptors[descriptor] == tmp_path else descriptors[descriptor].read_text())
        fsync(descriptor)

    monkeypatch.setattr(os, "open", opening)
    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", lambda *paths: done.append("rename") or replace(*paths))
    files.write_text(tmp_path / "list.txt", "all of it")
    assert done == ["all of it", "rename", "folder"]


def test_a_mark_is_fresh_only_for_the_same_inputs(tmp_path):
    mark = files.Mark(tmp_path, "3")
    assert not mark.fresh("a")
    mark.write("a", utterances=5)
    assert mark.fresh("a")
    assert not mark.fresh("b")
    assert mark.read()["utterances"] == 5
    mark.clear()
    assert not mark.fresh("a")


def test_marks_say_what_work_cost(tmp_path):
    """Processor time since the mark object was made, the process's memory; of pieces sum and maximum."""
    mark = files.Mark(tmp_path, "1")
    before, until = files.used()[0], files.used()[0] + 0.05
    while files.used()[0] < until:
        sum(range(1000))
    mark.write("a")
    cost = mark.read()["cost"]
    assert 0.04 <= cost["processor"] <= files.used()[0] - before + 0.02
    assert 10 < cost["mib"] == pytest.approx(files.used()[1], rel=0.1)
    other = {"seconds": 2.0, "cost": {"by": cost["by"], "processor": 1.5, "mib": 9999}}
    joint = files.joint_cost([mark.read(), other, {"seconds": 1.0}])
    assert joint["cost"] == {"by": cost["by"], "processor": round(cost["processor"] + 1.5, 2), "mib": 9999}
    assert files.joint_cost([{"seconds": 1.0}]) == {}


def test_digests_follow_content_not_order_of_keys():
    assert files.digest({"a": 1, "b": [1.5]}) == files.digest({"b": [np.float64(1.5)], "a": np.int64(1)})
    assert files.digest({"a": 1}) != files.digest({"a": 2})


def test_the_digest_of_a_folder_sees_its_lists_and_its_mark(tmp_path):
    files.write_text(tmp_path / "wav.scp", "u a.wav\n")
    first = files.input_digest(tmp_path)
    files.write_text(tmp_path / "wav.scp", "u b.wav\n")
    second = files.input_digest(tmp_path)
    files.Mark(tmp_path).write("x")
    third = files.input_digest(tmp_path)
    files.Mark(tmp_path).write("y")
    assert len({first, second, third, files.input_digest(tmp_path)}) == 4


@pytest.mark.parametrize(("content", "said"), [(b"\xff\xfe", "not UTF-8"), (b"{", "not valid JSON")])
def test_unreadable_json_is_named(tmp_path, content, said):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(MasdError, match=f"x.json: {said}"):
        files.read_json(tmp_path / "x.json")


def test_missing_input_says_what_to_do(tmp_path):
    with pytest.raises(MasdError, match="run the stage that makes it first"):
        files.input_digest(tmp_path / "nothing")
