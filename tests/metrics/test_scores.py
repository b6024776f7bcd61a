"""Score files: what is refused is named, what is written reads back to the last digit, joins go by id."""

import numpy as np
import pytest

from masd.errors import MasdError
from masd.metrics.scores import ScoreFile, align, join, p_fake, read_scores, write_scores


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"u1 1.0\nu2 2.0\nu1 1.0\n", r"scores:3: trial u1 occurs twice"),
        (b"u1 1.0\nu2 nan\n", r"scores:2: trial u2: the score nan is not finite"),
        (b"u1 inf\n", r"scores:1: trial u1: the score inf is not finite"),
        (b"u1 1.0\nu2 high\n", r"scores:2: trial u2: `high` is not a number"),
        (b"file;score\nu1;0,5\n", r"scores:2: trial u1: `0,5` is not a number; write decimals with a point"),
        (b"u1\n", r"scores:1: expected `<utt> <score>`.*the first line is `u1`"),
        (b"u1 1.0 bonafide\n", r"scores:1: expected `<utt> <score>`.*the first line is `u1 1.0 bonafide`"),
        (b"u1 1.0\nu2 1.0 x\n", r"scores:2: 3 columns, 2 in the first line"),
        (b"\xff 1.0\n", "not UTF-8"),
        (b"", "holds no scores"),
    ],
)
def test_a_bad_score_file_is_refused_by_line(tmp_path, content, said):
    (tmp_path / "scores").write_bytes(content)
    with pytest.raises(MasdError, match=said):
        read_scores(tmp_path / "scores")


def test_a_missing_score_file_is_one_clear_line(tmp_path):
    with pytest.raises(MasdError, match="cannot be read"):
        read_scores(tmp_path / "none")


def test_scores_read_back_exactly_and_are_written_sorted(tmp_path):
    rng = np.random.default_rng(0)
    scores = {f"u{i}": float(x) for i, x in enumerate(rng.normal(size=50) * 10.0 ** rng.integers(-9, 9, 50))}
    write_scores(tmp_path / "scores", scores)
    assert read_scores(tmp_path / "scores") == scores
    lines = (tmp_path / "scores").read_bytes().splitlines()
    assert lines == sorted(lines, key=lambda line: line.split()[0])


def test_order_is_that_of_bytes_where_case_and_alphabet_mix(tmp_path):
    """The order of LC_ALL=C: capitals, the underscore, small letters, then what is not ASCII."""
    ordered = ["A9", "B1", "Z", "_x", "a1", "b", "z", "é", "日"]
    scores = {utt: float(i) for i, utt in enumerate(ordered)}
    mixed = {utt: scores[utt] for utt in sorted(ordered, key=str.lower)}
    assert list(mixed) != ordered
    write_scores(tmp_path / "scores", mixed)
    assert list(read_scores(tmp_path / "scores")) == ordered
    utts, values = join(mixed, reversed(ordered))
    assert utts == ordered
    assert values.tolist() == list(range(9))


def test_an_id_that_would_not_read_back_is_not_written(tmp_path):
    with pytest.raises(MasdError, match="trial `my file` is blank or holds white space"):
        write_scores(tmp_path / "scores", {"my file": 1.0})


def test_nothing_is_written_when_a_score_is_not_finite(tmp_path):
    with pytest.raises(MasdError, match="trial b is nan"):
        write_scores(tmp_path / "scores", {"a": 1.0, "b": float("nan")})
    assert not any(tmp_path.iterdir())


def test_join_goes_by_id_and_ignores_order():
    utts, values = join({"b": 2.0, "a": 1.0}, ["b", "a"])
    assert utts == ["a", "b"]
    assert values.tolist() == [1.0, 2.0]


def test_join_names_missing_and_extra_trials():
    with pytest.raises(MasdError, match=r"2 trials \(b, c\) without a score"):
        join({"a": 1.0}, ["a", "b", "c"])
    with pytest.raises(MasdError, match=r"1 trial \(z\) not in the trial list"):
        join({"a": 1.0, "z": 1.0}, ["a"])
    with pytest.raises(MasdError, match="and 15 more"):
        join({}, [f"u{i:02d}" for i in range(20)])


def test_excused_trials_may_be_missing_but_no_others():
    assert join({"a": 1.0}, ["a", "b"], excused={"b", "not a trial"})[0] == ["a"]
    with pytest.raises(MasdError, match=r"\(c\) without a score"):
        join({"a": 1.0}, ["a", "b", "c"], excused={"b"})


@pytest.mark.parametrize(
    ("given", "known"),
    [
        (["a.wav", "b.flac"], ["a", "b"]),
        (["/x/y/a.wav", "/x/b.wav"], ["a", "b"]),
        (["a", "b"], ["set/a.mp3", "set/b.mp3"]),
        (["real/1.wav", "fake/1.wav"], ["/data/real/1.flac", "/data/fake/1.flac"]),
        ([r"C:\x\a.5.wav", r"C:\x\b.5.wav"], ["a.5", "b.5"]),
    ],
)
def test_ids_that_differ_in_folder_and_suffix_are_joined_and_that_is_said(given, known, caplog):
    with caplog.at_level("INFO"):
        found = align(ScoreFile({given[1]: 2.0, given[0]: 1.0}, {given[0]: "spoof"}), known, "scores")
    assert found.scores == {known[0]: 1.0, known[1]: 2.0}
    assert found.labels == {known[0]: "spoof"}
    assert "scores: ids joined by name without folder and suffix, such as `" in caplog.text


def test_the_paths_of_a_key_are_compared_where_its_ids_are_of_its_own_making():
    paths = {"ItW-0": "$ROOT/In-the-Wild/0.wav", "ItW-1": "$ROOT/In-the-Wild/1.wav"}
    found = align(ScoreFile({"/x/1.wav": 1.0, "/x/0.wav": 0.0}, {}), list(paths), "scores", paths)
    assert found.scores == {"ItW-1": 1.0, "ItW-0": 0.0}


@pytest.mark.parametrize(
    ("given", "known"),
    [
        (["a", "b"], ["a", "b"]),
        (["a.wav", "a.flac"], ["a", "b"]),  # which of the two is a?
        (["x.wav", "y.wav"], ["set1/x", "set2/x"]),
        (["a", "b.wav"], ["a", "b"]),  # ids are meant alike: b.wav is another trial
        (["u1", "u2"], ["v1", "v2"]),
    ],
)
def test_ids_are_left_alone_where_names_are_not_unique_or_most_ids_fit(given, known, caplog):
    scores = ScoreFile(dict.fromkeys(given, 1.0), {})
    with caplog.at_level("INFO"):
        assert align(scores, known, "scores") is scores
    assert not caplog.records


def test_trials_without_a_score_are_named_with_an_id_of_the_other_side():
    with pytest.raises(
        MasdError, match=r"2 others have one: are ids meant alike\? Key: `0`, scores: `ItW-0`"
    ):
        join({"ItW-1": 1.0, "ItW-0": 1.0}, ["0", "1"])


def test_p_fake_falls_with_the_score_and_does_not_overflow():
    p = p_fake(np.array([-1000.0, -1.0, 0.0, 1.0, 1000.0]))
    assert p[0] == 1
    assert p[2] == 0.5
    assert p[4] == 0
    assert p[1] == pytest.approx(1 / (1 + np.exp(-1)))
    assert p[1] + p[3] == pytest.approx(1)
