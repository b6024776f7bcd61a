"""One grammar for every recipe: what a reader of one run.sh knows of all others."""

import difflib
import re
import subprocess
from pathlib import Path

import pytest

from masd.files import read_yaml

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
    5: ("svm",),
    6: ("score",),
    7: ("results",),
}
SHARED = (
    "stage",
    "stop_stage",
    "system",
    "variant",
    "seed",
    "nj",
    "ngpu",
    "feats_format",
    "compress",
    "force",
)


@pytest.fixture(params=RECIPES, ids=lambda path: path.name)
def recipe(request):
    return request.param


def test_a_recipe_has_its_parts(recipe):
    for name in (
        "run.sh",
        "cmd.sh",
        "path.sh",
        "README.md",
        "conf/masd.yaml",
        "conf/paper_literal.yaml",
        "local",
    ):
        assert (recipe / name).exists(), f"{recipe.name}/{name}"


def test_run_sh_begins_strictly_and_stays_short(recipe):
    lines = (recipe / "run.sh").read_text().splitlines()
    assert len(lines) <= 200
    code = [line for line in lines[1:] if line and not line.startswith("#")]
    assert code[0] == "set -euo pipefail"
    assert code[2:4] == [". ./path.sh", ". ./cmd.sh"]


def test_options_shared_by_all_recipes_are_commented_and_not_left_at_a_stage(recipe):
    text = (recipe / "run.sh").read_text()
    options = text[text.index("\n# options\n") : text.index("parse_options.sh")]
    declared = dict(re.findall(r"^([a-z_]+)=(\S*) +# .+$", options, re.MULTILINE))
    assert set(SHARED) <= set(declared)
    assert (declared["stage"], declared["stop_stage"]) == ("0", "7")


def test_a_stage_number_means_the_same_everywhere(recipe):
    text = (recipe / "run.sh").read_text()
    for number, words in STAGES.items():
        assert f"if asked {number}" in text
        said = re.search(rf'log "stage {number}: ([^"]*)"', text)
        assert said, f"stage {number} does not say what it does"
        assert any(word in said[1].lower() for word in words), said[0]


def options(recipe):
    """The options a run.sh declares, with their defaults."""
    text = (recipe / "run.sh").read_text()
    block = text[text.index("\n# options\n") : text.index("parse_options.sh")]
    return dict(re.findall(r"^([a-z_]+)=(\S*) +# .+$", block, re.MULTILINE))


# What says which corpus it is: header comment, options, its sets, what evaluation is told of it, stages 0 and
# 1's own scripts, the page's title; and blank lines.
CORPUS = (
    r"\A.*?(?=^set -euo pipefail$)",
    r"^# options\n(?:[a-z_]+=\S* +#.*\n)*",
    r"^sets\(\) \{.*\n",
    r"^keys\(\) \{(?:.*\}\n|\n(?:  .*\n)*\}\n)",
    r"^  log \"stage 0: .*\n",
    r"^  single (?:locate|prepare) python3 local/.*\n(?:    .*\n)*",
    r"(?<=--title \")[^\"]*",
    r"^\n",
)


def without_the_corpus(text):
    """A run.sh without what is the corpus's own."""
    for pattern in CORPUS:
        flags = re.MULTILINE | (re.DOTALL if pattern.startswith(r"\A") else 0)
        text = re.sub(pattern, "", text, flags=flags)
    return text


def test_a_diff_between_two_recipes_shows_the_corpus_and_nothing_else():
    """Copies do not drift: what is left of the paper's recipes is the same text, and as good as all of it."""
    texts = {path.name: without_the_corpus((path / "run.sh").read_text()) for path in PAPER}
    first = texts.pop("asvspoof2019_la")
    assert len(first.splitlines()) > 120
    for name, text in texts.items():
        difference = difflib.unified_diff(first.splitlines(), text.splitlines(), "asvspoof2019_la", name, n=0)
        assert text == first, "\n".join(difference)


def test_options_of_the_papers_recipes_differ_in_where_the_corpus_is_and_what_is_trained():
    common = set.intersection(*(set(options(path)) for path in PAPER))
    assert common >= {*SHARED, "size", "corpus", "vocoders", "checkpoints", "zero_shot", "model", "strict"}
    for path in PAPER:
        mine = options(path)
        own = {name: default for name, default in mine.items() if name not in common}
        assert set(own.values()) <= {'""'}, f"{path.name}: {own} say where a part of the corpus is"
        others = {name: default for name, default in mine.items() if name in common - {"zero_shot"}}
        reference = options(ROOT / "egs" / "asvspoof2019_la")
        assert others == {name: reference[name] for name in others}, path.name


def entry_points(recipe, number):
    """The entry points that a stage calls, in order, and `embed`, the function that makes embeddings."""
    text = (recipe / "run.sh").read_text()
    # which of two entry points fits and scores follows from --system: by default MASD's own
    text = text.replace('"${fit[@]}"', "masd.bin.fit_svm").replace('masd.bin."$score"', "masd.bin.score")
    body = text[text.index(f"if asked {number}") :].split("\nfi\n")[0]
    return re.findall(r"masd\.bin\.(\w+)|sharded \S+ (\w+)|^ +(embed) ", body, re.MULTILINE)


@pytest.mark.parametrize("number", [3, 4, 5, 6, 7])
def test_a_stage_calls_the_same_entry_points_everywhere(number):
    calls = {path.name: entry_points(path, number) for path in RECIPES}
    assert calls["mini"]
    assert all(call == calls["mini"] for call in calls.values()), calls


@pytest.mark.parametrize("name", ["masd", "paper_literal", "full", "tiny", "vocoders"])
def test_the_papers_recipes_have_one_method_and_one_budget(name):
    texts = {(path / f"conf/{name}.yaml").read_bytes() for path in PAPER}
    assert len(texts) == 1


@pytest.mark.parametrize("name", ["cmd.sh", "conf/slurm.conf", "conf/sge.conf"])
def test_jobs_are_started_in_the_same_way_everywhere(name):
    assert len({(path / name).read_bytes() for path in RECIPES}) == 1


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("", "run.py run.py"),
        ("slurm", "slurm.py --mem 4G --time 8:00:00 slurm.py --mem 16G"),
        ("sge", "sge.py --mem 4G --time 8:00:00 sge.py --mem 16G"),
        ("env --chdir=.", "env --chdir=. env --chdir=."),
        ("no-such-queue.pl --mem 4G", "no launcher 'no-such-queue.pl'"),
    ],
)
def test_one_variable_chooses_how_jobs_are_started(recipe, chosen, said):
    environment = {"PATH": f"{ROOT}/utils:/usr/bin:/bin", "MASD_CMD": chosen}
    script = ["bash", "-c", '. ./cmd.sh && echo "$cmd $train_cmd"']
    done = subprocess.run(script, cwd=recipe, env=environment, capture_output=True, text=True)
    assert said in done.stdout + done.stderr
    assert (done.returncode == 0) == bool(done.stdout)


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
