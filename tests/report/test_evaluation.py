"""The figures of metrics.json against computing them by hand from the scores."""

import json

import numpy as np
import pytest

from masd.errors import MasdError
from masd.metrics.ece import ece
from masd.metrics.eer import eer
from masd.metrics.tdcf import asv_errors, min_tdcf, read_asv_scores
from masd.report.metrics_json import Bootstrap, ScoreMaps, evaluate_trials, read_calibration, tandem
from masd.report.scored_trials import load_trials


@pytest.fixture
def trials(corpus):
    return load_trials(corpus.root / "scores", corpus.root / "data", seen=["A01"], apart=["A08"])


def rate(trials, *attacks):
    return eer(trials.scores[~trials.fake], trials.scores[np.isin(trials.attack, attacks)])[0]


def test_error_rates_by_pool_attack_and_speaker(trials):
    found = evaluate_trials(trials, bootstrap=Bootstrap(50))
    assert found["pooled"]["eer"] == rate(trials, "A01", "A05", "A07")
    assert found["seen"]["eer"] == found["attacks"]["A01"]["eer"] == rate(trials, "A01")
    assert found["unseen"]["eer"] == rate(trials, "A05", "A07")
    assert found["unseen"]["attacks"] == ["A05", "A07"]
    assert found["apart"]["eer"] == found["attacks"]["A08"]["eer"] == rate(trials, "A08")
    mine = trials.take((trials.speaker == "s2") & (trials.pool != "apart"))
    assert found["speakers"]["s2"]["eer"] == eer(mine.scores[~mine.fake], mine.scores[mine.fake])[0]
    assert sorted(found["speakers"]) == ["s0", "s1", "s2", "s3"]
    assert found["counts"] == {"bonafide": 60, "spoof": 180, "apart": 10, "speakers": 4, "sources": 60}
    assert found["pooled"]["by_source"]["groups"] == 60
    assert found["pooled"]["by_speaker"]["groups"] == 4
    assert found["speakers"]["s2"]["by_speaker"] is None
    json.dumps(found, allow_nan=False, default=float)


def test_no_intervals_when_none_are_asked_for(trials):
    assert evaluate_trials(trials, bootstrap=Bootstrap(0))["pooled"]["by_source"] is None


def test_calibrations_from_the_model(corpus, trials):
    """f = -s T; P(fake) is 1/(1 + exp(-f)), 1/(1 + exp(-f/T)), and the affine map moved to each prior."""
    found = evaluate_trials(trials, read_calibration(corpus.root / "model"), Bootstrap(0), prior=0.1)
    pooled = trials.pooled
    f = -1.7 * pooled.scores
    own = 180 / 240
    for prior, at in ((own, 0), (0.5, 1), (0.1, 2)):
        log_odds = (f, f / 1.7, 0.9 * f + 0.2 + np.log(prior / (1 - prior)))
        for entry, z in zip(found["calibration"], log_odds, strict=True):
            assert entry["ece"][at]["prior"] == pytest.approx(prior)
            assert entry["ece"][at]["ece"] == pytest.approx(
                ece(1 / (1 + np.exp(-z)), pooled.fake, prior=prior)
            )
    assert ["none" in c["name"] for c in found["calibration"]] == [True, False, False]


def test_decisions_at_half_and_at_the_development_threshold(corpus, trials):
    found = evaluate_trials(trials, read_calibration(corpus.root / "model"), Bootstrap(0))
    pooled = trials.pooled
    called = {
        "P(fake) = 0.5": pooled.scores <= 0,
        "P(fake) = 0.5, affine, prior 0.5": 0.9 * 1.7 * pooled.scores - 0.2 <= 0,
        "development threshold": pooled.scores <= 0.1,
    }
    assert [d["at"] for d in found["decisions"]] == list(called)
    for decision in found["decisions"]:
        assert decision["accuracy"] == (called[decision["at"]] == pooled.fake).mean()


def test_affine_scores_made_elsewhere_stand_in_for_the_map(corpus, trials):
    model = read_calibration(corpus.root / "model")
    given = dict(zip(trials.utts.tolist(), 0.9 * 1.7 * trials.scores - 0.2, strict=True))
    elsewhere = ScoreMaps(temperature=1.7, threshold=0.1, affine_scores=given)
    first, second = (evaluate_trials(trials, c, Bootstrap(0))["calibration"][2] for c in (model, elsewhere))
    assert first["cllr"] == pytest.approx(second["cllr"])
    assert first["ece"][0]["ece"] == pytest.approx(second["ece"][0]["ece"])
    del given["s0-000"]
    with pytest.raises(MasdError, match="s0-000"):
        evaluate_trials(trials, elsewhere, Bootstrap(0))


def test_a_model_without_calibration_is_named(corpus):
    (corpus.root / "model" / "model.yaml").write_text("system: full\n")
    with pytest.raises(MasdError, match=r"model\.yaml: no usable calibration"):
        read_calibration(corpus.root / "model")


def test_tandem_cost_with_a_verifiers_scores(corpus, trials):
    rng = np.random.default_rng(0)
    kinds = {"target": 4, "nontarget": -4, "spoof": 3}
    lines = [f"x {kind} {mean + rng.normal()}" for kind, mean in kinds.items() for _ in range(50)]
    (corpus.root / "asv").write_text("\n".join(lines) + "\n")
    found = tandem(trials, corpus.root / "asv")
    asv = asv_errors(*read_asv_scores(corpus.root / "asv"))
    pooled = trials.pooled
    parts = pooled.scores[~pooled.fake], pooled.scores[pooled.fake]
    assert {form: found[form] for form in ("2019", "2021")} == {
        form: min_tdcf(*parts, asv, form)[0] for form in ("2019", "2021")
    }
    assert found["asv"]["eer"] == asv.eer
    assert 0 < found["2019"] < 1


def test_ties_are_counted(trials):
    trials.scores[:] = 1.0
    found = evaluate_trials(trials, bootstrap=Bootstrap(0))
    assert found["ties"] == 1
    assert found["pooled"]["auc"] == 0.5
