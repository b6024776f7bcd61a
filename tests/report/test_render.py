"""Templates: values are made safe, tables aligned, and the HTML page says what the Markdown says."""

import re

import pytest

from masd.report.render import _cell, _table, html, sections

PAGE = """# A page

Lead.

## One

a < b, <script>alert(1)</script>

| system | EER | note |
| ------ | --: | ---- |
| a\\|b   | 1.5 | ok   |

in %

## Two

```
./run.sh
```

![curves](det "a caption")
![other](gone "left out")
"""
APPENDIX = "# Its appendix\n\n## Three\n\nmore\n"


def test_a_table_is_aligned_and_numbers_stand_to_the_right():
    text = _table("system | EER | note\nlonger | 1.50 | ok\n\nb | [0, 1] |\n")
    assert text == (
        "| system |    EER | note |\n| ------ | -----: | ---- |\n"
        "| longer |   1.50 | ok   |\n| b      | [0, 1] |      |\n"
    )
    assert _table("only | a header") == ""


def test_a_value_ends_no_cell_and_begins_no_html():
    assert _cell("a|b <i> *c*") == r"a\|b \<i> \*c\*"
    assert (_cell(None), _cell(3)) == ("-", "3")


def test_sections_are_told_apart_by_their_headings():
    assert [title for title, _ in sections(PAGE)] == ["A page", "One", "Two"]


def test_html_is_self_contained_folds_the_appendix_and_has_no_script():
    text = html(PAGE, APPENDIX, {"det": {".png": b"light", "_dark.png": b"dark"}})
    assert "<title>A page</title>" in text and "&lt;script&gt;" in text and "<script" not in text
    assert '<td>a|b</td>\n<td style="text-align:right">1.5</td>' in text
    assert text.count("data:image/png;base64,") == 2 and "left out" not in text
    assert "<summary>Three</summary>" in text and "Its appendix" not in text
    for word in ('name="viewport"', "prefers-color-scheme: dark", "@media print", '<div class="scroll"'):
        assert word in text
    assert re.findall(r'(?:src|href|srcset)="(?!data:|#)[^"]*', text) == []


@pytest.mark.parametrize(("columns", "told"), [(5, False), (6, True)])
def test_a_wide_table_says_on_a_phone_that_it_scrolls(columns, told):
    table = "\n".join("|" + word * columns for word in (" a |", " --- |", " b |"))
    text = html(f"# A page\n\n## One\n\n{table}\n", APPENDIX, {})
    assert ('<div class="scroll wide"' in text) == told
