"""validate lists everything that is wrong, and with `strict` hears every utterance."""

import numpy as np
import soundfile

from masd.data.checks import missing_audio, speaker_sorted, validate
from masd.data.folder import read_folder, write_folder


def test_a_good_folder_has_no_problems(data, cut):
    for folder in (data, cut):
        assert validate(folder) == [] and validate(folder, strict=True) == []


def test_every_problem_is_listed_not_the_first_alone(data):
    (data / "spk2utt").unlink()
    lines = (data / "utt2lab").read_text().splitlines()
    (data / "utt2lab").write_text("\n".join([lines[1], lines[0], *lines[2:-1]]) + "\n")
    wav = (data / "wav.scp").read_text().split()
    open(wav[1], "w").close()
    (data / "wav.scp").write_text((data / "wav.scp").read_text().replace("s2-u0.wav", "gone.wav"))
    problems = validate(data)
    wanted = ["not sorted", "lacks 's3-u2'", "empty file", "gone.wav", "spk2utt: missing"]
    assert len(problems) == len(wanted)
    for part in wanted:
        assert sum(part in line for line in problems) == 1, part


def test_no_folder_is_one_problem(tmp_path):
    assert validate(tmp_path / "none") == [f"{tmp_path}/none: no such data folder"]


def test_strict_hears_every_utterance(data):
    files = dict(line.split() for line in (data / "wav.scp").read_text().splitlines())
    soundfile.write(files["s1-u0"], np.zeros(8000), 16000)
    soundfile.write(files["s1-u1"], np.full(8000, np.nan), 16000, subtype="FLOAT")
    with open(files["s2-u0"], "wb") as stream:
        stream.write(b"no audio at all")
    soundfile.write(files["s2-u1"], np.random.default_rng(0).uniform(-0.1, 0.1, 16000), 16000)
    with open(files["s2-u2"], "r+b") as stream:
        stream.truncate(9000)
    assert validate(data) == []
    problems = validate(data, strict=True)
    wanted = {"s1-u0": "silent", "s1-u1": "not finite", "s2-u0": "not audio", "s2-u2": "cut short"}
    assert len(problems) == 5
    for utt, part in wanted.items():
        assert any(f"'{utt}'" in line and part in line for line in problems), utt
    assert any("utt2dur: 's2-u1 0.5': its audio lasts 1.000 s" in line for line in problems)


def test_strict_runs_pipes_only_when_allowed(data, tmp_path):
    wav = read_folder(data).wav["s1-u0"]
    write_folder(tmp_path / "p", {"u": f"cat {wav} |"}, {"u": "s"})
    assert validate(tmp_path / "p") == []
    (problem,) = validate(tmp_path / "p", strict=True)
    assert "--allow-pipes true" in problem
    assert validate(tmp_path / "p", strict=True, allow_pipes=True) == []


def test_whether_ids_sort_by_speaker_is_known(data, tmp_path):
    assert speaker_sorted(read_folder(data))
    assert not speaker_sorted(write_folder(tmp_path / "x", {"a": "a", "b": "b"}, {"a": "z", "b": "y"}))


def test_audio_in_an_archive_is_there(tmp_path):
    import kaldiio

    wave = np.random.default_rng(0).integers(-999, 999, 8000).astype(np.int16)
    kaldiio.save_ark(f"{tmp_path}/wav.ark", {"u": (16000, wave)})
    folder = write_folder(tmp_path / "d", {"u": f"{tmp_path}/wav.ark:2"}, {"u": "s"})
    assert not missing_audio(folder) and validate(folder.path, strict=True) == []
    gone = write_folder(tmp_path / "e", {"u": f"{tmp_path}/no.ark:2"}, {"u": "s"})
    assert "no such file" in missing_audio(gone)["u"]
