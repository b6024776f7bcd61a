"""The proof of a results page: a manifest of what it was made from, the check that redoes it, the archive."""

from __future__ import annotations

import lzma
import math
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, get_args, get_origin

from masd.errors import MasdError
from masd.report.evaluate import Request, compute
from masd.report.evaluated_runs import Run
from masd.report.page_facts import Page
from masd.report.provenance import git_version
from masd.report.results_page import appendix_path, gather, pages
from masd.report.scored_trials import Trials, read_excused
from masd.stage.files import atomic, plain, read_json, read_text, sha256, write_json

FORMAT = 3  # raise it when a page comes to be laid out in another way: its own code verifies an older one
SHAPE: dict[str, Any] = {
    "format": int,
    "pages": dict[str, str],
    "arguments": {
        **dict.fromkeys(("system", "eval_set", "dev_set", "command", "out", "report", "title"), str),
        **dict.fromkeys(("exp", "reported", "data"), str | None),
        **dict.fromkeys(("bootstrap", "seed"), int),
        **dict.fromkeys(("sets", "protocol"), list[str]),
        "evaluated": list[list[str]],
    },
    "evaluations": list[str],
    "weights": dict[str, int],
    "files": dict[str, str],
}
TOLERANCE = 1e-9  # of numbers: other versions of numpy may add up in another order
SUFFIX = ".proof.tar.xz"
# of a proof unpacked, which may come from anyone; what is packed takes 64 MiB to unpack
MAX_FILES, MAX_BYTES, MAX_MEMORY = 10_000, 256 << 20, 128 << 20
OUTSIDE = "_outside"

# sections of when, where and how long, which no score file can give again, and of what is not on the page,
# whose key may have been replaced since
NOT_RECOMPUTED = ("Systems left out", "Time and memory taken", "How this was made")

Place = Callable[[str | Path], Path]
"""Tells where a file or folder lies that a manifest or an evaluation names."""


def manifest_path(page: Path) -> Path:
    """Return where the manifest of a results page lies: RESULTS.md has RESULTS.manifest.json."""
    return page.with_suffix(".manifest.json")


def proof_path(manifest: Path) -> Path:
    """Return where the proof of a manifest lies: RESULTS.manifest.json has RESULTS.proof.tar.xz."""
    return manifest.with_name(manifest.name.removesuffix(".manifest.json") + SUFFIX)


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
        path = folder / "metrics.json"
        metrics = read_json(path)
        if "request" not in metrics.get("inputs", {}):
            raise MasdError(f"{path}: of an earlier version; run the evaluate entry point again")
        files |= metrics["inputs"]["files"] | {str(path): sha256(path)}
    content = {
        "format": FORMAT,
        "pages": {str(path): sha256(path) for path in (page.out, appendix_path(page.report))},
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
            "(git checkout), or make the page again"
        )
    wrong = next(_misfits(content, SHAPE), None)
    if wrong:
        raise MasdError(f"{path}: {wrong} is missing, unknown or of the wrong kind; make the page again")
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


