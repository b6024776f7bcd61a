"""The proof of a results page: a manifest of what it was made from, and the check that redoes it all."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args, get_origin

from masd.errors import MasdError
from masd.report.document import to_markdown
from masd.report.experiments import Run
from masd.report.page import Page, gather, make_document
from masd.report.provenance import git_version
from masd.report.scoring import Request, compute
from masd.report.sections import NOT_RECOMPUTED
from masd.report.trials import Trials, read_excused
from masd.stage.files import plain, read_json, read_text, sha256, write_json

FORMAT = 2  # raise it when a page comes to be laid out in another way: its own code verifies an older one
SHAPE: dict[str, Any] = {
    "format": int,
    "page": str,
    "page_sha256": str,
    "arguments": {
        **dict.fromkeys(("exp", "system", "eval_set", "dev_set", "command", "out", "title"), str),
        **dict.fromkeys(("reported", "data"), str | None),
        **dict.fromkeys(("bootstrap", "seed"), int),
        **dict.fromkeys(("sets", "protocol"), list[str]),
    },
    "evaluations": list[str],
    "weights": dict[str, int],
    "files": dict[str, str],
}
TOLERANCE = 1e-9  # of numbers: other versions of numpy may add up in another order


def manifest_path(page: Path) -> Path:
    """Return where the manifest of a results page lies: RESULTS.md has RESULTS.manifest.json."""
    return page.with_suffix(".manifest.json")


def write_manifest(page: Page, arguments: dict[str, Any], shown: list[Path]) -> None:
    """Write the manifest of `page.out`: arguments, evaluations, and the sha256 of every file behind it.

    Args:
        page: the page as it was written.
        arguments: what `gather` was called with, and the title.
        shown: files other than evaluations that the page shows (model.yaml, histories, protocols).
    """
    evaluations = sorted(
        {
            path.parent
            for run in page.runs
            for path in run.results.parent.glob("*/metrics.json")
            if path.parent.name in (run.set, page.dev_set)
        }
    )
    files: dict[str, str] = {str(path): sha256(path) for path in shown}
    for folder in evaluations:
        metrics = read_json(folder / "metrics.json")
        if "request" not in metrics.get("inputs", {}):
            raise MasdError(
                f"{folder}/metrics.json: of an earlier version; run the evaluate entry point again"
            )
        files |= metrics["inputs"]["files"]
        files[str(folder / "metrics.json")] = sha256(folder / "metrics.json")
    content = {
        "format": FORMAT,
        "page": str(page.out),
        "page_sha256": sha256(page.out),
        "arguments": plain(arguments),
        "evaluations": [str(folder) for folder in evaluations],
        "weights": {str(run.folder): run.weights for run in page.runs},
        "files": files,
    }
    write_json(manifest_path(page.out), content)


def read_manifest(path: Path) -> dict[str, Any]:
    """Return what a manifest holds, all of it there and of its kind.

    Raises:
        MasdError: it is unreadable, of another format, or not what `write_manifest` writes.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise MasdError(
            f"{path}: not a manifest of format {FORMAT}; verify it with the commit that its page names "
            "(git checkout), or run the results entry point again"
        )
    content.setdefault("weights", {})  # older ones have none
    wrong = next(_misfits(content, SHAPE), None)
    if wrong:
        raise MasdError(
            f"{path}: {wrong} is missing, unknown or of the wrong kind; run the results entry point again"
        )
    return content


def _misfits(value: Any, kind: Any, where: str = "") -> Iterator[str]:
    """Yield the place of each value that is missing, unknown or not of its kind.

    A kind is a type, list[...], dict[str, ...], or {name: kind}.
    """
    inner = get_args(kind)
    if get_origin(kind) is list and isinstance(value, list):
        value, kind = dict(enumerate(value)), dict.fromkeys(range(len(value)), inner[0])
    elif get_origin(kind) is dict and isinstance(value, dict):
        kind = dict.fromkeys(value, inner[1])
    elif get_origin(kind) in (list, dict):
        yield where
        return
    if isinstance(kind, dict) and isinstance(value, dict):
        for name in dict.fromkeys([*kind, *value]):
            place = f"{where}.{name}" if where else str(name)
            if name in kind and name in value:
                yield from _misfits(value[name], kind[name], place)
            else:
                yield place
    elif isinstance(kind, dict) or not isinstance(value, kind):
        yield where


