"""What a run.sh makes of its options, by a launcher that only notes the commands.

Every command of every system is one that its entry point takes. Nothing is computed.
"""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from entry_points import functions, parser_of

from masd.cli import _own_sections, _with_underscores
from masd.stage.files import write_yaml
from masd.systems import SYSTEMS as KNOWN
from masd.systems.classifier import FRONT_ENDS

ROOT = Path(__file__).parents[2]
SYSTEMS = [name for name, kind in KNOWN.items() if kind != "masd"]
RECIPES = sorted(path.parent.name for path in ROOT.glob("egs/*/run.sh"))
ROWS = ("handcrafted", "ssl_single", "ssl_multi", "concat", "attention", "full")
ENTRY = "masd.bin."
NOTE = """#!/usr/bin/env bash
{ printf '%s\\x1f' "$@"; printf '\\x1e'; } >> calls
"""


class Noted:
    """A copy of a recipe whose launcher notes what it is to start; its data are folders and short lists."""

    def __init__(self, folder: Path, name: str):
        self.path = folder / "egs" / name
        for part in ("masd", "utils", "tools"):
            (folder / part).symlink_to(ROOT / part)
        leave = shutil.ignore_patterns("downloads", "data", "dump", "exp", "protocol", "__pycache__")
        shutil.copytree(ROOT / "egs" / name, self.path, ignore=leave)
        (self.path / "cmd.sh").write_text("cmd=./note.sh train_cmd=./note.sh\n")
        (self.path / "note.sh").write_text(NOTE)
        (self.path / "note.sh").chmod(0o755)
        for part in ("train", "dev", "eval"):
            (self.path / "data/tiny" / part).mkdir(parents=True)
            (self.path / f"data/tiny/{part}/utt2attack").write_text("a A01\nb -\n")
            (self.path / f"data/tiny/{part}/utt2vocoder").write_text("a melgan\nb -\n")
        (self.path / "data/tiny/pretrain_tags").write_text("lpc\nworld\n")
        (self.path / "data/tiny/breakdown").write_text("codec\n")
        (self.path / "data/tiny/train/utt2lab").write_text("a spoof\nb bonafide\n")
        for name in ("one.pt", "two.pt"):
            (self.path / name).touch()
        for system in (*ROWS, "plus", "full_tokens", *SYSTEMS):
            self.model(f"tiny/{system}")
            for part in ("dev", "eval"):
                self.touch(f"exp/tiny/{system}_s0/scores/{part}/scores")
        for kind in ("single", "multi", "adversarial", "adversarial_paper_literal"):
            self.touch(f"exp/tiny/ssl_{kind}_s0/encoder.safetensors")
        for suffix in ("", "_plus", "_paper_literal"):
            for part in ("train", "train_plus", "dev", "eval", "pretrain"):
                self.touch(f"dump/tiny{suffix}/{part}/feats.yaml")

    def touch(self, path):
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        (self.path / path).touch()

    def run(self, *options, **environment):
        """Run stages 2 to 7, or those of `options`."""
        (self.path / "calls").unlink(missing_ok=True)
        shutil.rmtree(self.path / "exp/tiny/log/.fresh", ignore_errors=True)
        command = ["./run.sh", "--size", "tiny", "--stage", "2", *map(str, options)]
        environment = {**os.environ, "LC_ALL": "C", **environment}
        return subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True)

    def calls(self, *options):
        """Run it and return the words of each command."""
        done = self.run(*options)
        assert done.returncode == 0, done.stderr
        noted = (self.path / "calls").read_text().split("\x1e")[:-1]
        return [line.split("\x1f")[:-1] for line in noted]

    def model(self, system):
        """Return a model folder that says no more than whose it is."""
        folder, name = self.path / "exp" / f"{system}_s0" / "model", Path(system).name.removesuffix("_tokens")
        write_yaml(folder / "model.yaml", {"system": name, "type": KNOWN[name]})
        return folder.relative_to(self.path)


@pytest.fixture(scope="module")
def noted(tmp_path_factory):
    """Every recipe."""
    return {name: Noted(tmp_path_factory.mktemp(name), name) for name in RECIPES}


def entry(call):
    """The entry point that a command starts, with its sub-command, and the arguments."""
    at = next(i for i, word in enumerate(call) if word.startswith(ENTRY))
    name, words = call[at].removeprefix(ENTRY), call[at + 1 :]
    return (name, words) if name in functions(name) else (f"{name} {words[0]}", words[1:])


