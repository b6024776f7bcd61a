"""What moved a score: effects that add up, nothing for what does nothing, and a picture of it."""

import io
import itertools
import math

import numpy as np
import pytest
import soundfile
from entry_points import call
from light_model import RATE, speech

import masd
from masd.errors import MasdError
from masd.feats.config import FeatsConfig, hand_size
from masd.judge import picture
from masd.judge.explain import (
    MEANINGS,
    Effects,
    band_parts,
    effects,
    estimated,
    joined,
    measure_parts,
    shapley,
    spliced,
    stretches,
)
from masd.judge.verdict import Judge
from masd.systems import load

FAMILIES = FeatsConfig(families=("phase_mixed", "frame_lines", "covariance"))


@pytest.fixture(scope="module")
def long(light):
    """6 s of speech: two windows."""
    return speech("explained", 6.0)


def game(worths):
    """The worth of a set by its number, whose bits are the players."""
    return lambda sets: worths[(sets << np.arange(sets.shape[1])).sum(1)]


def test_a_shapley_value_is_what_a_player_adds_averaged_over_all_orders():
    worths = np.random.default_rng(0).normal(size=32)
    by_hand = np.zeros(5)
    for order in itertools.permutations(range(5)):
        there = 0
        for player in order:
            by_hand[player] += (worths[there | 1 << player] - worths[there]) / math.factorial(5)
            there |= 1 << player
    found = shapley(game(worths), 5)
    np.testing.assert_allclose(found, by_hand, atol=1e-12)
    assert found.sum() == pytest.approx(worths[-1] - worths[0], abs=1e-12)


@pytest.mark.parametrize("values_of", [shapley, lambda worth, players: estimated(worth, players, 2)[0]])
def test_who_adds_nothing_gets_nothing_and_who_adds_the_same_the_same(values_of):
    """Players 0 and 1 are alike, 4 does nothing."""
    found = values_of(lambda s: 3.0 * (s[:, 0] & s[:, 1]) + 5.0 * s[:, 2] - 2.0 * s[:, 3], 5)
    np.testing.assert_allclose(found, [1.5, 1.5, 5.0, -2.0, 0.0], atol=1e-12)


def test_estimates_add_up_and_are_off_by_about_what_they_say():
    rng, off, said = np.random.default_rng(1), [], []
    for _ in range(30):
        worths = rng.normal(size=256)
        values, error = estimated(game(worths), 8, 4)
        assert values.sum() == pytest.approx(worths[-1] - worths[0], abs=1e-12)
        off.append(np.square(values - shapley(game(worths), 8)).mean())
        said.append(error**2)
    assert 0.7 < np.sqrt(np.mean(off) / np.mean(said)) < 1.4


