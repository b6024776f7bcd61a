"""Bytes of recordings: files, pipes and file objects made seekable, and stretches of them."""

from __future__ import annotations

import io
import os
import re
import stat
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from masd.errors import MasdError

# what may come through a pipe: ten hours of 48 kHz stereo are 6.9 GB; it is held in memory up to _IN_MEMORY
MAX_PIPED = 8 << 30
_IN_MEMORY = 64 << 20
_COPIED = 1 << 20
_LOOK_AHEAD = 32
_IN_ARK = re.compile(r"(.+):(\d+)")


def open_bytes(source: str | Path | BinaryIO, name: str) -> BinaryIO:
    """Return what was given as a seekable binary file at its start, to be closed by the caller.

    Pipes, and file objects that cannot seek, are copied first (to the disk, from 64 MB on).

    Raises:
        MasdError: missing, a folder, a device, empty, not readable, or more than 8 GiB from a pipe; the line
            begins with `name`.
    """
    if not isinstance(source, (str, Path)):
        return _seekable(source, name)
    path = Path(source)
    try:
        os.fspath(path).encode()
        mode = os.stat(path).st_mode
    except UnicodeEncodeError:
        raise MasdError(f"{name}: the file name is not UTF-8; rename the file") from None
    except (OSError, ValueError):
        archive, at = in_archive(path)
        if at is not None and archive.is_file():
            return _in_ark(open(archive, "rb", buffering=0), at, name)
        raise MasdError(f"{name}: no such audio file") from None
    if stat.S_ISDIR(mode):
        raise MasdError(f"{name}: is a folder, not a file")
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        raise MasdError(f"{name}: is a device, not a file")
    if stat.S_ISREG(mode) and os.path.getsize(path) == 0:
        raise MasdError(f"{name}: empty file")
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise MasdError(f"{name}: cannot be read ({(error.strerror or 'error').lower()})") from None
    if stat.S_ISREG(mode):
        return file  # type: ignore[return-value]
    with file:
        return _copied(file, name)  # type: ignore[arg-type]


def in_archive(entry: str | Path) -> tuple[Path, int | None]:
    """Return the file an entry of wav.scp is in, and at which byte: `x.ark:9`, if there is no such file."""
    found = None if os.path.exists(entry) else _IN_ARK.fullmatch(os.fspath(entry))
    return (Path(found[1]), int(found[2])) if found else (Path(entry), None)


def _in_ark(file: BinaryIO, at: int, name: str) -> BinaryIO:
    """Return the audio that begins at a byte of a Kaldi archive: a WAV, a FLAC, or kaldiio's AUDIO entry."""
    try:
        file.seek(at)
        head, stop, alone = file.read(16), size_of(file), False
        if head[:5] == b"AUDIO":  # then how many bytes its length takes, and its length
            at += 6 + head[5]
            stop = at + int.from_bytes(head[6 : 6 + head[5]], "little")
        elif head[:4] == b"RIFF":
            stop = at + 8 + int.from_bytes(head[4:8], "little")
        elif head[:4] == b"fLaC":
            alone = True  # the next entry may be one, too
        else:
            raise MasdError(f"{name}: no audio begins at this byte of the archive")
        if stop > size_of(file):
            raise MasdError(f"{name}: cut short: the archive ends before this entry does")
    except BaseException:
        file.close()
        raise
    return Stretch(file, at, stop, alone=alone)  # type: ignore[return-value]


def _seekable(source: BinaryIO, name: str) -> BinaryIO:
    if isinstance(source, io.BytesIO) and source.tell() == 0:
        file: BinaryIO = io.BytesIO(source.getvalue())  # shares the bytes, and can be closed
        if not source.getbuffer().nbytes:
            raise MasdError(f"{name}: empty, no audio came")
        return file
    return _copied(source, name)


def _copied(source: BinaryIO, name: str) -> BinaryIO:
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    count = 0
    while data := source.read(_COPIED):
        count += file.write(data)
        if count > MAX_PIPED:
            file.close()
            limit = f"{MAX_PIPED >> 20} MiB"
            raise MasdError(f"{name}: more than {limit} came through the pipe; save it to a file first")
    if not count:
        raise MasdError(f"{name}: empty, no audio came")
    file.seek(0)
    return file  # type: ignore[return-value]


def size_of(file: BinaryIO) -> int:
    """Return the number of bytes of a seekable file; its position is lost."""
    return file.seek(0, os.SEEK_END)


