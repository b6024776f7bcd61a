"""A model folder as others pass it on: one zip file, or a folder in the layout of the Hugging Face hub.

Both hold the model's own files, `config.json` and `README.md`, a model card that begins with the hub's
metadata. Of a zip file only files of those names are read, each no further than `MOST` bytes together; where
a name points, what is a link and how far something swells is never left to the archive.
"""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from masd.errors import MasdError
from masd.stage.files import atomic, plain, read_text
from masd.systems.folder import ENCODER_FILES, GRAPH, TENSORS, read_info

CARD, CONFIG = "README.md", "config.json"
NAMES = ("model.yaml", TENSORS, GRAPH, *ENCODER_FILES, CARD, CONFIG, "LICENSE")
MOST = 4 << 30  # bytes of all files together
MEMBERS = 1000
SWELLING = 200  # times that a file may be as large as it is packed
# what zipfile raises where a file is damaged, or made by means that it has not
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError)
_BLOCK = 1 << 20
_TIME = (1980, 1, 1, 0, 0, 0)  # of all files: the same model gives the same bytes
TAGS = ("anti-spoofing", "audio-deepfake-detection", "speech", "masd")


def pack(model: Path, out: Path, licence: str = "other", card: Path | None = None) -> None:
    """Write a model folder as `out`: a zip file where that ends in `.zip`, else a folder.

    Args:
        model: what is packed; its files are checked against the digests it states.
        out: must not be there as a folder with something in it.
        licence: an identifier of the hub, `mit` or `cc-by-4.0`.
        card: the card's text in Markdown; without it the model's README.md, or what model.yaml says.

    Raises:
        MasdError: it is no whole model, or `out` cannot be written.
    """
    head, info = read_info(model)
    text = read_text(card or model / CARD) if card or (model / CARD).is_file() else _card(head, info)
    files = {name: (model / name).read_bytes() for name in ("model.yaml", *head["files"])}
    files[CARD] = (_metadata(licence, head) + _body(text)).encode()
    files[CONFIG] = _config(head, info).encode()
    refuse_full(out)
    with atomic(out) as tmp:
        if out.suffix == ".zip":
            _zip(tmp, files)
        else:
            tmp.mkdir()
            for name, content in files.items():
                (tmp / name).write_bytes(content)


def _zip(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _TIME)
            info.external_attr = 0o644 << 16
            archive.writestr(info, files[name])


def _metadata(licence: str, head: Mapping[str, Any]) -> str:
    """Return the hub's head of a model card."""
    values = {
        "license": licence,
        "library_name": "masd",
        "pipeline_tag": "audio-classification",
        "tags": [*TAGS, str(head["system"])],
        "metrics": ["eer"],
    }
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---\n\n"


def _body(text: str) -> str:
    """Return a card without the metadata that it may begin with."""
    parts = text.split("---\n", 2)
    return parts[2].lstrip("\n") if len(parts) == 3 and not parts[0] else text


