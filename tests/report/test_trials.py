"""Joining scores to keys: pools, excuses, trial lists that disagree, sets without a bona fide partner."""

import numpy as np
import pytest

from masd.errors import MasdError
from masd.metrics.scores import read_scores, write_scores
from masd.report.scored_trials import (
    attack_names,
    join_apart,
    load_trials,
    read_key,
    read_trials,
    write_trials,
)


def load(corpus, **options):
    return load_trials(corpus.root / "scores", corpus.root / "data", **options)


def test_pools_and_columns(corpus):
    trials = load(corpus, seen=["A01"], apart=["A08"])
    assert trials.attacks == ["A01", "A05", "A07", "A08"]
    for attack, pool in {"-": "bonafide", "A01": "seen", "A05": "unseen", "A08": "apart"}.items():
        assert set(trials.pool[trials.attack == attack]) == {pool}
    row = int(np.flatnonzero(trials.utts == "A05-s1-001")[0])
    assert (trials.speaker[row], trials.source[row], bool(trials.fake[row])) == ("s1", "s1-001", True)
    assert trials.scores[row] == read_scores(corpus.root / "scores")["A05-s1-001"]
    assert trials.pooled.attacks == ["A01", "A05", "A07"]
    assert attack_names(corpus.root / "data", trials)["A08"] == "piper"


def test_without_seen_attacks_nothing_is_called_unseen(corpus):
    assert set(load(corpus).pool) == {"bonafide", "spoof"}


def test_an_attack_to_set_apart_must_exist(corpus):
    with pytest.raises(MasdError, match="--apart names attack A99"):
        load(corpus, apart=["A99"])


def test_a_trial_list_chooses_and_must_agree_with_the_folder(corpus):
    listed = corpus.root / "trials"
    listed.write_text("s0-000 bonafide -\nA01-s0-000\tspoof\tA01\n")
    with pytest.raises(MasdError, match=r"248 trials .* not in the trial list"):
        load(corpus, trials=listed)
    write_scores(corpus.root / "scores", {"s0-000": 1.0, "A01-s0-000": -1.0})
    assert load(corpus, trials=listed).utts.tolist() == ["A01-s0-000", "s0-000"]
    listed.write_text("s0-000 bonafide -\nA01-s0-000 bonafide -\n")
    with pytest.raises(MasdError, match="trial A01-s0-000 is bonafide -, but spoof A01"):
        load(corpus, trials=listed)
    listed.write_text("s0-000 bonafide -\ns0-000 bonafide -\n")
    with pytest.raises(MasdError, match="trials:2: trial s0-000 is listed twice"):
        read_key(corpus.root / "data", listed)
    listed.write_text("s0-000 bonafide -\nA01-s0-000 odd -\n")
    with pytest.raises(MasdError, match="label odd"):
        read_key(corpus.root / "data", listed)


def test_missing_trials_need_an_excuse(corpus):
    scores = read_scores(corpus.root / "scores")
    del scores["s0-000"]
    write_scores(corpus.root / "scores", scores)
    with pytest.raises(MasdError, match=r"1 trial \(s0-000\) without a score"):
        load(corpus)
    assert "s0-000" not in load(corpus, excused=["s0-000"]).utts


def test_one_class_alone_is_refused(corpus):
    listed = corpus.root / "trials"
    listed.write_text("s0-000 bonafide -\n")
    write_scores(corpus.root / "scores", {"s0-000": 1.0})
    with pytest.raises(MasdError, match="all scored trials are bonafide"):
        load(corpus, trials=listed)


def test_a_second_set_is_kept_apart(corpus):
    tts = {utt: row for utt, row in corpus.key.items() if row[1] == "A08"}
    rest = {utt: row for utt, row in corpus.key.items() if row[1] != "A08"}
    scores = corpus.make_scores(corpus.key)
    for name, part in (("tts", tts), ("main", rest)):
        corpus.make_data(corpus.root / name, part)
        write_scores(corpus.root / f"{name}.scores", {utt: scores[utt] for utt in part})
    trials = load_trials(corpus.root / "main.scores", corpus.root / "main", seen=["A01"])
    joined = join_apart(trials, corpus.root / "tts.scores", corpus.root / "tts")
    together = load(corpus, seen=["A01"], apart=["A08"])
    for name in ("utts", "scores", "fake", "attack", "speaker", "source", "pool"):
        assert (getattr(joined, name) == getattr(together, name)).all(), name
    with pytest.raises(MasdError, match="is bona fide"):
        join_apart(trials, corpus.root / "scores", corpus.root / "data")


def test_joined_trials_read_back_exactly(corpus):
    trials = load(corpus, apart=["A08"])
    write_trials(corpus.root / "trials.tsv", trials)
    again = read_trials(corpus.root / "trials.tsv")
    for name in ("utts", "scores", "fake", "attack", "speaker", "source", "pool"):
        assert (getattr(again, name) == getattr(trials, name)).all(), name
    (corpus.root / "trials.tsv").write_text("utt score\n")
    with pytest.raises(MasdError, match="not a table of trials"):
        read_trials(corpus.root / "trials.tsv")
