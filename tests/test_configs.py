"""Every configuration file of every recipe is accepted, key by key, by the entry points it is for."""

from pathlib import Path

import pytest
from entry_points import ENTRY_POINTS, ROOT, functions, parser_of

from masd.stage.files import read_yaml

COMMANDS = [name for entry_point in ENTRY_POINTS for name in functions(entry_point)]
SECTIONS = [
    (path, name)
    for path in sorted([*ROOT.glob("egs/*/conf/**/*.yaml"), *ROOT.glob("utils/conf/**/*.yaml")])
    for name, section in read_yaml(path).items()
    # a corpus's own facts have a `train` too
    if name in ENTRY_POINTS and isinstance(section, dict) and path.stem not in ("published", "protocol")
]


@pytest.mark.parametrize(("path", "name"), SECTIONS, ids=lambda v: v.name if isinstance(v, Path) else v)
def test_a_configuration_is_accepted_by_its_entry_point(path, name):
    parser = parser_of(name)
    parsed = parser.parse_object(read_yaml(path)[name] or {}, _skip_required=True)
    parser.validate(parsed, skip_required=True)


def test_the_recipes_have_configurations():
    assert {name for _, name in SECTIONS} >= {"dump_feats", "pretrain", "train"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name):
    """`--help` of each entry point and sub-command says what it does and describes every argument."""
    text = parser_of(name).format_help()
    assert len(text.split("\n\n")[1].split()) > 5
