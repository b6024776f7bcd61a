"""The table of what detect says of genuine recordings: a row a condition, shares that add up."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "egs" / "mini" / "local"))

import judge_conditions

from masd.audio import write_wav
from masd.data.folder import write_folder
from masd.errors import MasdError
from masd.stage.seeding import generator


def voice(name):
    t = np.arange(3 * 16000) / 16000
    tone = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 60))
    syllables = np.clip(np.sin(2 * np.pi * 3 * t) + 0.4, 0, None)
    return (0.05 * syllables * (tone + generator(0, name).normal(size=len(t)))).astype(np.float32)


def test_a_row_a_condition_of_the_speakers_genuine_recordings(tmp_path, capsys):
    utts = {"a-1": ("a", "bonafide"), "a-2": ("a", "spoof"), "b-1": ("b", "bonafide")}
    for utt in utts:
        write_wav(tmp_path / f"{utt}.wav", voice(utt))
    write_folder(
        tmp_path / "data",
        {utt: str(tmp_path / f"{utt}.wav") for utt in utts},
        {utt: speaker for utt, (speaker, _) in utts.items()},
        utt2lab={utt: label for utt, (_, label) in utts.items()},
    )
    judge_conditions.judge_conditions([tmp_path / "data"], speakers="a")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(", 1 genuine recordings")
    rows = {line.split(" | ")[0][2:]: line.split(" | ")[1:4] for line in lines[4:]}
    assert list(rows) == list(judge_conditions.CONDITIONS)
    assert all(sum(map(float, shares)) == 100 for shares in rows.values())
    assert rows["8 kHz mu-law"] == ["0.0", "0.0", "100.0"]
    with pytest.raises(MasdError, match="no genuine recordings"):
        judge_conditions.judge_conditions([tmp_path / "data"], speakers="c")
