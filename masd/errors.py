"""The one exception that is shown to people, and the budget for items that fail."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

log = logging.getLogger(__name__)


class MasdError(Exception):
    """Bad input or a bad request.

    The message is one line that names the file, utterance or key at fault and says what to do.
    Entry points print it without a traceback and exit with status 1.
    """


# what a terminal obeys, what ends a line, what turns the text after it round, and halves of characters
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

# what `pip install masd` leaves out, by the extra of setup.cfg that brings it
EXTRAS = {
    "recipes": (
        "h5py", "jinja2", "kaldiio", "markdown_it", "matplotlib", "sentencepiece", "sklearn", "tensorboard",
        "torch", "torchaudio",
    ),
    "onnx": ("onnx", "onnxruntime"),
    "serve": ("starlette", "uvicorn"),
    "vocoders": ("pyworld", "transformers"),
}  # fmt: skip


def lacking(error: ModuleNotFoundError) -> str:
    """Return a line that says which extra brings the module that is not there; empty if none does."""
    module = (error.name or "").partition(".")[0]
    for extra, modules in EXTRAS.items():
        if module in modules:
            return f"needs {module}: pip install 'masd[{extra}]', or tools/setup_env.sh {extra}"
    return ""


def printable(text: str) -> str:
    """Return text with control and bidi characters escaped: a file's name may forge a line with them."""
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def look(path: str | Path) -> list[int] | None:
    """Return a file's size in bytes and time of change in ns, by which it is known again; None if missing."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns]


class Failures:
    """Items that could not be processed: each is logged once, the rest of the work goes on.

    Args:
        what: the kind of item, for messages ("utterance").
        max_share: the share of all items, 0 to 1, that may fail before `check` raises.

    Attributes:
        reasons: why each item failed.
        files: files at fault and how they looked (`look`), for the mark: once one looks otherwise, the work
            that did without it is to be done again (`masd.stage.files.Mark`).
    """

    def __init__(self, what: str = "utterance", max_share: float = 0.01) -> None:
        self.what = what
        self.max_share = max_share
        self.reasons: dict[str, str] = {}
        self.files: dict[str, list[int] | None] = {}

    def add(self, item: str, reason: object, file: str | Path = "") -> None:
        """Record that `item`, which was read from `file`, failed because of `reason`, and log one line."""
        self.reasons[item] = " ".join(str(reason).split())
        if file:
            self.files[str(file)] = look(file)
        log.warning("%s %s: %s", self.what, item, self.reasons[item])

    def lines(self) -> list[str]:
        """Return `<item> <reason>` lines, sorted, as they are written to a `failures` file."""
        return [f"{item} {reason}" for item, reason in sorted(self.reasons.items())]

    def check(self, total: int, where: str | Path = "", mend: str = "mend them") -> None:
        """Raise `MasdError` if more than `max_share` of `total` items failed; `mend` says what to do then."""
        if len(self.reasons) <= self.max_share * total:
            return
        item, reason = sorted(self.reasons.items())[0]
        place = f" in {where}" if where else ""
        raise MasdError(
            f"{len(self.reasons)} of {total} {self.what}s failed{place}, "
            f"more than --max-fail {self.max_share:g} allows; the first: {item}: {reason}; "
            f"{mend}, or allow more by --max-fail"
        )
