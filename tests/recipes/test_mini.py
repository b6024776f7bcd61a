"""The mini recipe from packages to results, and what a user may do to it on the way.

All tests look at one tiny run (see conftest.py) or at a copy of it. They need the package mirrors.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import kaldiio
import numpy as np
import pytest

from masd.data.folder import read_folder
from masd.stage.files import read_yaml
from masd.stage.tables import read_table
from masd.systems.calibration import Posterior

pytestmark = pytest.mark.slow


def test_a_whole_run_ends_with_scores_of_every_trial_and_a_page(finished):
    eval_set = read_folder(finished.path / "data/tiny/eval")
    scores = read_table(finished.path / "exp/tiny/full_s0/scores/eval/scores")
    assert list(scores) == eval_set.utts
    assert all(np.isfinite(float(value)) for value in scores.values())
    page = (finished.path / "exp/tiny/RESULTS.md").read_text()
    assert "## Paper and measurement" in page
    assert "./run.sh --size tiny" in page


def test_speakers_and_source_recordings_never_cross_sets(finished):
    seen = {}
    for name in ("train", "dev", "eval"):
        folder = read_folder(finished.path / "data/tiny" / name)
        for key in (*folder.utt2spk.values(), *folder.tables["utt2source"].values()):
            assert seen.setdefault(key, name) == name, key
    attacks = {
        n: set(read_table(finished.path / f"data/tiny/{n}/utt2attack").values()) for n in ("train", "eval")
    }
    assert attacks["eval"] - attacks["train"], "eval has attacks that training never saw"


def test_pretraining_saw_train_speakers_and_train_attacks_alone(finished):
    train = read_folder(finished.path / "data/tiny/train")
    for path in (finished.path / "data/tiny").glob("pretrain*"):
        if not path.is_dir() or path.name.startswith("pretrain_dev"):
            continue
        folder = read_folder(path)
        assert set(folder.utt2spk.values()) <= set(train.utt2spk.values()), path
        assert set(folder.tables["utt2source"].values()) <= set(train.tables["utt2source"].values()), path


def test_the_conditioned_track_has_the_recordings_copies_and_encoder_of_the_clean_one(twin):
    made = [p for part in ("source", "copies") for p in (twin.path / "data/tiny" / part).rglob("*.flac")]
    before = {p: p.stat().st_mtime_ns for p in made}
    twin.run("--track", "conditioned", "--ssl", "exp/tiny/ssl_adversarial_s0")
    assert before == {p: p.stat().st_mtime_ns for p in made}
    clean, other = (read_folder(twin.path / f"data/{size}/eval") for size in ("tiny", "tiny_conditioned"))
    assert clean.tables["utt2lab"] == other.tables["utt2lab"]
    utt = clean.utts[0]
    assert (twin.path / clean.wav[utt]).read_bytes() != (twin.path / other.wav[utt]).read_bytes()
    assert not list((twin.path / "exp/tiny_conditioned").glob("ssl_*/encoder.safetensors"))
    page = (twin.path / "exp/tiny_conditioned/RESULTS.md").read_text()
    assert "conditioned track" in page.splitlines()[0]
    twin.run("--stage", 7)
    page = (twin.path / "exp/tiny/RESULTS.md").read_text()
    assert "clean track" in page.splitlines()[0]
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| full")]
    assert rows[:2] == ["full MASD (`full`)", "full_s0 conditioned (`full_s0 conditioned`)"]


def test_a_second_run_does_no_work_again(finished):
    before = {p: p.stat().st_mtime_ns for p in finished.path.rglob("*.ark")}
    before |= {p: p.stat().st_mtime_ns for p in finished.path.rglob("*.safetensors")}
    before |= {p: p.stat().st_mtime_ns for p in (finished.path / "exp/tiny").rglob("report/*.*")}
    before |= {p: p.stat().st_mtime_ns for p in (finished.path / "data/tiny").glob("*/*2*")}
    before[finished.path / "exp/tiny/RESULTS.md"] = (finished.path / "exp/tiny/RESULTS.md").stat().st_mtime_ns
    finished.run()
    finished.run("--stage", 7)
    assert before == {p: p.stat().st_mtime_ns for p in before}
    page = (finished.path / "exp/tiny/RESULTS.md").read_text()
    assert "./run.sh --size tiny" in page and "--stage 7" not in page


def test_forcing_a_part_redoes_it_with_the_same_scores(twin):
    first = twin.scores()
    weights = twin.path / "exp/tiny/ssl_adversarial_s0/encoder.safetensors"
    made = weights.stat().st_mtime_ns
    twin.run("--stage", 4, "--stop-stage", 6, "--force", "true")
    assert weights.stat().st_mtime_ns > made
    assert twin.scores() == first


@pytest.mark.parametrize("stage", [3, 4, 5])
def test_a_run_killed_in_a_stage_and_started_again_ends_with_the_same_scores(twin, stage):
    first = twin.scores()
    for place in {3: ["dump"], 4: [], 5: []}[stage]:
        shutil.rmtree(twin.path / place)
    if stage <= 4:
        shutil.rmtree(twin.path / "exp")
    else:
        shutil.rmtree(twin.path / "exp/tiny/full_s0")
        shutil.rmtree(twin.path / "exp/tiny/ssl_adversarial_s0/emb")
    chance = random.Random(stage)
    for _ in range(2):
        command = twin.command("--stage", stage, "--stop-stage", 6)
        started = subprocess.Popen(command, cwd=twin.path, stdout=subprocess.DEVNULL, start_new_session=True)
        time.sleep(chance.uniform(3, 12))
        kill_tree(started)
    twin.run("--stage", stage, "--stop-stage", 6)
    assert twin.scores() == first


def kill_tree(started):
    """SIGKILL a process and all that descend from it, whatever session they are in."""
    doomed, queue = [], [started.pid]
    while queue:
        pid = queue.pop()
        doomed.append(pid)
        listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
        queue += [int(word) for word in listing.stdout.split()]
    for pid in doomed:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    started.wait()


@pytest.mark.parametrize("system", ["handcrafted", "ssl_multi", "concat", "attention"])
def test_every_row_of_table_two_is_one_option(twin, system):
    if system != "handcrafted":  # rows that share an encoder: one pretraining is enough to show it
        shutil.copytree(twin.path / "exp/tiny/ssl_adversarial_s0", twin.path / "exp/tiny/ssl_multi_s0")
    twin.run("--system", system, "--stage", 5 if system != "handcrafted" else 4, "--stop-stage", 6)
    model = twin.path / f"exp/tiny/{system}_s0/model"
    assert f"system: {system}" in (model / "model.yaml").read_text()
    # with the encoder of full, attention is full: they differ in pretraining alone
    assert (twin.scores(f"{system}_s0") == twin.scores("full_s0")) == (system == "attention")


def test_the_single_scale_row_has_an_encoder_of_its_own(twin):
    twin.run("--system", "ssl_single", "--stage", 4, "--stop-stage", 6)
    assert len(twin.scores("ssl_single_s0").splitlines()) == len(twin.scores().splitlines())


def test_plus_needs_no_encoder_and_plus_encoder_has_one(twin):
    shutil.copytree(twin.path / "exp/tiny/ssl_adversarial_s0", twin.path / "exp/tiny/ssl_multi_s0")
    twin.run("--system", "plus", "--stage", 3, "--stop-stage", 6, "--nj", 2)
    assert len(twin.scores("plus_s0").splitlines()) == len(twin.scores().splitlines())
    assert not (twin.path / "exp/tiny/plus_s0/model/encoder.safetensors").exists()
    twin.run("--system", "plus_encoder", "--stage", 5, "--stop-stage", 5)
    assert (twin.path / "exp/tiny/plus_encoder_s0/model/encoder.safetensors").exists()


def test_the_literal_reading_runs_end_to_end(twin):
    twin.run("--variant", "paper_literal", "--stage", 3, "--stop-stage", 6, "--nj", 2)
    assert len(twin.scores("full_paper_literal_s0").splitlines()) == len(twin.scores().splitlines())


def test_a_dump_made_with_another_configuration_is_refused(twin):
    shutil.copytree(twin.path / "dump/tiny", twin.path / "dump/tiny_paper_literal")
    done = twin.run("--variant", "paper_literal", "--stage", 5, "--stop-stage", 5, check=False)
    assert done.returncode == 1


def test_embeddings_made_elsewhere_go_into_stage_five_and_six(twin):
    """A Kaldi ark of plain vectors stands in for the encoder."""
    rng = np.random.default_rng(0)
    elsewhere = twin.path / "elsewhere"
    elsewhere.mkdir()
    for name in ("train", "dev", "eval"):
        folder = read_folder(twin.path / "data/tiny" / name)
        sign = {u: 1.0 if lab == "spoof" else -1.0 for u, lab in folder.tables["utt2lab"].items()}
        vectors = {u: (rng.normal(size=20) + 3 * sign[u]).astype(np.float32) for u in folder.utts}
        kaldiio.save_ark(str(elsewhere / f"{name}.ark"), vectors, scp=str(elsewhere / f"{name}.scp"))
    sets = [f"--{n}-{kind}" for n in ("train", "dev") for kind in ("data", "dump", "embeddings")]
    places = [
        f"{kind}/{n}{end}"
        for n in ("train", "dev")
        for kind, end in (("data/tiny", ""), ("dump/tiny", ""), ("elsewhere", ".scp"))
    ]
    words = [word for pair in zip(sets, places, strict=True) for word in pair]
    done = twin.python("masd.bin.train", "--system", "full", "--out", "exp/other", *words, "--fit.epochs", 3)
    assert done.returncode == 0, done.stderr[-2000:]
    done = twin.python(
        "masd.bin.score", "--model", "exp/other/model", "--dump", "dump/tiny/eval",
        "--embeddings", "elsewhere/eval.scp", "--out", "exp/other/scores/eval",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    labels = read_table(twin.path / "data/tiny/eval/utt2lab")
    scores = read_table(twin.path / "exp/other/scores/eval/scores")
    bona = [float(s) for u, s in scores.items() if labels[u] == "bonafide"]
    fake = [float(s) for u, s in scores.items() if labels[u] == "spoof"]
    assert min(bona) > max(fake), "separable vectors are separated, bona fide above"


def test_scores_made_elsewhere_go_into_stage_seven(twin):
    labels = read_table(twin.path / "data/tiny/eval/utt2lab")
    path = twin.path / "elsewhere.txt"
    path.write_text(
        "".join(f"{u} {1.0 if lab == 'bonafide' else -1.0}\n" for u, lab in reversed(labels.items()))
    )
    words = ["--scores", path, "--data", "data/tiny/eval", "--out", "exp/elsewhere"]
    done = twin.python("masd.bin.evaluate", *words)
    assert done.returncode == 0, done.stderr
    assert "0.00" in (twin.path / "exp/elsewhere/metrics.txt").read_text()
    path.write_text("".join(path.read_text().splitlines(True)[1:]))
    done = twin.python("masd.bin.evaluate", *words)
    assert done.returncode == 1
    assert list(labels)[-1] in done.stderr, "the missing trial is named"


def test_detect_gives_the_score_that_the_recipe_gave(finished):
    """And P(fake) of it by the map that was fitted on the development set."""
    info = read_yaml(finished.path / "exp/tiny/full_s0/model/model.yaml")["calibration"]
    folder = read_folder(finished.path / "data/tiny/eval")
    scores = read_table(finished.path / "exp/tiny/full_s0/scores/eval/scores")
    for utt in folder.utts[::5]:
        source = finished.path / folder.wav[utt]
        named = finished.path / f"another-name{source.suffix}"  # a score does not follow the name
        shutil.copy(source, named)
        done = finished.python(
            "masd.bin.detect", "--model", "exp/tiny/full_s0/model", "--json", "--windows=false", named
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["score"] == pytest.approx(float(scores[utt]), abs=1e-4)
        f = -float(scores[utt]) * info["temperature"]["value"]
        assert found["p_fake"] == pytest.approx(1 / (1 + np.exp(-Posterior.of(info).logit(f))), abs=1e-4)


def test_h5_dumps_give_the_same_scores(twin):
    first = twin.scores()
    shutil.rmtree(twin.path / "dump")
    shutil.rmtree(twin.path / "exp")
    twin.run("--stage", 3, "--stop-stage", 6, "--feats-format", "h5")
    assert list((twin.path / "dump").rglob("*.h5"))
    assert twin.scores() == first


def test_a_wrong_option_or_name_is_one_line(finished):
    for words, said in (
        (["--bogus", "1"], "unknown option --bogus"),
        (["--system", "best"], "unknown --system best"),
        (["--variant", "none"], "no conf/none.yaml"),
        (["--size", "huge"], "no conf/huge.yaml"),
    ):
        done = finished.run(*words, check=False)
        assert done.returncode == 1
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def hold(slurm, folder, words):
    """Let the Python processes with these words wait while the returned file exists: none ends too early."""
    held, hook = folder / "held", folder / "hook" / "sitecustomize.py"
    held.touch()
    hook.parent.mkdir()
    hook.write_text(
        "import os, sys, time\n"
        f"while set({words}) <= set(sys.orig_argv) and os.path.exists({str(held)!r}):\n"
        "    time.sleep(0.1)\n"
    )
    slurm.environment["PYTHONPATH"] = str(hook.parent)
    return held


def wait_until(holds):
    """Wait up to five minutes."""
    for _ in range(3000):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def test_slurm_does_dumps_and_scoring_and_again_what_a_killed_task_left(twin, slurm):
    """A task is cancelled, then its process killed; the third run does what is left, to the same scores."""
    first = twin.scores()
    shutil.rmtree(twin.path / "data/tiny/eval_tts", ignore_errors=True)  # fewer sets are enough,
    (twin.path / "data/tiny/pretrain_tags").write_text("")  # and no vocoded ones
    for name in ("dump/tiny/train", "exp/tiny/full_s0/scores/eval", "exp/tiny/ssl_adversarial_s0/emb/eval"):
        shutil.rmtree(twin.path / name)
    dumps = ("--nj", 3, "--stage", 3, "--stop-stage", 3)
    log = twin.path / "exp/tiny/log/dump_train.2.log"
    held = hold(slurm, twin.path.parent, ["masd.bin.dump_feats", "--job", "2"])

    def run_and(interfere):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        log.unlink(missing_ok=True)
        started = subprocess.Popen(twin.command(*dumps), cwd=twin.path, env=slurm.environment, **pipes)
        task = slurm.running("masd_dump_train", 2)
        wait_until(lambda: log.exists() and "# Started" in log.read_text())
        interfere(task)
        said = started.communicate(timeout=900)[0]
        assert started.returncode == 1, said
        return said

    def cancel(task):
        subprocess.run(["scancel", task], env=slurm.environment, check=True)

    def kill_process(_task):
        for _ in range(6000):
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    words = (process / "cmdline").read_bytes().split(b"\0")
                    here = os.readlink(process / "cwd") == str(twin.path)
                    if here and b"masd.bin.dump_feats" in words[1:4] and b"2" in words:
                        return os.kill(int(process.name), signal.SIGKILL)
            time.sleep(0.05)
        raise AssertionError("the task's process is not found")

    said = run_and(cancel)
    assert "slurm.py: 1 of 3 jobs failed; job 2" in said
    assert "Slurm says CANCELLED" in said
    assert "# Ended (" in log.read_text()
    assert log.read_text().splitlines()[-1] in said
    said = run_and(kill_process)
    assert "1 of 3 jobs failed; job 2 was ended by signal 9" in said
    held.unlink()
    twin.run(*dumps, env=slurm.environment)
    indices = [task.split("_")[1] for task, _ in slurm.tasks("masd_dump_train")]
    assert indices == ["1", "2", "3"] * 3
    twin.run("--nj", 2, "--stage", 6, "--stop-stage", 6, env=slurm.environment)
    assert len(slurm.tasks("masd_score_full_s0_eval")) == 2
    assert twin.scores() == first
    assert not list((twin.path / "exp").rglob(".jobs"))
