"""Acoustic tokens: units, their text, and the unigram model's likelihood."""

import itertools
import math

import numpy as np
import pytest

from masd.errors import MasdError
from masd.systems.tokens import FIRST, Unigram, as_text, fit_units, to_units, train_unigram


def test_units_are_the_nearest_centroids():
    rng = np.random.default_rng(0)
    frames = np.concatenate([c + 0.1 * rng.standard_normal((50, 3)) for c in np.eye(3) * 5])
    centroids = fit_units(frames.astype(np.float32), 3, seed=0)
    units = to_units(frames, centroids)
    expected = [np.argmin([np.sum((x - c) ** 2) for c in centroids]) for x in frames]
    assert units.tolist() == expected
    assert sorted(np.bincount(units).tolist()) == [50, 50, 50]


def test_text_has_a_character_a_unit_and_repetitions_may_count_once():
    assert [ord(c) - FIRST for c in as_text(np.array([3, 3, 0, 3]), collapse=False)] == [3, 3, 0, 3]
    assert [ord(c) - FIRST for c in as_text(np.array([3, 3, 0, 3]), collapse=True)] == [3, 0, 3]


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    words = [[0, 1, 2], [3, 4], [5, 6, 7]]
    texts = [as_text(np.concatenate([words[k] for k in rng.integers(0, 3, 40)]), False) for _ in range(60)]
    return train_unigram(texts, 40)


def segmentations(text):
    for cuts in itertools.product([False, True], repeat=len(text) - 1):
        pieces, start = [], 0
        for i, cut in enumerate(cuts, start=1):
            if cut:
                pieces.append(text[start:i])
                start = i
        yield [*pieces, text[start:]]


def test_the_likelihood_is_that_of_the_best_segmentation_over_all(model):
    unigram = Unigram(model)
    p = unigram.processor
    known = {p.id_to_piece(k): p.get_score(k) for k in range(p.get_piece_size()) if not p.is_unknown(k)}
    text = as_text(np.array([0, 1, 2, 3, 4, 0]), False)
    totals = [sum(known[s] for s in way) for way in segmentations(text) if all(s in known for s in way)]
    assert unigram.log_likelihood(text) == pytest.approx(max(totals) / 6, rel=1e-4)
    summed = Unigram(model, nbest=len(totals)).log_likelihood(text)
    assert summed == pytest.approx(np.logaddexp.reduce(totals) / 6, rel=1e-4)


def test_what_the_model_was_trained_on_is_likelier_than_the_same_units_shuffled(model):
    unigram = Unigram(model)
    usual = as_text(np.array([0, 1, 2, 3, 4, 5, 6, 7] * 4), False)
    shuffled = as_text(np.random.default_rng(1).permutation([0, 1, 2, 3, 4, 5, 6, 7] * 4), False)
    assert unigram.log_likelihood(usual) > unigram.log_likelihood(shuffled) + 0.3


def test_units_never_seen_are_unlikely_and_nothing_is_an_error(model):
    unigram = Unigram(model)
    never = unigram.log_likelihood(as_text(np.array([90, 91]), False))
    assert math.isfinite(never)
    assert never < unigram.log_likelihood(as_text(np.array([0, 1, 2]), False)) - 1
    run, apart = ([90] * 8 + [0] * 8, [90, 0] * 8)
    assert unigram.log_likelihood(as_text(np.array([90] * 50), False)) == pytest.approx(never)
    assert unigram.log_likelihood(as_text(np.array(run), False)) < never / 2 + 1, "each of a run is charged"
    assert unigram.log_likelihood(as_text(np.array(apart), False)) < never / 2 + 1
    with pytest.raises(MasdError, match="without units"):
        unigram.log_likelihood("")
    with pytest.raises(MasdError, match="sentencepiece"):
        Unigram(b"nothing")
