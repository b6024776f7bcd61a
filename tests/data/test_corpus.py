"""Strict reading of published corpora: what is wrong is a line that names the file and what was expected."""

import pytest

from masd.data.corpus import (
    Findings,
    check_counts,
    check_present,
    choose_each,
    complete,
    find_root,
    id_of,
    list_audio,
    read_rows,
    unique,
    write_prepared,
    write_sets,
)
from masd.data.folder import read_folder
from masd.data.keys import Key
from masd.errors import MasdError

FORM = "spk utt key"


def root_of(given, parts=("a/flac", "b")):
    return find_root(given, parts, "Toy", "Toy/a/flac beside Toy/b", "--corpus")


@pytest.fixture
def toy(tmp_path):
    (tmp_path / "up" / "Toy" / "a" / "flac").mkdir(parents=True)
    (tmp_path / "up" / "Toy" / "b").mkdir()
    return tmp_path / "up" / "Toy"


def test_a_corpus_is_found_from_above_and_from_within(toy):
    for given in (toy, toy.parent, toy / "b", toy / "a"):
        assert root_of(given).resolve() == toy.resolve()


def test_a_missing_part_is_named_with_its_path(toy):
    (toy / "b").rmdir()
    with pytest.raises(MasdError, match=r"no .*/Toy/b, though a/flac is there: a part is missing .* renamed"):
        root_of(toy)


def test_a_wrong_folder_a_file_and_nothing_are_told_apart(toy):
    wrong = toy.parent / "x" / "y" / "z" / "w"
    wrong.mkdir(parents=True)
    with pytest.raises(
        MasdError, match="neither a/flac nor anything else of Toy is in it; it looks like Toy/a"
    ):
        root_of(wrong)
    (toy / "Toy.zip").touch()
    with pytest.raises(MasdError, match="is a file; unpack it first"):
        root_of(toy / "Toy.zip")
    with pytest.raises(MasdError, match="no such folder"):
        root_of(toy / "nowhere")
    with pytest.raises(MasdError, match="no --corpus given"):
        root_of("")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"s u k\r\ns v k\r\n", r"p:1: Windows line end .* dos2unix"),
        (b"s u k\ns v\n", r"p:2: 2 columns, not 3 as in 'spk utt key'"),
        (b"s u k\n\ns v k\n", r"p:2: 0 columns"),
        (b"s u k\ns \xff k\n", "not UTF-8"),
    ],
)
def test_a_damaged_protocol_is_named_by_line(tmp_path, content, said):
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(MasdError, match=said):
        read_rows(tmp_path / "p", {3}, FORM)


def test_a_protocol_is_read_in_its_order_and_twice_the_same_id_is_refused(tmp_path):
    (tmp_path / "p").write_text("s  u k\nr\tt k")
    rows = read_rows(tmp_path / "p", {3}, FORM)
    assert rows == [["s", "u", "k"], ["r", "t", "k"]]
    with pytest.raises(MasdError, match="'u' stands there twice"):
        unique(tmp_path / "p", ["t", "u", "u"])
    with pytest.raises(MasdError, match="no such file; its lines look like 'spk utt key'"):
        read_rows(tmp_path / "q", {3}, FORM)


def test_a_listing_is_by_stem_and_two_files_of_one_stem_are_refused(tmp_path):
    for name in ("b.flac", "a.FLAC", "notes.txt", ".hidden.flac"):
        (tmp_path / name).touch()
    assert list_audio(tmp_path, {".flac"}) == {"a": f"{tmp_path}/a.FLAC", "b": f"{tmp_path}/b.flac"}
    (tmp_path / "b.wav").touch()
    with pytest.raises(MasdError, match=r"b\.flac is there too"):
        list_audio(tmp_path, {".flac", ".wav"})


def test_findings_stop_a_strict_run_with_the_first_and_are_logged_by_another(caplog):
    strict, free = Findings("Toy"), Findings("Toy", strict=False)
    for findings in (strict, free):
        check_counts(findings, "Toy train", {"bonafide": 3}, {"bonafide": 4, "speakers": 2})
        assert check_present(findings, "Toy train", ["u", "v"], {"v"}, "here") == ["v"]
    with pytest.raises(MasdError, match=r"3 bonafide, published are 4 \(and 2 more.*--strict false"):
        strict.settle()
    caplog.clear()
    free.settle()
    assert "1 of 2 files of the protocol are not in here (u)" in caplog.text
    with pytest.raises(MasdError, match="unpack that part"):
        check_present(free, "Toy train", ["u"], {}, "here")


