"""The front page's table of results is made of the pages of results.

`python3 tests/test_readme.py` prints it.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
CARD = (ROOT / "masd/pretrained/plus/README.md").read_text()
MINI = (ROOT / "egs/mini/RESULTS.md").read_text()


def card_row(start):
    """EER and interval of a row of the packaged model's card."""
    cells = next(line for line in CARD.splitlines() if line.startswith(f"| {start}")).split(" | ")
    return re.search(r"\d+\.\d", cells[2])[0], re.match(r"[\d.]+ to [\d.]+", cells[3])[0]


def mini_row(system):
    """EER and interval of a row of the ablation."""
    cells = next(line for line in MINI.splitlines() if f"(`{system}`)" in line).split(" | ")
    lo, hi = (f"{float(bound):.1f}" for bound in re.findall(r"[\d.]+", cells[4]))
    return f"{float(cells[2]):.1f}", f"{lo} to {hi}"


def table():
    unmet = "12 families of generators on 9 pages, none met before"
    mini = "mini: four speakers, HiFi-GAN, MB-MelGAN, WORLD, LPC"
    rows = [
        ("`plus`, the model that comes along", unmet, card_row("all, one threshold")),
        ("the same", mini, card_row("all attacks")),
        ("the paper's system, trained on mini's 832 recordings, three seeds", "mini", mini_row("full")),
        ("statistics in its place (`--system plus`), trained on the same", "mini", mini_row("plus")),
    ]
    lines = [f"| {system} | {on} | {rate} | {interval} |" for system, on, (rate, interval) in rows]
    return "\n".join(["| system | tested on | EER in % | 95 % |", "|---|---|---:|---:|", *lines])


def test_the_table_is_that_of_the_pages():
    assert table() in (ROOT / "README.md").read_text(), f"the table is now:\n{table()}"


if __name__ == "__main__":
    print(table())