def entries(calls):
    """The entry points of commands; a recipe's own scripts are none."""
    return [entry(call)[0] for call in calls if any(word.startswith(ENTRY) for word in call)]


def parsed(recipe, call, monkeypatch):
    """A command's arguments as its entry point reads them."""
    monkeypatch.chdir(recipe.path)
    name, words = entry(call)
    words = ["1" if word == "JOB" else word for word in _own_sections(words, name)]
    parser = parser_of(name)
    return parser.parse_args([_with_underscores(word, parser) for word in words])


ALL = [("asvspoof2019_la", system) for system in (*ROWS, *SYSTEMS, "+tokens")]
OTHERS = [(name, system) for name in RECIPES for system in ("full", "aasist", "tokens", "+tokens")]


@pytest.mark.parametrize(("name", "system"), list(dict.fromkeys([*ALL, *OTHERS])))
def test_every_command_is_one_that_its_entry_point_takes(noted, name, system, monkeypatch):
    recipe = noted[name]
    more = ("--features", "+tokens") if system == "+tokens" else ("--system", system)
    if system in FRONT_ENDS:
        more += ("--front-ends", "one.pt two.pt")
    calls = recipe.calls("--zero-shot", "false", *more)
    started = [call for call in calls if any(word.startswith(ENTRY) for word in call)]
    for call in started:
        parsed(recipe, call, monkeypatch)
    found = entries(calls)
    waveforms = system in SYSTEMS
    assert ("dump_feats" in found) == (not waveforms or system == "tokens")
    assert found.count("train") == 1 + (system == "+tokens")
    assert found.count("score") == found.count("finish scores") >= 2
    assert ("extract_embeddings" in found) == (not waveforms and system != "handcrafted")
    assert ("pretrain" in found) == (system not in {"handcrafted", *SYSTEMS} or system == "tokens")
    assert found[-1] == "results page" and found.count("evaluate") == 2


@pytest.mark.parametrize("name", RECIPES)
def test_published_settings_hold_where_a_size_says_nothing_else(noted, name, monkeypatch):
    """The system's own file, the size's budget on top of it, then the recipe's own file."""
    recipe = noted[name]

    def train(*options):
        calls = recipe.calls(
            "--zero-shot", "false", "--system", "samo", "--stage", 5, "--stop-stage", 5, *options
        )
        return parsed(recipe, calls[-1], monkeypatch).network

    config = train()
    assert (config.loss, config.alpha, config.renew, config.batch) == ("samo", 20.0, 3, 4)
    own = recipe.path / "conf" / "systems" / "samo.yaml"
    write_yaml(own, {"train": {"network": {"alpha": 10.0}}})
    config = train()
    own.unlink()
    assert (config.loss, config.alpha, config.batch) == ("samo", 10.0, 4)


@pytest.mark.parametrize("name", RECIPES)
def test_a_detector_or_released_weights_score_without_training(noted, name, monkeypatch):
    recipe = noted[name]
    weights = recipe.path / "AASIST.pth"
    weights.touch()
    model = recipe.model("aasist")
    for options, tag in (
        (("--model", model), "zero_shot_aasist_s0"),
        (("--checkpoint", weights, "--system", "aasist"), "zero_shot_aasist_released"),
    ):
        calls = recipe.calls("--zero-shot", "true", *options)
        assert entries(calls) == ["score", "finish scores", "evaluate", "results page"]
        found = [parsed(recipe, call, monkeypatch) for call in calls]
        assert str(found[0].out) == str(found[1].out) == f"exp/tiny/{tag}/scores/eval"
        assert found[3].system == tag.removesuffix("_s0")
    for options, said in (
        (("--model", model, "--checkpoint", weights), "give one of them"),
        (("--checkpoint", weights), "whose weights"),
        (("--checkpoint", "/none.pth", "--system", "aasist"), "--checkpoint /none.pth: no such file\n"),
        (("--model", "nowhere"), "--model nowhere: no model folder"),
    ):
        assert_one_line(recipe.run("--zero-shot", "true", *options), said)
    assert_one_line(recipe.run("--zero-shot", "false", "--model", model), "--zero-shot true")


