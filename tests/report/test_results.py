"""Stage 7 end to end on made-up scores: evaluate, the results page, the ablation table, reruns."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from masd.bin.evaluate import evaluate
from masd.bin.results import page as results
from masd.errors import MasdError
from masd.metrics.bootstrap import bootstrap_eer, paired_test
from masd.metrics.eer import eer
from masd.metrics.scores import write_scores
from masd.report.evaluated_runs import find_runs
from masd.report.metrics_json import Bootstrap
from masd.report.plots import det_plot
from masd.report.provenance import Cost, costs, stage_of
from masd.report.results_page import draw_plots, gather
from masd.report.table_two import table_rows
from masd.stage.files import read_json, write_json, write_lines, write_yaml

REPORTED = Path(__file__).parents[2] / "egs" / "mini" / "conf" / "reported.yaml"
QUALITY = {"handcrafted": 0.3, "attention": 0.9, "full": 1.3, "full_paper_literal": 0.5}


@pytest.fixture(scope="module")
def made(shared_corpus):
    """Four systems of two seeds evaluated on eval and dev, an encoder's history, and the results page."""
    corpus = shared_corpus
    folder = corpus.root / "exp" / "tiny"
    for system, quality in QUALITY.items():
        for seed in (0, 1):
            tag = folder / f"{system}_s{seed}"
            corpus.make_model(tag / "model")
            for name, better in (("eval", 1.0), ("dev", 1.5)):
                out = tag / "scores" / name
                write_scores(out / "scores", corpus.make_scores(corpus.key, quality * better, seed))
                judge(corpus, out)
    parts = {"loss_mask": 0.9, "chance_loss_mask": 1.0, "acc_cpc": 0.2, "chance_acc_cpc": 0.01}
    records = [{"epoch": e, "best": e == 2, "train": parts, "dev": parts} for e in (1, 2, 3)]
    write_lines(folder / "ssl_multi_s0" / "metrics.jsonl", map(json.dumps, records))
    how = {"precision": "bf16", "device": "cpu", "processes": 2, "threads": 1}
    write_yaml(folder / "ssl_multi_s0" / "encoder.yaml", {"extra": how})
    write_json(folder / "probe_encoder.json", {"gates": {"grl": {"value": 0.3, "limit": 0.4, "holds": True}}})
    make(corpus.root)
    return corpus


@pytest.fixture
def root(made, tmp_path):
    """A copy of all that, to be changed."""
    shutil.copytree(made.root, tmp_path / "copy")
    return tmp_path / "copy"


def judge(corpus, out, **options):
    settings = {"seen_attacks": "A01", "apart": "A08", "bootstrap": 20, "model": corpus.root / "model"}
    settings["data"] = corpus.root / "data"
    evaluate(scores=out / "scores", out=out, **settings | options)


def make(root, **options):
    out = root / "RESULTS.md"
    settings = {"data": root, "bootstrap": 40, "command": "./run.sh --size tiny", "reported": REPORTED}
    results(exp=root / "exp" / "tiny", out=out, **{"system": "full"} | settings | options)
    return text_of(root)


def text_of(root):
    """Page and appendix as one text."""
    both = (root / "RESULTS.md").read_text() + (root / "exp/tiny/report/appendix.md").read_text()
    return re.sub(" {2,}", " ", both)


def runs_of(root):
    return find_runs(root / "exp" / "tiny")


def test_evaluate_writes_figures_to_compute_with_and_to_read(made):
    out = made.root / "exp" / "tiny" / "full_s0" / "scores" / "eval"
    metrics = read_json(out / "metrics.json")
    assert f"{100 * metrics['pooled']['eer']:.2f}" in (out / "metrics.txt").read_text()
    assert len((out / "trials.tsv").read_text().splitlines()) == 251


