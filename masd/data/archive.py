"""Feature archives: Kaldi ark + scp and HDF5 behind one reader and one writer.

An scp line is `<utt> <path>.ark:<byte offset>` or `<utt> <path>.h5:<utt>`; paths are relative to the
working directory or absolute, as in Kaldi. Nothing is ever unpickled and no pipe is run: the two
things a general Kaldi reader would do at the word of a file.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import zlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import h5py
import kaldiio
import numpy as np
from kaldiio.compression_header import GlobalHeader
from kaldiio.matio import read_ascii_mat, read_matrix_or_vector

from masd.errors import UNPRINTABLE, MasdError
from masd.stage.files import atomic, stream_lines, write_lines

FORMATS = ("ark", "h5")
_TWO_BYTE_AUTO = 3  # Kaldi's kTwoByteAuto: linear in 65,536 steps over a matrix's range
_PLAIN = {b"FM": ("<f4", 2), b"DM": ("<f8", 2), b"FV": ("<f4", 1), b"DV": ("<f8", 1)}
_LINEAR = {b"CM2": "<u2", b"CM3": "u1"}
_HEADER_BYTES = 32
_PACKED = 1032  # the most that deflate makes of a byte: an h5 file that has more is a bomb


class Writer:
    """Write one shard: `<name>.<job>.ark` or `.h5`, with `.crc` and `.scp` beside it; whole or not at all.

    Use as a context manager; the files appear under their names when the block ends without an exception, the
    archive before the list that points into it. `.crc` has a checksum of each utterance, in hex.

    Args:
        directory: where the shard goes; stands in the scp as it is given here.
        name: what is stored ("feats", "hand", "emb").
        job: number of the shard.
        fmt: "ark" or "h5".
        compress: store matrices in two bytes a value: in ark as Kaldi's kTwoByteAuto, off by at most
            half a step of range / 65,535 (for log-mel 2.5e-4), in h5 as float16, off by at most 2**-11
            of the value (for log-mel 0.008). Vectors are never compressed.
    """

    def __init__(
        self, directory: str | Path, name: str, job: int = 1, fmt: str = "ark", compress: bool = False
    ) -> None:
        if fmt not in FORMATS:
            raise MasdError(f"archive format {fmt!r} is unknown; use one of {', '.join(FORMATS)}")
        self.path = Path(directory) / f"{name}.{job}.{fmt}"
        self.scp = Path(directory) / f"{name}.{job}.scp"
        self.fmt = fmt
        self.compress = compress
        self._places: dict[str, str] = {}
        self._sums: dict[str, int] = {}

    def __enter__(self) -> Writer:
        with ExitStack() as stack:
            tmp = stack.enter_context(atomic(self.path))
            self._file = stack.enter_context(_open_h5(tmp, "w") if self.fmt == "h5" else open(tmp, "wb"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is None:
            sums = (f"{utt} {value:08x}" for utt, value in self._sums.items())
            write_lines(self.scp.with_suffix(".crc"), sums)
            write_lines(self.scp, (f"{utt} {place}" for utt, place in self._places.items()))

    def write(self, utt: str, array: np.ndarray) -> None:
        """Append a matrix (T, D) or vector (D,) as float32 under the id `utt`.

        Raises:
            MasdError: the id is empty, has white space or control characters, or was written before; the
                array has another number of dimensions, is empty or not finite.
        """
        values = np.ascontiguousarray(array, dtype="<f4")
        if not utt or utt.split() != [utt] or utt in self._places or UNPRINTABLE.search(utt):
            raise MasdError(f"{self.path}: {utt!r}: an utterance id is one printable word and comes once")
        if values.ndim not in (1, 2) or values.size == 0 or not np.isfinite(values).all():
            raise MasdError(f"{self.path}: {utt}: not a finite matrix or vector (shape {values.shape})")
        compress = self.compress and values.ndim == 2
        if self.fmt == "h5":
            values = values.astype("<f2") if compress else values
            self._file.create_dataset(utt, data=values)
            self._places[utt] = f"{self.path}:{utt}"
            self._sums[utt] = zlib.crc32(values.tobytes())
        else:
            entry, head = io.BytesIO(), len(utt.encode()) + 1
            method = _TWO_BYTE_AUTO if compress else None
            kaldiio.save_ark(entry, {utt: values}, compression_method=method)
            self._places[utt] = f"{self.path}:{self._file.tell() + head}"
            self._sums[utt] = zlib.crc32(entry.getbuffer()[head:])
            self._file.write(entry.getbuffer())


class _Index:
    """Where each utterance of an scp is, in a few bytes beside its id: lists have millions of lines.

    Attributes:
        rows: utterance id -> its number.
    """

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self._paths: dict[str, int] = {}
        self._archive, self._offset = array("i"), array("q")
        self._names: dict[int, str] = {}  # of h5 entries that are not named as the utterance
        self.sums: array[int] | None = None  # checksums, where they are known

    def add(self, utt: str, place: str) -> None:
        """Append an utterance."""
        path, key = split_place(place)
        row = self.rows[utt] = len(self.rows)
        self._archive.append(self._paths.setdefault(path, len(self._paths)))
        h5 = _is_h5(path)
        self._offset.append(-1 if h5 else int(key))
        if h5 and key != utt:
            self._names[row] = key

    def seal(self) -> None:
        """Let numbers stand for paths no longer to be looked up."""
        self.paths = list(self._paths)
        self._paths = {}

    def place(self, utt: str) -> tuple[str, str]:
        """Return an utterance's archive and its key there; `KeyError` if it is not listed."""
        row = self.rows[utt]
        offset = self._offset[row]
        key = self._names.get(row, utt) if offset < 0 else str(offset)
        return self.paths[self._archive[row]], key

    def order(self) -> np.ndarray:
        """Return the utterances' numbers (N,) as they lie in the archives; h5 entries as they are listed."""
        return np.lexsort((np.array(self._offset), np.array(self._archive)))

    def ranges(self, rows: np.ndarray) -> Iterator[tuple[str, int, int]]:
        """Yield (archive, first byte, length) of ark entries, front to back, neighbours as one.

        A length of 0 is up to the end. Entries in h5 are left out: their libraries know where they are.
        """
        order = self.order()
        archive, offset = np.array(self._archive)[order], np.array(self._offset)[order]
        last = np.append(archive[1:] != archive[:-1], True)
        end = np.where(last, 0, np.append(offset[1:], 0))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        wanted = np.unique(rank[rows])
        wanted = wanted[offset[wanted] >= 0]
        for run in np.split(wanted, np.flatnonzero((np.diff(wanted) > 1) | last[wanted[:-1]]) + 1):
            if len(run):
                first, stop = int(offset[run[0]]), int(end[run[-1]])
                yield self.paths[archive[run[0]]], first, stop - first if stop else 0