IDLE = {
    "--variant": "paper_literal",
    "--seed": "5",
    "--ssl": "exp/ssl",
    "--vocoders": "lpc",
    "--front-ends": "one.pt",
    "--ngpu": "2",
    "--nproc": "2",
    "--num-nodes": "2",
}


@pytest.mark.parametrize("option", IDLE)
def test_an_option_that_says_how_to_train_is_refused_with_a_trained_system(noted, option):
    """Nobody takes `--variant paper_literal --model plus` for a run of that variant."""
    recipe = noted["for"]
    weights = recipe.path / "AASIST.pth"
    weights.touch()
    said = f"{option} {IDLE[option]}: changes nothing of a trained system, "
    for given in (
        ("--model", recipe.model("plus")),
        ("--checkpoint", "AASIST.pth", "--system", "aasist"),
    ):
        assert_one_line(recipe.run(*given, option, IDLE[option]), said + given[0])


def test_a_model_says_which_system_it_is(noted):
    """Another system is refused, the default too where it is given; defaults are let through."""
    recipe = noted["for"]
    model = ("--model", recipe.model("plus"))
    for system in ("aasist", "full"):
        assert_one_line(
            recipe.run(*model, "--system", system), f"--system {system}: --model says which system"
        )
    calls = recipe.calls(
        *model, "--system", "plus", "--seed", 0, "--variant", "masd", "--ngpu", 0, "--nproc", 1
    )
    assert entries(calls)[-1] == "results page"
    (recipe.path / "AASIST.pth").touch()
    weights = ("--checkpoint", "AASIST.pth", "--system", "aasist")
    assert_one_line(recipe.run(*weights, "--features", "+tokens"), "--features +tokens: changes nothing")


def test_keys_that_cannot_be_told_stop_the_run(noted):
    """WaveFake's own script reads a table; without it no evaluation begins that would count all as unseen."""
    recipe = noted["wavefake"]
    table = recipe.path / "data/tiny/eval/utt2vocoder"
    text = table.read_text()
    table.unlink()
    done = recipe.run("--zero-shot", "false", "--system", "lfcc_gmm", "--stage", 7)
    table.write_text(text)
    assert done.returncode == 1 and "utt2vocoder" in done.stderr
    assert not (recipe.path / "calls").exists()


def test_a_set_apart_is_scored_and_reported_with_eval(noted, monkeypatch):
    """mini's text to speech has no bona fide partner: dumped and scored, it is evaluated with eval."""
    recipe = noted["mini"]
    (recipe.path / "data/tiny/eval_tts").mkdir()
    calls = recipe.calls("--system", "handcrafted", "--stage", 3)
    (recipe.path / "data/tiny/eval_tts").rmdir()
    by = {}
    for call in calls:
        by.setdefault(entry(call)[0], []).append(parsed(recipe, call, monkeypatch))
    assert [str(one.data) for one in by["score"]] == [f"data/tiny/{n}" for n in ("dev", "eval", "eval_tts")]
    assert "data/tiny/eval_tts" in [str(one.data) for one in by["dump_feats"]]
    dev, eval_ = by["evaluate"]
    assert dev.apart_data is None and dev.dev_scores is None
    assert str(eval_.apart_data) == "data/tiny/eval_tts" and str(eval_.dev_data) == "data/tiny/dev"
    assert eval_.excused == ",".join(
        f"exp/tiny/handcrafted_s0/scores/{n}/failures" for n in ("eval", "eval_tts")
    )
    assert by["results page"][0].sets == "train,dev,eval,eval_tts"


def test_samo_is_told_the_enrolment_that_stage_1_found_and_no_other_system_is(noted):
    recipe = noted["asvspoof2019_la"]
    (recipe.path / "data/tiny/enrol_eval").mkdir(exist_ok=True)
    for system, told in (("samo", True), ("aasist", False)):
        calls = recipe.calls("--stage", 6, "--stop-stage", 6, "--system", system)
        scoring = [call for call in calls if entry(call)[0] == "score"]
        assert ["--enrolment-data" in call for call in scoring] == [False, told]


