"""The loop end to end on a toy corpus: learning, logs, exact resuming."""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from masd.bin.pretrain import pretrain
from masd.cli import build_parser
from masd.errors import MasdError
from masd.models.encoder import load_encoder
from masd.ssl import training
from masd.ssl.config import PretrainConfig
from masd.stage.files import read_yaml
from masd.training import precision
from masd.training.loop import learning_rate


def call(words: list[str], out: Path, *more: str) -> list[dict]:
    """Run the entry point in this process; return the epochs' records."""
    parsed = build_parser(pretrain, "pretrain").parse_args([*words, "--out", str(out), *more])
    arguments = dict(vars(build_parser(pretrain, "pretrain").instantiate(parsed)))
    arguments.pop("config")
    pretrain(**arguments)
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def test_losses_fall_below_chance_on_unseen_speakers(arguments, tmp_path):
    records = call(arguments, tmp_path / "exp", "--ssl.epochs", "24", "--ssl.lr", "6e-3", "--ssl.adv_lr", "1")
    dev = records[-1]["dev"]
    assert dev["loss_mask"] < 0.9 * dev["chance_loss_mask"]
    assert dev["loss_cpc"] < 0.9 * dev["chance_loss_cpc"]
    assert dev["acc_cpc_across"] > 2 * dev["chance_acc_cpc_across"]
    assert records[-1]["train"]["loss_total"] < 0.7 * records[0]["train"]["loss_total"]


def test_outputs_and_what_they_hold(arguments, tmp_path):
    out = tmp_path / "exp"
    records = call(arguments, out)
    assert [r["epoch"] for r in records] == [1, 2, 3]
    for key in ("loss_mask", "loss_cpc", "loss_binary", "loss_vocoder", "acc_cpc_within", "acc_cpc_across"):
        assert all(key in r[part] for r in records for part in ("train", "dev"))
    assert all("grad_norm" in r["train"] for r in records)
    scores = [r["dev"]["loss_mask"] + r["dev"]["loss_cpc"] for r in records]
    best = scores.index(min(scores))
    assert [r["best"] for r in records][best]
    assert not any(r["best"] for r in records[best + 1 :])
    mark = json.loads((out / ".done.json").read_text())
    assert mark["best_epoch"] == best + 1
    assert list((out / "tensorboard").iterdir())
    assert "epoch 3 dev" in (out / "train.log").read_text()
    encoder, _, _ = load_encoder(out)
    assert encoder.mel_std.min() > 0.05
    assert not torch.equal(encoder.mel_mean, torch.zeros(64))


def test_the_last_epoch_is_kept_where_that_is_asked_for(arguments, tmp_path, monkeypatch):
    losses = iter((3.0, 1.0, 2.0))
    validate = training.Trainer.validate
    monkeypatch.setattr(
        training.Trainer, "validate", lambda self: validate(self) | {"loss_label_free": next(losses)}
    )
    records = call(arguments, tmp_path / "exp", "--ssl.keep", "last")
    assert [r["best"] for r in records] == [True, True, True]
    assert json.loads((tmp_path / "exp/.done.json").read_text())["best_epoch"] == 3


def test_validation_is_the_same_question_every_epoch(arguments, tmp_path):
    records = call(arguments, tmp_path / "exp")
    for key in ("chance_loss_mask", "share_vocoded", "share_world"):
        assert len({r["dev"][key] for r in records}) == 1


