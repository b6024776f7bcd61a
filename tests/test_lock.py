"""Two processes at the same piece of work are told apart; a dead one is in nobody's way."""

import contextlib
import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from masd.bin.copy_synthesis import copy_synthesis
from masd.bin.finish import copy_synthesis as finish_copy_synthesis
from masd.bin.finish import scores as finish_scores
from masd.bin.score import score
from masd.bin.train import train as train_system
from masd.data.folder import write_folder
from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.feats.dump import dump_shard, finish_dump
from masd.models.config import EncoderConfig
from masd.pretrained import PLUS
from masd.ssl.config import PretrainConfig
from masd.ssl.pretrain import pretrain
from masd.stage.files import Mark, input_digest
from masd.stage.lock import sole
from masd.systems.embeddings import extract_shard

ROOT = Path(__file__).parents[1]
HOLD = """
import os, sys
from masd.stage.lock import sole
with sole(sys.argv[1], sys.argv[2]):
    child = os.fork()  # as a loader's worker, which outlives a process that is killed
    if child == 0:
        os.close(1)
        sys.stdin.read()
        os._exit(0)
    print(child, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def holding(folder, name=""):
    """Another process with the lock; ends, if it is still there, by the end of its input."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    child = int(other.stdout.readline())
    try:
        yield other
    finally:
        other.stdin.close()
        other.wait()
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_the_second_is_told_who_makes_it_and_leaves_nothing(tmp_path):
    with holding(tmp_path / "out") as other:
        with pytest.raises(MasdError) as caught, sole(tmp_path / "out"):
            pytest.fail("two processes hold it")
        (line,) = str(caught.value).splitlines()
        host = socket.gethostname()
        assert f"{tmp_path}/out is being made by process {other.pid} on {host} since 20" in line
        assert f"wait for it, or remove {tmp_path}/out/.lock if it is dead" in line
        with sole(tmp_path / "out", "1"), sole(tmp_path / "other"):
            pass  # another piece of work
    with sole(tmp_path / "out"):
        assert (tmp_path / "out" / ".lock").read_text().startswith(f"process {os.getpid()} ")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_killed_process_holds_nothing_though_its_children_live(tmp_path):
    with holding(tmp_path) as other:
        other.kill()
        other.wait()
        assert (tmp_path / ".lock").exists()
        with sole(tmp_path):
            pass
    assert not (tmp_path / ".lock").exists()


def test_a_lock_file_removed_by_hand_lets_the_second_go_on(tmp_path):
    """As the message says, for a host that died and whose lock the file server still keeps."""
    with holding(tmp_path):
        (tmp_path / ".lock").unlink()
        with sole(tmp_path):
            assert (tmp_path / ".lock").read_text().startswith(f"process {os.getpid()} ")


def test_of_torchruns_processes_the_first_holds_it_for_all(tmp_path, monkeypatch):
    with holding(tmp_path):
        monkeypatch.setenv("RANK", "1")
        with sole(tmp_path):
            pass
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(MasdError, match="is being made by"), sole(tmp_path):
            pass


def test_a_file_system_without_locks_stops_nobody(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with sole(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def arguments(tmp_path):
    """Inputs that are enough to begin with; nothing is read of them before the lock is taken."""
    for name, speaker in (("train", "a"), ("dev", "b")):
        utts = {f"{speaker}-{i}": ("bonafide", "spoof")[i] for i in range(2)}
        write_folder(
            tmp_path / name, dict.fromkeys(utts, "gone.wav"), dict.fromkeys(utts, speaker), utt2lab=utts
        )
        (tmp_path / f"{name}_dump").mkdir()
        (tmp_path / f"{name}_dump" / "hand.scp").write_text("of a dump\n")
    (tmp_path / "ssl").mkdir()
    for name in ("encoder.safetensors", "encoder.yaml"):
        (tmp_path / "ssl" / name).write_text("of an encoder\n")
    return [tmp_path / name for name in ("train", "dev", "train_dump", "dev_dump", "ssl", "out")]


def dump_part(train, dev, train_dump, dev_dump, ssl, out):
    dump_shard(train, out, FeatsConfig(), job=2, num_jobs=2)


def join_dump(train, dev, train_dump, dev_dump, ssl, out):
    finish_dump(out, 2)


def embed_part(train, dev, train_dump, dev_dump, ssl, out):
    extract_shard(ssl, train_dump, out, job=2, num_jobs=2)


def copy_part(train, dev, train_dump, dev_dump, ssl, out):
    copy_synthesis(train, "lpc", out, out / "wav", job=2, num_jobs=2)


def join_copies(train, dev, train_dump, dev_dump, ssl, out):
    finish_copy_synthesis(train, "lpc", out)


def score_part(train, dev, train_dump, dev_dump, ssl, out):
    score(out, train, model=PLUS, job=2, num_jobs=2)


def join_scores(train, dev, train_dump, dev_dump, ssl, out):
    finish_scores(out)


def train_encoder(train, dev, train_dump, dev_dump, ssl, out):
    config = PretrainConfig(objectives=("mask",))
    pretrain(train_dump, dev_dump, out, "", "", EncoderConfig(), config)


def fit(train, dev, train_dump, dev_dump, ssl, out):
    train_system("handcrafted", train, dev, out, train_dump=train_dump, dev_dump=dev_dump)


def train_mixtures(train, dev, train_dump, dev_dump, ssl, out):
    train_system("lfcc_gmm", train, dev, out)


def train_network(train, dev, train_dump, dev_dump, ssl, out):
    train_system("lfcc_lcnn", train, dev, out)


WORKS = {
    dump_part: "2", join_dump: "", embed_part: "2", copy_part: "2of2", join_copies: "",
    score_part: "2of2", join_scores: "", train_encoder: "", fit: "", train_mixtures: "", train_network: "",
}  # fmt: skip


@pytest.mark.parametrize("work", WORKS)
def test_each_piece_of_work_is_done_by_one_process(tmp_path, work):
    """The second has changed nothing when it ends: the first goes on undisturbed."""
    given = arguments(tmp_path)
    place = given[-1] / ".jobs" if work in (copy_part, score_part) else given[-1]
    with holding(place, WORKS[work]):
        if work is join_copies:
            marked = {"vocoder": "lpc", "data": input_digest(given[0]), "vocoder_digest": ""}
            Mark(place / ".jobs", "1of1").write("work", **marked, wav={}, seconds={}, failures={})
        before = sorted(place.rglob("*"))
        with pytest.raises(MasdError, match="is being made by process"):
            work(*given)
        assert sorted(place.rglob("*")) == before