def test_a_model_with_tokens_takes_its_token_model_along(noted):
    recipe = noted["for"]
    model = recipe.model("full")
    (recipe.path / model / "encoder.safetensors").touch()
    assert_one_line(recipe.run("--model", model, "--features", "+tokens"), "was not trained with them")
    tokens = model.parent / "tokens" / "model"
    write_yaml(recipe.path / tokens / "model.yaml", {"system": "tokens"})
    calls = recipe.calls("--model", model, "--features", "+tokens", "--stage", 6, "--stop-stage", 6)
    _, words = next(entry(call) for call in calls if entry(call)[0] == "add_tokens")
    assert words[words.index("--model") + 1] == str(tokens)
    for system in ("handcrafted", "ssl_multi", "aasist"):
        done = recipe.run("--zero-shot", "false", "--system", system, "--features", "+tokens")
        assert_one_line(done, f"--system {system} has no encoder, or no handcrafted features")


def start(calls, name):
    """What starts an entry point: the words between the log and -m."""
    call = next(call for call in calls if ENTRY + name in call)
    log = next(i for i, word in enumerate(call) if word.endswith(".log"))
    return call[log], call[log + 1 : call.index("-m")]


def test_copies_by_networks_are_made_on_gpus_where_there_are_some(noted):
    recipe, stage = noted["asvspoof2019_la"], ("--stage", 2, "--stop-stage", 2, "--nj", 3)
    (recipe.path / "data/tiny/network_tags").write_text("world\n")  # which it is not, but the list says so

    def asked(*options):
        calls = [call for call in recipe.calls(*stage, *options) if ENTRY + "copy_synthesis" in call]
        assert len(calls) == 4
        return {
            call[call.index("--vocoder") + 1]: (
                call[: call.index("JOB=1:3")],
                call[call.index("--device") + 1],
            )
            for call in calls
        }

    assert asked() == {"lpc": ([], "cpu"), "world": ([], "cpu")}
    assert asked("--ngpu", 2) == {"lpc": ([], "cpu"), "world": (["--gpu", "1"], "auto")}
    (recipe.path / "data/tiny/network_tags").unlink()
    assert asked("--ngpu", 2)["world"] == ([], "cpu"), "made by an older version"


def test_trainings_start_as_torchrun_wants_them(noted):
    recipe, one = noted["asvspoof2019_la"], ("--stage", 4, "--stop-stage", 4)
    assert start(recipe.calls(*one), "pretrain")[1] == ["python3", "-P"]
    assert start(recipe.calls(*one, "--ngpu", 2), "pretrain")[1] == [
        "torchrun", "--standalone", "--nproc-per-node", "2",
    ]  # fmt: skip
    assert start(recipe.calls(*one, "--nproc", 3), "pretrain")[1][-1] == "3"
    several = ("--num-nodes", 2, "--node-rank", 1, "--ngpu", 4)
    log, words = start(recipe.calls(*one, *several, "--rdzv-endpoint", "a:29500"), "pretrain")
    assert log.endswith("pretrain.host1.log")
    assert " ".join(words) == (
        "torchrun --nnodes 2 --node-rank 1 --nproc-per-node 4 --rdzv-backend c10d --rdzv-id full_s0 "
        "--rdzv-endpoint a:29500"
    )
    assert_one_line(recipe.run(*one, *several), "--rdzv-endpoint HOST:PORT")
    done = recipe.run(*several, "--rdzv-endpoint", "a:29500")
    assert_one_line(done, "--stage 4 --stop-stage 4")
    done = recipe.run(*several, "--rdzv-endpoint", "a:29500", "--system", "aasist")
    assert_one_line(done, "--stage 5 --stop-stage 5")


@pytest.fixture
def local(tmp_path):
    """A recipe on a local launcher, which would only note the commands, and a host of two GPUs."""
    recipe = Noted(tmp_path, "asvspoof2019_la")
    (recipe.path / "run.py").symlink_to("note.sh")
    (recipe.path / "cmd.sh").write_text('PATH=$PWD:$PATH cmd=run.py train_cmd="run.py --mem 4G"\n')
    (recipe.path / "nvidia-smi").write_text("#!/bin/sh\nfor i in 0 1; do echo GPU $i: a card; done\n")
    (recipe.path / "nvidia-smi").chmod(0o755)
    for part in ("data", "dump", "exp"):
        (recipe.path / part / "full").symlink_to("tiny")
    (recipe.path / "elsewhere").mkdir()
    (recipe.path / "elsewhere/encoder.safetensors").touch()
    return recipe