def _config(head: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    """Return what the hub and its users look for; `detect` reads model.yaml."""
    values = {
        "model_type": "masd",
        "system": head["system"],
        "type": head["type"],
        "settings": head["settings"],
        "id2label": {"0": "bonafide", "1": "spoof"},
        "versions": info.get("versions", {}),
    }
    return json.dumps(plain(values), indent=1, allow_nan=False) + "\n"


def _card(head: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    """Return a card of what model.yaml says."""
    lines = [f"# `{head['system']}`, a detector of synthetic speech", ""]
    lines += ["Made by MASD's recipes. Scores are higher for genuine speech.", ""]
    lines += ["| set | utterances | bona fide | spoof |", "|---|---:|---:|---:|"]
    for kind in ("training", "development"):
        for known in info.get(kind) or []:
            row = [
                f"{kind}: {known.get('name', '-')}",
                *(known.get(n, "-") for n in ("utterances", "bonafide", "spoof")),
            ]
            lines.append("| " + " | ".join(map(str, row)) + " |")
    rate = (info.get("dev") or {}).get("eer")
    if rate is not None:
        lines += ["", f"EER on the development set, which thresholds are fitted on: {100 * rate:.2f} %."]
    return "\n".join([*lines, "", "Not evaluated here on other data; do not decide about people by it.", ""])


def unpack(source: Path, out: Path) -> None:
    """Write what `pack` made, a zip file or a folder, as a model folder, whole or not at all.

    Raises:
        MasdError: it is none, or not safe to read; `out` is a folder with something in it.
    """
    refuse_full(out)
    with atomic(out) as tmp:
        if source.is_dir():
            tmp.mkdir()
            for name in NAMES:
                if (source / name).is_file():
                    shutil.copyfile(source / name, tmp / name)
        else:
            extract(source, tmp)
        with blaming(source, tmp):
            read_info(tmp)


def refuse_full(out: Path) -> None:
    """Raise `MasdError` if a folder with something in it is where output shall go."""
    if out.is_dir() and any(out.iterdir()):
        raise MasdError(f"--out {out}: has something in it; choose a new folder, or remove it")


def extract(source: Path, out: Path) -> None:
    """Write the model's files in a zip file into the new folder `out`.

    They stand at its top, or all in one folder, as people zip them; anything else is passed over.

    Raises:
        MasdError: it is no zip file of a model, is damaged, or has what no packed model has: links,
            encryption, one name twice, more or larger files than can be.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            found = _members(archive, source)
            out.mkdir()
            left = MOST
            for name, member in found.items():
                left -= _copy(archive, member, out / name, min(left, member.file_size), source)
    except OSError as error:
        raise MasdError(f"{error.filename or source}: {error.strerror or error}") from None
    except ZIP_ERRORS as error:
        raise MasdError(f"{source}: not a zip file, or damaged ({error}); fetch it again") from None


def _members(archive: zipfile.ZipFile, source: Path) -> dict[str, zipfile.ZipInfo]:
    """Return {name: member} of a model's files in an archive."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MEMBERS:
        raise MasdError(f"{source}: holds {len(members)} files; a packed model has at most {len(NAMES)}")
    tops = [
        PurePosixPath(m.filename).parent for m in members if PurePosixPath(m.filename).name == "model.yaml"
    ]
    top = min(tops, key=lambda path: len(path.parts), default=None)
    if top is None or len(top.parts) > 1:
        raise MasdError(f"{source}: no model.yaml at its top; give what `masd pack` makes")
    found: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        path = PurePosixPath(member.filename)
        if path.parent != top or path.name not in NAMES:
            continue
        if path.name in found:
            raise MasdError(f"{source}: holds {path.name} twice")
        if stat.S_ISLNK(member.external_attr >> 16) or member.flag_bits & 1:
            raise MasdError(f"{source}: {path.name} is a link or encrypted; a packed model has plain files")
        if member.file_size > max(SWELLING * member.compress_size, _BLOCK):
            raise MasdError(
                f"{source}: {path.name} swells from {member.compress_size} to {member.file_size} bytes"
            )
        found[path.name] = member
    if sum(member.file_size for member in found.values()) > MOST:
        raise MasdError(f"{source}: more than {MOST >> 30} GiB when unpacked")
    return found


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, most: int, source: Path) -> int:
    """Write a member, which says how long it is, and return its size."""
    written = 0
    with archive.open(member) as stream, open(path, "xb") as file:
        while block := stream.read(_BLOCK):
            written += len(block)
            if written > most:
                raise MasdError(f"{source}: {path.name} is longer than it says")
            file.write(block)
    return written


@contextmanager
def blaming(source: Path, folder: Path) -> Iterator[None]:
    """Let errors about a folder that nobody knows name where it came from."""
    try:
        yield
    except MasdError as error:
        raise MasdError(str(error).replace(str(folder), str(source))) from None