@dataclass
class Evaluated:
    """An evaluation computed again: its trials, figures, and {list it was given: trials that failed}."""

    trials: Trials
    metrics: dict[str, Any]
    excused: dict[str, set[str]]


def verify(manifest: Path, place: Callable[[str | Path], Path] = Path) -> list[str]:
    """Return every disagreement between a results page and what its score files give, one line each.

    The files must have the stated sha256; every evaluation is computed again from scores and keys and must
    give its metrics.json, each number within 1e-9; the page made of those must be the page that is there, but
    for its sections on when, where, by what code it was made and how long that took (see `origin`).

    Args:
        manifest: the manifest.
        place: tells where a file or folder lies that the manifest or an evaluation names.

    Raises:
        MasdError: the manifest is unreadable, or the evaluations cannot be computed at all.
    """
    content = read_manifest(manifest)
    problems = list(_changed(content["files"], place))
    if problems:
        return problems
    found: dict[Path, Evaluated] = {}
    for folder in map(place, content["evaluations"]):
        path = folder / "metrics.json"
        stated = read_json(path)
        request = Request.from_dict(_asked(stated), path)
        there = _placed(request, place)
        trials, metrics = compute(there)
        problems += [f"{path}: {line}" for line in differences(metrics, stated, skip=("inputs",))]
        failed = [(str(a), read_excused([b])) for a, b in zip(request.excused, there.excused, strict=True)]
        found[folder] = Evaluated(trials, plain(metrics), dict(failed))
    page = place(content["page"])
    # what was evaluated, trained or probed in the folder since does not make the page wrong
    only = {place(name) for name in content["files"]} | {folder / "metrics.json" for folder in found}
    weights = {str(place(folder)): size for folder, size in content["weights"].items()}
    made = to_markdown(_document(_placed_arguments(content["arguments"], place), found, weights, only))
    return problems + [f"{page}: {line}" for line in line_differences(made, read_text(page))]


def origin(manifest: Path, place: Callable[[str | Path], Path] = Path) -> list[str]:
    """Return what is to be said of a page besides its numbers: which code made it, and which this is.

    Args:
        manifest: the manifest.
        place: see `verify`.
    """
    content = read_manifest(manifest)
    page = place(content["page"])
    made = re.search(r"^\| code \| (.+) \|$", read_text(page), re.MULTILINE)
    by, this = (made[1] if made else "-"), git_version([page])
    lines = [f"code: made by {by}, as this is" if by == this else f"code: made by {by}, this is {this}"]
    if sha256(page) != content["page_sha256"]:
        lines.append(
            f"{page}: made again since the manifest was written; its origin or times differ, no number"
        )
    return lines


def _placed(request: Request, place: Callable[[str | Path], Path]) -> Request:
    """Return a request of the same files where they are now."""
    values = {f.name: getattr(request, f.name) for f in dataclasses.fields(request)}
    single = {name: place(value) for name, value in values.items() if isinstance(value, Path)}
    several = {name: [place(path) for path in values[name]] for name in ("excused", "dev_excused")}
    return dataclasses.replace(request, **single, **several)


def _asked(metrics: Any) -> Any:
    """Return the request that metrics.json was computed by; {} if it holds none."""
    inputs = metrics.get("inputs") if isinstance(metrics, dict) else None
    return inputs.get("request") if isinstance(inputs, dict) else {}


def _changed(files: dict[str, str], place: Callable[[str | Path], Path]) -> Iterator[str]:
    for name, stated in sorted(files.items()):
        if not place(name).is_file():
            yield f"{name}: is not there"
        elif sha256(place(name)) != stated:
            yield f"{name}: its sha256 is not the stated one; it was changed after the results were made"