def verify(manifest: Path, place: Place = Path) -> list[str]:
    """Return every disagreement between a results page and what its score files give, one line each.

    The files must have the stated sha256; every evaluation is computed again from scores and keys and must
    give its metrics.json, each number within 1e-9; page and appendix made of those must be those that are
    there, but for their sections on when, where, by what code they were made and how long that took (see
    `origin`).

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
        inputs = stated.get("inputs") if isinstance(stated, dict) else None
        asked = inputs.get("request") if isinstance(inputs, dict) else {}
        request = Request.from_dict(asked, path, place)
        trials, metrics = compute(request)
        problems += [f"{path}: {line}" for line in differences(metrics, stated, skip=("inputs",))]
        failed = {name: read_excused([place(name)]) for name in asked["excused"]}
        found[folder] = Evaluated(trials, plain(metrics), failed)
    # what was evaluated, trained or probed in the folder since does not make the page wrong
    only = {place(name) for name in content["files"]} | {folder / "metrics.json" for folder in found}
    for name, made in zip(content["pages"], _pages(content, found, only, place), strict=True):
        page = place(name)
        problems += [f"{page}: {line}" for line in line_differences(made, read_text(page))]
    return problems


def _changed(files: dict[str, str], place: Place) -> Iterator[str]:
    for name, stated in sorted(files.items()):
        if not place(name).is_file():
            yield f"{name}: is not there"
        elif sha256(place(name)) != stated:
            yield f"{name}: its sha256 is not the stated one; it was changed after the results were made"


def _pages(
    content: dict[str, Any], found: dict[Path, Evaluated], only: set[Path], place: Place
) -> tuple[str, str]:
    """Return page and appendix made of the files `only`, trials and figures being those just computed."""
    weights = {place(folder): size for folder, size in content["weights"].items()}

    def recomputed(run: Run) -> Run:
        done = found[run.results]
        run.trials, run.metrics, run.excused = done.trials, done.metrics, done.excused
        run.weights = run.weights or weights.get(run.folder, 0)  # the models may not be here
        return run

    info = dict(content["arguments"])
    title = info.pop("title")
    for name in ("exp", "reported", "data", "out", "report"):
        info[name] = None if info[name] is None else place(info[name])
    info["protocol"] = [place(name) for name in info["protocol"]]
    info["evaluated"] = [(name, place(folder)) for name, folder in info["evaluated"]]
    return pages(gather(prepare=recomputed, only=only, **info), title)


def origin(manifest: Path, place: Place = Path) -> list[str]:
    """Return what is to be said of a page besides its numbers: which code made it, and which this is."""
    stated = {place(name): digest for name, digest in read_manifest(manifest)["pages"].items()}
    page = next(iter(stated))
    made = re.search(r"^Code: (.+)$", read_text(page), re.MULTILINE)
    by, this = (made[1] if made else "-"), git_version([page])
    lines = [f"code: made by {by}, as this is" if by == this else f"code: made by {by}, this is {this}"]
    again = "made again since the manifest was written; its origin or times differ, no number"
    return lines + [f"{path}: {again}" for path, digest in stated.items() if sha256(path) != digest]


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
    """Yield a line for each line of a page that the page made again has not, and for each doubled section."""
    (mine, _), (yours, titles) = _recomputed(made), _recomputed(there)
    for title, count in Counter(titles).items():
        if count > 1:
            yield f"section {title}: stands {count} times"
    matcher = SequenceMatcher(None, mine, yours, autojunk=False)
    for _, i, j, k, m in matcher.get_opcodes():
        for computed, stated in zip_longest(mine[i:j], yours[k:m], fillvalue=""):
            if computed != stated:
                yield f"has {stated!r}, computed {computed!r}"


def _recomputed(text: str) -> tuple[list[str], list[str]]:
    """Return a page's lines without the sections `NOT_RECOMPUTED`, and the titles of all its sections.

    A heading of any level ends a section: it would be read as one.
    """
    kept, titles, title = [], [], ""
    for line in text.splitlines():
        if re.match(r" {0,3}#{1,6}\s", line):
            title = line.removeprefix("## ")
            titles.append(title)
        if title not in NOT_RECOMPUTED:
            kept.append(line)
    return kept, titles


def pack(manifest: Path, out: Path) -> int:
    """Write `out`, an archive of a manifest, its pages and all files it names; return their number.

    Called in the folder where the page was made. The same files give the same archive. The manifest lies at
    its top, every other file where `packed` says.

    Raises:
        MasdError: a file is missing or was changed, or two would have one place in the archive.
    """
    content = read_manifest(manifest)
    files = content["files"] | content["pages"]
    for name, stated in sorted(files.items()):
        if not Path(name).is_file() or sha256(name) != stated:
            raise MasdError(f"{name}: missing, or changed since {manifest} was written; make the page again")
    places = {manifest.name: str(manifest)}
    for name in files:
        other = places.setdefault(str(packed(name)), name)
        if other != name:
            raise MasdError(f"{name}: would lie where {other} does in {out}; rename one, make the page again")
    # of links what they lead to, for `unpack` takes plain files alone
    options = {"preset": 9 | lzma.PRESET_EXTREME, "dereference": True}
    with atomic(out) as tmp, tarfile.open(tmp, "w:xz", **options) as archive:
        for place, name in sorted(places.items()):
            archive.add(name, place, filter=_anonymous)
    return len(places)


def packed(name: str | Path) -> Path:
    """Return where a proof holds a file or folder that its manifest names.

    What lies outside the recipe's folder, as the model of a zero-shot page does, is below `_outside`:
    `../la/exp/model` at `_outside/_up/la/exp/model`, `/corpus/key` at `_outside/_root/corpus/key`. This keeps
    files of one folder together, for evaluations name folders too.
    """
    path = PurePosixPath(name)
    if _inside(path):
        return Path(path)
    parts = ["_root" if part == path.anchor else "_up" if part == ".." else part for part in path.parts]
    return Path(OUTSIDE, *parts)


def unpack(proof: Path, folder: Path) -> Path:
    """Unpack a proof into `folder` and return its manifest's path there.

    A proof may come from anyone: members that are no plain file, or lie outside, are refused
    (the tarfile of Python 3.11.2, Debian 12's, knows no extraction filters yet).

    Raises:
        MasdError: not such an archive.
    """
    try:
        with open(proof, "rb") as file, tarfile.open(fileobj=_Unpacked(file), mode="r|") as archive:
            for number, member in enumerate(archive):
                if number >= MAX_FILES:
                    raise ValueError(f"more than {MAX_FILES} files")
                plain = member.isfile() and not member.issparse() and _inside(member.name)
                content = archive.extractfile(member) if plain else None
                if content is None:
                    raise MasdError(
                        f"{proof}: {member.name} is no plain file inside the folder; do not trust it"
                    )
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())
    except (OSError, EOFError, ValueError, tarfile.TarError, lzma.LZMAError) as error:
        raise MasdError(
            f"{proof}: no whole archive of `proof pack` ({error}); get or make it again"
        ) from None
    manifest = folder / (proof.name.removesuffix(SUFFIX) + ".manifest.json")
    if not manifest.is_file():
        raise MasdError(f"{proof}: holds no {manifest.name}")
    return manifest


class _Unpacked:
    """What an .xz file holds, as `tarfile` reads it; more than any proof has is an error."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._left = file, MAX_BYTES
        self._xz = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_MEMORY)

    def read(self, size: int) -> bytes:
        """Return the next bytes, none at the end."""
        data = b""
        while not data and not self._xz.eof:
            packed = self._file.read(1 << 16) if self._xz.needs_input else b""
            if self._xz.needs_input and not packed:
                raise EOFError("cut short")
            data = self._xz.decompress(packed, size)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"more than {MAX_BYTES >> 20} MiB")
        return data


def _inside(name: str | PurePosixPath) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out owner and time."""
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    info.mode = 0o644
    return info
