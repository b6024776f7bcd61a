"""Repair, subset, split, merge: nothing is lost or guessed, and choices are reproducible."""

import shutil

import pytest

from masd.data.checks import validate
from masd.data.folder import read_folder, write_folder
from masd.data.transform import (
    choose_per_speaker,
    choose_random,
    fix,
    merge,
    prefix_speakers,
    read_ids,
    split,
    subset,
)
from masd.errors import MasdError


def content(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_a_good_folder_is_not_touched_by_fix(data, cut):
    for folder in (data, cut):
        before = content(folder)
        assert fix(folder) == []
        assert content(folder) == before and not (folder / ".backup").exists()


def test_fix_mends_form_and_keeps_the_lists_as_they_were(data):
    good = content(data)
    for name in ("wav.scp", "utt2lab"):
        lines = (data / name).read_text().splitlines()
        (data / name).write_bytes("\r\n".join([*reversed(lines), lines[0]]).encode())
    (data / "spk2utt").unlink()
    bad = content(data)
    lines = fix(data)
    assert content(data) == good
    assert {p.name: p.read_bytes() for p in (data / ".backup").iterdir()} == bad
    for part in ("not sorted", "Windows line end", "duplicate id", "spk2utt: made"):
        assert any(part in line for line in lines), part
    assert fix(data) == []
    assert {p.name: p.read_bytes() for p in (data / ".backup").iterdir()} == bad, (
        "a second call keeps the backup"
    )


def test_fix_drops_what_lacks_audio_speaker_or_label_and_says_why(data):
    wav = read_folder(data).wav
    (data / "wav.scp").write_text((data / "wav.scp").read_text().replace(wav["s1-u0"], "gone.wav"))
    open(wav["s1-u1"], "w").close()
    edits = {
        "utt2spk": ("s2-u0 s2\n", ""),
        "utt2dur": ("s2-u1 0.5\n", ""),
        "utt2lab": ("s2-u2 bonafide", "s2-u2 real"),
    }
    edits["utt2attack"] = ("s3-u1 A01\n", "s3-u1 A01\ns3-u1 A02\n")
    for name, (old, new) in edits.items():
        (data / name).write_text((data / name).read_text().replace(old, new))
    lines = "\n".join(fix(data))
    assert read_folder(data).utts == ["s2-u3", "s3-u0", "s3-u2"]
    assert validate(data) == []
    for utt, why in {
        "s1-u0": "no such file gone.wav",
        "s1-u1": "empty file",
        "s2-u0": "not in utt2spk",
        "s2-u1": "not in utt2dur",
        "s2-u2": "label 'real'",
        "s3-u1": "several lines in utt2attack contradict",
    }.items():
        assert f"dropped utterance '{utt}': {why}" in lines
    assert set((data / "spk2gender").read_text().split()) == {"s2", "s3", "m", "f"}


def test_fix_drops_segments_without_their_recording_and_recordings_without_segments(cut, tmp_path):
    (tmp_path / "r2.flac").unlink()
    (cut / "segments").write_text((cut / "segments").read_text().replace("c1-b r1 0.75 2", "c1-b r1 2 0.75"))
    lines = "\n".join(fix(cut))
    assert read_folder(cut).utts == ["c1-a"] and list(read_folder(cut).wav) == ["r1"]
    assert "dropped utterance 'c1-b': its segment, 2 to 0.75 s, is none" in lines
    assert "dropped utterance 'c2-a': no such file" in lines and "dropped recording 'r2'" in lines


def test_fix_leaves_out_a_gender_list_that_lacks_speakers(data):
    (data / "spk2gender").write_text("s1 f\n")
    assert any("spk2gender: lacks speakers" in line for line in fix(data))
    assert len(read_folder(data).utts) == 9


def test_fix_changes_nothing_where_nothing_would_be_left_or_lists_are_missing(data, tmp_path):
    shutil.rmtree(tmp_path / "wav")
    before = content(data)
    with pytest.raises(MasdError, match="no utterance would be left"):
        fix(data)
    assert content(data) == before and not (data / ".backup").exists()
    (data / "utt2spk").unlink()
    with pytest.raises(MasdError, match="utt2spk: no such file"):
        fix(data)


def test_a_subset_holds_what_was_asked_for_in_every_list(data, cut, tmp_path):
    kept = subset(data, tmp_path / "sub", ["s3-u2", "s1-u1"])
    assert kept.utts == ["s1-u1", "s3-u2"] and validate(tmp_path / "sub", strict=True) == []
    assert read_folder(tmp_path / "sub").tables["spk2gender"] == {"s1": "f", "s3": "f"}
    subset(cut, tmp_path / "sub2", ["c2-a"])
    assert list(read_folder(tmp_path / "sub2").wav) == ["r2"] and validate(tmp_path / "sub2") == []


def test_a_subset_that_cannot_be_is_refused(data, tmp_path):
    for utts, message in (([], "empty"), (["x"], "no utterance 'x'")):
        with pytest.raises(MasdError, match=message):
            subset(data, tmp_path / "sub", utts)
    with pytest.raises(MasdError, match="is the source as well"):
        subset(data, data, ["s1-u0"])


def test_random_choices_depend_on_the_seed_and_on_nothing_else(data):
    folder = read_folder(data)
    first = choose_random(folder.utts, 4, 0)
    assert first == choose_random(folder.utts[::-1], 4, 0) == sorted(first) and len(set(first)) == 4
    assert len({tuple(choose_random(folder.utts, 4, seed)) for seed in range(20)}) > 5
    chosen = choose_per_speaker(folder, 2, 3)
    assert [sum(u.startswith(s) for u in chosen) for s in ("s1", "s2", "s3")] == [2, 2, 2]
    folder.utt2spk = {utt: spk for utt, spk in folder.utt2spk.items() if spk != "s1"}
    assert choose_per_speaker(folder, 2, 3) == chosen[2:], "a speaker's choice does not depend on the others"
    with pytest.raises(MasdError, match="10 utterances asked for, there are 9"):
        choose_random(read_folder(data).utts, 10, 0)


def test_id_lists_may_have_any_order_but_no_duplicates(tmp_path):
    (tmp_path / "ids").write_text("b x\n\na\n")
    assert read_ids(tmp_path / "ids") == ["b", "a"]
    (tmp_path / "ids").write_text("b\na\nb\n")
    with pytest.raises(MasdError, match="duplicate id 'b'"):
        read_ids(tmp_path / "ids")


def test_split_parts_are_the_whole_and_merge_puts_them_together_again(data, tmp_path):
    before = content(data)
    for by in ("utterance", "speaker"):
        paths = split(data, f"{tmp_path}/{by}-", 3, by)
        parts = [read_folder(path) for path in paths]
        assert sorted(utt for part in parts for utt in part.utts) == read_folder(data).utts
        assert all(validate(path) == [] for path in paths)
        merge(tmp_path / f"merged-{by}", paths)
        assert content(tmp_path / f"merged-{by}") == before
    assert all(len(set(part.utt2spk.values())) == 1 for part in parts), "a speaker is in one part"


def test_a_split_into_too_many_parts_is_refused(data, tmp_path):
    for n, by in ((10, "utterance"), (4, "speaker"), (0, "speaker")):
        with pytest.raises(MasdError, match=f"cannot be split into {n} parts by {by}|--num-jobs"):
            split(data, f"{tmp_path}/p", n, by)


def test_merging_the_same_utterance_twice_is_an_error(data, tmp_path):
    with pytest.raises(MasdError, match="utterance 's1-u0' is in another of the folders too"):
        merge(tmp_path / "m", [data, data])
    assert not (tmp_path / "m").exists()


def test_merging_leaves_out_tables_that_not_all_have_and_says_so(data, cut, tmp_path, caplog):
    merge(tmp_path / "m", [data, cut])
    merged = read_folder(tmp_path / "m")
    assert set(merged.tables) == {"utt2dur"} and len(merged.utts) == 12
    assert validate(tmp_path / "m", strict=True) == []
    assert merged.segments["s1-u0"] == ("s1-u0", 0.0, 0.5), "whole recordings become segments beside segments"
    assert "utt2lab is left out" in caplog.text


def test_merging_needs_durations_beside_segments(data, cut, tmp_path):
    folder = read_folder(data)
    write_folder(tmp_path / "bare", folder.wav, folder.utt2spk)
    with pytest.raises(MasdError, match="needs utt2dur"):
        merge(tmp_path / "m", [tmp_path / "bare", cut])


def test_a_speaker_before_the_id_makes_orders_agree_and_keeps_every_table(tmp_path):
    wav = {"u1": "x.wav", "u2": "y.wav", "u3": "z.wav"}
    spk = {"u1": "s2", "u2": "s1", "u3": "s2"}
    write_folder(
        tmp_path / "own", wav, spk, utt2dur=dict.fromkeys(wav, 1.0), spk2gender={"s1": "f", "s2": "m"}
    )
    made = prefix_speakers(tmp_path / "own", tmp_path / "new")
    assert made.utts == ["s1-u2", "s2-u1", "s2-u3"] and [made.spk(utt) for utt in made.utts] == [
        "s1",
        "s2",
        "s2",
    ]
    assert made.wav["s2-u1"] == "x.wav" and made.tables["spk2gender"] == {"s1": "f", "s2": "m"}
    assert set(made.tables["utt2dur"]) == set(made.utts)
    write_folder(tmp_path / "odd", {"u": "x.wav", "v": "y.wav"}, {"u": "a", "v": "a+b"})
    with pytest.raises(MasdError, match="rename the speakers"):
        prefix_speakers(tmp_path / "odd", tmp_path / "no")
    assert not (tmp_path / "no").exists()
