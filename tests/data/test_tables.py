"""Tables are read strictly: each fault is one line with file, line number and remedy."""

import subprocess

import numpy as np
import pytest

from masd.errors import MasdError
from masd.stage.tables import read_table, scan_table, write_table


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"b x\na y\n", r"t:2: not sorted, 'a' after 'b' \(LC_ALL=C sort\)"),
        (b"a x\na x\n", r"t:2: duplicate id 'a'$"),
        (b"a x\na y\n", r"t:2: duplicate id 'a', with another value"),
        (b"a x\n\nb y\n", r"t:2: blank line"),
        (b"a x\nb\n", r"t:2: blank second column after 'b'"),
        (b"a x\nb  \n", r"t:2: blank second column after 'b'"),
        (b"a x\n b y\n", r"t:2: blank first column"),
        (b"a x\r\nb y\r\n", r"t:1: Windows line end"),
        (b"a x\nb caf\xe9.wav\n", r"t:2: not UTF-8: b caf\\xe9.wav"),
        (b"\xef\xbb\xbfa x\n", r"t:1: starts with a byte order mark"),
        ("a x\n".encode("utf-16"), r"t:1: UTF-16, not UTF-8; convert it \(iconv -f UTF-16 -t UTF-8 .*t >"),
        (b"a x\nb y", r"t:2: the last line has no line end"),
        (b"", r"t: empty"),
        (b"a x\nB y\n", r"t:2: not sorted"),
    ],
)
def test_each_fault_of_a_table_is_named(tmp_path, content, message):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(MasdError, match=message) as error:
        read_table(tmp_path / "t")
    assert "\n" not in str(error.value)
    str(error.value).encode("utf-8")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(MasdError, match=r"none: cannot be read \(No such file"):
        read_table(tmp_path / "none")


def test_all_faults_are_listed_and_the_good_lines_kept(tmp_path):
    (tmp_path / "t").write_bytes(b"b 1\na 2\na 3\nc\n\xff 1\nd  4 \t5 \n")
    scan = scan_table(tmp_path / "t")
    assert scan.table == {"b": "1", "a": "2", "d": "4 \t5"}
    assert scan.conflicts == {"a"}
    assert len(scan.problems) == 4
    with pytest.raises(MasdError, match=r"and 3 more"):
        read_table(tmp_path / "t")


def test_tabs_and_runs_of_blanks_separate_and_unicode_blanks_do_not(tmp_path):
    (tmp_path / "t").write_text("a\tx\nb   y z\nc d\u00a0e\n", encoding="utf-8")
    assert read_table(tmp_path / "t") == {"a": "x", "b": "y z", "c": "d\u00a0e"}


def test_written_order_is_that_of_sort_under_lc_all_c(tmp_path):
    rng = np.random.default_rng(0)
    letters = list("aAbBzZ019_-.éßя𝄞日")
    keys = {"".join(rng.choice(letters, rng.integers(1, 6))) for _ in range(300)}
    write_table(tmp_path / "t", dict.fromkeys(keys, "x"))
    ours = [line.split(b" ")[0] for line in (tmp_path / "t").read_bytes().splitlines()]
    done = subprocess.run(
        ["sort"],
        input=b"".join(k.encode() + b"\n" for k in keys),
        capture_output=True,
        env={"LC_ALL": "C"},
        check=True,
    )
    assert ours == done.stdout.splitlines()
    assert read_table(tmp_path / "t").keys() == keys


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"a b": "x"}, "'a b' is blank or holds white space"),
        ({"": "x"}, "blank"),
        ({"a": ""}, "'a' has no value"),
        ({"a": "x\ny"}, "line end"),
        ({"a": "caf\udce9.wav"}, r"caf\\udce9.wav' is not UTF-8; rename the file"),
        ({}, "the list is empty"),
    ],
)
def test_what_a_table_cannot_hold_is_refused_and_nothing_written(tmp_path, table, message):
    with pytest.raises(MasdError, match=message) as error:
        write_table(tmp_path / "t", table)
    str(error.value).encode("utf-8")
    assert list(tmp_path.iterdir()) == []


def test_seconds_are_written_without_noise(tmp_path):
    write_table(tmp_path / "t", {"a": 0.1 + 0.2, "b": 2.0, "c": np.float64(1 / 3), "d": 7})
    assert (tmp_path / "t").read_text() == "a 0.3\nb 2\nc 0.333333\nd 7\n"