def test_a_run_that_would_train_without_its_gpus_ends_before_its_first_stage(local):
    """`--size full` means four GPUs, and the stages ahead of the training take days."""
    full = ("--size", "full", "--stage", 0)
    assert_one_line(
        local.run(*full, CUDA_VISIBLE_DEVICES=""), "--ngpu 4, as --size full takes: this host has 0"
    )
    assert_one_line(
        local.run(*full, CUDA_VISIBLE_DEVICES="1"), "has 1 GPUs for the training; give as many, or --ngpu 0"
    )
    done = local.run("--system", "aasist", "--ngpu", 1, "--stage", 5, CUDA_VISIBLE_DEVICES="-1")
    assert_one_line(done, "--ngpu 1: this host has 0")
    assert not (local.path / "calls").exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--ngpu", 0),
        ("--ngpu", 4, "--stop-stage", 3),
        ("--ngpu", 4, "--stage", 6),
        ("--ngpu", 4, "--system", "handcrafted"),
        ("--ngpu", 4, "--system", "lfcc_gmm"),
        ("--ngpu", 4, "--ssl", "elsewhere"),
    ],
)
def test_gpus_are_asked_for_where_a_network_is_trained_alone(local, options):
    """Data stages run on a host without any, as do systems that are fitted by one process."""
    done = local.run("--size", "full", *options, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr


def test_gpus_of_a_cluster_or_of_this_host_are_taken(local):
    """Who submits a training elsewhere needs none here."""
    if not Path("/dev/kfd").exists() and not Path("/dev/dxg").exists():
        assert_one_line(local.run("--ngpu", 3, CUDA_VISIBLE_DEVICES="0,1,2"), "this host has 2")
    assert local.run("--ngpu", 2, CUDA_VISIBLE_DEVICES="0,1").returncode == 0
    (local.path / "cmd.sh").write_text("cmd=./note.sh train_cmd=./note.sh\n")
    assert local.run("--ngpu", 4, CUDA_VISIBLE_DEVICES="").returncode == 0


@pytest.mark.parametrize(("system", "words"), [("aasist", 4), ("lfcc_gmm", 2), ("tokens", 2), ("full", 2)])
def test_only_networks_are_trained_by_several_processes(noted, system, words):
    calls = noted["for"].calls(
        "--zero-shot", "false", "--system", system, "--nproc", 2, "--stage", 5, "--stop-stage", 5
    )
    assert len(start(calls, "train")[1]) == words


def test_the_page_names_a_command_that_can_be_pasted(noted):
    """An option's value of several words stays one."""
    words = ["--zero-shot", "false", "--vocoders", "world griffin_lim"]
    calls = noted["for"].calls("--stage", 7, *words)
    (results,) = [words for words in calls if "masd.bin.results" in words]
    given = shlex.split(results[results.index("--command") + 1])
    assert given == ["./run.sh", "--size", "tiny", "--stage", "2", "--stage", "7", *words]


def test_force_makes_evaluations_and_page_again(noted):
    """Their inputs, and so their marks, are what they were."""
    calls = noted["for"].calls("--zero-shot", "false", "--stage", 7, "--force", "true")
    assert [call[call.index("--force") + 1] for call in calls] == ["true"] * 3


@pytest.mark.parametrize("system", ["handcrafted", "lfcc_gmm"])
def test_scores_are_told_the_command_that_made_them(noted, system):
    calls = noted["for"].calls("--zero-shot", "false", "--system", system, "--stage", 6, "--command", "a b")
    told = {entry(call)[0]: call[call.index("--command") + 1] for call in calls if "--command" in call}
    assert told == dict.fromkeys(["score", "finish scores", "results page"], "a b")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--system", "best"), "unknown --system best; there are handcrafted"),
        (("--num-nodes", "two"), "--num-nodes takes a whole number, not 'two'"),
        (("--seed", "-1"), "--seed takes a whole number"),
        (("--stage", "3", "--stop-stage", "1"), "--stage 3 --stop-stage 1: stages are 0 to 7"),
        (("--stage", "8"), "--stage 8 --stop-stage 7: stages are 0 to 7"),
        (("--stop-stage", "12"), "--stop-stage 12: stages are 0 to 7"),
        (("--nj", "0"), "--nj 0: takes 1 or more"),
        (("--nproc", "0"), "--nproc 0: takes 1 or more"),
        (("--max-fail", "5%"), "--max-fail takes a share, 0 to 1, not '5%'"),
        (("--max-fail", "1.5"), "--max-fail takes a share"),
        (("--variant", "none"), "no conf/none.yaml"),
        (("--size", "huge"), "no conf/huge.yaml"),
        (("--features", "+pitch"), "only +tokens"),
        (("more",), "'more' is not an option"),
    ],
)
def test_an_option_that_cannot_be_is_one_line(noted, words, said):
    assert_one_line(noted["mini"].run(*words), said)


