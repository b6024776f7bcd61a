"""Judge audio files: `python3 -m masd.bin.detect FILE|DIR|-`, or with a model of one's own, `--model DIR`."""

from __future__ import annotations

import json as json_format
import os
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from masd.cli import run, say
from masd.errors import UNPRINTABLE, MasdError

if TYPE_CHECKING:
    from masd.systems.base import System

FOUND = 3  # exit status: --fail-on was met
SWITCHES = ("--json", "--windows", "--timeline", "--fast", "--explain")


def detect(
    files: list[str],
    model: Path | None = None,
    system: str = "",
    type: str = "",
    checkpoint: Path | None = None,
    json: bool = False,
    csv: Path | None = None,
    timeline: bool = False,
    windows: bool = True,
    hop: float | None = None,
    prior: float | None = None,
    calibration: Literal["temperature", "affine"] = "temperature",
    fast: bool = False,
    explain: bool = False,
    plot: Path | None = None,
    fail_on: Literal["nothing", "fake", "part", "inconclusive"] = "nothing",
) -> None:
    """Say of each audio file whether it is fake: `detect FILE|DIR|- ...`

    Without `--model` by the model that comes with this package; its card, README.md in masd/pretrained/plus,
    says what it was trained on and where it fails. Any rate and number of channels and
    any format that libsndfile or FFmpeg reads (WAV, FLAC, MP3, Ogg, M4A, WebM, WMA, ...: docs/formats.md),
    pipes too; folders are searched for audio files; `-` reads one file from standard input. A line a file:
    `genuine`, `fake` or `inconclusive`, P(fake), score (higher is more genuine), file, notes: the most
    suspicious seconds, and where the audio is unlike the training data.
    It is `fake` where P(fake) is 0.5 or more, else `genuine`; or `inconclusive`, with the
    reason, where nothing can be said: no speech or too little, a band or a sampling rate far below what the
    model was trained on, heavy clipping. P(fake) is calibrated on the model's development set for the stated
    prior, and the first line tells how often the label is wrong there. Windows over the whole recording are
    judged, and the verdict is that of their mean. A short fake in a long recording drowns in it: it shows in
    the most suspicious window, and `part of it may be fake` names a stretch of two windows whose own mean
    says so. Scores depend on the samples alone, not on the file's name.
    `--system aasist --checkpoint FILE` takes the authors' released weights instead: the score is the
    difference of their logits, P(fake) not calibrated, the label by the sign.
    Exit status: 0, all files were judged; 1, a wrong request, or a file could not be judged; 3, all were
    judged and `--fail-on` was met.

    Args:
        files: files, folders or `-`; written without `--files`, anywhere on the command line.
        model: model folder that train made, e.g. exp/<size>/<tag>/model; or what pack made of one, x.zip.
        system: one whose authors released weights (docs/systems.md), with `checkpoint`.
        type: `module:Class` of a system of your own, whose code the model folder cannot name by itself.
        checkpoint: released weights, in place of a model folder: a file, or hf:OWNER/NAME/FILE on the
            Hugging Face hub.
        json: print a JSON object a file: file, score, p_fake, label (the field's `bonafide`, `spoof`;
            `inconclusive`), reasons (why inconclusive), warnings, windows, the highest of them and the most
            suspicious stretch of two (start, end, p_fake), prior (null where P(fake) is not calibrated).
            Of this and the other switches, the name alone will do: `--json`.
        csv: also write a table with a row a file (label as in JSON, errors too); of what is there under that
            name, only such a table is overwritten.
        timeline: also print P(fake) window by window.
        windows: judge windows over the whole recording and take the mean of those with speech in them; false:
            its first seconds alone (4 s with the model that comes along), as the recipes' stages score it.
        hop: seconds from one window's beginning to the next one's, for a finer timeline (and another mean); a
            window's length without it.
        prior: how probable a fake is before anything is heard; one half where none is given.
        calibration: the score is -f / T (`temperature`) or -(a f + b) (`affine`); P(fake) and label stay.
        fast: run the encoder as the ONNX graph that export_model put into the model folder.
        explain: also say what moved the score: the effects of the frequency bands, of the measures, and of
            the windows, or of half seconds where there is one window. Those of a kind are Shapley values:
            they add up to the score less the baseline, the score of average figures; above 0 speaks for
            genuine.
        plot: also draw that of one recording into this PNG file, with its spectrogram and P(fake) over time.
        fail_on: exit with 3 if a file is `fake`; `part`: or part of one may be; `inconclusive`: if one is not
            genuine.

    Raises:
        MasdError: the model cannot be used; or, at the end, some files could not be judged.
    """
    from masd.judge import output, picture
    from masd.judge.sources import expand
    from masd.judge.verdict import Judge
    from masd.systems import open_system

    if not files:
        raise MasdError("no audio given; name files, folders or - for standard input")
    if model is None and checkpoint is None and not system:
        from masd.pretrained import PLUS

        model = PLUS
    opened = open_system(model, system, type, checkpoint)
    if fast:
        make_fast(opened)
    judge = Judge(opened, windows, calibration, prior, explain or plot is not None, hop)
    if plot is not None:
        check_plot(plot, files)
    if not json:
        say(f"# {opened.name} model {model or checkpoint}: {output.rule(judge)}")
        print(f"# {'label':<10} {'P(fake)':>7} {'score':>9}  file")
    colour = coloured()
    counts: Counter[str] = Counter()
    failed = 0
    with ExitStack() as stack:
        table = None
        if csv is not None:
            output.check_table(csv)
            table = output.Table(stack.enter_context(open(csv, "w", encoding="utf-8", newline="")))
        for source in expand(files):
            try:
                if isinstance(source, MasdError):
                    raise source
                audio = sys.stdin.buffer.read() if plot is not None and source == "-" else source
                verdict = judge.judge(audio, name=source)
                if plot is not None:
                    picture.write(plot, verdict, picture.spectrogram(audio, source))
            except MasdError as error:
                failed += 1
                say(f"detect: error: {error}", file=sys.stderr)
                if table is not None:
                    table.failed(source if isinstance(source, str) else "", str(error))
                continue
            counts[verdict.label] += 1
            counts["part"] += verdict.part
            if table is not None:
                table.add(verdict)
            if json:
                prior = judge.prior if judge.posterior.calibrated else None
                row = output.described(verdict) | {"prior": prior}
                text = json_format.dumps(row, ensure_ascii=False, allow_nan=False)
                print(UNPRINTABLE.sub(lambda c: f"\\u{ord(c[0]):04x}", text), flush=True)
            else:
                more = output.timeline(verdict) if timeline else []
                lines = [output.line(verdict, colour), *more, *output.reasons(verdict.effects)]
                print("\n".join(lines), flush=True)
    parts = counts.pop("part", 0)
    total = counts.total() + failed
    if total > 1 and not json:
        print(output.summary(counts, failed))
    if failed:
        raise MasdError(f"{failed} of {total} could not be judged")
    worst = counts["spoof"] + {"part": parts, "inconclusive": counts["inconclusive"]}.get(fail_on, 0)
    if fail_on != "nothing" and worst:
        sys.exit(FOUND)


