"""A page as data: sections of text, tables and figures, rendered as plain text, Markdown or HTML."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Text:
    """A paragraph of plain text."""

    text: str


@dataclass
class Code:
    """Lines shown as they are."""

    text: str


@dataclass
class Table:
    """A table of strings; `note` is a line below it."""

    header: list[str]
    rows: list[list[str]]
    note: str = ""


@dataclass
class Figure:
    """A plot by its file's name without suffix; `alt` says in words what it shows."""

    name: str
    caption: str
    alt: str


Block = Text | Code | Table | Figure


@dataclass
class Section:
    """A titled list of blocks."""

    title: str
    blocks: list[Block] = field(default_factory=list)


@dataclass
class Document:
    """A page."""

    title: str
    sections: list[Section] = field(default_factory=list)


def percent(value: float | None, digits: int = 2) -> str:
    """Return a share (0 to 1) in per cent, `-` for none."""
    return "-" if value is None else f"{100 * value:.{digits}f}"


def table_text(table: Table) -> str:
    """Return a table in aligned columns, the first to the left and the rest to the right."""
    lines = [table.header, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.header))]
    out = []
    for line in lines:
        cells = [
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
        ]
        out.append("  ".join(cells).rstrip())
    out.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join([*out, *([table.note] if table.note else [])])


def to_text(document: Document) -> str:
    """Return the page as plain text, without figures and sections of nothing else."""
    parts = [document.title]
    for section in _with_words(document):
        parts.append(f"{section.title}\n{'=' * len(section.title)}")
        for block in section.blocks:
            if isinstance(block, Table):
                parts.append(table_text(block))
            elif not isinstance(block, Figure):
                parts.append(block.text)
    return "\n\n".join(parts) + "\n"


def _with_words(document: Document) -> list[Section]:
    return [s for s in document.sections if any(not isinstance(block, Figure) for block in s.blocks)]


def to_markdown(document: Document) -> str:
    """Return the page as Markdown, without figures and sections of nothing else: the HTML page has them."""
    parts = [f"# {document.title}"]
    for section in _with_words(document):
        parts.append(f"## {section.title}")
        for block in section.blocks:
            if isinstance(block, Table):
                parts.append(_table_markdown(block))
            elif isinstance(block, Code):
                parts.append(f"```\n{block.text}\n```")
            elif isinstance(block, Text):
                parts.append(block.text)
    return "\n\n".join(parts) + "\n"


def _table_markdown(table: Table) -> str:
    rule = ["---", *["---:" if _numeric(table, i) else "---" for i in range(1, len(table.header))]]
    lines = [table.header, rule, *table.rows]
    text = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{text}\n\n{table.note}" if table.note else text


def _numeric(table: Table, column: int) -> bool:
    """Tell whether a column holds numbers (or nothing), so that it is set to the right."""
    return all(re.match(r"^[-+\d.,\[\] ±%()]*$", row[column]) for row in table.rows)


STYLE = """
:root { color-scheme: light dark;
  --ink: #1c1e21; --soft: #5b626b; --page: #fff; --line: #d8dce1; --tint: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --soft: #a0a8b2; --page: #16181b; --line: #383d44; --tint: #1f2226; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; color: var(--ink); background: var(--page);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid var(--line); }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
td.n, th.n { text-align: right; }
td.n { white-space: nowrap; }
th:first-child, td:first-child { min-width: 8rem; padding-left: 0; }
td:not(:first-child):not(.n) { min-width: 6rem; }
code { font-size: .92em; background: var(--tint); padding: 0 .2em; border-radius: 3px; }
tbody tr:hover { background: var(--tint); }
.note, figcaption { color: var(--soft); font-size: .88rem; max-width: 46rem; }
pre { overflow-x: auto; padding: .7rem; background: var(--tint); border-radius: 4px; font-size: .85rem; }
figure { margin: 1.2rem 0; }
img { width: min(100%, 38rem); height: auto; }
nav { font-size: .9rem; line-height: 1.9; } nav a { margin-right: .9rem; }
a { color: inherit; }
@media print {
  :root { --ink: #000; --soft: #444; --page: #fff; --line: #bbb; --tint: #f2f2f2; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  .scroll { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td { padding: .15rem .35rem; }
  td.n { white-space: normal; }
  tr, figure { break-inside: avoid; }
  h2 { break-after: avoid; }
  pre { white-space: pre-wrap; }
  a { text-decoration: none; }
}
"""


def to_html(document: Document, images: Mapping[str, Sequence[bytes]]) -> str:
    """Return the page as one self-contained HTML file, readable in light and dark and on a phone.

    Args:
        document: the page.
        images: {figure name: (PNG for light pages, PNG for dark pages, ...)}; figures without are left out,
            and sections of nothing else.
    """
    title = html.escape(document.title)
    links, body = [], []
    for index, section in enumerate(document.sections):
        blocks = [part for part in (_block_html(block, images) for block in section.blocks) if part]
        if blocks:
            links.append(f'<a href="#s{index}">{html.escape(section.title)}</a>')
            body += [f'<h2 id="s{index}">{html.escape(section.title)}</h2>', *blocks]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<nav>{' '.join(links)}</nav>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _inline(text: str) -> str:
    """Escape text and set `code` spans, as Markdown does."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _block_html(block: Block, images: Mapping[str, Sequence[bytes]]) -> str:
    if isinstance(block, Text):
        return f"<p>{_inline(block.text)}</p>"
    if isinstance(block, Code):
        return f"<pre>{html.escape(block.text)}</pre>"
    if isinstance(block, Table):
        return _table_html(block)
    if block.name not in images:
        return ""
    light, dark = (f"data:image/png;base64,{base64.b64encode(i).decode()}" for i in images[block.name][:2])
    return (
        f'<figure><picture><source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{html.escape(block.alt)}"></picture>'
        f"<figcaption>{html.escape(block.caption)}</figcaption></figure>"
    )


def _table_html(table: Table) -> str:
    classes = [' class="n"' if i and _numeric(table, i) else "" for i in range(len(table.header))]

    def line(cells: list[str], tag: str) -> str:
        return (
            "<tr>"
            + "".join(f"<{tag}{c}>{_inline(cell)}</{tag}>" for cell, c in zip(cells, classes, strict=True))
            + "</tr>"
        )

    rows = "\n".join(line(row, "td") for row in table.rows)
    note = f'\n<p class="note">{_inline(table.note)}</p>' if table.note else ""
    return (
        f'<div class="scroll"><table>\n<thead>{line(table.header, "th")}</thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>{note}"
    )
