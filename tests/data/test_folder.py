"""Data folders: what is written is read back; lists that disagree are refused by name."""

import pytest

from masd.data.folder import Segment, read_folder, shard, write_folder
from masd.errors import MasdError


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_is_written_is_read_back(data, tmp_path):
    folder = read_folder(data)
    assert folder.utts == sorted(folder.utts) and len(folder.utts) == 9
    assert (folder.spk("s2-u1"), folder.lab("s2-u1"), folder.attack("s2-u1")) == ("s2", "spoof", "A01")
    assert folder.lab("s2-u0") == "bonafide" and folder.attack("s2-u0") == "-"
    assert folder.source("s2-u0") == "s2-u0", "without utt2source a recording is its own source"
    assert folder.table("utt2dur")["s1-u0"] == "0.5"
    assert folder.recording("s1-u0") == Segment("s1-u0", 0.0, -1.0)
    assert (data / "spk2utt").read_text().splitlines()[0] == "s1 s1-u0 s1-u1"
    again = write_folder(tmp_path / "again", folder.wav, folder.utt2spk, **folder.tables)
    for name in ("wav.scp", "utt2spk", "spk2utt", "utt2lab", "text", "spk2gender"):
        assert (tmp_path / "again" / name).read_bytes() == (data / name).read_bytes()
    assert read_folder(tmp_path / "again") == again


def test_segments_are_written_and_read(cut):
    folder = read_folder(cut)
    assert folder.segments["c1-b"] == Segment("r1", 0.75, 2.0)
    assert (cut / "segments").read_text().splitlines()[0] == "c1-a r1 0 0.75"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("utt2lab", "s1-u0 bonafide\n", "", "utt2lab: lacks 's1-u0' of utt2spk"),
        ("utt2lab", "s1-u0 bonafide\n", "s0 spoof\ns1-u0 bonafide\n", "utt2lab: 's0' is not in utt2spk"),
        ("utt2lab", "s1-u0 bonafide", "s1-u0 real", "'s1-u0 real': a label is bonafide or spoof"),
        ("utt2attack", "s1-u0 -", "s1-u0 A01", "a bona fide utterance has attack -"),
        ("utt2attack", "s1-u1 A01", "s1-u1 -", "'s1-u1' is spoof and has no attack id"),
        ("utt2attack", "s1-u1 A01", "s1-u1 A01 x", "more than two columns"),
        ("utt2dur", "s1-u0 0.5", "s1-u0 0", "utt2dur: 's1-u0 0': a duration"),
        ("utt2dur", "s1-u0 0.5", "s1-u0 long", "utt2dur: 's1-u0 long'"),
        ("utt2spk", "s1-u0 s1\n", "", "utt2spk: lacks 's1-u0' of wav.scp"),
        ("utt2spk", "s1-u0 s1", "s1-u0 s1 s2", "more than two columns"),
        ("wav.scp", "s1-u0 ", "s1-u00 ", "'s1-u0' is not in wav.scp"),
        ("spk2utt", "s1 s1-u0", "s1 s1-u1", "spk2utt: does not agree with utt2spk"),
        ("spk2gender", "s1 f\n", "", "spk2gender: lacks 's1'"),
        ("text", "s1-u0 two words\n", "", "text: lacks 's1-u0'"),
    ],
)
def test_lists_that_disagree_are_refused_by_name(data, name, old, new, message):
    if name == "utt2spk":
        (data / "spk2gender").unlink()
    edit(data / name, old, new)
    with pytest.raises(MasdError, match=message) as error:
        read_folder(data)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("c1-a r1 0 0.75", "c1-a r1 0.75 0", "'c1-a 0.75 0': start and end are no seconds"),
        ("c1-a r1 0 0.75", "c1-a r1 0", "bad line 'c1-a r1 0'"),
        ("c1-a r1 0 0.75", "c1-a r1 nan 1", "'c1-a nan 1': start"),
        ("c1-a r1 0 0.75", "c1-a r1 -1 0.75", "'c1-a -1 0.75': start"),
        ("c2-a r2 0.1 1.9", "c2-a r3 0.1 1.9", "recording 'r3' is not in wav.scp"),
        ("c2-a r2 0.1 1.9", "c2-a r1 0.1 1.9", "wav.scp: recording 'r2' has no segment"),
        ("c2-a r2 0.1 1.9\n", "", "utt2spk: 'c2-a' is not in segments"),
    ],
)
def test_segments_that_cannot_be_are_refused(cut, old, new, message):
    edit(cut / "segments", old, new)
    with pytest.raises(MasdError, match=message):
        read_folder(cut)