def check_plot(plot: Path, files: list[str]) -> None:
    """Raise `MasdError` if `--plot` cannot be drawn, rather than after judging."""
    import matplotlib  # noqa: F401 - what it lacks is told now

    if plot.suffix != ".png":
        raise MasdError(f"--plot {plot}: draws a PNG; give a name that ends with .png")
    if len(files) != 1 or Path(files[0]).is_dir():
        raise MasdError(f"--plot {plot}: draws one recording; name one file")
    plot.parent.mkdir(parents=True, exist_ok=True)
    if plot.is_dir() or not os.access(plot.parent, os.W_OK):
        raise MasdError(f"--plot {plot}: cannot be written there; give the name of a new file")


def coloured() -> bool:
    """Whether standard output is a terminal that shows colours, and nobody asked for none (NO_COLOR)."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("NO_COLOR")


def make_fast(system: System) -> None:
    """Let a system's encoder be run as its ONNX graph.

    Raises:
        MasdError: it is not MASD's own, or has no encoder.
    """
    from masd.systems.masd import MasdSystem

    if not isinstance(system, MasdSystem):
        raise MasdError("--fast true: only MASD's own models can do that")
    if not system.features.row.ssl:
        raise MasdError(f"{system.folder}: has no encoder that could be a graph; leave --fast out")
    system.fast = True


def command_line(words: list[str]) -> list[str]:
    """Return `words` with the files gathered in one `--files` argument, flags given their value."""
    options: list[str] = []
    files: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            files += left
            break
        if word in SWITCHES:
            value = left.pop(0) if left and left[0] in ("true", "false") else "true"
            options.append(f"{word}={value}")
        elif word.startswith("-") and word != "-":
            takes_value = word.startswith("--") and "=" not in word and word != "--help"
            options += [word, left.pop(0)] if takes_value and left else [word]
        else:
            files.append(word)
    # a name that is not UTF-8 cannot pass through the parser as it is; it will be refused by this one
    files = [os.fsencode(name).decode("utf-8", "backslashreplace") for name in files]
    return options if not files else [*options, f"--files={json_format.dumps(files)}"]


if __name__ == "__main__":
    run(detect, output="", argv=command_line(sys.argv[1:]))