class Reader:
    """Random access to the archives an scp names, in either format or both mixed.

    What an utterance stores is compared with its checksum, where there is a list of them beside the scp
    (`.crc`, as `Writer` writes it), when it is first read. Crops read no more than they need, but from text
    and from Kaldi's per-column compression ("CM"), where a row is strewn over the whole matrix.
    A reader may be passed to worker processes; each opens the files for itself.

    Args:
        index: where each utterance is.
        name: what messages call this archive.
    """

    def __init__(self, index: _Index, name: str = "archive") -> None:
        self.name = name
        self.utts = list(index.rows)
        self._index = index
        self._lengths = np.full(len(self.utts), -1, np.int32)
        self._open: dict[str, Any] = {}
        self._process = os.getpid()
        self._sound = bytearray(len(self.utts))  # whether its checksum was compared

    def __len__(self) -> int:
        return len(self.utts)

    def __contains__(self, utt: object) -> bool:
        return utt in self._index.rows

    def __iter__(self) -> Iterator[str]:
        return iter(self.utts)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def __getitem__(self, utt: str) -> np.ndarray:
        """Return the whole matrix (T, D) or vector (D,) of an utterance as a fresh float32 array.

        Raises:
            MasdError: the utterance is not listed, or its archive is missing or damaged.
        """
        return self._read(utt, 0, None)

    def crop(self, utt: str, start: int, length: int) -> np.ndarray:
        """Return the rows `start` to `start + length` of a matrix, or fewer where it ends before.

        Raises:
            MasdError: as for `[]`; or `start` lies outside the matrix, or `length` is below 1.
        """
        if start < 0 or length < 1:
            raise MasdError(f"{self.name}: {utt}: cannot crop {length} rows at {start}")
        return self._read(utt, start, length)

    def num_frames(self, utt: str) -> int:
        """Return the number of rows of a matrix (or elements of a vector) without reading them."""
        row = self._index.rows.get(utt, -1)
        if row < 0 or self._lengths[row] < 0:
            path, key = self._place(utt)
            with _named_errors(self.name, utt, path):
                stored = self._dataset(path, key) if _is_h5(path) else _Ark(self._file(path), int(key))
                self._lengths[row] = int(stored.shape[0])
        return int(self._lengths[row])

    def file(self, utt: str) -> str:
        """Return the path of the archive that holds an utterance."""
        return self._place(utt)[0]

    def lengths(self) -> np.ndarray:
        """Return `num_frames` of every utterance (N,), in the order of `utts`."""
        for row in np.flatnonzero(self._lengths < 0).tolist():
            self.num_frames(self.utts[row])
        return self._lengths.copy()

    def read_lengths(self, path: str | Path) -> None:
        """Take numbers of frames from a table, to save `num_frames` from reading headers.

        Raises:
            MasdError: a line is not `<utt> <number>`.
        """
        for number, line in enumerate(stream_lines(path), 1):
            utt, _, count = line.partition(" ")
            if not count.isdecimal():
                raise MasdError(f"{path}:{number}: {line!r}: a number of frames is not a number")
            row = self._index.rows.get(utt, -1)
            if row >= 0:
                self._lengths[row] = int(count)

    def in_order(self) -> np.ndarray:
        """Return positions in `utts` (N,) in the order in which the archives hold them."""
        return self._index.order()

    def read_ahead(self, utts: Sequence[str]) -> None:
        """Ask the system to fetch these utterances' matrices, each ark from its front to its back.

        That is a hint: what is not in its cache when it is read, is read then.
        """
        if not hasattr(os, "posix_fadvise"):  # macOS
            return
        rows = np.array([self._index.rows[utt] for utt in utts], np.int64)
        for path, first, length in self._index.ranges(rows):
            with _named_errors(self.name, utts[0], path):
                os.posix_fadvise(self._file(path).fileno(), first, length, os.POSIX_FADV_WILLNEED)

    def close(self) -> None:
        """Close the files that are open; the next access opens them again."""
        for handle in self._open.values():
            if os.getpid() == self._process:
                handle.close()
        self._open = {}
        self._process = os.getpid()

    def _read(self, utt: str, start: int, length: int | None) -> np.ndarray:
        path, key = self._place(utt)
        with _named_errors(self.name, utt, path):
            stored = self._dataset(path, key) if _is_h5(path) else _Ark(self._file(path), int(key))
            self._check(utt, stored)
            if start >= stored.shape[0]:
                raise ValueError(f"row {start} of {stored.shape[0]}")
            stop = stored.shape[0] if length is None else min(start + length, stored.shape[0])
            return np.ascontiguousarray(stored[start:stop], dtype=np.float32)

    def _check(self, utt: str, stored: Any) -> None:
        """Raise `ValueError` if what is stored is not what was written."""
        row, sums = self._index.rows[utt], self._index.sums
        if sums is None or self._sound[row]:
            return
        whole = stored.entry() if isinstance(stored, _Ark) else stored[()].tobytes()
        if zlib.crc32(whole) != sums[row]:
            raise ValueError("damaged: not what its checksum says; make it again, with --force true")
        self._sound[row] = 1

    def _place(self, utt: str) -> tuple[str, str]:
        try:
            return self._index.place(utt)
        except KeyError:
            raise MasdError(f"{self.name}: no utterance {utt}") from None

    def _dataset(self, path: str, key: str) -> h5py.Dataset:
        stored = self._file(path).get(key)
        if not isinstance(stored, h5py.Dataset) or stored.ndim not in (1, 2):
            raise ValueError(f"no matrix or vector {key}")
        if stored.dtype.kind not in "fiu" or stored.nbytes > _PACKED * stored.id.get_storage_size():
            raise ValueError(f"no numbers are stored for {key}, or fewer than it has")
        return stored

    def _file(self, path: str) -> Any:
        if os.getpid() != self._process:  # after a fork: HDF5 handles must not be shared
            self._open, self._process = {}, os.getpid()
        if path not in self._open:
            if len(self._open) >= 64:
                self.close()
            self._open[path] = _open_h5(path, "r") if _is_h5(path) else io.FileIO(path)
        return self._open[path]


