"""One grammar for every recipe: what a reader of one run.sh knows of all others."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.parent for path in ROOT.glob("egs/*/run.sh"))
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
