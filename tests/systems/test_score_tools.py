"""Calibration, fusion and comparison of score files: against closed forms; fitted on development alone."""

import numpy as np
import pytest

from masd.bin.calibrate import calibrate
from masd.bin.compare import compare
from masd.errors import MasdError
from masd.metrics.bootstrap import paired_test
from masd.metrics.dcf import cllr
from masd.metrics.ece import ece
from masd.metrics.eer import eer, split
from masd.metrics.scores import p_fake, read_scores, write_scores
from masd.stage.files import read_json, read_yaml, write_lines
from masd.stage.seeding import generator
from masd.systems.calibration import METHODS, fit_fusion, fit_map


def gaussian(name, n=4000, share=0.5, scale=1.0, shift=0.0):
    """Return (scores, labels): likelihood ratios 2x of Gaussians at +-1, then scaled and shifted."""
    rng = generator(0, name)
    fake = rng.random(n) < share
    return scale * 2 * rng.normal(np.where(fake, -1, 1)) + shift, fake


@pytest.mark.parametrize("method", ["platt", "affine", "isotonic"])
def test_maps_find_the_likelihood_ratio_again(method):
    """Scores 3 r + 4 of true ratios r: the map gives r back, whatever the fitting set's prior."""
    scores, fake = gaussian("fit", share=0.9, n=20000, scale=3.0, shift=4.0)
    fitted = fit_map(method, scores, fake)
    ratios = fitted.ratio(scores)
    true = (scores - 4) / 3
    middle = np.abs(true) < 2
    assert np.abs(ratios - true)[middle].mean() < (0.3 if method == "isotonic" else 0.1)
    assert cllr(*split(ratios, fake)) < cllr(*split(scores, fake)) - 0.05


def test_a_temperature_scales_and_nothing_else():
    scores, fake = gaussian("temperature", scale=2.0)
    fitted = fit_map("temperature", scores, fake)
    assert fitted.slope == pytest.approx(0.5, rel=0.1)
    assert fitted.offset == 0
    assert (fitted.log_odds(scores) == fitted.slope * scores).all()


@pytest.mark.parametrize("method", METHODS)
def test_maps_keep_the_order_and_stay_finite_on_separable_scores(method):
    scores = np.concatenate([np.linspace(-9, -1, 50), np.linspace(1, 9, 50)])
    made = fit_map(method, scores, scores < 0).log_odds(np.array([-100, -5, 0, 5, 100.0]))
    assert np.isfinite(made).all()
    assert (np.diff(made) >= 0).all()


def test_prior_adjusted_log_odds_are_calibrated_at_that_prior():
    scores, fake = gaussian("fit at half", n=20000, scale=2.0, shift=1.0)
    fitted = fit_map("affine", scores, fake, 0.5)
    test, labels = gaussian("test at a tenth", n=20000, share=0.1, scale=2.0, shift=1.0)
    assert ece(p_fake(fitted.log_odds(test, 0.1)), labels) < 0.02
    assert ece(p_fake(fitted.log_odds(test, 0.5)), labels) > 0.05
    moved = fitted.log_odds(test, 0.1) - fitted.log_odds(test, 0.5)
    assert moved == pytest.approx(np.log(9))


def test_isotonic_steps_are_the_pooled_shares():
    """Bona fide, fake, bona fide, with one bona fide added below and one fake above."""
    fitted = fit_map("isotonic", np.array([1.0, 2.0, 3.0]), np.array([False, True, False]))
    # levels hold (bona fide, all): (2, 2), (0, 1), (1, 2); all violate and pool to 3 of 5
    assert fitted.log_odds(np.array([0.0, 2.0, 9.0])) == pytest.approx(np.log(3 / 2))


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(MasdError, match="choose one of temperature, platt"):
        fit_map("magic", np.array([1.0, 2.0]), np.array([True, False]))
    with pytest.raises(MasdError, match="both bona fide and spoof"):
        fit_map("isotonic", np.array([1.0, 2.0]), np.array([True, True]))
    with pytest.raises(MasdError, match="both bona fide and spoof"):
        fit_fusion(np.ones((2, 3)), np.array([True] * 3))
    with pytest.raises(MasdError, match="strictly between"):
        fit_fusion(np.ones((2, 2)), np.array([True, False]), 1.0)


def test_fusion_weighs_systems_as_discriminant_analysis_does():
    """Independent Gaussian scores of equal variance: the weights are the distances of the means."""
    rng = generator(0, "fusion")
    fake = rng.random(40000) < 0.8
    gaps = np.array([1.0, 2.0, 0.0])
    scores = rng.normal(size=(3, 40000)) + np.where(fake, -0.5, 0.5) * gaps[:, None]
    fusion = fit_fusion(scores, fake)
    assert fusion.weights == pytest.approx(gaps, abs=0.06)
    assert fusion.offset == pytest.approx(0, abs=0.06)
    turned = fit_fusion(scores * np.array([1, -10, 1])[:, None], fake)
    assert turned.weights[1] == pytest.approx(-0.2, abs=0.01)