class _Header(NamedTuple):
    """What stands before the values of an ark entry."""

    kind: bytes
    shape: tuple[int, ...]
    start: int  # byte offset of the values
    linear: GlobalHeader | None


class _Ark:
    """One entry of an ark file; slicing by rows reads those rows alone where the format allows."""

    def __init__(self, stream: io.FileIO, offset: int) -> None:
        self._stream = stream
        self._offset = offset
        head = os.pread(stream.fileno(), _HEADER_BYTES, offset)
        self._text = None
        if head[:2] == b"\0B":
            self._header = _parse_header(head, offset)
            self.shape = self._header.shape
        else:
            self._text = self._read_text(head)
            self.shape = self._text.shape

    def __getitem__(self, rows: slice) -> np.ndarray:
        if self._text is not None:
            return self._text[rows]
        kind, shape, start, linear = self._header
        if kind == b"CM":
            return self._columns(rows)
        dtype = np.dtype(_LINEAR[kind] if linear else _PLAIN[kind][0])
        width = (shape[1] if len(shape) == 2 else 1) * dtype.itemsize
        first, last, _ = rows.indices(shape[0])
        values = np.frombuffer(self._bytes(start + first * width, (last - first) * width), dtype)
        values = values.reshape(last - first, *shape[1:])
        return linear.uint_to_float(values) if linear else values

    def entry(self) -> bytes:
        """Return all of a binary entry, as it is stored."""
        if self._text is not None:
            raise ValueError("text, where numbers were written")
        kind, shape, start, linear = self._header
        width = np.dtype(_LINEAR[kind] if linear else _PLAIN.get(kind, ("u1",))[0]).itemsize
        return self._bytes(self._offset, start - self._offset + math.prod(shape) * width)

    def _columns(self, rows: slice) -> np.ndarray:
        """Decode a matrix that is stored column by column, each with a header of its own; return its rows."""
        _, (count, width), start, _ = self._header
        body = self._bytes(self._offset, start - self._offset + width * (8 + count))
        return read_matrix_or_vector(io.BytesIO(body))[rows]

    def _bytes(self, offset: int, count: int) -> bytes:
        # the size is compared first: a damaged header may ask for more than there is memory
        if offset + count > os.fstat(self._stream.fileno()).st_size:
            raise ValueError("the file ends too early")
        return os.pread(self._stream.fileno(), count, offset)

    def _read_text(self, head: bytes) -> np.ndarray:
        if not head.lstrip().startswith(b"["):
            raise ValueError(f"no Kaldi matrix or vector at byte {self._offset}")
        with open(self._stream.name, "rb") as stream:
            stream.seek(self._offset)
            return np.atleast_1d(read_ascii_mat(stream))