@pytest.mark.parametrize(
    ("words", "gone", "stage"),
    [
        (("--stage", 2), "data/tiny/eval", 1),
        (("--stage", 3), "data/tiny/pretrain_tags", 2),
        (("--stage", 4, "--stop-stage", 4), "dump/tiny/pretrain/feats.yaml", 3),
        (("--stage", 5), "exp/tiny/ssl_adversarial_s0/encoder.safetensors", 4),
        (("--stage", 4), "dump/tiny/train/feats.yaml", 3),
        (("--stage", 6), "dump/tiny/eval/feats.yaml", 3),
        (("--stage", 6, "--stop-stage", 6), "exp/tiny/full_s0/model/model.yaml", 5),
        (("--stage=6", "--system=aasist"), "exp/tiny/aasist_s0/model/model.yaml", 5),
        (("--stage", 7), "exp/tiny/full_s0/scores/dev/scores", 6),
    ],
)
def test_where_an_earlier_stage_is_missing_it_is_named(noted, words, gone, stage):
    recipe = noted["asvspoof2019_la"]
    (recipe.path / gone).rename(recipe.path / "away")
    done = recipe.run(*words)
    (recipe.path / "away").rename(recipe.path / gone)
    assert_one_line(done, f"no {gone}; run stage {stage} first\n")
    done = recipe.run(*words, "--stop-stage", 7)
    assert done.returncode == 0, done.stderr


def test_a_recipes_own_configuration_stands_in_place_of_the_one_for_all(noted):
    """Nothing else is taken from utils/conf then, and the results page is told which it was."""
    recipe = noted["for"]

    def taken():
        calls = recipe.calls("--zero-shot", "false", "--stage", 5, "--system", "handcrafted")
        fit, results = entry(calls[0])[1], entry(calls[-1])[1]
        return fit[1:4:2], results[results.index("--protocol") + 1].split(",")

    common = ["../../utils/conf/masd.yaml", "../../utils/conf/tiny.yaml"]
    protocol = ["conf/corpus_tiny.yaml", "../../utils/conf/vocoders.yaml"]
    assert taken() == (common, [*common, *protocol])
    own = recipe.path / "conf" / "tiny.yaml"
    shutil.copy(ROOT / "utils/conf/tiny.yaml", own)
    mine = [common[0], "conf/tiny.yaml"]
    assert taken() == (mine, [*mine, *protocol])
    own.unlink()


@pytest.mark.parametrize("name", RECIPES)
def test_help_needs_no_environment(noted, name):
    """It lists the recipe's own options first, and what all have, each once."""
    done = subprocess.run(
        ["./run.sh", "--help"],
        **{"cwd": noted[name].path, "env": {"PATH": "/usr/bin:/bin"}, "capture_output": True, "text": True},
    )
    assert (done.returncode, done.stderr) == (0, "")
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  --")]
    assert listed[0] == "--size" and listed[-1] == "--force" and "--stop-stage" in listed
    assert len(listed) == len(set(listed))


