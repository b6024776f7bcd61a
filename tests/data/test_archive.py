"""Archives: both formats say the same, crops read rows alone, kaldiio agrees, nothing is unpickled."""

import contextlib
import fcntl
import multiprocessing
import os
import pickle
import struct

import h5py
import kaldiio
import numpy as np
import pytest

from masd.data.archive import Writer, open_reader, split_place
from masd.errors import MasdError


@pytest.fixture
def matrices():
    rng = np.random.default_rng(3)
    # the range of log-mel: ln(1e-9) to ln of a full-scale tone
    return {f"u{i}": rng.uniform(-20.72, 9.4, (30 + 7 * i, 64)).astype(np.float32) for i in range(6)}


def write(folder, arrays, fmt, compress=False, name="feats"):
    with Writer(folder, name, 1, fmt, compress) as writer:
        for utt, array in arrays.items():
            writer.write(utt, array)
    return open_reader(folder / f"{name}.1.scp")


@pytest.mark.parametrize("fmt", ["ark", "h5"])
def test_values_come_back_bit_for_bit_with_their_order_and_lengths(tmp_path, matrices, fmt):
    reader = write(tmp_path, matrices, fmt)
    assert reader.utts == list(matrices) and len(reader) == 6 and "u3" in reader and "u9" not in reader
    for utt, array in matrices.items():
        assert reader[utt].dtype == np.float32 and reader[utt].flags.writeable is not None
        np.testing.assert_array_equal(reader[utt], array)
        assert reader.num_frames(utt) == len(array)


@pytest.mark.parametrize(("fmt", "compress"), [("ark", False), ("ark", True), ("h5", False), ("h5", True)])
def test_crops_equal_slices_of_the_whole(tmp_path, matrices, fmt, compress):
    reader = write(tmp_path, matrices, fmt, compress)
    whole = reader["u2"]
    for start, length in ((0, 44), (0, 5), (7, 20), (43, 1), (40, 100)):
        np.testing.assert_array_equal(reader.crop("u2", start, length), whole[start : start + length])
    for start, length in ((44, 1), (-1, 5), (3, 0)):
        with pytest.raises(MasdError, match="u2"):
            reader.crop("u2", start, length)


def test_crop_of_an_ark_reads_no_more_than_its_rows(tmp_path, matrices, monkeypatch):
    for compress, width in ((False, 256), (True, 128)):
        reader = write(tmp_path, matrices, "ark", compress)
        taken, pread = [], os.pread
        reader.crop("u5", 0, 1)  # compares the checksum, once
        with monkeypatch.context() as patch:
            patch.setattr(os, "pread", lambda f, count, at: taken.append(count) or pread(f, count, at))  # noqa: B023
            reader.crop("u5", 10, 4)
        assert sum(taken) <= 4 * width + 64


def test_compression_errors_stay_within_their_bounds_and_halve_the_size(tmp_path, matrices):
    plain = (tmp_path / "p", "ark", False)
    sizes = {}
    for folder, fmt, compress in (plain, (tmp_path / "c", "ark", True), (tmp_path / "h", "h5", True)):
        reader = write(folder, matrices, fmt, compress)
        errors = [np.abs(reader[utt] - array).max() for utt, array in matrices.items()]
        assert max(errors) <= {"p": 0.0, "c": 2.5e-4, "h": 0.008}[folder.name]
        sizes[folder.name] = (folder / f"feats.1.{fmt}").stat().st_size
    assert sizes["c"] < 0.51 * sizes["p"]


def test_vectors_are_never_compressed(tmp_path):
    vector = np.array([1.0001, 2e-7, 3.14159265], np.float32)
    for fmt in ("ark", "h5"):
        reader = write(tmp_path, {"u": vector}, fmt, compress=True, name=fmt)
        np.testing.assert_array_equal(reader["u"], vector)
        assert reader.num_frames("u") == 3


def test_kaldiio_reads_our_archives_by_scp_and_in_sequence(tmp_path, matrices):
    for compress in (False, True):
        reader = write(tmp_path, matrices, "ark", compress)
        by_scp = kaldiio.load_scp(str(tmp_path / "feats.1.scp"))
        in_turn = dict(kaldiio.load_ark(str(tmp_path / "feats.1.ark")))
        for utt in matrices:
            np.testing.assert_array_equal(by_scp[utt], reader[utt])
            np.testing.assert_array_equal(in_turn[utt], reader[utt])


def test_bytes_are_kaldis_format(tmp_path):
    matrix = np.arange(6, dtype=np.float32).reshape(3, 2)
    write(tmp_path, {"utt-a": matrix, "utt-b": matrix[0]}, "ark")
    data = (tmp_path / "feats.1.ark").read_bytes()
    first = b"utt-a \0BFM \4" + struct.pack("<i", 3) + b"\4" + struct.pack("<i", 2) + matrix.tobytes()
    second = b"utt-b \0BFV \4" + struct.pack("<i", 2) + matrix[0].tobytes()
    assert data == first + second
    scp = (tmp_path / "feats.1.scp").read_text()
    path = tmp_path / "feats.1.ark"
    assert scp == f"utt-a {path}:6\nutt-b {path}:{len(first) + 6}\n"


