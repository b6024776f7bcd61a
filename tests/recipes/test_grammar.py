"""One grammar for every recipe: what a reader of one run.sh knows of all others."""

import difflib
import re
import subprocess
from pathlib import Path

import pytest

from masd.stage.files import read_yaml
from masd.systems import SYSTEMS

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.parent for path in ROOT.glob("egs/*/run.sh"))
# The paper's corpora, and whatever was copied from them.
PAPER = [path for path in RECIPES if path.name != "mini"]
STAGES = {
    0: ("fetch", "locate", "package", "corpus"),
    1: ("prepar", "source"),
    2: ("copy-synthesis",),
    3: ("feature",),
    4: ("pretraining",),
    5: ("training and calibration",),
    6: ("score",),
    7: ("results",),
}


@pytest.fixture(params=RECIPES, ids=lambda path: path.name)
def recipe(request):
    return request.param


def test_a_recipe_has_its_parts(recipe):
    for name in ("run.sh", "cmd.sh", "path.sh", "README.md", "conf/reported.yaml", "local"):
        assert (recipe / name).exists(), f"{recipe.name}/{name}"


def test_run_sh_begins_strictly_and_stays_short(recipe):
    lines = (recipe / "run.sh").read_text().splitlines()
    assert len(lines) <= 110
    code = [line for line in lines[1:] if line and not line.startswith("#")]
    assert code[0] == "set -euo pipefail"
    assert code[2] == ". ../../utils/options.sh"
    assert all(len((recipe / name).read_text().splitlines()) <= 10 for name in ("cmd.sh", "path.sh"))


def test_what_stages_are_written_with_is_in_one_place(recipe):
    """A recipe sources stages.sh, describes its corpus and begins; its one function is evaluation's keys."""
    text = (recipe / "run.sh").read_text()
    sourced = (
        ". ../../utils/parse_options.sh\n. ./path.sh\n. ./cmd.sh\n. ../../utils/stages.sh\n\n# the corpus\n"
    )
    assert sourced in text
    assert text.index(sourced) < text.index('\nbegin "$@"\n') < text.index("if asked 0")
    assert re.findall(r"^(\w+)\(\) \{", text, re.MULTILINE) == ["keys"]
    assert not {"masd.bin.pretrain", "torchrun", "$cmd", "$train_cmd"} & set(text.split())


def declared(path):
    """The options that a run.sh or options.sh declares: {name: (default, comment)}."""
    text = path.read_text()
    block = text[text.index("\n# options") :].partition("parse_options.sh")[0]
    found = re.findall(r"^([a-z_]+)=(\S*) +# (.+)$", block, re.MULTILINE)
    assert len(found) == len(re.findall(r"^[a-z_]+=", block, re.MULTILINE)), "each has its comment"
    return {name: (default, comment) for name, default, comment in found}


COMMON = declared(ROOT / "utils/options.sh")


def test_options_of_all_recipes_are_not_left_at_a_stage():
    assert (COMMON["stage"][0], COMMON["stop_stage"][0]) == ("0", "7")


def test_a_recipe_declares_what_is_its_corpus_s_and_what_it_has_otherwise(recipe):
    """Where the corpus and its parts are, and how much of it; never again what is common."""
    own = declared(recipe / "run.sh")
    again = {name: COMMON[name] for name in own.keys() & COMMON.keys()}
    assert all(own[name] != value for name, value in again.items())
    paper = recipe in PAPER
    assert again.keys() <= ({"zero_shot", "degraded"} if paper else {"nj", "ngpu", "compress", "strict"})
    assert {"size", "corpus"} <= own.keys() and paper == ("vocoders" in own)
    rest = {name: own[name][0] for name in own.keys() - again.keys() - {"size", "checkpoints"}}
    assert set(rest.values()) <= {'""', "downloads"}, f"{rest} say where a part of the corpus is"


def test_a_stage_number_means_the_same_everywhere(recipe):
    text = (recipe / "run.sh").read_text()
    for number, words in STAGES.items():
        assert f"if asked {number}" in text
        said = " ".join(re.findall(rf'log "stage {number}: ([^"]*)"', text))
        assert said, f"stage {number} does not say what it does"
        assert any(word in said.lower() for word in words), said


# What says which corpus it is: header comment, options, the corpus's block, stage 0, stage 1's own script.
CORPUS = (
    r"\A.*?(?=^set -euo pipefail$)",
    r"^# options,.*\n(?:[a-z_]+=\S* +#.*\n)*",
    r"^# the corpus\n.*?(?=^begin )",
    r"^if asked 0.*?^fi\n",
    r"^  single prepare python3 local/.*\n(?:    .*\n)*",
)
# A corpus that makes its recordings prepares and copies them by scripts of its own, too.
MADE_HERE = (r"^if asked 1.*?^fi\n", r"^if asked 2.*?(?=^if asked 3)")


def without(patterns, text):
    """A run.sh without the parts that are named."""
    for pattern in patterns:
        text, count = re.subn(pattern, "", text, flags=re.MULTILINE | re.DOTALL * (".*?" in pattern))
        assert count == 1, pattern
    return text