def test_a_model_that_is_not_there_is_told_apart_from_none(noted):
    """Without one the packaged model scores, unless another system is asked for."""
    done = noted["for"].run("--system", "aasist")
    assert_one_line(done, "--system aasist: give the model that is to be evaluated, --model DIR")
    (score,) = [entry(call)[1] for call in noted["for"].calls("--stage", 6) if entry(call)[0] == "score"]
    assert score[score.index("--model") + 1] == "../../masd/pretrained/plus"
    done = noted["for"].run("--model", "egs/mini/exp/model")
    assert_one_line(done, "--model egs/mini/exp/model: no model folder of stage 5")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("for", ("--corpus", "data/FoR", "--stage", 0)),
        ("asvspoof2019_la", ("--librispeech", "data/LibriSpeech", "--stage", 1)),
        ("wavefake", ("--jsut", "data/jsut", "--stage", 0)),
        ("mini", ("--corpus", "data/mine", "--stage", 1)),
        ("mini", ("--ssl", "exp/ssl")),
        ("wavefake", ("--front-ends", "exp/hubert.pt", "--system", "hubert_wavlm")),
        ("for", ("--checkpoints", "exp/vocoders")),
        ("for", ("--zero-shot", "true", "--checkpoint", "exp/AASIST.pth", "--system", "aasist")),
        ("for", ("--zero-shot", "true", "--model", "exp/model")),
    ],
)
def test_a_path_that_leads_nowhere_is_said_with_where_it_begins(noted, name, words):
    """Who types a path from where they stand, and not from the recipe's folder, is told so."""
    recipe, zero_shot = noted[name], () if "--zero-shot" in words else ("--zero-shot", "false")
    done = recipe.run(*zero_shot, *words)
    path = next(word for word in words if "/" in str(word))
    assert_one_line(done, f"{path}: no ")
    assert f"(relative paths begin at {recipe.path})\n" in done.stderr
    absolute = [recipe.path / word if word == path else word for word in words]
    done = recipe.run(*zero_shot, *absolute)
    assert_one_line(done, f"{recipe.path / path}: no ")
    assert "relative" not in done.stderr


@pytest.mark.parametrize("name", RECIPES)
def test_a_path_is_not_looked_for_by_stages_that_do_not_read_it(noted, name):
    done = noted[name].run(
        *("--corpus", "gone", "--ssl", "gone", "--zero-shot", "false", "--stage", 7, "--stop-stage", 7)
    )
    assert done.returncode == 0, done.stderr


# Entry points that may leave out utterances which cannot be used; finish utt2dur has --strict.
LEAVE_OUT = {
    "finish copy-synthesis", "finish dump", "finish embeddings", "add_tokens", "train",
    "score", "finish scores",
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_max_fail_goes_to_every_stage_that_leaves_out_utterances(noted, name, monkeypatch):
    """What a dump may lack, fitting and scoring may lack too; by default it is what entry points have."""
    recipe, seen = noted[name], set()
    for more in ((), ("--features", "+tokens"), ("--system", "aasist"), ("--system", "plus")):
        for given, expected in ((("--max-fail", "0.25"), 0.25), ((), 0.01)):
            for call in recipe.calls("--zero-shot", "false", *more, *given):
                if any(word.startswith(ENTRY) for word in call):
                    config = parsed(recipe, call, monkeypatch)
                    assert getattr(config, "max_fail", expected) == expected, call
                    seen |= {entry(call)[0]} if hasattr(config, "max_fail") else set()
    # mini's copies are made in stage 1, and demos trains on degraded copies too
    more_or_less = {"mini": {"finish copy-synthesis"}, "demos": {"data degrade"}}
    assert seen == LEAVE_OUT ^ more_or_less.get(name, set())


WARNS = """#!/usr/bin/env bash
mkdir -p "$(dirname "$1")"
for i in $(seq "$WARNINGS"); do echo "2026-01-02 03:04:05 masd.x WARNING: number $i is odd"; done > "$1"
echo "2026-01-02 03:04:05 masd.x INFO: no WARNING: of anything" >> "$1"
"""


def test_what_a_piece_of_work_warned_of_is_shown_or_counted(tmp_path):
    """A corpus that is not complete is said on the terminal, not in a log that nobody opens."""
    recipe = Noted(tmp_path, "asvspoof2019_la")
    (recipe.path / "note.sh").write_text(WARNS)
    for count, expected in ((0, 0), (2, 2), (5, 5), (6, 1)):
        shutil.rmtree(recipe.path / "exp/tiny/log/.fresh", ignore_errors=True)
        done = recipe.run("--stage", 0, "--stop-stage", 0, WARNINGS=str(count))
        shown = [line for line in done.stdout.splitlines() if "arning" in line]
        assert (done.returncode, len(shown)) == (0, expected)
    assert shown[0].endswith("run.sh: 6 warnings, see exp/tiny/log/locate.log")
    shutil.rmtree(recipe.path / "exp/tiny/log/.fresh")
    done = recipe.run("--stage", 0, "--stop-stage", 0, WARNINGS="1")
    assert "run.sh: warning: number 1 is odd\n" in done.stdout


def assert_one_line(done, said):
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and said in done.stderr, done.stderr
    assert done.stderr.startswith("run.sh: error: ")
