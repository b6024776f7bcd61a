"""Durations come from headers, whatever the rate and format; a damaged file is found without decoding it."""

import numpy as np
import pytest
import soundfile

from masd.data.durations import duration_shard, finish_durations, header_seconds
from masd.data.folder import read_folder, write_folder
from masd.errors import MasdError


def write(path, seconds, rate=16000, channels=1):
    noise = np.random.default_rng(len(str(path))).uniform(-0.3, 0.3, (round(seconds * rate), channels))
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, noise, rate)
    return path


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [16000, 22050, 24000])
def test_a_header_tells_the_length(tmp_path, suffix, rate):
    path = write(tmp_path / f"x.{suffix}", 1.5, rate, 2)
    assert header_seconds(path) == pytest.approx(1.5, abs=0.06 if suffix == "mp3" else 1e-9)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_file_cut_short_is_found(tmp_path, suffix):
    path = write(tmp_path / f"x.{suffix}", 2.0)
    cut(path)
    with pytest.raises(MasdError, match=f"x.{suffix}: cut short"):
        header_seconds(path)


def test_empty_and_strange_files_are_named(tmp_path):
    (tmp_path / "e.flac").touch()
    (tmp_path / "t.flac").write_text("no audio at all")
    with pytest.raises(MasdError, match=r"e\.flac: empty file"):
        header_seconds(tmp_path / "e.flac")
    with pytest.raises(MasdError, match=r"t\.flac: not audio"):
        header_seconds(tmp_path / "t.flac")


@pytest.fixture
def data(tmp_path):
    """Five recordings of 1.0 to 1.4 s, without utt2dur."""
    wav = {f"u{i}": write(tmp_path / "w" / f"u{i}.flac", 1 + i / 10) for i in range(5)}
    spk = dict.fromkeys(wav, "s")
    write_folder(tmp_path / "d", wav, spk, utt2lab=dict.fromkeys(wav, "spoof"), spk2gender={"s": "f"})
    return tmp_path / "d"


def test_shards_together_make_the_table_and_are_not_done_again(data):
    for job in (1, 2, 3):
        duration_shard(data, job, 3)
    folder = finish_durations(data, 3)
    assert {u: float(s) for u, s in folder.tables["utt2dur"].items()} == pytest.approx(
        {f"u{i}": 1 + i / 10 for i in range(5)}
    )
    mark = data / ".utt2dur" / ".done.1of3.json"
    before = mark.stat().st_mtime_ns
    duration_shard(data, 1, 3)
    assert mark.stat().st_mtime_ns == before
    assert read_folder(data).tables.keys() == {"utt2lab", "utt2dur", "spk2gender"}


def test_a_folder_that_has_its_durations_is_left_alone(data):
    duration_shard(data, 1, 1)
    finish_durations(data, 1)
    before = {path: path.stat().st_mtime_ns for path in data.iterdir() if path.is_file()}
    assert {path.name for path in before} >= {"utt2dur", "wav.scp", "failures"}
    finish_durations(data, 1)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_missing_shard_is_an_error(data):
    duration_shard(data, 1, 2)
    with pytest.raises(MasdError, match="job 2 of 2"):
        finish_durations(data, 2)


def test_an_unreadable_recording_stops_or_leaves_the_folder(data, tmp_path):
    cut(tmp_path / "w" / "u2.flac")
    duration_shard(data, 1, 1)
    with pytest.raises(MasdError, match=r"1 of 5 utterances failed.*u2.*cut short"):
        finish_durations(data, 1)
    assert "utt2dur" not in read_folder(data).tables, "nothing was written"
    folder = finish_durations(data, 1, max_fail=0.2)
    assert folder.utts == ["u0", "u1", "u3", "u4"]
    assert (data / "failures").read_text().startswith("u2 ")


def test_a_recording_that_was_unpacked_again_is_read_again(data, tmp_path):
    """The advice of the error message helps without --force, and what could be read is not read again."""
    whole = (tmp_path / "w" / "u2.flac").read_bytes()
    cut(tmp_path / "w" / "u2.flac")
    duration_shard(data, 1, 1)
    (tmp_path / "w" / "u2.flac").write_bytes(whole)
    (tmp_path / "w" / "u3.flac").unlink()
    duration_shard(data, 1, 1)
    assert len(finish_durations(data, 1).utts) == 5


def test_segments_have_their_own_lengths(tmp_path):
    path = write(tmp_path / "w" / "r.wav", 3.0)
    cuts = {"a": ("r", 0.5, 1.25), "b": ("r", 1.0, -1)}
    write_folder(tmp_path / "d", {"r": path}, {"a": "s", "b": "s"}, segments=cuts)
    duration_shard(tmp_path / "d", 1, 1)
    table = finish_durations(tmp_path / "d", 1).tables["utt2dur"]
    assert {u: float(s) for u, s in table.items()} == pytest.approx({"a": 0.75, "b": 2.0})


def test_ends_of_segments_are_taken_where_recordings_are_commands(tmp_path):
    segments = {"u1": ("r", 0.5, 2.5), "u2": ("r", 2.5, 4.0)}
    write_folder(tmp_path / "d", {"r": "no-such-program |"}, dict.fromkeys(segments, "s"), segments)
    duration_shard(tmp_path / "d", 1, 1)
    folder = finish_durations(tmp_path / "d", 1)
    assert {utt: float(t) for utt, t in folder.tables["utt2dur"].items()} == {"u1": 2.0, "u2": 1.5}
    write_folder(tmp_path / "e", {"r": "no-such-program |"}, {"u1": "s"}, {"u1": ("r", 0.5, -1)})
    with pytest.raises(MasdError, match="is a command"):
        duration_shard(tmp_path / "e", 1, 1)
