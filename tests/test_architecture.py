"""docs/architecture.md names what there is, and the rooms of the package import as setup.cfg has it."""

import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def rooms() -> list[str]:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config["importlinter:contract:rooms"]["layers"].split()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:masd|utils|tools|tests|egs)/[^`<]*)`", PAGE))))
def test_a_path_that_the_page_names_is_there(path):
    assert (ROOT / path).exists()


def test_the_picture_has_the_rooms_in_their_order():
    drawn = re.findall(r"--> (\w+)\[\"\1: ", PAGE)
    assert drawn == [room for room in rooms() if room in drawn]
    for room in {path.parent.name for path in ROOT.glob("masd/*/__init__.py")} - {"bin", "pretrained"}:
        assert room in drawn


@pytest.mark.parametrize("contract", ["rooms", "circles"])
def test_the_rooms_import_downwards_only_and_nothing_in_a_circle(contract):
    options = ("--config", "setup.cfg", "--contract", contract, "--no-cache")
    # a process of its own: it sets up logging, and thereby takes it from what is tested afterwards
    program = "import sys; from importlinter.cli import lint_imports_command as run; run()"
    done = subprocess.run([sys.executable, "-c", program, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