def test_a_finished_run_is_not_repeated_and_force_repeats_it(arguments, tmp_path):
    out, arguments = tmp_path / "exp", [*arguments, "--ssl.epochs", "1"]
    call(arguments, out)
    before = (out / "encoder.safetensors").stat().st_mtime_ns, load_file(out / "last.safetensors")
    call(arguments, out, "--ssl.workers", "1")  # a key that changes nothing in the result
    assert (out / "encoder.safetensors").stat().st_mtime_ns == before[0]
    call(arguments, out, "--force", "true")
    assert (out / "encoder.safetensors").stat().st_mtime_ns != before[0]
    assert same(load_file(out / "last.safetensors"), before[1])
    call(arguments, out, "--seed", "1")
    assert not same(load_file(out / "last.safetensors"), before[1])


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits(arguments, tmp_path):
    """SIGKILL in the middle of an epoch, twice; then on to the end."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    more = ("--ssl.epochs", "4", "--ssl.precision", "bf16")
    call(arguments, whole, *more)
    last = broken / "last.safetensors"
    for _ in range(2):
        before, writes = last.stat().st_mtime_ns if last.exists() else 0, 0
        words = (*more, "--ssl.save_minutes", "0")
        process = multiprocessing.get_context("fork").Process(target=call, args=(arguments, broken, *words))
        process.start()
        deadline = time.monotonic() + 180
        while writes < 4 and time.monotonic() < deadline and process.is_alive():
            if last.exists() and last.stat().st_mtime_ns != before:
                before, writes = last.stat().st_mtime_ns, writes + 1
            time.sleep(0.001)
        process.kill()
        process.join()
        assert (process.exitcode, writes) == (-signal.SIGKILL, 4), "it was not killed in the middle"
    call(arguments, broken, *more)
    assert same(*(load_file(folder / "last.safetensors") for folder in (whole, broken)))
    assert same(*(load_file(folder / "encoder.safetensors") for folder in (whole, broken)))
    records = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (whole, broken)
    ]
    for one in (*records[0], *records[1]):
        one.pop("seconds")
    assert records[0] == records[1]


def test_auto_precision_is_settled_once_for_a_run(arguments, tmp_path, monkeypatch, caplog):
    """A run that is gone on with on another machine keeps the arithmetic it began with."""
    monkeypatch.setattr(precision, "suited", lambda device: "bf16")
    more = ("--ssl.precision", "auto")
    call(arguments, tmp_path / "whole", *more)
    stopped = tmp_path / "stopped"

    def stop(self, record):
        raise KeyboardInterrupt

    with monkeypatch.context() as inner:
        inner.setattr(training.Trainer, "keep", stop)
        with pytest.raises(KeyboardInterrupt):
            call(arguments, stopped, "--ssl.save_minutes", "0", *more)
    monkeypatch.setattr(precision, "suited", lambda device: "float32")
    caplog.set_level("INFO", "masd")
    call(arguments, stopped, *more)
    assert "bf16, as this training began; what suits this machine is float32" in caplog.text
    assert same(*(load_file(out / "last.safetensors") for out in (tmp_path / "whole", stopped)))
    assert read_yaml(stopped / "encoder.yaml")["extra"]["precision"] == "bf16"
    assert json.loads((stopped / ".done.json").read_text())["precision"] == "bf16"


def test_validation_recordings_are_not_of_the_training_set(arguments, toy, tmp_path):
    words = [word.replace(f"{toy}/dev", f"{toy}/train") for word in arguments]
    with pytest.raises(MasdError, match="train: utterance train00 is in the training set too"):
        call(words, tmp_path / "exp")


def test_a_development_loss_that_is_no_number_ends_the_run(arguments, tmp_path, monkeypatch):
    """It was the best for ever, since nothing is less than it, and could not be written at the end."""
    monkeypatch.setattr(training.Trainer, "criterion", lambda self, dev: float("nan"))
    with pytest.raises(MasdError, match="the development set's loss is nan after epoch 1"):
        call(arguments, tmp_path / "exp")


def test_mistakes_end_in_one_line(arguments, toy, tmp_path):
    bare = [w for w in arguments if "_hifigan" not in w and w not in ("--vocoded", "--dev_vocoded")]
    with pytest.raises(MasdError, match="adv needs vocoded copies"):
        call(bare, tmp_path / "a")
    with pytest.raises(MasdError, match="not NAME=DUMP"):
        call([*bare, "--vocoded", "world"], tmp_path / "b")
    with pytest.raises(MasdError, match="loss"):
        call(arguments, tmp_path / "c", "--ssl.lr", "1e30", "--ssl.clip", "0")
    assert not (tmp_path / "c" / ".done.json").exists()
    call([*bare, "--ssl.objectives", "[mask,cpc]"], tmp_path / "d", "--ssl.epochs", "1")


def test_an_adversarial_task_of_one_vocoder_is_warned_of(arguments, tmp_path, caplog):
    """It has one class: nothing to classify, nothing to unlearn."""
    at = [arguments.index(option) + 1 for option in ("--vocoded", "--dev_vocoded")]
    one = [word.split(",")[0] if i in at else word for i, word in enumerate(arguments)]
    for words, told in ((one, True), (arguments, False)):
        caplog.clear()
        call(words, tmp_path / str(told), "--ssl.epochs", "1")
        assert ("copies by one vocoder alone" in caplog.text) == told


def test_a_damaged_checkpoint_is_named(arguments, tmp_path):
    out = tmp_path / "exp"
    out.mkdir()
    (out / "last.safetensors").write_bytes(b"half")
    with pytest.raises(MasdError, match=r"last\.safetensors: not a checkpoint"):
        call(arguments, out)
    call(arguments, out, "--force", "true", "--ssl.epochs", "1")


def test_a_step_clips_decays_and_lets_the_heads_learn_faster(arguments, tmp_path, monkeypatch):
    """AdamW's first step moves every weight by its rate, against its gradient, on top of the decay."""
    steps, step = [], torch.optim.AdamW.step

    def watched(self, *given, **more):
        groups = [(g["params"], [p.detach().clone() for p in g["params"]]) for g in self.param_groups]
        gradients = [[p.grad.clone() for p in params] for params, _ in groups]
        out = step(self, *given, **more)
        after = [[p.detach().clone() for p in params] for params, _ in groups]
        steps.append(list(zip((before for _, before in groups), gradients, after, strict=True)))
        return out

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    words = ("--ssl.clip", "0.01", "--ssl.weight_decay", "30", "--ssl.adv_lr", "4", "--ssl.lr", "1e-3")
    call(arguments, tmp_path / "exp", "--ssl.epochs", "1", *words)
    rest, heads = steps[0]
    assert sorted(tuple(p.shape) for p in heads[0]) == [(1,), (1, 16), (2,), (2, 16), (16,), (16, 16)]
    norm = torch.cat([g.flatten() for group in (rest, heads) for g in group[1]]).norm()
    assert float(norm) == pytest.approx(0.01, rel=1e-3)
    for rate, (before, gradients, after) in ((1e-3, rest), (4e-3, heads)):
        for old, gradient, new in zip(before, gradients, after, strict=True):
            moved, clear = new - old * (1 - 30 * rate), gradient.abs() > 1e-6
            torch.testing.assert_close(moved[clear], -rate * gradient.sign()[clear], rtol=0.02, atol=1e-6)


def test_learning_rate_schedule():
    warm = PretrainConfig(lr=1.0, warmup=4)
    assert [learning_rate(s, 20, warm) for s in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    cosine = PretrainConfig(lr=1.0, warmup=0, schedule="cosine")
    assert learning_rate(0, 10, cosine) == 1.0
    assert learning_rate(5, 10, cosine) == pytest.approx(0.5)
    assert 0 < learning_rate(9, 10, cosine) < 0.05
