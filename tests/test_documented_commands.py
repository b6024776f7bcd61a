"""Every command that the pages show names an entry point, a sub-command and options that there are."""

import re
import subprocess

import pytest
from entry_points import ENTRY_POINTS, ROOT, functions, parser_of

PAGES = sorted(
    path
    for glob in ("README.md", "docs/*.md", "egs/*/README.md", "masd/pretrained/*/README.md")
    for path in ROOT.glob(glob)
)
# a command ends with its line, or with what stands around it; commands of former commits are not these
COMMAND = re.compile(r"(?<!checkout )(?:python3 -m masd(?:\.bin\.| )|(?<=[`\n])masd )(\w+)([^`\n#|&;]*)")
SCRIPT = re.compile(
    r"(?<![\w/])((?:\.\./\.\./utils|utils|local|\.)/(?!path|cmd|find_env|stages|options|parse)\w+\.sh)([^`\n#|&;]*)"
)


def text_of(page):
    """The page, its continued lines joined; without lines that are about a former commit."""
    lines = page.read_text().replace("\\\n", " ").splitlines()
    return "\n" + "\n".join(line for line in lines if not re.search("git checkout|of commit", line))


def options(words):
    return re.findall(r"(?<=\s)--([a-z][\w.-]*)", words.partition(" -- ")[0])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_entry_points_are_called_as_they_can_be(page):
    for name, rest in COMMAND.findall(text_of(page)):
        assert name in ENTRY_POINTS, f"{name}{rest}"
        known = functions(name)
        first = (rest.split() or ["--help"])[0]
        if name not in known and first.startswith("-"):
            continue
        command = name if name in known else f"{name} {first}"
        assert command in known, f"{name}{rest}"
        taken = parser_of(command)._option_string_actions
        for option in options(rest):
            assert f"--{option.replace('-', '_')}" in taken or option == "help", f"{command} --{option}"


def test_scripts_are_called_with_options_that_they_declare():
    """A recipe's README means its own run.sh; elsewhere one of the recipes has to take them."""
    found = 0
    for page in PAGES:
        own = [page.parent] if page.parent.parent.name == "egs" else sorted(ROOT.glob("egs/*"))
        for script, rest in SCRIPT.findall(text_of(page)):
            places = [ROOT] if "utils/" in script else own
            paths = [place / script.removeprefix("../../") for place in places]
            paths = [path for path in paths if path.is_file()]
            helps = [declared(path) for path in paths]
            given = set(options(rest)) - {"help"}
            assert any(given <= known for known in helps) or "mine" in page.read_text(), (
                f"{page}: {script}{rest}"
            )
            found += 1
    assert found > 50


def declared(path, known={}):  # noqa: B006  what a script's help lists is asked for once
    if path not in known:
        said = subprocess.run(
            ["bash", path, "--help"], capture_output=True, text=True, cwd=path.parent
        ).stdout
        known[path] = set(re.findall(r"^  --([\w-]+)", said, re.MULTILINE))
    return known[path]