@pytest.fixture
def files(tmp_path):
    """Two systems' scores of dev and eval, and their keys."""
    for name in ("dev", "eval"):
        rng = generator(0, name)
        utts = [f"{name}-{i:04d}" for i in range(600)]
        fake = rng.random(600) < 0.7
        write_lines(
            tmp_path / f"{name}.key",
            (f"{u} {'spoof' if f else 'bonafide'}" for u, f in zip(utts, fake, strict=True)),
        )
        for system in "ab":
            values = 5 * (rng.normal(size=600) - 1.5 * fake) + 3
            write_scores(tmp_path / f"{name}.{system}", dict(zip(utts, values.tolist(), strict=True)))
    return tmp_path


def labels(path):
    rows = [line.split() for line in path.read_text().splitlines()]
    return np.array([label == "spoof" for _, label in sorted(rows)])


def test_calibrate_writes_log_odds_fitted_on_development(files):
    common = {"scores": f"{files}/eval.a", "dev_scores": f"{files}/dev.a", "dev_key": files / "dev.key"}
    calibrate(out=files / "out", method="affine", prior=0.7, **common)
    made = np.array(list(read_scores(files / "out" / "scores").values()))
    assert ece(p_fake(made), labels(files / "eval.key")) < 0.08
    about = read_yaml(files / "out" / "calibration.yaml")
    assert about["development"]["cllr_after"] < about["development"]["cllr_before"]
    assert about["fitted_on"][0]["trials"] == 600
    with pytest.raises(MasdError, match=r"600 trials were fitted on \(dev-0000\)"):
        calibrate(out=files / "o", **common | {"scores": f"{files}/dev.a"})
    with pytest.raises(MasdError, match="--dev-data FOLDER or as --dev-key FILE"):
        calibrate(out=files / "o", **common | {"dev_key": None})


def test_fusion_of_two_systems_is_better_than_either(files):
    names = {"scores": f"{files}/eval.a,{files}/eval.b", "dev_scores": f"{files}/dev.a,{files}/dev.b"}
    calibrate(out=files / "out", dev_key=files / "dev.key", **names)
    fake = labels(files / "eval.key")
    rates = [
        eer(*split(np.array(list(read_scores(path).values())), fake))[0]
        for path in (files / "out" / "scores", files / "eval.a", files / "eval.b")
    ]
    assert rates[0] < min(rates[1:]) - 0.02
    about = read_yaml(files / "out" / "calibration.yaml")
    assert len(about["fusion"]["weights"]) == len(about["fitted_on"]) == 2
    assert about["dev_eer_fused"] < min(about["dev_eer"])
    with pytest.raises(MasdError, match="names 1 files and --dev-scores 2"):
        calibrate(out=files / "o", dev_key=files / "dev.key", **names | {"scores": f"{files}/eval.a"})
    with pytest.raises(MasdError, match="trials were fitted on"):
        calibrate(out=files / "o", dev_key=files / "dev.key", **names | {"scores": names["dev_scores"]})


@pytest.mark.parametrize("given", [("dev_first",), ("dev_second",), ("dev_key",), ("dev_first", "dev_key")])
def test_a_comparison_never_leaves_out_mcnemars_test_in_silence(files, given):
    """Half of the development set's options are a mistake, not a wish for less."""
    names = {"dev_first": files / "dev.a", "dev_second": files / "dev.b", "dev_key": files / "dev.key"}
    with pytest.raises(MasdError, match=r"--dev-first and --dev-second (go together|are of)"):
        compare(
            f"{files}/eval.a", f"{files}/eval.b", files / "out", key=files / "eval.key", bootstrap=20,
            **{name: names[name] for name in given},
        )  # fmt: skip


def test_comparison_on_the_same_trials(files, capsys):
    compare(
        f"{files}/eval.a", f"{files}/eval.b", files / "out", key=files / "eval.key",
        dev_first=files / "dev.a", dev_second=files / "dev.b", dev_key=files / "dev.key", bootstrap=200,
    )  # fmt: skip
    found = read_json(files / "out" / "comparison.json")
    a, b = (np.array(list(read_scores(files / f"eval.{s}").values())) for s in "ab")
    fake, index = labels(files / "eval.key"), np.array(list(read_scores(files / "eval.a")))
    assert found["difference"]["value"] == pytest.approx(paired_test(a, b, fake, index, 50)[0].value)
    assert 0 < found["p"] <= 1
    assert found["mcnemar"]["only_first"] + found["mcnemar"]["only_second"] <= 600
    table = capsys.readouterr().out
    assert f"| first  | {100 * found['first']['eer'][0]:.2f} |" in table
    assert f"{found['mcnemar']['only_first']} right by the first alone" in table
    kept = (files / "eval.b").read_text().splitlines()[:-1]
    write_lines(files / "eval.b", kept)
    with pytest.raises(MasdError, match=r"eval.b: 1 trial \(eval-0599\) without a score"):
        compare(f"{files}/eval.a", f"{files}/eval.b", files / "out", key=files / "eval.key")
