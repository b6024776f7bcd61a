"""What is lost or damaged between stages is seen, said, and made again; no wrong number comes of it."""

import logging
import os
import random

import numpy as np
import pytest
from toy_stages import dump, lay_out, results, stages

from masd.data.archive import Writer, open_reader
from masd.errors import MasdError
from masd.metrics.scores import read_scores, write_scores
from masd.stage.files import Mark
from masd.systems import load


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("damage") / "toy"
    lay_out(root)
    stages(root)
    return root, results(root)


def flip(path, place=0.5):
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-5])


DAMAGES = {
    "gone": lambda path: path.unlink(),
    "cut": cut,
    "flipped": flip,
    "empty": lambda path: path.write_bytes(b""),
}
OUTPUTS = (
    "dump/train/feats.1.ark",
    "dump/eval/hand.scp",
    "exp/model/model.safetensors",
    "exp/model/model.yaml",
    "exp/scores/scores",
    "exp/results/metrics.json",
    "dump/dev/.done.json",
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_output_that_is_lost_is_made_again_and_said(whole, damage, caplog):
    root, expected = whole
    for name in OUTPUTS:
        DAMAGES[damage](root / name)
    with caplog.at_level(logging.WARNING):
        stages(root)
    assert results(root) == expected
    for name in OUTPUTS:
        if ".done" not in name:
            assert any(
                str((root / name).parent) in line and "made again" in line for line in caplog.messages
            ), name
    for mark in root.rglob(".done*.json"):
        DAMAGES[damage](mark)
    stages(root)
    assert results(root) == expected


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"digest": "x"', b"\xff", b'{"digest": 1, "sum": 2}']
)
def test_a_damaged_mark_is_no_mark(tmp_path, content):
    mark = Mark(tmp_path)
    mark.write("work", total=3)
    assert mark.fresh("work")
    mark.path.write_bytes(content)
    assert mark.read() == {}
    assert not mark.fresh("work")


def test_a_mark_with_one_bit_flipped_is_no_mark(tmp_path):
    mark = Mark(tmp_path)
    mark.write("work", total=3, failures={"a": "b"})
    whole = mark.path.read_bytes()
    stated = mark.read()
    for k in range(8 * len(whole)):
        data = bytearray(whole)
        data[k // 8] ^= 1 << k % 8
        mark.path.write_bytes(data)
        # but for letters of the key "sum" and white space, which say nothing
        assert mark.read() in ({}, stated) or mark.read().keys() - stated.keys()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("fmt", ["ark", "h5"])
def test_every_flipped_bit_of_an_archive_is_seen_or_changes_nothing(tmp_path, fmt, compress):
    draw, chance = np.random.default_rng(0), random.Random(0)
    stored = {f"u{k}": draw.normal(size=(30, 8)).astype(np.float32) for k in range(5)}
    with Writer(tmp_path, "feats", fmt=fmt, compress=compress) as writer:
        for utt, x in stored.items():
            writer.write(utt, x)
    path = tmp_path / f"feats.1.{fmt}"
    good = path.read_bytes()
    reader = open_reader(tmp_path / "feats.1.scp")
    expected = {utt: reader[utt] for utt in stored}
    seen = 0
    for _ in range(200):
        data = bytearray(good)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        reader = open_reader(tmp_path / "feats.1.scp")
        for utt in stored:
            try:
                np.testing.assert_array_equal(reader.crop(utt, 3, 9), expected[utt][3:12])
            except MasdError as error:
                assert f"{utt}: {path}" in str(error)
                seen += 1
    assert seen > 100 or fmt == "h5"


def test_a_score_file_that_is_cut_is_refused(tmp_path):
    write_scores(tmp_path / "scores", {"a": -1.5, "b": 0.2574})
    whole = (tmp_path / "scores").read_text()
    for end in range(1, len(whole)):
        (tmp_path / "scores").write_text(whole[:-end])
        with pytest.raises(MasdError):
            assert read_scores(tmp_path / "scores").keys() != {"a", "b"}
            raise MasdError("a whole line is missing, which joining to the key tells")


def test_a_flip_in_a_dump_ends_in_one_line_and_force_mends_it(whole, caplog):
    root, expected = whole
    mark = (root / "dump" / "dev" / "feats.1.ark").stat()
    flip(root / "dump" / "dev" / "feats.1.ark")
    os.utime(root / "dump/dev/feats.1.ark", ns=(mark.st_atime_ns, mark.st_mtime_ns))  # as a disk does it
    reader = open_reader(root / "dump" / "dev" / "feats.scp")
    with pytest.raises(MasdError, match=r"dev\d: .*checksum.*--force true"):
        [reader[utt] for utt in reader]
    flip(root / "dump" / "dev" / "feats.1.ark")
    dump(root, "dev")
    assert results(root) == expected


def test_a_model_that_is_damaged_is_refused_in_one_line(whole):
    root, _ = whole
    path = root / "exp" / "model" / "model.safetensors"
    good = path.read_bytes()
    flip(path)
    with pytest.raises(MasdError, match=r"model\.safetensors"):
        load(path.parent)
    path.write_bytes(good)
