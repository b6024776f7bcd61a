"""evaluate on other people's score files and keys: every form, polarity, order, and what must be refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from masd.bin.evaluate import evaluate
from masd.errors import MasdError
from masd.metrics.eer import eer
from masd.metrics.scores import read_score_file
from masd.stage.files import read_json

RNG = np.random.default_rng(0)
N = 60
LABELS = {f"DF_E_{i:03d}": "bonafide" if i % 3 == 0 else "spoof" for i in range(N)}
SCORES = {u: float(RNG.normal(1.5 if label == "bonafide" else 0)) for u, label in LABELS.items()}
SUBSET = {utt: "eval" if i % 4 else "progress" for i, utt in enumerate(LABELS)}
CODEC = {utt: ("nocodec", "low_mp3")[i % 2] for i, utt in enumerate(LABELS)}


def key_line(utt):
    attack = "bonafide" if LABELS[utt] == "bonafide" else "A14"
    kind = "bonafide" if LABELS[utt] == "bonafide" else "neural_vocoder_autoregressive"
    return f"LA_1 {utt} {CODEC[utt]} asvspoof {attack} {LABELS[utt]} notrim {SUBSET[utt]} {kind} - - - -"


SCORE_FORMS = {
    "two columns": [f"{u} {s}" for u, s in SCORES.items()],
    "AASIST": [f"{u} {'-' if LABELS[u] == 'bonafide' else 'A14'} {LABELS[u]} {s}" for u, s in SCORES.items()],
    "AASIST on ASVspoof 5": [f"LA_1 {u} {s} {LABELS[u]}" for u, s in SCORES.items()],
    "ASVspoof 5": ["filename\tcm-score", *(f"{u}\t{s}" for u, s in SCORES.items())],
    "ASVspoof 5, tandem": [
        "spk\tfilename\tcm-score\tasv-score\tsasv-score",
        *(f"E_1\t{u}\t{s}\t-\t0" for u, s in SCORES.items()),
    ],
}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "key").write_text("".join(key_line(utt) + "\n" for utt in LABELS))
    (tmp_path / "scores").write_text("\n".join(SCORE_FORMS["two columns"]) + "\n")
    return tmp_path


def judged(folder, lines=None, **options):
    if lines is not None:
        (folder / "scores").write_text("\n".join(lines) + "\n")
    settings = {"scores": folder / "scores", "key": folder / "key", "out": folder / "out", "bootstrap": 0}
    evaluate(**settings | options)
    return read_json(folder / "out" / "metrics.json")


def rate(keep=lambda utt: True):
    real, fake = ([SCORES[u] for u in LABELS if LABELS[u] == x and keep(u)] for x in ("bonafide", "spoof"))
    return eer(real, fake)[0]


@pytest.mark.parametrize("form", SCORE_FORMS)
def test_every_form_of_score_file_gives_the_same_rate(files, form):
    assert judged(files, SCORE_FORMS[form])["pooled"]["eer"] == rate()


def test_order_does_not_matter(files):
    assert judged(files, SCORE_FORMS["AASIST"][::-1])["pooled"]["eer"] == rate()


def test_a_subset_and_its_conditions(files):
    found = judged(files, subset="eval", breakdown="codec,vocoder,codec*vocoder")
    assert found["pooled"]["eer"] == rate(lambda u: SUBSET[u] == "eval")
    assert found["counts"]["other_subsets"] == N // 4
    cells = {tuple(c["values"]): c for part in found["breakdowns"] for c in part["cells"]}
    assert cells[("low_mp3",)]["eer"] == rate(lambda u: SUBSET[u] == "eval" and CODEC[u] == "low_mp3")
    assert cells[("neural_vocoder_autoregressive",)]["eer"] == found["pooled"]["eer"]
    crossed = cells["low_mp3", "neural_vocoder_autoregressive"]
    assert crossed["eer"] == cells[("low_mp3",)]["eer"]


def test_scores_of_the_subset_alone_will_do(files):
    mine = [line for line in SCORE_FORMS["two columns"] if SUBSET[line.split()[0]] == "eval"]
    assert judged(files, mine, subset="eval")["pooled"]["eer"] == rate(lambda u: SUBSET[u] == "eval")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: lines[:-1], r"1 trial \(DF_E_059\) without a score"),
        (lambda lines: [*lines, "DF_E_999 1.0"], r"1 trial \(DF_E_999\) not in the trial list"),
        (lambda lines: [*lines, lines[0]], r"scores:61: trial DF_E_000 occurs twice"),
        (lambda lines: ["DF_E_000 inf", *lines[1:]], r"trial DF_E_000: the score inf is not finite"),
        (lambda lines: ["DF_E_000 1.0 x", *lines[1:]], r"first line is `DF_E_000 1.0 x`"),
        (lambda lines: [lines[0], "DF_E_001", *lines[2:]], r"scores:2: 1 columns, 2 in the first"),
    ],
    ids=["missing", "extra", "duplicate", "infinite", "three columns", "cut short"],
)
def test_score_files_that_do_not_fit_are_refused(files, change, said):
    with pytest.raises(MasdError, match=said):
        judged(files, change(SCORE_FORMS["two columns"]))
    assert not (files / "out" / "metrics.json").exists()


def test_a_corpus_own_table_and_paths_for_ids_give_the_same_rate(files):
    """In-the-Wild's meta.csv as the key, scores by absolute path as Speech DF Arena keeps them, in UTF-16."""
    words = {"bonafide": "bona-fide", "spoof": "spoof"}
    rows = [f"{utt}.wav,Some One,{words[label]}" for utt, label in LABELS.items()]
    (files / "meta.csv").write_text("file,speaker,label\n" + "\n".join(rows) + "\n")
    text = "".join(f"/data/wild/{utt}.wav {score}\r\n" for utt, score in SCORES.items())
    (files / "scores").write_bytes(text.encode("utf-16"))
    assert judged(files, key=files / "meta.csv")["pooled"]["eer"] == rate()