@pytest.mark.parametrize("method", [1, 2, 3, 4, 5, 6, 7])
def test_every_compression_of_kaldi_is_read_as_kaldiio_does(tmp_path, method):
    rng = np.random.default_rng(method)
    arrays = {utt: rng.uniform(0, 1, (rows, 5)).astype(np.float32) for utt, rows in (("a", 3), ("b", 40))}
    ark, scp = str(tmp_path / "x.ark"), str(tmp_path / "x.scp")
    kaldiio.save_ark(ark, arrays, scp=scp, compression_method=method)
    theirs, ours = kaldiio.load_scp(scp), open_reader(scp)
    for utt in arrays:
        np.testing.assert_array_equal(ours[utt], theirs[utt])
        np.testing.assert_array_equal(ours.crop(utt, 1, 2), theirs[utt][1:3])
        assert ours.num_frames(utt) == len(arrays[utt])


def test_double_precision_and_text_archives_are_read_as_float32(tmp_path):
    arrays = {"m": np.array([[1.5, -2.0], [0.25, 1e-3]]), "v": np.array([3.0, 4.5, 5.0])}
    for text in (False, True):
        ark, scp = str(tmp_path / f"{text}.ark"), str(tmp_path / f"{text}.scp")
        kaldiio.save_ark(ark, arrays, scp=scp, text=text)
        reader = open_reader(scp)
        for utt, array in arrays.items():
            np.testing.assert_allclose(reader[utt], array, rtol=1e-7)
            assert reader[utt].dtype == np.float32
        np.testing.assert_allclose(reader.crop("m", 1, 1), arrays["m"][1:], rtol=1e-7)


def test_one_list_may_mix_both_formats(tmp_path, matrices):
    write(tmp_path, {"u0": matrices["u0"]}, "ark", name="a")
    write(tmp_path, {"u1": matrices["u1"]}, "h5", name="b")
    both = (tmp_path / "a.1.scp").read_text() + (tmp_path / "b.1.scp").read_text()
    (tmp_path / "both.scp").write_text(both)
    reader = open_reader(tmp_path / "both.scp")
    for utt in ("u0", "u1"):
        np.testing.assert_array_equal(reader[utt], matrices[utt])


def _child(reader, queue):
    queue.put([float(reader[utt].sum()) for utt in reader])


@pytest.mark.parametrize("fmt", ["ark", "h5"])
@pytest.mark.parametrize("method", ["fork", "pickle"])
def test_worker_processes_may_share_a_reader(tmp_path, matrices, fmt, method):
    reader = write(tmp_path, matrices, fmt)
    sums = [float(reader[utt].sum()) for utt in reader]  # opens the files before the fork
    if method == "pickle":
        reader = pickle.loads(pickle.dumps(reader))
        assert [float(reader[utt].sum()) for utt in reader] == sums
        return
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_child, args=(reader, queue)) for _ in range(2)]
    for child in children:
        child.start()
    assert [queue.get(timeout=30) for _ in children] == [sums, sums]
    for child in children:
        child.join()
    reader.close()
    assert float(reader["u0"].sum()) == sums[0]


@pytest.mark.parametrize("fmt", ["ark", "h5"])
def test_a_shard_that_fails_leaves_what_was_there(tmp_path, matrices, fmt):
    write(tmp_path, matrices, fmt)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(RuntimeError), Writer(tmp_path, "feats", 1, fmt) as writer:
        writer.write("x", np.zeros((5, 2), np.float32))
        raise RuntimeError
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("fmt", ["ark", "h5"])
def test_what_cannot_be_stored_is_refused(tmp_path, fmt):
    good = np.zeros((3, 2), np.float32)
    with Writer(tmp_path, "feats", 1, fmt) as writer:
        writer.write("twice", good)
        for utt, array in (
            ("twice", good),
            ("two words", good),
            ("", good),
            ("cube", np.zeros((2, 2, 2))),
            ("none", np.zeros((0, 2))),
            ("nan", np.array([[np.nan]])),
            ("inf", np.array([np.inf])),
        ):
            with pytest.raises(MasdError):
                writer.write(utt, array)
    assert open_reader(tmp_path / "feats.1.scp").utts == ["twice"]
    with pytest.raises(MasdError, match="npz"):
        Writer(tmp_path, "feats", 1, "npz")


def test_an_empty_shard_is_an_empty_list(tmp_path):
    for fmt in ("ark", "h5"):
        assert write(tmp_path, {}, fmt).utts == []


