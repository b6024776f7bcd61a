"""Hooks of mkdocs.yml: pages from all over the repository, whose links between each other go on to work."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
OTHERS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "egs/*/*.md",
    "masd/pretrained/*/README.md",
)
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]*)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie beside docs/."""
    for path in sorted(path for pattern in OTHERS for path in ROOT.glob(pattern)):
        files.append(File.generated(config, _on_site(path), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to where a page is on the site; what the site does not have is named, without a link."""
    written = Path(page.file.abs_src_path or "")

    def target(link: str) -> str | None:
        path = (written.parent / link).resolve()
        if not (path.exists() and path.is_relative_to(ROOT)):
            return link  # mkdocs says that it leads nowhere
        where = _on_site(path / "README.md" if path.is_dir() else path)
        known = files.get_file_from_path(where)
        return posixpath.relpath(where, posixpath.dirname(page.file.src_uri) or ".") if known else None

    def linked(found: re.Match[str]) -> str:
        mark, text, link, anchor = found.groups(default="")
        to = target(link)
        return text if to is None else f"{mark}[{text}]({to}{anchor})"

    return LINK.sub(linked, markdown)


def _on_site(path: Path) -> str:
    """Return where a file of the repository is among the site's sources."""
    name = path.relative_to(ROOT).as_posix()
    return "index.md" if name == "README.md" else name.removeprefix("docs/")
