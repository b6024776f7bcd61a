"""Breakdown by condition: against selecting the trials by hand, matched and unmatched conditions, crosses."""

import numpy as np
import pytest

from masd.bin.evaluate import evaluate
from masd.errors import MasdError
from masd.metrics.eer import eer
from masd.report.breakdown import crossed, parse_breakdown
from masd.report.scored_trials import load_trials
from masd.stage.files import read_json
from masd.stage.tables import read_table, write_table


@pytest.fixture
def coded(corpus):
    """The corpus with a codec on every trial: both classes have nocodec and mp3, ogg is on spoofs alone."""
    codecs = {}
    for number, (utt, row) in enumerate(sorted(corpus.key.items())):
        codecs[utt] = (
            ("nocodec", "mp3")[number % 2] if row[0] == "bonafide" else ("nocodec", "mp3", "ogg")[number % 3]
        )
    write_table(corpus.root / "data" / "utt2codec", codecs)
    return corpus


def judged(corpus, breakdown, **options):
    root = corpus.root
    evaluate(
        scores=root / "scores", data=root / "data", out=root, breakdown=breakdown, bootstrap=0, **options
    )
    return {part["name"]: part for part in read_json(root / "metrics.json")["breakdowns"]}


def rate(corpus, spoofed, real):
    trials = load_trials(corpus.root / "scores", corpus.root / "data")
    codec = read_table(corpus.root / "data" / "utt2codec")
    codecs = np.array([codec[utt] for utt in trials.utts.tolist()])
    return eer(
        trials.scores[~trials.fake & real(trials, codecs)],
        trials.scores[trials.fake & spoofed(trials, codecs)],
    )[0]


def test_a_codec_is_matched_and_an_attack_is_against_all_bona_fide(coded):
    found = judged(coded, "codec,attack,codec*attack")
    assert found["codec"]["matched"] == ["codec"]
    cells = {cell["values"][0]: cell for cell in found["codec"]["cells"]}
    assert cells["mp3"]["eer"] == rate(coded, lambda t, c: c == "mp3", lambda t, c: c == "mp3")
    assert "eer" not in cells["ogg"]
    assert (cells["ogg"]["bonafide"], cells["nocodec"]["bonafide"]) == (0, 30)
    assert found["attack"]["matched"] == []
    cells = {cell["values"][0]: cell for cell in found["attack"]["cells"]}
    assert cells["A05"]["eer"] == rate(coded, lambda t, c: t.attack == "A05", lambda t, c: True)
    crossed = {tuple(cell["values"]): cell for cell in found["codec*attack"]["cells"]}
    expected = rate(coded, lambda t, c: (c == "mp3") & (t.attack == "A05"), lambda t, c: c == "mp3")
    assert crossed["mp3", "A05"]["eer"] == expected
    text = (coded.root / "metrics.txt").read_text()
    assert "Per condition" in text
    assert "codec × attack" in text


def test_three_conditions_are_one_table_of_the_cells_that_have_trials(coded):
    """Two conditions in the rows, the third in the columns; none without spoofed trials."""
    utts = read_table(coded.root / "data" / "utt2codec")
    sources = {utt: ("one", "two")[number % 2] for number, utt in enumerate(sorted(utts))}
    sources |= {utt: "two" for utt, codec in utts.items() if codec == "ogg"}
    write_table(coded.root / "data" / "utt2corpus", sources)
    found = judged(coded, "codec*attack*corpus")["codec*attack*corpus"]
    assert found["matched"] == ["codec", "corpus"]
    trials = load_trials(coded.root / "scores", coded.root / "data")
    expected = {
        (utts[utt], attack, sources[utt])
        for utt, attack, fake in zip(trials.utts.tolist(), trials.attack.tolist(), trials.fake, strict=True)
        if fake
    }
    assert {tuple(cell["values"]) for cell in found["cells"]} == expected
    assert all(cell["spoof"] for cell in found["cells"])
    header, rows = crossed(found)
    assert header == ["codec", "attack", "one", "two"]
    assert {tuple(row[:2]) for row in rows} == {cell[:2] for cell in expected}
    assert all(row[2] is None for row in rows if row[0] == "ogg")


def test_attacks_reported_apart_are_in_no_condition(coded):
    found = judged(coded, "attack", apart="A08")
    assert [cell["values"] for cell in found["attack"]["cells"]] == [["A01"], ["A05"], ["A07"]]


def test_what_cannot_be_broken_down_is_named(coded):
    with pytest.raises(MasdError, match=r"knows no condition noise; there are attack, codec"):
        judged(coded, "noise")
    with pytest.raises(MasdError, match="name one condition, or two or three"):
        parse_breakdown("a*b*c*d")
    codecs = read_table(coded.root / "data" / "utt2codec")
    del codecs["s0-000"]
    write_table(coded.root / "data" / "utt2codec", codecs)
    with pytest.raises(MasdError, match=r"codec lacks trial s0-000"):
        judged(coded, "codec")


def test_of_a_condition_that_both_classes_have_there_is_a_mean_and_an_interval_by_its_values(coded):
    """The mean leaves out values with hardly any bona fide trial; one that spoofs alone have has neither."""
    real = [utt for utt, row in sorted(coded.key.items()) if row[0] == "bonafide"]
    pages = {utt: f"page{number % 3}" for number, utt in enumerate(sorted(coded.key))}
    pages |= dict.fromkeys([*real[:4], min(coded.key.keys() - set(real))], "small")
    write_table(coded.root / "data" / "utt2page", pages)
    root = coded.root
    evaluate(scores=root / "scores", data=root / "data", out=root, breakdown="page,attack")
    found = {part["name"]: part for part in read_json(root / "metrics.json")["breakdowns"]}
    cells = {cell["values"][0]: cell for cell in found["page"]["cells"]}
    assert cells["small"]["bonafide"] == 4
    mean = np.mean([cells[f"page{number}"]["eer"] for number in range(3)])
    assert found["page"]["mean"] == {"eer": pytest.approx(mean), "cells": 3}
    interval = found["page"]["by_value"]
    assert interval["groups"] == 4
    assert interval["lo"] <= interval["value"] <= interval["hi"]
    assert "mean" not in found["attack"]
    text = " ".join((root / "metrics.txt").read_text().split())
    assert f"the 3 with at least 5 bona fide trials is {100 * mean:.2f} %" in text
