"""Every configuration file of every recipe is accepted, key by key, by the entry points it is for."""

import importlib
from pathlib import Path

import pytest

from masd.cli import build_parser
from masd.stage.files import read_yaml

ROOT = Path(__file__).parents[1]
ENTRY_POINTS = sorted(p.stem for p in (ROOT / "masd" / "bin").glob("[a-z]*.py"))
SECTIONS = [
    (path, name)
    for path in sorted([*ROOT.glob("egs/*/conf/**/*.yaml"), *ROOT.glob("utils/conf/**/*.yaml")])
    for name, section in read_yaml(path).items()
    if name in ENTRY_POINTS and not isinstance(section, list)
]


def parser_of(name):
    return build_parser(getattr(importlib.import_module(f"masd.bin.{name}"), name), name)


@pytest.mark.parametrize(("path", "name"), SECTIONS, ids=lambda v: v.name if isinstance(v, Path) else v)
def test_a_configuration_is_accepted_by_its_entry_point(path, name):
    parser = parser_of(name)
    parsed = parser.parse_object(read_yaml(path)[name] or {}, _skip_required=True)
    parser.validate(parsed, skip_required=True)


def test_the_recipes_have_configurations():
    assert {name for _, name in SECTIONS} >= {"dump_feats", "pretrain", "fit_svm"}


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_entry_point_explains_itself(name):
    """`--help` of each entry point says what it does and describes every argument."""
    text = parser_of(name).format_help()
    assert len(text.split("\n\n")[1].split()) > 5
