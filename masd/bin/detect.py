"""Judge audio files: `python3 -m masd.bin.detect FILE|DIR|-`, or with a model of one's own, `--model DIR`."""

from __future__ import annotations

import json as json_format
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from masd.cli import run, say
from masd.errors import UNPRINTABLE, MasdError

if TYPE_CHECKING:
    from masd.judge.verdict import Judge
    from masd.systems.base import System


def detect(
    files: list[str],
    model: Path | None = None,
    system: str = "",
    type: str = "",
    checkpoint: Path | None = None,
    json: bool = False,
    windows: bool = False,
    prior: float | None = None,
    calibration: Literal["temperature", "affine"] = "temperature",
    fast: bool = False,
    explain: bool = False,
) -> None:
    """Say of each audio file whether it is fake: `detect FILE|DIR|- ...`

    Without `--model` by the model that comes with this package; its card, README.md in masd/pretrained/plus,
    says what it was trained on and where it fails. Any rate and number of channels and
    any format that libsndfile or FFmpeg reads (WAV, FLAC, MP3, Ogg, M4A, WebM, WMA, ...: docs/formats.md),
    pipes too; folders are searched for audio files; `-` reads one file from standard input. A line a file:
    label, P(fake), score (higher is more bona fide), file, warnings where the audio is unlike the training
    data. The label is `spoof` where P(fake) is 0.5 or more, else `bonafide`; or `inconclusive`, with the
    reason, where nothing can be said: no speech or too little, a band or a sampling rate far below what the
    model was trained on, heavy clipping. P(fake) is calibrated on the model's development set for the stated
    prior, and the first line tells how often the label is wrong there. Leading silence is skipped; the score
    is that of the recipe's stages and depends on the samples alone, not on the file's name.
    `--system aasist --checkpoint FILE` takes the authors' released weights instead: the score is the
    difference of their logits, P(fake) not calibrated, the label by the sign.

    Args:
        files: files, folders or `-`; written without `--files`, anywhere on the command line.
        model: model folder that train made, e.g. exp/<size>/<tag>/model.
        system: aasist, aasist_l or rawnet2, with `checkpoint`.
        type: `module:Class` of a system of your own, whose code the model folder cannot name by itself.
        checkpoint: released weights, in place of a model folder.
        json: print a JSON object a file: file, score, p_fake, label, reasons (why inconclusive), warnings,
            prior (null where P(fake) is not calibrated).
            Of this and the other switches, the name alone will do: `--json`.
        windows: score windows over the whole recording and average those with speech in them, instead of its
            first seconds alone (4 s with the model that comes along).
        prior: how probable a fake is before anything is heard; one half where none is given.
        calibration: the score is -f / T (`temperature`) or -(a f + b) (`affine`); P(fake) and label stay.
        fast: run the encoder as the ONNX graph that export_model put into the model folder.
        explain: also say what moved the score: the effect of each frequency band, of each handcrafted
            measure and of each half second; above 0 it speaks for bona fide.

    Raises:
        MasdError: the model cannot be used; or, at the end, some files could not be judged.
    """
    from masd.judge.verdict import Judge, expand
    from masd.systems import open_system

    if not files:
        raise MasdError("no audio given; name files, folders or - for standard input")
    if model is None and checkpoint is None and not system:
        from masd.pretrained import PLUS

        model = PLUS
    opened = open_system(model, system, type, checkpoint)
    if fast:
        make_fast(opened)
    judge = Judge(opened, windows, calibration, prior, explain)
    if not json:
        say(f"# {opened.name} model {model or checkpoint}: {rule(judge)}")
        print(f"# {'label':<10} {'P(fake)':>7} {'score':>9}  file")
    total = failed = 0
    for source in expand(files):
        total += 1
        try:
            if isinstance(source, MasdError):
                raise source
            verdict = judge.judge(source)
        except MasdError as error:
            failed += 1
            say(f"detect: error: {error}", file=sys.stderr)
            continue
        if json:
            row = described(verdict) | {"prior": judge.prior if judge.posterior.calibrated else None}
            text = json_format.dumps(row, ensure_ascii=False, allow_nan=False)
            print(UNPRINTABLE.sub(lambda c: f"\\u{ord(c[0]):04x}", text), flush=True)
        else:
            notes = f"  [{'; '.join(verdict.warnings)}]" if verdict.warnings else ""
            say(f"{verdict.label:<12} {verdict.p_fake:>7.4f} {verdict.score:>9.4f}  {verdict.file}{notes}")
            for line in reasons(getattr(verdict, "effects", None)):
                say(line)
    if failed:
        raise MasdError(f"{failed} of {total} could not be judged")


def rule(judge: Judge) -> str:
    """Return how the label follows from P(fake), and how often it is wrong on development data."""
    if not judge.posterior.calibrated:
        return "P(fake) is not calibrated; spoof where the logit of fake is the larger one"
    text = f"spoof from P(fake) 0.5 up, at a prior P(fake) of {judge.prior:g}"
    errors = judge.posterior.errors(judge.prior)
    if errors is None:
        return f"{text}; the model does not say how often that is wrong"
    called, missed = (100 * rate for rate in errors)
    wrong = f"{called:.1f} % of genuine called fake, {missed:.1f} % of fakes genuine"
    return f"{text}; on development data {wrong}"


def described(verdict: Any) -> dict[str, Any]:
    """Return a verdict as a JSON object; the effects only where they were asked for."""
    values = dict(vars(verdict))
    effects = values.pop("effects", None)
    return values if effects is None else values | {"effects": vars(effects)}


def reasons(effects: Any) -> list[str]:
    """Return lines that say what moved a score, the strongest of each kind first; time in its order."""
    if effects is None:
        return []
    kinds = [("band", effects.bands), ("measure", effects.measures)]
    lines = []
    for kind, found in kinds:
        ordered = sorted(found.items(), key=lambda item: -abs(item[1]))
        if ordered:
            lines.append(f"    {kind:<8} " + "  ".join(f"{name} {effect:+.3f}" for name, effect in ordered))
    if effects.windows:
        parts = [f"{start:.1f}-{stop:.1f} {effect:+.3f}" for start, stop, effect in effects.windows]
        lines.append(f"    {'seconds':<8} " + "  ".join(parts))
    return lines


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
        if word in ("--json", "--windows", "--fast", "--explain"):
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
