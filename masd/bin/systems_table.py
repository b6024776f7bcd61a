"""One table of the comparison systems, from what was scored and evaluated on one trial list."""

from __future__ import annotations

from pathlib import Path

from masd.cli import run


def systems_table(
    systems: list[str], out: Path, title: str = "Comparison systems", command: str = ""
) -> None:
    """Write a table of systems as OUT (Markdown) and OUT with the suffix .json.

    A row has parameters, training utterance-steps and minutes, EER with interval, of seen and unseen attacks
    apart, of each attack, ECE and real-time factor. Rows stand in the order given; `under-trained` marks
    those whose development loss was still falling at the end.

    Args:
        systems: `FOLDER` or `FOLDER=MODEL` each: what evaluate and score_detector wrote, and the model
            folder; without one the row counts as zero-shot.
        out: the table.
        title: its title.
        command: the command that makes it, to be shown.
    """
    from masd.report.document import Code, Document, Section, Text, to_markdown
    from masd.report.systems import read_row
    from masd.report.systems import systems_table as table
    from masd.stage.files import write_json, write_text

    rows = []
    for word in systems:
        folder, _, model = word.partition("=")
        rows.append(read_row(folder, model or None))
    unproved = Text("This table has no proof archive: to verify it, run the command below it and compare.")
    blocks = [*([unproved] if command else []), table(rows), *([Code(command)] if command else [])]
    page = Document(title, [Section("Systems on the same trials", blocks)])
    write_json(out.with_suffix(".json"), {row.name: vars(row) for row in rows})
    write_text(out, to_markdown(page))


if __name__ == "__main__":
    run(systems_table, file=True)