def test_the_page_has_every_part_and_its_numbers(made):
    text = text_of(made.root)
    assert "Trained in: ssl_multi_s0 bf16 on cpu (processes 2, threads of each 1)." in text
    for title in ("Ablation", "Paper and measurement", "full_s0 on eval", "Calibration", "Development set"):
        assert f"## {title}" in text
    for title in ("Pretraining", "Checks of the machinery", "Corpus", "How this was made"):
        assert f"## {title}" in text
    rates = [run.metrics["pooled"]["eer"] for run in runs_of(made.root) if run.system == "full"]
    assert f"| 0, 1 | {100 * np.mean(rates):.2f} | {100 * np.std(rates, ddof=1):.2f} |" in text
    assert "| 2 of 3 | loss_mask | 0.900 | 0.900 | 1.000 |" in text
    assert "| probe_encoder | grl | 0.3 | 0.4 | holds |" in text
    assert "611,829" not in text, "a count of another corpus"
    assert "./run.sh --size tiny" in text
    assert re.search(r"\| full MASD \(`full`\) .*\| 0.39 \|", text)


def test_the_page_is_short_and_begins_with_what_it_means(made):
    page = (made.root / "RESULTS.md").read_text()
    assert len(page.splitlines()) <= 120 and "(exp/tiny/report/appendix.md)" in page
    first = page.split("\n## ")[1]
    assert first.startswith("What it means\n") and first.count("\n- ") == 5


def test_the_html_page_embeds_every_plot(made):
    folder = made.root / "exp" / "tiny" / "report"
    plots = {p.stem for p in folder.glob("*.png") if not p.stem.endswith("_dark")}
    expected = {"ablation", "attacks", "coverage", "det", "det_systems", "histogram", "reliability"}
    expected.add("training_ssl_multi_s0")
    assert plots == expected
    assert (folder / "report.html").read_text().count("data:image/png") == 2 * len(plots)
    for path in folder.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    assert {p.stem for p in folder.glob("*.pdf")} == plots
    assert all(p.read_bytes().startswith(b"%PDF") for p in folder.glob("*.pdf"))


def test_a_page_is_made_again_only_when_something_changed(made):
    """Nothing on a rerun; again where the page was edited by hand."""
    out, html = made.root / "RESULTS.md", made.root / "exp" / "tiny" / "report" / "report.html"
    before = (out.stat().st_mtime_ns, html.stat().st_mtime_ns)
    make(made.root)
    assert (out.stat().st_mtime_ns, html.stat().st_mtime_ns) == before
    out.write_text("typed by hand")
    assert "Generated by" in make(made.root)


def test_an_evaluation_is_made_again_only_when_something_changed(corpus):
    judge(corpus, corpus.root)
    stamp = (corpus.root / "metrics.json").stat().st_mtime_ns
    judge(corpus, corpus.root)
    assert (corpus.root / "metrics.json").stat().st_mtime_ns == stamp
    judge(corpus, corpus.root, seen_attacks="A01, A05")
    assert read_json(corpus.root / "metrics.json")["seen"]["attacks"] == ["A01", "A05"]
    corpus.make_model(corpus.root / "model", threshold=0.3)
    judge(corpus, corpus.root)
    assert read_json(corpus.root / "metrics.json")["decisions"][-1]["threshold"] == 0.3


def test_ablation_rows_follow_the_paper_and_pair_by_seed(made):
    runs = runs_of(made.root)
    listed = [{"system": "full", "name": "F", "eer": 0.39}, {"system": "absent", "name": "-", "eer": 1}]
    rows = table_rows(runs, listed, Bootstrap(40))
    assert [row.system for row in rows] == ["full", "attention", "full_paper_literal", "handcrafted"]
    full, attention, _, handcrafted = rows
    assert full.to_full is None
    rate = {run.name: run.metrics["pooled"]["eer"] for run in runs}
    differences = [rate[f"attention_s{s}"] - rate[f"full_s{s}"] for s in (0, 1)]
    assert attention.to_full.interval.value == pytest.approx(np.mean(differences))
    assert attention.to_full == attention.to_before
    matrices = [
        np.stack([r.trials.pooled.scores for r in runs if r.system == s]) for s in ("attention", "full")
    ]
    pooled = runs[0].trials.pooled
    assert attention.to_full.interval == paired_test(*matrices, pooled.fake, pooled.source, n=40)[0]
    assert full.interval == bootstrap_eer(matrices[1], pooled.fake, pooled.source, n=40)
    assert handcrafted.to_full.interval.lo > 0
    trials = runs[0].trials.pooled
    assert rate[runs[0].name] == eer(trials.scores[~trials.fake], trials.scores[trials.fake])[0]