@pytest.mark.parametrize(
    ("paths", "patterns", "least"),
    [(PAPER, CORPUS, 60), (RECIPES, (*CORPUS[:-1], *MADE_HERE), 45)],
    ids=["paper", "all"],
)
def test_a_diff_between_two_recipes_shows_the_corpus_and_nothing_else(paths, patterns, least):
    """Copies do not drift: what is left is the same text, and as good as all of it."""
    texts = {path.name: without(patterns, (path / "run.sh").read_text()) for path in paths}
    first = texts.pop("asvspoof2019_la")
    assert len(first.splitlines()) > least
    for name, text in texts.items():
        difference = difflib.unified_diff(first.splitlines(), text.splitlines(), "asvspoof2019_la", name, n=0)
        assert text == first, "\n".join(difference)


def entry_points(recipe, number):
    """The entry points that a stage calls, in order, and the functions of stages.sh that call some."""
    text = (recipe / "run.sh").read_text()
    body = text[text.index(f"if asked {number}") :].split("\nfi\n")[0]
    own = r"^ +(embed|tokens|dump_set|score) |(evaluate) |(results_page)$"
    return re.findall(rf"masd\.bin\.(\w+)|(?:sharded|trained) \S+ (\w+)|{own}", body, re.MULTILINE)


@pytest.mark.parametrize("number", [3, 4, 5, 6, 7])
def test_a_stage_calls_the_same_entry_points_everywhere(number):
    calls = {path.name: entry_points(path, number) for path in RECIPES}
    assert calls["mini"]
    assert all(call == calls["mini"] for call in calls.values()), calls


def test_what_is_the_same_in_all_stands_once():
    """A recipe's own copy of a common configuration says something else than it, or goes."""
    for path in RECIPES:
        for own in (path / "conf").glob("*"):
            common = ROOT / "utils/conf" / own.name
            assert not common.is_file() or own.read_bytes() != common.read_bytes(), own
            assert path not in PAPER or not common.is_file(), (
                "the paper's recipes have one method, one budget"
            )


@pytest.mark.parametrize("name", ["cmd.sh", "path.sh"])
def test_jobs_are_started_in_the_same_way_everywhere(name):
    assert len({(path / name).read_bytes() for path in RECIPES}) == 1


@pytest.mark.parametrize(
    ("chosen", "size", "said"),
    [
        ("", "full", "run.py, run.py, run.py"),
        (
            "slurm",
            "tiny",
            "slurm.py --mem 4G --time 8:00:00, slurm.py --mem 4G --time 8:00:00, slurm.py --mem 16G",
        ),
        ("sge", "full", "sge.py --mem 8G --time 24:00:00, sge.py --mem 8G --time 72:00:00, sge.py --mem 64G"),
        ("env --chdir=.", "full", "env --chdir=., env --chdir=., env --chdir=."),
    ],
)
def test_one_variable_chooses_how_jobs_are_started(recipe, chosen, size, said):
    environment = {"PATH": f"{ROOT}/utils:/usr/bin:/bin", "MASD_CMD": chosen}
    script = ["bash", "-c", f'size={size}; . ./cmd.sh && echo "$cmd, $copy_cmd, $train_cmd"']
    done = subprocess.run(script, cwd=recipe, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and said in done.stdout


def test_one_yaml_has_the_papers_numbers_and_no_other_contradicts_it():
    reported = read_yaml(ROOT / "egs/asvspoof2019_la/conf/reported.yaml")
    rows = {row["recipe"]: row for row in reported["key_results"]}
    assert set(rows) == {"asvspoof2019_la", "asvspoof2021_df", "wavefake", "for"}
    for name, row in rows.items():
        own = read_yaml(ROOT / "egs" / name / "conf/reported.yaml")
        assert own["masd"]["eer"] == row["eer"], name
        assert own["source"] == reported["source"]
    mini = read_yaml(ROOT / "egs/mini/conf/reported.yaml")
    assert mini["masd"] == reported["masd"]
    assert mini["ablation"] == reported["ablation"]


def test_a_system_has_its_published_settings_in_one_place(recipe):
    """A recipe's size gives budgets; what was published of a system is not copied into it."""
    assert {path.stem for path in (ROOT / "utils/conf/systems").glob("*.yaml")} == {
        name for name, kind in SYSTEMS.items() if kind != "masd"
    }
    assert not list(recipe.glob("conf/systems/*.yaml"))
    tiny = recipe / "conf/tiny.yaml"
    tiny = tiny if tiny.is_file() else ROOT / "utils/conf/tiny.yaml"
    assert read_yaml(tiny)["train"]["budgets"], "a smoke run ends in minutes"


def test_no_recipe_names_a_host_or_an_absolute_path(recipe):
    for path in (*recipe.glob("*.sh"), *recipe.glob("local/*.sh"), *recipe.glob("conf/*.yaml")):
        assert not re.search(r"(?<![\w.$}/])/(home|mnt|export|data|scratch|work)/", path.read_text()), path


def test_no_symbolic_links():
    links = [
        p
        for p in (*ROOT.glob("egs/*/*"), *ROOT.glob("egs/*/local/*"), *ROOT.glob("utils/*"))
        if p.is_symlink()
    ]
    assert not links