def test_a_groups_choice_is_the_same_whatever_other_groups_hold():
    items = [(spk, number) for spk in "abc" for number in range(9)]
    kept = choose_each(items, lambda one: one[0], 4, 0, "train")
    assert [one for one in items if one in kept] == kept
    assert [sum(spk == one[0] for one in kept) for spk in "abc"] == [4, 4, 4]
    alone = choose_each([one for one in items if one[0] == "b"], lambda one: one[0], 4, 0, "train")
    assert alone == [one for one in kept if one[0] == "b"]
    assert choose_each(items, lambda one: one[0], 4, 1, "train") != kept


def prepared(path, files, **tables):
    write_prepared(path, files, dict.fromkeys(files, "s"), utt2lab=dict.fromkeys(files, "spoof"), **tables)
    return {one.name: (one.read_text(), one.stat().st_mtime_ns) for one in path.iterdir()}


def test_a_set_prepared_again_is_left_alone_with_its_durations(tmp_path):
    """Another table is written and durations stay; other recordings lose them; a damaged list is replaced."""
    path, files = tmp_path / "eval", {"a": "c/a.wav", "b": "c/b.wav"}
    prepared(path, files)
    (path / "utt2dur").write_text("a 1.5\nb 2\n")
    first = prepared(path, files)
    assert first["utt2dur"][0] == "a 1.5\nb 2\n" and prepared(path, files) == first
    other = prepared(path, files, utt2codec=dict.fromkeys(files, "mp3"))
    assert "utt2dur" in other and "utt2codec" in other and other["wav.scp"] == first["wav.scp"]
    for more in (files | {"c": "c/c.wav"}, files | {"b": "d/b.wav"}):
        prepared(path, files)
        (path / "utt2dur").write_text("a 1.5\nb 2\n")
        assert "utt2dur" not in prepared(path, more), "a folder filled later is noticed"
    (path / "wav.scp").write_text("half")
    prepared(path, files)
    assert read_folder(path).utts == ["a", "b"]


def test_an_id_is_a_name_without_white_space():
    assert id_of("file3 (1) \t x.wav") == "file3_(1)_x.wav"


ALL = {"each": 0, "by": [], "seed": 0}


def toy_key():
    """Four trials of two speakers, one of whom is not named."""
    label = {"a": "bonafide", "b": "spoof", "c": "spoof", "d": "bonafide"}
    tables = {"spk": {"a": "Ann B.", "b": "Ann B."}, "codec": dict.fromkeys(label, "low mp3"), "other": {}}
    return Key("toy", label, {"a": "-", "b": "x", "c": "y", "d": "-"}, tables)


def test_sets_are_written_with_what_results_are_broken_down_by(tmp_path):
    """Unknown voices are one a set and class; the bona fide part of train is what pretraining takes."""
    sets = {"train": toy_key(), "eval": toy_key().take("ab")}
    write_sets(tmp_path, sets, {utt: f"/x/{utt}.wav" for utt in "abcd"}, ALL, "codec,codec*attack")
    train = read_folder(tmp_path / "train")
    assert train.utt2spk == {"a": "Ann_B.", "b": "Ann_B.", "c": "train-spoof", "d": "train-bonafide"}
    assert train.tables["utt2codec"] == dict.fromkeys("abcd", "low_mp3") and "utt2other" not in train.tables
    assert read_folder(tmp_path / "pretrain").utts == ["a", "d"] and read_folder(tmp_path / "eval").utts == [
        "a",
        "b",
    ]
    assert (tmp_path / "breakdown").read_text() == "codec,codec*attack\n"


def test_a_part_of_a_set_has_so_many_of_each_class_and_condition(tmp_path):
    audio = {utt: f"/x/{utt}.wav" for utt in "abcd"}
    write_sets(tmp_path, {"eval": toy_key()}, audio, {"each": 1, "by": ["attack"], "seed": 0}, "codec")
    assert sorted(read_folder(tmp_path / "eval").tables["utt2attack"].values()) == ["-", "x", "y"]
    with pytest.raises(MasdError, match="toy: knows no condition room"):
        write_sets(tmp_path, {"eval": toy_key()}, audio, ALL, "room")
    with pytest.raises(MasdError, match="no trial is left for it, of toy"):
        write_sets(tmp_path, {"eval": toy_key().take("")}, audio, ALL, "codec")


def test_what_is_missing_is_left_out_and_counts_are_compared():
    findings = Findings("Toy", strict=True)
    key = complete(
        findings, "eval", toy_key(), {"a": "", "b": "", "c": ""}, "here", {"spoof": 2, "trials": 5}
    )
    assert list(key.label) == ["a", "b", "c"]
    assert findings.lines == [
        "eval: 4 trials, published are 5",
        "eval: 1 of 4 files of the protocol are not in here (d)",
    ]