def _placed_arguments(arguments: dict[str, Any], place: Callable[[str | Path], Path]) -> dict[str, Any]:
    """Return what `gather` was called with, and the title, its paths being where they are now."""
    info = dict(arguments)
    for name in ("exp", "reported", "data", "out"):
        info[name] = None if info[name] is None else place(info[name])
    info["protocol"] = [place(name) for name in info["protocol"]]
    return info


def _document(
    arguments: dict[str, Any],
    found: dict[Path, Evaluated],
    weights: dict[str, int],
    only: set[Path],
) -> Any:
    """Return the page's document of the files `only`, its runs' trials and figures being those just computed.

    `weights` says how many bytes those models have that are not here.
    """

    def recomputed(run: Run) -> Run:
        done = found[run.results]
        run.trials, run.metrics, run.excused = done.trials, done.metrics, done.excused
        if not run.weights:
            run.weights = weights.get(str(run.folder), 0)
        return run

    info = dict(arguments)
    title = info.pop("title")
    return make_document(gather(prepare=recomputed, only=only, **info), title)


def differences(now: Any, stated: Any, where: str = "", skip: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield a line for each value that differs between two nestings of plain values."""
    now = plain(now)
    if isinstance(now, dict) and isinstance(stated, dict):
        for name in sorted(now.keys() | stated.keys()):
            if name in skip:
                continue
            place = f"{where}.{name}" if where else name
            if name not in now or name not in stated:
                yield f"{place} is {'not computed' if name not in now else 'missing'}"
            else:
                yield from differences(now[name], stated[name], place)
    elif isinstance(now, list) and isinstance(stated, list) and len(now) == len(stated):
        for index, (a, b) in enumerate(zip(now, stated, strict=True)):
            yield from differences(a, b, f"{where}[{index}]")
    elif not _same(now, stated):
        yield f"{where} is {stated!r}, computed {now!r}"


def _same(a: Any, b: Any) -> bool:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (a, b))
    return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE) if numbers else a == b


def line_differences(made: str, there: str) -> Iterator[str]:
    """Yield a line for each line of a page that differs from the page made again.

    Its sections must be those of the page made again, once each and in their order.
    """
    new, old = (_parts(text) for text in (made, there))
    for title, count in Counter(title for title, _ in old).items():
        if count > 1:
            yield f"section {title}: stands {count} times"
    ours, theirs = (
        [(title, lines) for title, lines in parts if title not in NOT_RECOMPUTED] for parts in (new, old)
    )
    yield from _order_differences([title for title, _ in ours], [title for title, _ in theirs])
    stated = dict(reversed(theirs))  # of equal titles the first
    for title, a in ours:
        for mine, yours in zip_longest(a, stated.get(title, a), fillvalue=""):
            if mine != yours:
                yield f"section {title or 'title'}: has {yours!r}, computed {mine!r}"


def _order_differences(made: list[str], there: list[str]) -> Iterator[str]:
    made, there = list(dict.fromkeys(made)), list(dict.fromkeys(there))
    yield from (f"section {title}: is not there" for title in made if title not in there)
    yield from (f"section {title}: is not computed" for title in there if title not in made)
    places = [title for title in made if title in there]
    found = [title for title in there if title in made]
    for right, title in zip(places, found, strict=True):
        if right != title:
            yield f"section {title}: stands where {right} belongs"


def _parts(text: str) -> list[tuple[str, list[str]]]:
    """Return (title, lines) of each section in order, the first being the lines before any.

    A heading of any level begins one: it would be read as one.
    """
    parts: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines():
        heading = re.match(r" {0,3}#{1,6}\s+(.+)", line)
        if heading:
            title = heading[1] if line.startswith("## ") else line.strip()
            parts.append((title, []))
        else:
            parts[-1][1].append(line)
    return parts
