"""OC-Softmax and SAMO against hand-computed values."""

import math

import pytest
import torch

from masd.models.one_class import OCSoftmax, Samo, margin_loss, samo_scores


def softplus(x):
    return math.log1p(math.exp(x))


def test_margin_loss_by_hand():
    losses = margin_loss(torch.tensor([0.8, 0.8]), torch.tensor([True, False]), 0.9, 0.2, 20.0)
    assert losses.tolist() == pytest.approx([softplus(20 * 0.1), softplus(20 * 0.6)], rel=1e-5)


def test_oc_softmax_by_hand():
    head = OCSoftmax(2)
    head.center.data = torch.tensor([[2.0, 0.0]])
    embedding = torch.tensor([[3.0, 4.0], [0.0, 5.0]])  # cosines 0.6 and 0
    assert head.score(embedding).tolist() == pytest.approx([0.6, 0.0])
    losses = head(embedding, torch.tensor([True, False]))
    assert losses.tolist() == pytest.approx([softplus(20 * 0.3), softplus(20 * -0.2)], rel=1e-5)
    losses.sum().backward()
    assert head.center.grad is not None


def test_samo_draws_bona_fide_to_its_own_speaker_and_pushes_spoof_from_the_nearest():
    head = Samo(["a", "b"], 3)
    assert head.attractors.tolist() == [[1, 0, 0], [0, 1, 0]]
    embedding = torch.tensor([[0.6, 0.8, 0.0]] * 3)  # cosine .6 to a, .8 to b
    losses = head(embedding, torch.tensor([True, False, True]), torch.tensor([0, 0, -1]))
    expected = [softplus(20 * (0.7 - 0.6)), softplus(20 * 0.8), softplus(20 * (0.7 - 0.8))]
    assert losses.tolist() == pytest.approx(expected, rel=1e-5)


def test_samo_renews_attractors_by_name():
    head = Samo(["a", "b"], 3)
    head.renew({"b": torch.tensor([0.0, 0.0, 2.0])})
    assert head.attractors.tolist() == [[1, 0, 0], [0, 0, 2]]


def test_samo_scores_by_the_claimed_speaker_if_enrolled_else_by_the_nearest():
    attractors = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    embedding = torch.tensor([[0.6, 0.8], [0.6, 0.8]])
    assert samo_scores(embedding, attractors).tolist() == pytest.approx([0.8, 0.8])
    enrolled = {"new": torch.tensor([3.0, 0.0])}
    assert samo_scores(embedding, attractors, ["new", "x"], enrolled).tolist() == pytest.approx([0.6, 0.8])