@pytest.mark.parametrize("name", ["wav.scp", "utt2spk"])
def test_a_folder_without_its_lists_is_refused(data, tmp_path, name):
    (data / name).unlink()
    with pytest.raises(MasdError, match=f"{name}: cannot be read"):
        read_folder(data)
    with pytest.raises(MasdError, match="none: no such data folder"):
        read_folder(tmp_path / "none")


def test_text_may_be_empty_and_spk2utt_missing(data):
    edit(data / "text", "s1-u0 two words", "s1-u0")
    (data / "spk2utt").unlink()
    assert read_folder(data).tables["text"]["s1-u0"] == ""


def test_files_that_are_no_tables_are_left_alone(data):
    (data / "utt2lab.old").write_text("nonsense")
    (data / "subset_data.yaml").write_text("a: 1\n")
    assert set(read_folder(data).tables) == {"utt2lab", "utt2attack", "utt2dur", "text", "spk2gender"}


def test_a_table_or_utterance_that_is_needed_and_missing_is_named(cut):
    folder = read_folder(cut)
    with pytest.raises(MasdError, match="has no utt2lab"):
        folder.lab("c1-a")
    with pytest.raises(MasdError, match="no utterance 'x'"):
        folder.spk("x")
    with pytest.raises(MasdError, match="no utterance 'r1' with audio"):
        folder.recording("r1")


def test_a_folder_that_would_be_wrong_is_not_written(tmp_path):
    wav, spk = {"a": "a.wav", "b": "b.wav"}, {"a": "s", "b": "s"}
    for kwargs, message in (
        ({"utt2lab": {"a": "spoof"}}, "lacks 'b'"),
        ({"utt2lab": {"a": "spoof", "b": "fake"}}, "a label is"),
        ({"labels": {"a": "spoof", "b": "spoof"}}, "'labels' is no table"),
        ({"segments": {"a": ("a", 1.0, 0.5), "b": ("b", 0.0, 1.0)}}, "'a 1 0.5': start and end"),
    ):
        with pytest.raises(MasdError, match=message):
            write_folder(tmp_path / "d", wav, spk, **kwargs)
    with pytest.raises(MasdError, match="holds a slash"):
        write_folder(tmp_path / "d", {"a/b": "a.wav"}, {"a/b": "s"})
    assert not (tmp_path / "d").exists()


def test_writing_over_a_folder_leaves_no_list_of_the_old_one(data):
    (data / "notes.md").write_text("kept")
    write_folder(data, {"a": "a.wav"}, {"a": "s"})
    assert sorted(p.name for p in data.iterdir()) == ["notes.md", "spk2utt", "utt2spk", "wav.scp"]


@pytest.mark.parametrize(("count", "jobs"), [(10, 3), (3, 5), (0, 2), (7, 1), (12, 4)])
def test_shards_joined_are_the_whole_in_order_and_of_even_size(count, jobs):
    parts = [shard(range(count), job, jobs) for job in range(1, jobs + 1)]
    assert [item for part in parts for item in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("jobs", [1, 2, 3, 7, 40])
def test_shards_of_a_folder_with_durations_have_as_much_speech_each(tmp_path, jobs):
    """The slowest job says how long a stage takes; speakers with long utterances stand side by side."""
    seconds = {f"u{i:02d}": 0.5 + (9.0 if i < 6 else 0.01 * i) for i in range(30)}
    wav = {utt: f"{utt}.wav" for utt in seconds}
    table = {utt: str(value) for utt, value in seconds.items()}
    folder = write_folder(tmp_path / "d", wav, dict.fromkeys(wav, "s"), utt2dur=table)
    parts = [folder.shard(job, jobs) for job in range(1, jobs + 1)]
    assert [utt for part in parts for utt in part] == folder.utts
    ideal = sum(seconds.values()) / jobs
    assert all(abs(sum(seconds[utt] for utt in part) - ideal) <= 9.5 for part in parts)
    assert jobs == 1 or len(parts[0]) < len(parts[-1])


def test_a_shard_outside_its_jobs_is_refused():
    for job in (0, 4):
        with pytest.raises(MasdError, match="lies between 1 and"):
            shard([1], job, 3)