@pytest.mark.parametrize(("encoder", "hand"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("parts_of", [band_parts, measure_parts])
def test_the_parts_of_a_game_are_all_there_is_and_each_once(parts_of, encoder, hand):
    parts = parts_of(FAMILIES, encoder, hand)
    assert {part.name for part in parts} <= MEANINGS.keys()
    cells, figures = (
        np.sum([getattr(part, kind) for part in parts], axis=0) for kind in ("cells", "figures")
    )
    assert (cells == encoder).all() and cells.shape == (1, 64)
    assert (figures == 1).all() and len(figures) == (hand_size(FAMILIES) if hand else 0)


def test_a_band_has_the_figures_of_its_frequencies():
    counts = {part.name: int(part.figures.sum()) for part in band_parts(FAMILIES, False, True)}
    # of 16 bands of 462 Hz two lie below 1 kHz and seven more below 4; covariances are of thirds of 7.4 kHz
    third = 3 * 153
    assert counts == {"low": 4 * 2, "mid": 4 * 7 + 2 * third, "high": 4 * 7 + third, "other": 3 + 24}


def test_what_is_left_of_a_recording_is_joined_without_an_edge():
    x = np.sin(np.arange(16000) / 50).astype(np.float32)
    edges = stretches(len(x), 4000)
    assert edges == [0, 4000, 8000, 12000, 16000]
    assert stretches(9000, 4000) == [0, 4000, 9000] and stretches(1000, 4000) == [0, 1000]
    step = np.abs(np.diff(x)).max()
    for there in ([True, False, True, True], [True, False, False, True], [False, True, False, False]):
        rest = spliced(x, edges, np.array(there))
        holes = there in ([True, False, True, True], [True, False, False, True])
        assert len(rest) == 4000 * sum(there) - 160 * holes
        assert np.abs(np.diff(rest)).max() < 1.5 * step
    np.testing.assert_array_equal(spliced(x, edges, np.ones(4, bool)), x)


@pytest.mark.parametrize("calibration", ["temperature", "affine"])
@pytest.mark.parametrize(("windows", "seconds", "count"), [(True, 6.0, 2), (False, 6.0, 8), (True, 2.1, 4)])
def test_effects_of_each_kind_add_up_to_the_score_that_is_printed(
    light, windows, seconds, count, calibration
):
    x = speech("explained", 6.0)[: round(seconds * RATE)]
    plain, explained = (Judge(load(light), windows, calibration, explained=e) for e in (False, True))
    verdict = explained.judge(x, RATE)
    assert verdict.score == plain.judge(x, RATE).score
    found = verdict.effects
    assert len(found.windows) == count and (found.error > 0) == (count == 8)
    assert list(found.bands) == ["low", "mid", "high", "other"] and list(found.measures)[:3] == [
        "PCS",
        "HFER",
        "SFI",
    ]
    for kind in (found.bands.values(), found.measures.values(), [effect for *_, effect in found.windows]):
        assert sum(kind) == pytest.approx(verdict.score - found.baseline, abs=1e-6)
    assert found.windows[0][0] == verdict.windows[0].start and found.windows[-1][1] == verdict.windows[-1].end


def test_the_baseline_is_the_score_of_average_figures_and_a_measure_that_is_average_does_nothing(light):
    system = load(light)
    mean, mel = system.hand_neutral, np.zeros((1, 64), np.float32)
    hand = (
        mean + np.random.default_rng(0).normal(size=len(mean)).astype(np.float32) * system.features.hand.std
    )
    parts = {part.name: part.figures for part in measure_parts(system.feats, False, True)}
    hand[parts["tones"]] = mean[parts["tones"]]
    found = effects(system, mel, hand)
    by_hand = [
        system.calibration.scores(system.decision(system.features.hand(x[None])))[0] for x in (mean, hand)
    ]
    assert (found.baseline, found.score) == pytest.approx(tuple(by_hand), abs=1e-9)
    assert found.measures["tones"] == pytest.approx(0, abs=1e-12)
    assert all(abs(found.measures[name]) > 1e-6 for name in ("patch_covariance", "phase_mixed"))
    assert set(effects(system, mel, mean).measures.values()) == {0.0}


def test_effects_of_several_windows_are_their_means_and_each_window_has_its_share():
    ones = [Effects(3.0, 1.0, {"low": 2.0}, {"PCS": 2.0}), Effects(-4.0, 1.0, {"low": -5.0}, {"PCS": -5.0})]
    found = joined(ones, [(0.0, 4.0), (4.0, 8.0)])
    assert (found.score, found.baseline, found.bands, found.measures) == (
        -0.5,
        1.0,
        {"low": -1.5},
        {"PCS": -1.5},
    )
    assert found.windows == [(0.0, 4.0, 1.0), (4.0, 8.0, -2.5)]


def test_a_recording_without_speech_is_explained_too(light):
    verdict = Judge(load(light), True, explained=True).judge(np.zeros(RATE, np.float32), RATE)
    assert verdict.label == "inconclusive"
    assert sum(verdict.effects.bands.values()) == pytest.approx(
        verdict.score - verdict.effects.baseline, abs=1e-6
    )


def test_the_spectrogram_is_of_the_whole_recording_and_in_the_place_of_its_sound():
    t = np.arange(2 * RATE) / RATE
    tone = np.where(t < 1, np.sin(2 * np.pi * 500 * t), np.sin(2 * np.pi * 2000 * t)).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, 0.5 * np.tile(tone, 8), RATE, format="WAV")
    found = picture.spectrogram(file.getvalue(), "x.wav")
    assert found.seconds == 16.0 and found.values.shape[0] == 96 and 400 < found.values.shape[1] <= 800
    low, mid = found.cuts
    loudest = found.values.argmax(axis=0)
    for second in range(16):
        row = loudest[round((second + 0.5) / 16 * len(loudest))]
        assert row < low if second % 2 == 0 else low < row < mid
    with pytest.raises(MasdError, match=r"x\.wav: longer than 10 s; cut it into parts"):
        picture.spectrogram(file.getvalue(), "x.wav", longest=10.0)


def test_a_picture_is_drawn_with_the_spectrogram_the_timeline_and_the_effects(light, long, tmp_path):
    from matplotlib.image import imread

    soundfile.write(tmp_path / "x.wav", long, RATE)
    done = call("explain", tmp_path / "x.wav", "--model", light, "--plot", tmp_path / "x.png")
    assert done.returncode == 0, done.stderr
    for name in ("low", "other", "patch_covariance"):
        assert f"{name:<16}  {MEANINGS[name]}" in done.stdout
    drawn = imread(tmp_path / "x.png")
    assert drawn.shape[1] == 1200 and drawn.shape[0] > 900
    colours = {tuple(np.round(255 * pixel[:3]).astype(int)) for pixel in drawn[::3, ::3].reshape(-1, 4)}
    assert len(colours) > 300, "a spectrogram has many colours"
    bars = [tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in (picture.GENUINE, picture.FAKE)]
    assert colours & set(bars)
    quiet = picture.draw(
        masd.Detector(light, explained=True).judge(tmp_path / "x.wav", name=r"a $\frac$ _^ name"),
        picture.Spectrogram(np.zeros((96, 10), np.uint8), 6.0, (35, 75)),
    )
    assert quiet != (tmp_path / "x.png").read_bytes()


@pytest.mark.parametrize(
    ("files", "plot", "said"),
    [
        (["x.wav"], "x.jpg", "draws a PNG; give a name that ends with .png"),
        (["x.wav", "y.wav"], "x.png", "draws one recording; name one file"),
        (["."], "x.png", "draws one recording; name one file"),
        (["x.wav"], "folder.png", "cannot be written there; give the name of a new file"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(files, plot, said, tmp_path):
    (tmp_path / "folder.png").mkdir()
    done = call("explain", *files, "--plot", plot, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr == f"explain: error: --plot {plot}: {said}\n"
