"""The page of a small fitted system: it needs nothing else, and shows what the system looks at."""

import re

import numpy as np
import pytest
import torch

from masd.audio import write_wav
from masd.bin.evaluate import evaluate
from masd.bin.results import page
from masd.bin.score import score
from masd.bin.train import train
from masd.data.folder import write_folder
from masd.errors import MasdError
from masd.feats.config import FeatsConfig
from masd.feats.dump import dump_shard, finish_dump
from masd.metrics.scores import read_scores
from masd.models.encoder import Encoder, EncoderConfig, save_encoder
from masd.report.evaluated_runs import find_runs
from masd.report.introspection import attention_by_attack, band_weights, explain, projection
from masd.report.proof import verify
from masd.report.results_page import gather, pages
from masd.stage.files import write_yaml
from masd.stage.seeding import generator
from masd.svm.config import FitConfig
from masd.systems.embeddings import extract_shard, finish


def make_set(root, name, voices):
    tables = {"wav": {}, "utt2spk": {}, "utt2lab": {}, "utt2attack": {}}
    for voice in voices:
        for i in range(6):
            utt, fake = f"v{voice}-{i}", i % 2 == 1
            rng = generator(0, utt)
            noise = rng.normal(size=16000) * (0.05 if fake else 0.15)
            tone = np.sin(2 * np.pi * (120 + 20 * voice) * np.arange(16000) / 16000)
            write_wav(root / "wav" / f"{utt}.wav", (0.5 * tone + noise).clip(-0.99, 0.99).astype(np.float32))
            row = (root / "wav" / f"{utt}.wav", f"v{voice}", "spoof" if fake else "bonafide")
            for table, value in zip(tables.values(), (*row, f"A{i}" if fake else "-"), strict=True):
                table[utt] = value
    write_folder(root / "data" / name, **tables)
    dump_shard(root / "data" / name, root / "dump" / name, FeatsConfig())
    finish_dump(root / "dump" / name, 1)
    extract_shard(root / "ssl", root / "dump" / name, root / "emb" / name)
    finish(root / "emb" / name, 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """`full` and `handcrafted` fitted, scored and evaluated by the stages, in exp/."""
    root = tmp_path_factory.mktemp("report")
    torch.manual_seed(0)
    config = EncoderConfig(channels=(4, 8, 8, 8, 8), dim=16)
    encoder = Encoder(config)
    encoder.set_statistics(torch.full((64,), -4.0), torch.full((64,), 3.0))
    save_encoder(root / "ssl", encoder, config, FeatsConfig(), {})
    make_set(root, "train", range(4))
    make_set(root, "dev", range(4, 6))
    places = {
        f"{name}_{kind}": root / kind.replace("embeddings", "emb") / name
        for name in ("train", "dev")
        for kind in ("data", "dump", "embeddings")
    }
    given = {"dump": root / "dump" / "dev", "embeddings": root / "emb" / "dev", "data": root / "data" / "dev"}
    for system in ("full", "handcrafted"):
        out = root / "exp" / f"{system}_s0"
        ssl = root / "ssl" if system == "full" else None
        train(system, **places, ssl=ssl, out=out, fit=FitConfig(epochs=3, affine_folds=2))
        for command in ("./run.sh", "./run.sh --stage 6"):  # the second finds the scores as they are
            score(out / "scores" / "eval", model=out / "model", **given, command=command)
        # what masd.cli writes beside the output of the entry point
        write_yaml(out / "scores" / "eval" / "score.yaml", {"model": out / "model", **given})
        evaluate(
            scores=out / "scores" / "eval" / "scores", data=root / "data" / "dev", model=out / "model",
            out=out / "results" / "eval", bootstrap=20, breakdown="attack",
        )  # fmt: skip
    return root


def report(out, **options):
    page(out / "RESULTS.md", report=out, **options)


def run_of(world, system="full"):
    return next(run for run in find_runs(world / "exp") if run.system == system)


def test_the_page_needs_nothing_but_itself(world):
    out = world / "page"
    report(out, exp=world / "exp", system="full", bootstrap=20, title="A page", explain="v4-1")
    text = (out / "report.html").read_text()
    assert re.findall(r'(?:src|href|srcset)="(?!data:|#)[^"]*', text) == []
    assert "<script" not in text
    assert "url(" not in text
    figures = {p.stem for p in out.glob("*.pdf")}
    assert {"attention", "bands", "projection", "explanation", "det_systems"} <= figures
    assert text.count("<figure>") == len(figures)
    for word in (
        "What the system looks at",
        "<details",
        "prefers-color-scheme: dark",
        "@media print",
        'name="viewport"',
    ):
        assert word in text


def test_systems_evaluated_anywhere_make_a_page(world):
    folders = [f"{name}={world}/exp/{name}_s0/results/eval" for name in ("handcrafted", "full")]
    report(world / "other", evaluated=",".join(folders), bootstrap=20)
    text = (world / "other" / "report.html").read_text()
    assert "handcrafted on eval" in text
    assert "DET curves of all systems" in text
    assert verify(world / "other" / "RESULTS.manifest.json") == []
    with pytest.raises(MasdError, match="nothing to report on"):
        report(world / "none")
    with pytest.raises(MasdError, match="expected NAME=FOLDER"):
        report(world / "none", evaluated="full")


def test_the_command_that_made_the_scores_stays_with_them(world):
    assert run_of(world).command == "./run.sh"


def test_a_section_whose_figures_were_not_drawn_is_left_out(world):
    """The HTML page has what the Markdown one cannot show, and neither has an empty section."""
    gathered = gather(world / "exp", "handcrafted", "eval", None, 20)
    assert "What the system looks at" not in "".join(pages(gathered, "A page"))
    report(world / "hand", exp=world / "exp", system="handcrafted", bootstrap=20)
    assert "What the system looks at" in (world / "hand" / "report.html").read_text()


def test_attention_is_averaged_by_attack(world):
    run = run_of(world)
    found = attention_by_attack(run)
    assert list(found) == ["bona fide", "A1", "A3", "A5"]
    rows = dict(
        line.split(maxsplit=1) for line in (run.folder / "scores/eval/attention").read_text().splitlines()
    )
    by_hand = np.mean([[float(v) for v in rows[utt].split()] for utt in ("v4-3", "v5-3")], axis=0)
    assert found["A3"] == pytest.approx(by_hand)
    assert attention_by_attack(run_of(world, "handcrafted")) == {}
    assert band_weights([run])["full"].sum() == pytest.approx(1)


def test_the_projection_holds_the_utterances_by_kind(world):
    found = projection(run_of(world))
    assert found.points.shape == (12, 2)
    assert sorted(set(found.kinds)) == ["A1", "A3", "A5", "bona fide"]
    assert found.points.mean(axis=0) == pytest.approx([0, 0], abs=1e-6)
    assert 1 >= found.shares[0] >= found.shares[1] >= 0
    assert len(projection(run_of(world), limit=5).points) == 5


def test_an_explanation_starts_from_the_score_in_the_file(world):
    run = run_of(world)
    found = explain(run, "v5-3")
    scores = read_scores(run.folder / "scores/eval/scores")
    assert found.effects.score == pytest.approx(scores["v5-3"], abs=1e-4)
    assert (found.kind, list(found.effects.bands)) == ("A3", ["low", "mid", "high", "other"])
    assert list(found.effects.measures) == ["embedding", "PCS", "HFER", "SFI"]
    assert [round(end, 2) for _, end, _ in found.effects.windows] == [1.01]
    for kind in (found.effects.bands, found.effects.measures):
        assert sum(kind.values()) == pytest.approx(found.effects.score - found.effects.baseline, abs=1e-6)
    assert any(abs(effect) > 1e-6 for effect in found.effects.bands.values())
    pooled = run.trials.pooled
    surest = pooled.utts[pooled.fake][np.argmin(pooled.scores[pooled.fake])]
    assert explain(run).utt == surest


def test_what_cannot_be_explained_is_named(world):
    with pytest.raises(MasdError, match="--explain nobody: not a trial of eval"):
        report(world / "p", exp=world / "exp", system="full", bootstrap=20, explain="nobody")
    with pytest.raises(MasdError, match="no bands and frames to explain"):
        explain(run_of(world, "handcrafted"))