@pytest.mark.parametrize(
    ("seeds", "said"), [((0, 1), "no common seed: not compared"), ((0, 0), "one seed: not compared")]
)
def test_systems_of_one_seed_have_an_interval_each_and_no_difference(made, seeds, said):
    """The sign of such a difference turned from one published page to the next."""
    names = [f"full_s{seeds[0]}", f"attention_s{seeds[1]}"]
    rows = table_rows([run for run in runs_of(made.root) if run.name in names], [], Bootstrap(20))
    assert [row.sd for row in rows] == [None, None]
    differences = [row.to_before or row.to_full for row in rows]
    assert [(one.interval, str(one)) for one in filter(None, differences)] == [(None, said)] * 2


def test_a_system_that_has_seen_other_attacks_stands_beside_the_rest(made, root):
    """Zero-shot systems differ in what they have heard; the trials are the same."""
    judge(made, root / "exp" / "tiny" / "full_s1" / "scores" / "eval", seen_attacks="", bootstrap=0)
    assert "full MASD" in make(root)


def test_the_page_keeps_the_commands_that_made_scores_and_page(root):
    """Stage 7 called again by another command finds the page as it is; made again, it names both."""
    made_by = "./run.sh --size tiny --corpus DIR"
    runs = runs_of(root)
    for run in runs[:-1]:
        write_json(run.folder / "scores" / "eval" / ".done.json", {"digest": "x", "command": made_by})
    text = make(root, command="./run.sh --stage 7", force=True)
    assert f"```\n# scores of {', '.join(run.name for run in runs[:-1])}\n{made_by}\n# scores of " in text
    assert f"{runs[-1].name}: the command was not kept\n# this page\n./run.sh --stage 7\n# its proof" in text
    assert make(root, command="./run.sh --stage 7 --nj 2") == text
    write_json(runs[-1].folder / "scores" / "eval" / ".done.json", {"digest": "x", "command": made_by})
    text = make(root, command=made_by, force=True)
    assert f"```\n{made_by}\npython3 -m masd.bin.proof verify" in text, "one command made it all"


def test_a_page_whose_html_is_gone_is_made_again(root):
    html = root / "exp" / "tiny" / "report" / "report.html"
    make(root)
    html.unlink()
    make(root)
    assert html.is_file()


def test_an_unpublished_corpus_has_no_column_of_reported_numbers(root):
    """Nor a heading of the paper's."""
    text = make(root, reported=None)
    assert "\n## Systems\n" in text and "paper†" not in text and "Reported" not in text
    assert "Table II" not in text


def test_one_reported_figure_makes_no_table_two(root):
    reported = root / "reported.yaml"
    reported.write_text("ablation:\n  - {system: full, name: full MASD, eer: 5.93}\n")
    text = make(root, reported=reported)
    assert "\n## Systems\n" in text and "| paper† |" in text and "| 5.93 |" in text


def test_sections_and_tables_with_nothing_in_them_are_left_out(made, root):
    """No speaker with both classes, nothing drawn of what the system looks at, and each attack once."""
    page = make(root)
    assert "What the system looks at" not in page and "| speaker |" in page
    made.make_data(root / "data", {u: (*r[:2], f"{r[2]}-{r[0]}", r[3]) for u, r in made.key.items()})
    out = root / "exp" / "tiny" / "attention_s0" / "scores" / "eval"
    judge(made, out, data=root / "data", breakdown="attack", bootstrap=0)
    page = make(root, system="attention")
    assert "| speaker |" not in page and page.count("\n| A05 ") == 1
    text = (out / "metrics.txt").read_text()
    assert "Per speaker" not in text and text.count("\n| A05 world") == 1
    html = (root / "exp" / "tiny" / "report" / "report.html").read_text()
    assert "What the system looks at" not in html


@pytest.mark.parametrize(("size", "shown"), [(9_460_000, "9.5"), (140_000, "0.1"), (28_400, "0.03")])
def test_a_small_model_has_a_size(root, size, shown):
    (root / "exp" / "tiny" / "full_s0" / "model" / "gmm.npz").write_bytes(bytes(size))
    assert f"| model (MB) | 9.5 | {shown} |" in make(root)


