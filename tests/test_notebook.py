"""docs/walkthrough.ipynb runs from its first cell to its last, and shows what it prints.

`python3 tests/test_notebook.py` writes the outputs anew.
"""

import contextlib
import io
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "walkthrough.ipynb"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def code_cells():
    return [c for c in json.loads(NOTEBOOK.read_text())["cells"] if c["cell_type"] == "code"]


def outputs():
    """What each code cell prints, all run in one process, in their order, in the working directory."""
    names, printed = {"__name__": "__main__"}, []
    for number, cell in enumerate(code_cells(), 1):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
        printed.append(said.getvalue())
    return printed


@pytest.mark.slow
def test_every_cell_runs_and_prints_what_the_notebook_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for cell, printed in zip(code_cells(), outputs(), strict=True):
        shown = "".join("".join(output["text"]) for output in cell["outputs"])
        assert NUMBER.sub("0", printed) == NUMBER.sub("0", shown)
        pairs = zip(*(map(float, NUMBER.findall(text)) for text in (printed, shown)), strict=True)
        assert all(made == pytest.approx(stated, abs=0.02, rel=0.02) for made, stated in pairs), shown


def test_it_is_small_and_was_run_from_top_to_bottom():
    assert NOTEBOOK.stat().st_size < 50_000
    assert [cell["execution_count"] for cell in code_cells()] == list(range(1, len(code_cells()) + 1))


def write():
    """Run the notebook and put what it prints into it."""
    book = json.loads(NOTEBOOK.read_text())
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        printed = outputs()
    for number, (cell, text) in enumerate(
        zip((c for c in book["cells"] if c["cell_type"] == "code"), printed, strict=True), 1
    ):
        lines = text.splitlines(keepends=True)
        cell["execution_count"] = number
        cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": lines}] if lines else []
    NOTEBOOK.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(write())
