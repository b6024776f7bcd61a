"""The data-folder entry points as they are called: output, exit status, one line on a fault."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from masd.audio import write_wav
from masd.data.folder import read_folder, write_folder

ROOT = Path(__file__).resolve().parents[2]


def call(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "masd.bin.data", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def data(tmp_path):
    utts = [f"s{s}-u{i}" for s in (1, 2) for i in range(3)]
    wav = {utt: tmp_path / f"{utt}.wav" for utt in utts}
    for seed, path in enumerate(wav.values()):
        write_wav(path, np.random.default_rng(seed).uniform(-0.3, 0.3, 4000))
    write_folder(tmp_path / "data", wav, {utt: utt[:2] for utt in utts}, utt2dur=dict.fromkeys(utts, 0.25))
    return tmp_path / "data"


def test_validate_then_fix_then_validate(data, tmp_path):
    assert call("validate", "--data", data, "--strict", "true").returncode == 0
    (tmp_path / "s1-u0.wav").unlink()
    (data / "spk2utt").unlink()
    done = call("validate", "--data", data)
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 2
    assert done.stderr.strip().splitlines()[-1].startswith(f"data validate: error: {data}: 2 problem(s)")
    done = call("fix", "--data", data)
    assert done.returncode == 0 and "dropped utterance 's1-u0': no such file" in done.stdout
    assert call("validate", "--data", data, "--strict", "true").returncode == 0
    assert "nothing to repair" in call("fix", "--data", data).stdout


def test_subsets_of_every_kind(data, tmp_path):
    (tmp_path / "utts").write_text("s2-u1\ns1-u2\n")
    (tmp_path / "spks").write_text("s2\n")
    wanted = {
        ("--utt-list", tmp_path / "utts"): ["s1-u2", "s2-u1"],
        ("--spk-list", tmp_path / "spks"): ["s2-u0", "s2-u1", "s2-u2"],
        ("--first", 2): ["s1-u0", "s1-u1"],
        ("--random", 6): ["s1-u0", "s1-u1", "s1-u2", "s2-u0", "s2-u1", "s2-u2"],
    }
    for number, (arguments, utts) in enumerate(wanted.items()):
        done = call("subset", "--data", data, "--out", tmp_path / f"o{number}", *arguments)
        assert done.returncode == 0, done.stderr
        assert read_folder(tmp_path / f"o{number}").utts == utts
    done = call("subset", "--data", data, "--out", tmp_path / "p", "--per-speaker", 1, "--seed", 4)
    assert len(read_folder(tmp_path / "p").utts) == 2
    done = call("subset", "--data", data, "--out", tmp_path / "q", "--first", 1, "--random", 1)
    assert done.returncode == 1 and "give one of --utt-list" in done.stderr
    (tmp_path / "spks").write_text("s9\n")
    done = call("subset", "--data", data, "--out", tmp_path / "q", "--spk-list", tmp_path / "spks")
    assert done.returncode == 1 and "no speaker 's9'" in done.stderr


def test_split_and_merge(data, tmp_path):
    done = call("split", "--data", data, "--num-parts", 2, "--by", "speaker")
    assert done.stdout.split() == [f"{data}/split2/1", f"{data}/split2/2"]
    done = call("merge", "--data", f"[{data}/split2/1,{data}/split2/2]", "--out", tmp_path / "m")
    assert done.returncode == 0, done.stderr
    assert read_folder(tmp_path / "m").utts == read_folder(data).utts
    done = call("merge", "--data", f"[{data},{data}]", "--out", tmp_path / "n")
    assert done.returncode == 1 and "ids must be unique" in done.stderr