def test_an_adversarial_task_of_one_vocoder_is_said_to_be_void(root):
    path = root / "exp" / "tiny" / "ssl_multi_s0" / "metrics.jsonl"
    parts = {"acc_vocoder": 1.0, "chance_acc_vocoder": 1.0, "loss_mask": 0.9, "chance_loss_mask": 1.0}
    record = {"epoch": 1, "best": True, "train": parts, "dev": parts, "curriculum": {"lpc": 1.0}}
    path.write_text(json.dumps(record) + "\n")
    assert "Caution: ssl_multi_s0 heard copies by one vocoder alone" in make(root)
    path.write_text(json.dumps(record | {"curriculum": {"lpc": 0.5, "world": 0.5}}) + "\n")
    assert "vocoder alone" not in make(root)


def test_none_seen_is_said(made, root):
    """`none` is not the same as not knowing: all attacks count as unseen."""
    out = root / "exp" / "tiny" / "attention_s0" / "scores" / "eval"
    judge(made, out, seen_attacks="none", bootstrap=0)
    assert "| seen attacks (none) | - | - |" in make(root, system="attention")
    assert read_json(out / "metrics.json")["unseen"]["attacks"] == ["A01", "A05", "A07"]
    judge(made, out, seen_attacks="", bootstrap=0)
    assert "| seen attacks" not in make(root, system="attention")


def test_what_is_missing_is_named(root):
    with pytest.raises(MasdError, match="system ssl_single has not been evaluated; there are attention"):
        make(root, system="ssl_single")
    with pytest.raises(MasdError, match=r"no system has test/metrics\.json"):
        make(root, eval_set="test")


def test_costs_come_from_logs_and_marks(tmp_path):
    """Time of all jobs, memory of the largest; a log of a run that found the work done hides nothing."""
    log = "# python3 -m masd.bin.dump_feats --job {}\n# Started\n#\n"
    log += "x masd.cli INFO: processor time {} s, peak memory {} MiB\n"
    log += "# Ended (code 0) at x, elapsed time {} seconds\n"
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "dump.1.log").write_text(log.format(1, 6.5, 300, 7))
    (tmp_path / "dump.2.log").write_text(log.format(2, 4.0, 500, 5))
    (tmp_path / "join.log").write_text(
        "# python3 -m masd.bin.finish copy-synthesis --out x\n# Ended (code 0), elapsed time 2 seconds\n"
    )
    (tmp_path / "other.log").write_text("still running\n")
    (tmp_path / "fetch.log").write_text(
        "# python3 local/fetch.py\n# Ended (code 0), elapsed time 3 seconds\n"
    )
    found = costs([tmp_path])
    assert found == {
        "dump_feats": Cost(2, 12.0, 10.5, 500),
        "fetch": Cost(1, 3.0),
        "finish_copy_synthesis": Cost(1, 2.0),
    }
    cost = {"by": "dump_feats", "processor": 90.0, "mib": 400}
    (tmp_path / ".done.json").write_text(json.dumps({"digest": "x", "seconds": 60.0, "cost": cost}))
    (tmp_path / ".done.old.json").write_text('{"digest": "x", "seconds": 60.0}')
    assert costs([tmp_path])["dump_feats"] == Cost(2, 60.0, 90.0, 500)
    assert (stage_of("dump_feats"), stage_of("fetch"), stage_of("make_sets")) == (3, 0, 1)


def test_the_command_line(corpus):
    """As the recipe calls it; an error is one line and status 1."""
    words = [sys.executable, "-m", "masd.bin.evaluate", "--data", "data", "--out", "out", "--model", "model"]
    words += ["--seen-attacks", "A01", "--apart", "A08", "--bootstrap", "10"]
    options = {"cwd": corpus.root, "capture_output": True, "text": True}
    options["env"] = {**os.environ, "PYTHONPATH": str(REPORTED.parents[3])}
    done = subprocess.run([*words, "--scores", "scores"], **options)
    assert done.returncode == 0, done.stderr
    assert (corpus.root / "out" / "evaluate.yaml").is_file()
    kept = (corpus.root / "scores").read_text().splitlines()[:-1]
    (corpus.root / "fewer").write_text("\n".join(kept) + "\n")
    (corpus.root / "failed").write_text("tts-09 silent\n")
    (corpus.root / "none failed").write_text("")
    lists = ["--excused", "failed,none failed"]
    assert subprocess.run([*words, "--scores", "fewer", *lists], **options).returncode == 0
    assert read_json(corpus.root / "out" / "metrics.json")["counts"]["excused"] == 1
    failed = subprocess.run([*words, "--scores", "none"], **options)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("evaluate: error: none: ")


