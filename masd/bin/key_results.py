"""The paper's Key Results table from whichever recipes have been run."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run


def key_results(
    egs: Path, reported: Path, size: str = "full", system: str = "full", out: Path | None = None
) -> None:
    """Print, or write, the EER on the paper's four corpora, reported beside measured, as Markdown.

    Args:
        egs: the folder of the recipes.
        reported: YAML file of the paper's numbers, with a list `key_results`.
        size: the size that the recipes were run with.
        system: the system, a row of Table II.
        out: the Markdown file; printed without one.
    """
    from masd.report import key_results as table
    from masd.report.document import to_markdown
    from masd.stage.files import read_yaml, write_text

    text = to_markdown(table.key_results(egs, read_yaml(reported), size, system))
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)


if __name__ == "__main__":
    run(key_results, output="")
