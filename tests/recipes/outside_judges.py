"""Who judges prepared folders beside us: lhotse, and Kaldi's validator if KALDI_ROOT names a Kaldi tree."""

import os
import subprocess
from pathlib import Path

import pytest

from masd.bin.data import prefix_speakers
from masd.data.checks import speaker_sorted, validate
from masd.data.folder import read_folder


def cells(figures, name):
    """{values of the conditions: (bona fide, spoofed)} of one breakdown."""
    found = next(one for one in figures["breakdowns"] if one["name"] == name)
    return {tuple(cell["values"]): (cell["bonafide"], cell["spoof"]) for cell in found["cells"]}


def lhotse_accepts(path, utts):
    """Whether lhotse's import finds the utterances of a data folder."""
    lhotse = pytest.importorskip("lhotse.kaldi")
    recordings, supervisions, _ = lhotse.load_kaldi_data_dir(path, 16000)
    assert {r.id for r in recordings} == {s.id for s in supervisions} == set(utts)


def kaldi_accepts(path):
    """Whether Kaldi's own validator passes a data folder; asked where KALDI_ROOT names a Kaldi tree."""
    if "KALDI_ROOT" in os.environ:
        words = ["utils/validate_data_dir.sh", "--no-feats", "--no-text", "--no-spk-sort", str(path)]
        where = Path(os.environ["KALDI_ROOT"]) / "egs" / "wsj" / "s5"
        done = subprocess.run(["bash", *words], cwd=where, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def check_folder(recipe, name="eval"):
    """Read a prepared folder after every judge has seen it."""
    path = recipe.path / "data" / "tiny" / name
    assert validate(path) == []
    folder = read_folder(path)
    lhotse_accepts(path, folder.utts)
    if speaker_sorted(folder):
        kaldi_accepts(path)
    else:  # ids of the corpus itself
        prefix_speakers(path, recipe.path / "kaldi")
        kaldi_accepts(recipe.path / "kaldi")
    return folder