class Trap:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickles_and_pipes_in_an_archive_are_never_run(tmp_path):
    (tmp_path / "x.ark").write_bytes(b"u PKL" + pickle.dumps(Trap(tmp_path / "trap")))
    (tmp_path / "x.scp").write_text(f"u {tmp_path}/x.ark:2\n")
    with pytest.raises(MasdError, match="no Kaldi matrix or vector"):
        open_reader(tmp_path / "x.scp")["u"]
    (tmp_path / "p.scp").write_text(f"u touch {tmp_path}/trap |\n")
    with pytest.raises(MasdError, match=r"p\.scp:1: u: pipes"):
        open_reader(tmp_path / "p.scp")
    assert not (tmp_path / "trap").exists()


def damage(path, how):
    data = path.read_bytes()
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "huge":  # the header promises more rows than the file can hold
        path.write_bytes(data.replace(b"\4" + struct.pack("<i", 65), b"\4" + struct.pack("<i", 2**31 - 1)))
    elif how == "zeros":
        path.write_bytes(bytes(len(data)))
    else:
        path.unlink()


@pytest.mark.parametrize("fmt", ["ark", "h5"])
@pytest.mark.parametrize("how", ["cut", "huge", "zeros", "gone"])
def test_damage_is_one_line_that_names_the_file(tmp_path, matrices, fmt, how):
    if (fmt, how) == ("h5", "huge"):
        pytest.skip("HDF5 keeps its sizes elsewhere")
    write(tmp_path, matrices, fmt)
    damage(tmp_path / f"feats.1.{fmt}", how)
    with pytest.raises(MasdError, match=rf"feats\.1\.scp: u5: .*feats\.1\.{fmt}: ") as error:
        open_reader(tmp_path / "feats.1.scp")["u5"]
    assert "\n" not in str(error.value)


def test_what_is_not_listed_or_not_stored_is_named(tmp_path, matrices):
    reader = write(tmp_path, matrices, "h5")
    with pytest.raises(MasdError, match="no utterance u99"):
        reader["u99"]
    with h5py.File(tmp_path / "feats.1.h5", "a") as file:
        del file["u1"]
    with pytest.raises(MasdError, match="u1"):
        open_reader(tmp_path / "feats.1.scp")["u1"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("u1\n", ":1: not"),
        ("u1 a.ark:3\nu1 a.ark:4\n", ":2: u1 is listed twice"),
        ("u1 a.ark:3[0:5]\n", ":1: u1: pipes and ranges"),
    ],
)
def test_malformed_lists_name_the_line(tmp_path, text, said):
    (tmp_path / "x.scp").write_text(text)
    with pytest.raises(MasdError, match=said):
        open_reader(tmp_path / "x.scp")
    with pytest.raises(MasdError, match=r"gone\.scp"):
        open_reader(tmp_path / "gone.scp")


def test_places_are_split_at_the_right_colon():
    assert split_place("a:b/x.1.ark:17") == ("a:b/x.1.ark", "17")
    assert split_place("d/x.h5:spk:utt") == ("d/x.h5", "spk:utt")
    assert split_place("matrix") == ("matrix", "0")


@pytest.mark.parametrize("fmt", ["ark", "h5"])
def test_lengths_come_from_a_table_or_from_headers(tmp_path, matrices, fmt):
    reader = write(tmp_path, matrices, fmt)
    (tmp_path / "utt2num_frames").write_text("u1 37\nstranger 4\n")
    reader.read_lengths(tmp_path / "utt2num_frames")
    assert reader.lengths().tolist() == [len(array) for array in matrices.values()]
    (tmp_path / "utt2num_frames").write_text("u1 many\n")
    with pytest.raises(MasdError, match=r"utt2num_frames:1: .*not a number"):
        reader.read_lengths(tmp_path / "utt2num_frames")


def test_the_order_on_disk_and_what_is_read_ahead(tmp_path, matrices, monkeypatch):
    write(tmp_path, matrices, "ark")
    lines = (tmp_path / "feats.1.scp").read_text().splitlines()
    (tmp_path / "mixed.scp").write_text("\n".join(reversed(lines)) + "\n")
    reader = open_reader(tmp_path / "mixed.scp")
    assert [reader.utts[i] for i in reader.in_order()] == list(matrices)
    places = [int(line.rpartition(":")[2]) for line in lines]
    asked = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, first, length, __: asked.append((first, length)))
    reader.read_ahead(["u5", "u1", "u2"])
    assert asked == [(places[1], places[3] - places[1]), (places[5], 0)]
    asked.clear()
    write(tmp_path, matrices, "h5", name="other").read_ahead(["u0"])
    assert asked == []


def test_h5_is_written_and_read_where_a_file_cannot_be_locked(tmp_path, monkeypatch, matrices):
    """Some network file systems have no locks; here another holds them, which is as much in the way."""

    @contextlib.contextmanager
    def locked(path):
        with open(path, "wb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            yield path

    monkeypatch.setattr("masd.data.archive.atomic", locked)
    reader = write(tmp_path, matrices, "h5")
    with open(tmp_path / "feats.1.h5", "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        np.testing.assert_array_equal(reader["u0"], matrices["u0"])