def cues(auc, finding):
    """What the probe of a set writes."""
    row = {"set": "eval", "attack": "all attacks", "bonafide": 60, "spoof": 180, "auc": auc}
    row |= {"low": auc - 0.05, "high": auc, "single": {"format": auc, "level": 0.5}, "finding": finding}
    return {"set": "eval", "most": 500, "bound": 0.65, "seed": 0, "rows": [row], "digest": "x"}


def test_the_page_begins_with_what_cues_that_are_not_synthesis_tell(root):
    """An EER of a confounded corpus is not read without its caution, on either page."""
    assert "apart was not asked" in make(root).split("\n## ")[1]
    said = "Caution: format alone tells spoofed speech from bona fide speech in eval (AUC 1.00"
    for auc, finding, words in (
        (1.0, "found", said),
        (0.6, "none", "none found above an AUC of 0.65 in eval."),
    ):
        write_json(root / "cues" / "eval.json", cues(auc, finding))
        text = make(root)
        said_first = text.split("\n## ")[1].split("\n- ")[1 if finding == "found" else 5]
        assert words in said_first
        assert f"| eval | all attacks | 60 | 180 | {auc:.3f} |" in text and f"| format | {auc:.3f} |" in text
        assert words in (root / "exp" / "tiny" / "report" / "report.html").read_text()


@pytest.mark.parametrize("system", ["full", "full_paper_literal", "attention", "mine"])
def test_other_systems_do_not_stand_beside_the_papers_figures(made, root, system):
    """Nor does a score file made elsewhere: the main table has it, and no reported figure of MASD."""
    folder = root / "exp" / "tiny" / "mine" / "scores" / "eval"
    write_scores(folder / "scores", made.make_scores(made.key, 0.7))
    judge(made, folder, model=None)
    page = make(root, system=system)
    assert ("Paper and measurement" in page) == system.startswith("full")
    assert "| mine (`mine`) | - |" in page


def test_the_captions_name_the_method_of_the_intervals(corpus):
    """Where a system makes no error, its interval is another one than elsewhere, and says so."""
    judge(corpus, corpus.root)
    text = (corpus.root / "metrics.txt").read_text()
    assert "intervals in per cent, percentile bootstrap, 20 draws" in text and "Clopper" not in text
    key = corpus.key.items()
    write_scores(corpus.root / "scores", {u: 1.0 if r[0] == "bonafide" else -1.0 for u, r in key})
    judge(corpus, corpus.root)
    found = read_json(corpus.root / "metrics.json")["pooled"]["by_source"]
    assert found["lo"] == 0 < found["hi"]
    text = (corpus.root / "metrics.txt").read_text()
    assert "Clopper-Pearson over the groups where there is no error, 20 draws" in text


def test_a_system_without_an_error_has_no_blank_frames(made, root):
    """Its DET curve lies outside the axes and its coverage is a line of zeros: a sentence, and no plot."""
    for seed in (0, 1):
        out = root / "exp" / "tiny" / f"full_s{seed}" / "scores" / "eval"
        scores = {utt: 1.0 if row[0] == "bonafide" else -1.0 for utt, row in made.key.items()}
        write_scores(out / "scores", scores)
        judge(made, out)
    page = gather(root / "exp" / "tiny", "full", "eval", None, 20)
    assert "coverage" not in draw_plots(page)
    axes = Figure().add_subplot()
    det_plot(axes, {"pooled": page.first.trials.pooled})
    assert [text.get_text() for text in axes.texts] == ["no error, so no curve: pooled"]
    axes = Figure().add_subplot()
    other = next(run for run in page.runs if run.system == "handcrafted")
    det_plot(axes, {"other": other.trials.pooled})
    assert not axes.texts