class Stretch:
    """A part of a seekable file that looks like a file of its own; it ends before `marker` where that comes.

    Args:
        file: the file; positions of others in it do not matter.
        start: where the part begins.
        stop: where it ends at the latest; the file's end by default.
        marker: what the next part begins with, at most 32 bytes.
        patch: {offset in the part: bytes that are read in place of what stands there}.
        alone: whether what follows a first stream in it is not its business.
    """

    def __init__(
        self,
        file: BinaryIO,
        start: int = 0,
        stop: int | None = None,
        marker: re.Pattern[bytes] | None = None,
        patch: Mapping[int, bytes] | None = None,
        alone: bool = False,
    ) -> None:
        self.alone = alone
        self.file, self.start, self.marker, self.patch = file, start, marker, patch or {}
        size = size_of(file)
        self.stop = self.told = size if stop is None else min(stop, size)  # told: to who opened it
        self._at = 0

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move as files do."""
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self)}[whence])
        return self._at

    def tell(self) -> int:
        """Return the position in the part."""
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, as files do."""
        size = len(self) - self._at if size < 0 else min(size, len(self) - self._at)
        if size <= 0:
            return b""
        self.file.seek(self.start + self._at)
        data = self.file.read(size + _LOOK_AHEAD if self.marker else size)
        found = self.marker.search(data, 0 if self._at else 1) if self.marker else None
        if found and found.start() < size:
            self.stop = self.start + self._at + found.start()
            size = found.start()
        data = data[:size]
        for offset, new in self.patch.items():
            if 0 <= offset - self._at <= len(data) - len(new):
                data = data[: offset - self._at] + new + data[offset - self._at + len(new) :]
        self._at += len(data)
        return data

    def close(self) -> None:
        """Close the file it is a part of."""
        self.file.close()

    def find_end(self, at: int) -> int:
        """Return where it ends, by the marker too, which is looked for from `at` on; its position stays."""
        before, key = self._at, _identity(self.file, self.start)
        if key in _ENDS:
            self.stop = _ENDS[key]
            return self.stop
        self.seek(max(0, at))
        while self.marker and self.read(_COPIED):
            pass
        self.seek(before)
        if key and at <= 0:
            if len(_ENDS) > _KNOWN_ENDS:
                _ENDS.clear()
            _ENDS[key] = self.stop
        return self.stop


# where parts end: the segments of a long recording are read one after another
_ENDS: dict[tuple[int, ...], int] = {}
_KNOWN_ENDS = 1000


def _identity(file: BinaryIO, start: int) -> tuple[int, ...]:
    """Return what a part of a file on a disk is known again by, nothing of other files."""
    try:
        status = os.fstat(file.fileno())
    except (OSError, AttributeError):
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, start


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class OggLink:
    """One of the streams that are chained in an Ogg file, read page by page; each page's checksum is checked.

    Attributes:
        problem: what is wrong with it, once that was met, else empty.
        next: where the next link begins, once this one was read to its end; None if there is none.
    """

    def __init__(self, file: BinaryIO, start: int) -> None:
        self.file, self._at, self.problem = file, start, ""
        self.next: int | None = None
        self._ready, self._past_headers, self._done = b"", False, False
        self._open: set[bytes] = set()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes of the link's pages."""
        while not self._done and (size < 0 or len(self._ready) < size):
            self._ready += self._page()
        size = len(self._ready) if size < 0 else size
        data, self._ready = self._ready[:size], self._ready[size:]
        return data

    def _page(self) -> bytes:
        self.file.seek(self._at)
        head = self.file.read(27)
        head += self.file.read(head[26]) if len(head) == 27 else b""
        if head[:4] != b"OggS":
            return self._end("" if not self._open else self._lost(head))
        first = head[5] & 2
        if first and self._past_headers:
            self.next = self._at
            return self._end("")
        self._past_headers = not first
        body = self.file.read(sum(head[27:]))
        if len(head) < 27 + head[26] or len(body) < sum(head[27:]):
            return self._end("cut short: its last page is not whole")
        if _page_sum(head[:22] + bytes(4) + head[26:] + body) != int.from_bytes(head[22:26], "little"):
            return self._end(f"damaged: the checksum of the page at byte {self._at} is wrong")
        (self._open.discard if head[5] & 4 else self._open.add)(head[14:18])
        self._at += len(head) + len(body)
        return head + body

    def _lost(self, head: bytes) -> str:
        if len(head) < 27:
            return "cut short: the stream has no end mark"
        return f"damaged: no page at byte {self._at}, where one should be"

    def _end(self, problem: str) -> bytes:
        self._done, self.problem = True, problem
        return b""


def _page_sum(page: bytes) -> int:
    """Return Ogg's CRC-32: that of zlib with bits the other way round and without inversions."""
    value = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{value:032b}"[::-1], 2)
