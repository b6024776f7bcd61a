"""Pages from templates: Markdown by Jinja2, and the same Markdown as one self-contained HTML file."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from masd.metrics.bootstrap import Interval
from masd.report.breakdown import crossed
from masd.report.metrics_json import at_coverage

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

WIDE = 6  # columns; a table of as many has a hint, on a phone, that it can be scrolled


def percent(share: float | None, digits: int = 2) -> str:
    """Return a share (0 to 1) in per cent, `-` for none."""
    return "-" if share is None else f"{100 * share:.{digits}f}"


def interval(bounds: Interval | Mapping[str, Any] | None) -> str:
    """Return `[lo, hi]` in per cent, `-` for none."""
    found = vars(bounds) if isinstance(bounds, Interval) else bounds
    return "-" if found is None else f"[{percent(found['lo'])}, {percent(found['hi'])}]"


METHODS = {
    "percentile": "percentile bootstrap",
    "clopper-pearson": "Clopper-Pearson over the groups where there is no error",
}


def methods(figures: Any) -> str:
    """Return in words by which methods the intervals among figures, however nested, were made."""
    used = set(_methods(figures)) or {"percentile"}
    return " and ".join(words for name, words in METHODS.items() if name in used)


def _methods(figures: Any) -> Iterator[str]:
    if is_dataclass(figures):
        figures = vars(figures)
    if isinstance(figures, Mapping):
        if "method" in figures and "lo" in figures:
            yield figures["method"]
        figures = list(figures.values())
    if isinstance(figures, list):
        for part in figures:
            yield from _methods(part)


def _cell(value: Any) -> Markup:
    """Return a value of a template as Markdown that cannot end a table's cell or begin HTML, `-` for None."""
    if isinstance(value, Markup):  # what a macro or filter of a template gave
        return value
    return Markup("-" if value is None else re.sub(r"([|<*])", r"\\\1", str(value)))


def _cells(row: Sequence[Any]) -> Markup:
    """Return a row of a table, shares of 1 in per cent."""
    return Markup(" | ".join(_cell(percent(v) if isinstance(v, float) else v) for v in row))


def _numeric(column: Sequence[str]) -> bool:
    return all(re.fullmatch(r"[-+\d.,\[\] ±%()]*", cell) for cell in column)


def _table(text: str) -> Markup:
    """Return lines of cells between bars, the first of them the header, as an aligned Markdown table."""
    lines = [re.split(r"(?<!\\)\|", line) for line in text.strip().splitlines() if line.strip()]
    header, *rows = [[cell.strip() for cell in line] for line in lines]
    if not rows:
        return Markup()
    columns = list(zip(header, *rows, strict=True))
    numeric = [number > 0 and _numeric(column[1:]) for number, column in enumerate(columns)]
    widths = [max(3, *map(len, column)) for column in columns]
    rule = ["-" * (width - right) + ":" * right for width, right in zip(widths, numeric, strict=True)]
    padded = [
        [c.rjust(w) if right else c.ljust(w) for c, w, right in zip(row, widths, numeric, strict=True)]
        for row in (header, *rows)
    ]
    padded.insert(1, rule)
    return Markup("\n".join(f"| {' | '.join(row)} |" for row in padded) + "\n")


@cache
def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,  # so that what macros give is told from values, which `_cell` makes safe
        finalize=_cell,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {"percent": percent, "interval": interval, "methods": methods, "table": _table}
    env.filters |= {"covered": at_coverage, "crossed": crossed, "cells": _cells}
    env.filters["thousands"] = lambda value: "-" if value is None else f"{value:,}"
    env.filters["fixed"] = lambda value, digits: "-" if value is None else f"{value:.{digits}f}"
    return env


def markdown(template: str, **context: Any) -> str:
    """Return a page of `templates/` filled in, without sections (`## title`) that hold nothing."""
    text = _environment().get_template(template).render(context)
    text = re.sub(r"\n{3,}", "\n\n", text)
    return re.sub(r"^## [^\n]+\n\n(?=## |\Z)", "", text, flags=re.MULTILINE).rstrip() + "\n"


def sections(text: str) -> list[tuple[str, str]]:
    """Return (title, body) of each section of a Markdown page; the first is the page's own."""
    first, *rest = re.split(r"^## ", text, flags=re.MULTILINE)
    return [tuple(re.sub("^# ", "", part).partition("\n")[::2]) for part in (first, *rest)]


def html(page: str, appendix: str, images: Mapping[str, Mapping[str, bytes]]) -> str:
    """Return two Markdown pages as one HTML file that needs nothing else: no network, no script.

    The sections of `page` are open, those of `appendix` are folded under their headings.

    Args:
        page: the page; its title is the file's.
        appendix: the rest, whose own title is left out.
        images: {figure: its files}, see `masd.report.plots.render`; a figure `![alt](name "caption")` without
            is left out.
    """
    (title, lead), *opened = _sections_html(page, images)
    folded = _sections_html(appendix, images)[1:]
    context = {"title": title, "lead": lead, "opened": opened, "folded": folded}
    return _environment().get_template("report.html").render(context) + "\n"


def _sections_html(text: str, images: Mapping[str, Mapping[str, bytes]]) -> list[tuple[Markup, Markup]]:
    return [(Markup(_parser().renderInline(title)), _html(body, images)) for title, body in sections(text)]


def _html(text: str, images: Mapping[str, Mapping[str, bytes]]) -> Markup:
    parser, env = _parser(), {"images": images}
    # neither an interval nor a percentage is broken in two
    text = re.sub(r"(?<=\d) %", "\u00a0%", re.sub(r"\[([-+\d.]+), (?=[-+\d.]+\])", "[\\1,\u00a0", text))
    tokens = parser.parse(text, env)
    for opening, inline, closing in zip(tokens, tokens[1:], tokens[2:], strict=False):
        inside = {child.type for child in inline.children or []}
        if inline.type == "inline" and "image" in inside <= {"image", "softbreak"}:  # figures in a row
            opening.tag = closing.tag = "div"
            opening.attrSet("class", "figures")
    _mark_wide(tokens)
    return Markup(parser.renderer.render(tokens, parser.options, env))


def _mark_wide(tokens: Sequence[Token]) -> None:
    opening = None
    for token in tokens:
        if token.type == "table_open":
            opening, columns = token, 0
        elif token.type == "th_open" and opening is not None:
            columns += 1
            opening.meta["wide"] = columns >= WIDE


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("image", _image)
    parser.add_render_rule("table_open", _open_table)
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return parser


def _open_table(_: Any, tokens: Sequence[Token], number: int, *__: Any) -> str:
    kind = "scroll wide" if tokens[number].meta.get("wide") else "scroll"
    return f'<div class="{kind}" tabindex="0"><table>\n'


def _image(_: Any, tokens: Sequence[Token], number: int, __: Any, env: Mapping[str, Any]) -> str:
    token = tokens[number]
    found = env["images"].get(token.attrs["src"])
    if found is None:
        return ""
    light, dark = (
        f"data:image/png;base64,{base64.b64encode(found[suffix]).decode()}"
        for suffix in (".png", "_dark.png")
    )
    return (
        f'<figure><picture><source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{Markup.escape(token.content)}"></picture>'
        f"<figcaption>{Markup.escape(token.attrs.get('title', ''))}</figcaption></figure>"
    )
