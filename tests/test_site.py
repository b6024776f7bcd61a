"""The pages as a site: built without a warning, with every page in its navigation."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not find_spec("material"), reason="needs mkdocs-material")]


def build(out, config="mkdocs.yml"):
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--site-dir",
        str(out),
        "-f",
        config,
    ]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_it_builds_without_a_warning(tmp_path):
    done = build(tmp_path)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    start = (tmp_path / "index.html").read_text()
    pages = [*ROOT.glob("docs/*.md"), *ROOT.glob("egs/*/README.md"), ROOT / "CHANGELOG.md"]
    for page in pages:
        where = (
            page.relative_to(ROOT).with_suffix("").as_posix().removeprefix("docs/").removesuffix("/README")
        )
        assert f'href="{where}/"' in start, page
        assert (tmp_path / where / "index.html").is_file()
    # links between pages of docs/ and others lead on; nothing is asked of other machines to show a page
    assert (
        'href="egs/own/"' in start
        and 'href="../masd/pretrained/plus/' in (tmp_path / "evidence/index.html").read_text()
    )
    assert not re.search(r'<(?:script|link)[^>]+(?:src|href)="https?:', start)


@pytest.mark.parametrize("link", ["gone.md", "../../gone.md", "other.md#nowhere"])
def test_a_link_that_leads_nowhere_fails_the_build(link, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/other.md").write_text("# Other\n")
    (tmp_path / "docs/one.md").write_text(f"# One\n\n[a link]({link})\n")
    settings = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[0]
    settings = settings.replace("docs_dir: docs", f"docs_dir: {tmp_path}/docs")
    (tmp_path / "mkdocs.yml").write_text(
        settings.replace("tools/site_hooks.py", f"{ROOT}/tools/site_hooks.py")
    )
    done = build(tmp_path / "site", str(tmp_path / "mkdocs.yml"))
    assert done.returncode and "one.md" in done.stderr and link in done.stderr
