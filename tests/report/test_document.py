"""Pages as data: Markdown, text and self-contained HTML say the same."""

import re

from masd.report.document import Code, Document, Figure, Section, Table, Text, to_html, to_markdown, to_text

PAGE = Document(
    "Title & <more>",
    [
        Section("One", [Text("a < b"), Table(["system", "EER", "note"], [["a|b", "1.50", "ok"]], "in %")]),
        Section(
            "Two", [Code("./run.sh"), Figure("det", "a caption", "curves"), Figure("none", "left out", "x")]
        ),
    ],
)


def test_markdown_escapes_and_aligns():
    text = to_markdown(PAGE)
    assert "# Title & <more>" in text
    assert "| --- | ---: | --- |\n| a\\|b | 1.50 | ok |\n\nin %" in text
    assert "```\n./run.sh\n```" in text
    assert "caption" not in text


def test_text_is_in_columns():
    assert "system   EER  note\n------  ----  ----\na|b     1.50    ok\nin %" in to_text(PAGE)


def test_html_is_self_contained_escaped_and_themed():
    text = to_html(PAGE, {"det": (b"light", b"dark")})
    assert "Title &amp; &lt;more&gt;" in text
    assert "a &lt; b" in text
    assert 'class="n">1.50' in text
    assert "left out" not in text
    assert text.count("data:image/png;base64,") == 2
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text
    outside = re.findall(r'(?:src|href|srcset)="(?!data:|#)[^"]*', text)
    assert outside == []