def _parse_header(head: bytes, offset: int) -> _Header:
    kind, _, rest = head[2:].partition(b" ")
    start = offset + 2 + len(kind) + 1
    if kind in _PLAIN:
        dims = _PLAIN[kind][1]
        marks, sizes = rest[: 5 * dims : 5], struct.unpack("<" + "xi" * dims, rest[: 5 * dims])
        if marks == b"\4" * dims and min(sizes) > 0:
            return _Header(kind, sizes, start + 5 * dims, None)
    elif kind == b"CM" or kind in _LINEAR:
        low, span, rows, cols = struct.unpack("<ffii", rest[:16])
        if rows > 0 and cols > 0:
            linear = GlobalHeader(kind.decode(), low, span, rows, cols) if kind in _LINEAR else None
            return _Header(kind, (rows, cols), start + 16, linear)
    raise ValueError(f"no Kaldi matrix or vector of floats at byte {offset}")


@contextmanager
def _named_errors(name: str, utt: str, path: str) -> Iterator[None]:
    """Turn what goes wrong inside an archive into one line that names archive, utterance and file."""
    try:
        yield
    except FileNotFoundError:
        raise MasdError(
            f"{name}: {utt}: {path}: no such file (paths start at the working directory)"
        ) from None
    except Exception as error:  # whatever the libraries that read it raise
        raise MasdError(f"{name}: {utt}: {path}: cannot be read ({' '.join(str(error).split())})") from None