def test_detectors_own_output_is_read_and_p_fake_needs_no_polarity(files):
    rows = [
        {"file": f"/x/{u}.flac", "score": s, "p_fake": 0.5, "label": "spoof", "warnings": [], "threshold": 0}
        for u, s in SCORES.items()
    ]
    assert judged(files, [json.dumps(row) for row in rows])["pooled"]["eer"] == rate()
    lines = ["utt,p_fake", *(f"{u},{float(1 / (1 + np.exp(s)))!r}" for u, s in SCORES.items())]
    for polarity in ("bonafide", "spoof"):
        assert judged(files, lines, polarity=polarity)["pooled"]["eer"] == rate()


def test_a_reversed_key_is_found_by_the_labels_in_the_score_file(files):
    swap = {"bonafide": "spoof", "spoof": "bonafide"}
    lines = [f"{u} - {swap[LABELS[u]]} {s}" for u, s in SCORES.items()]
    with pytest.raises(MasdError, match=r"trial DF_E_000 is labelled spoof, but bonafide in .*key"):
        judged(files, lines)
    (files / "scores").write_text("a - real 1.0\nb - odd 1.0\n")
    with pytest.raises(MasdError, match="scores:2: trial b has label odd"):
        read_score_file(files / "scores")


def test_reversed_scores_are_refused_unless_their_polarity_is_stated(files):
    turned = [f"{u} {-3 * s + (3 if LABELS[u] == 'spoof' else 0)}" for u, s in SCORES.items()]
    with pytest.raises(MasdError, match=r"scores or labels are reversed.*--polarity spoof"):
        judged(files, turned)
    plain = judged(files, [f"{u} {-s}" for u, s in SCORES.items()], polarity="spoof")
    assert plain["pooled"]["eer"] == rate()


def test_one_class_and_one_source_of_labels(files):
    (files / "key").write_text("a spoof A1\n")
    with pytest.raises(MasdError, match="all scored trials are spoof"):
        judged(files, ["a 1.0"])
    with pytest.raises(MasdError, match="--data FOLDER or as --key FILE"):
        judged(files, key=None)
    with pytest.raises(MasdError, match="--dev-scores needs"):
        judged(files, dev_scores=files / "scores")
    with pytest.raises(MasdError, match="say what --dev-scores are of"):
        judged(files, dev_key=files / "key")


def test_thresholds_and_calibrations_from_other_peoples_development_scores(files):
    rng = np.random.default_rng(1)
    labels = {f"DF_D_{i:03d}": "bonafide" if i % 2 else "spoof" for i in range(80)}
    dev = {u: float(rng.normal(1.5 if label == "bonafide" else 0)) for u, label in labels.items()}
    (files / "dev_key").write_text("".join(f"{u} {label}\n" for u, label in labels.items()))
    (files / "dev").write_text("".join(f"{u} {s}\n" for u, s in dev.items()))
    found = judged(
        files, dev_scores=files / "dev", dev_key=files / "dev_key", cost_miss=1, cost_fa=1, prior_spoof=0.5
    )
    decision = {d["at"]: d for d in found["decisions"]}["least cost on development"]
    costs = {
        t: sum((s <= t) == (labels[u] == "bonafide") for u, s in dev.items()) for t in sorted(dev.values())
    }
    assert costs[decision["threshold"]] == min(costs.values())
    miss = np.mean([SCORES[u] <= decision["threshold"] for u in LABELS if LABELS[u] == "bonafide"])
    accept = np.mean([SCORES[u] > decision["threshold"] for u in LABELS if LABELS[u] == "spoof"])
    assert decision["cost"] == pytest.approx(miss + accept)
    assert decision["cost"] >= found["pooled"]["min_dcf"]
    names = [c["name"].split(",")[0] for c in found["calibration"]]
    assert names == ["scores as given", "temperature", "platt", "affine", "isotonic"]
    (files / "dev_key").write_text("".join(f"{u} {label}\n" for u, label in LABELS.items()))
    with pytest.raises(MasdError, match="trial DF_E_000 is also evaluated"):
        judged(files, dev_scores=files / "scores", dev_key=files / "dev_key")


def test_alone_on_the_command_line(files):
    """No stage, no data folder, no model: a score file and a key."""
    words = [sys.executable, "-m", "masd.bin.evaluate", "--scores", "scores", "--key", "key", "--out", "out"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [*words, "--subset", "eval", "--bootstrap", "20"],
        cwd=files,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "EER" in (files / "out" / "metrics.txt").read_text()
    again = subprocess.run(
        [*words, "--subset", "none"], cwd=files, capture_output=True, text=True, env=environment
    )
    assert again.returncode == 1
    assert again.stderr.splitlines()[-1].startswith("evaluate: error: key: has no subset none")