def _open_h5(path: str | Path, mode: str) -> h5py.File:
    """Open an HDF5 file without locking it: some network file systems have no locks, and none is needed.

    What is written has a name of its own until it is whole (`masd.stage.files.atomic`), then it is only read.
    """
    return h5py.File(path, mode, locking=False)


def _is_h5(path: str) -> bool:
    return path.endswith((".h5", ".hdf5"))


def split_place(place: str) -> tuple[str, str]:
    """Split the second field of an scp line into path and key (byte offset, or name in the h5 file)."""
    if ".h5:" in place or ".hdf5:" in place:
        h5 = re.match(r"(.+?\.(?:h5|hdf5)):(.+)", place)
        if h5:
            return h5[1], h5[2]
    path, colon, offset = place.rpartition(":")
    if colon and offset.isascii() and offset.isdecimal() and len(offset) < 19:  # it goes into 64 bits
        return path, offset
    return place, "0"


def open_reader(scp: str | Path) -> Reader:
    """Open the archives that an scp file names.

    Raises:
        MasdError: the list is missing, malformed, has an id twice, or asks for a pipe or a range.
    """
    index = _Index()
    for number, line in enumerate(stream_lines(scp), 1):
        fields = line.split(maxsplit=1)
        if len(fields) != 2:
            raise MasdError(f"{scp}:{number}: not `<utt> <archive>:<position>`")
        utt, place = fields[0], fields[1].rstrip()
        if UNPRINTABLE.search(line):
            raise MasdError(f"{scp}:{number}: control characters: {line!r:.200}")
        if utt in index.rows:
            raise MasdError(f"{scp}:{number}: {utt} is listed twice")
        if place.endswith(("|", "]")) or place.startswith("|"):
            raise MasdError(f"{scp}:{number}: {utt}: pipes and ranges are not read; copy to an archive")
        index.add(utt, place)
    index.seal()
    sums = Path(scp).with_suffix(".crc")
    if sums.is_file():
        index.sums = _read_sums(sums, index)
    return Reader(index, str(scp))


def _read_sums(path: Path, index: _Index) -> array[int]:
    sums = array("L", bytes(array("L").itemsize * len(index.rows)))
    known = 0
    for number, line in enumerate(stream_lines(path), 1):
        utt, _, value = line.partition(" ")
        if not re.fullmatch("[0-9a-f]{8}", value):
            raise MasdError(f"{path}:{number}: no checksum of an utterance; make the archives again")
        if utt in index.rows:
            sums[index.rows[utt]] = int(value, 16)
            known += 1
    if known != len(index.rows):
        raise MasdError(
            f"{path}: {len(index.rows) - known} utterances without a checksum; make the archives again"
        )
    return sums
