"""What a file is, told by its first bytes and not by its name; and which names are taken for audio."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import BinaryIO

from masd.errors import MasdError

_FIRST, _FURTHER = 1 << 12, 1 << 16  # bytes that are looked at, and where they do not tell
_FRAMES = 3  # MPEG and ADTS have no magic number: so many frames must follow each other


@dataclass(frozen=True)
class Kind:
    """A container that is read.

    Attributes:
        name: as in `AudioInfo.format`.
        said: what messages call it.
        demuxer: FFmpeg's name of it.
        suffixes: what such files are called.
        sndfile: whether libsndfile is tried first.
    """

    name: str
    said: str
    demuxer: str
    suffixes: tuple[str, ...]
    sndfile: bool = False


WAV = Kind("WAV", "WAV", "wav", (".wav", ".wave", ".bwf"), True)
W64 = Kind("W64", "W64", "w64", (".w64",), True)
AIFF = Kind("AIFF", "AIFF", "aiff", (".aif", ".aiff", ".aifc"), True)
AU = Kind("AU", "AU", "au", (".au", ".snd"), True)
SPHERE = Kind("SPHERE", "NIST SPHERE", "nistsphere", (".sph", ".wav", ".nist", ".wv1", ".wv2"), True)
FLAC = Kind("FLAC", "FLAC", "flac", (".flac",), True)
OGG = Kind("OGG", "Ogg", "ogg", (".ogg", ".oga", ".opus", ".ogv", ".ogx", ".spx"))
MP3 = Kind("MP3", "MP3", "mp3", (".mp3", ".mp2", ".mpga"))
AAC = Kind("AAC", "AAC (ADTS)", "aac", (".aac", ".adts"))
MP4 = Kind("MP4", "MP4", "mov", (".m4a", ".mp4", ".m4b", ".m4v", ".mov", ".3gp", ".3g2"))
MATROSKA = Kind("MATROSKA", "Matroska or WebM", "matroska", (".mka", ".mkv", ".webm", ".weba"))
ASF = Kind("ASF", "ASF (WMA)", "asf", (".wma", ".asf", ".wmv"))
AMR = Kind("AMR", "AMR", "amr", (".amr", ".awb", ".3gp"))
CAF = Kind("CAF", "CAF", "caf", (".caf",))
AVI = Kind("AVI", "AVI", "avi", (".avi",))
FLV = Kind("FLV", "FLV", "flv", (".flv",))
WAVPACK = Kind("WAVPACK", "WavPack", "wv", (".wv",))
TS = Kind("TS", "MPEG-TS", "mpegts", (".ts", ".m2ts"))
G722 = Kind("G722", "raw G.722", "g722", (".g722",))
OTHER = Kind("OTHER", "audio of another kind", "", (), True)

_KINDS = (
    *(WAV, W64, AIFF, AU, SPHERE, FLAC, OGG, MP3, AAC, MP4, MATROSKA, ASF, AMR, CAF, AVI, FLV),
    *(WAVPACK, TS, G722),
)
# what a name must end with to be taken for audio in a folder
SUFFIXES = frozenset(suffix for kind in _KINDS for suffix in kind.suffixes)

_MAGIC: tuple[tuple[str, Kind], ...] = (
    (r"(?:RIFF|RIFX|RF64|BW64)....WAVE", WAV),
    (r"riff\x2e\x91\xcf\x11", W64),
    (r"FORM....AIF[FC]", AIFF),
    (r"\.snd|dns\.", AU),
    (r"NIST_1A", SPHERE),
    (r"fLaC", FLAC),
    (r"OggS", OGG),
    (r"....(?:ftyp|moov|mdat|moof|styp|wide|pnot)", MP4),
    (r"\x1a\x45\xdf\xa3", MATROSKA),
    (r"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ASF),
    (r"#!AMR", AMR),
    (r"caff", CAF),
    (r"RIFF....AVI ", AVI),
    (r"FLV\x01", FLV),
    (r"wvpk", WAVPACK),
    (r"Creative Voice File|PVF1|2BIT|ALawSoundFile|FORM....(?:8SVX|16SV)|\x64\xa3[\x01-\x04]\x00", OTHER),
    (r"\x47.{187}\x47.{187}\x47", TS),
)
_READ = tuple((re.compile(magic.encode("latin-1"), re.DOTALL), kind) for magic, kind in _MAGIC)

_NO_AUDIO = tuple(
    (re.compile(magic.encode("latin-1"), re.DOTALL | re.IGNORECASE), said)
    for magic, said in (
        (r"PK\x03\x04|PK\x05\x06", "a zip archive; unpack it first"),
        (r"\x1f\x8b", "compressed by gzip; unpack it first"),
        (r"BZh|\xfd7zXZ|\x28\xb5\x2f\xfd", "compressed; unpack it first"),
        (r"Rar!|7z\xbc\xaf", "an archive; unpack it first"),
        (r".{257}ustar", "a tar archive; unpack it first"),
        (r"%PDF", "a PDF document"),
        (r"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP", "an image"),
        (r"\x00\x05\x16[\x00\x07]", "an AppleDouble file, macOS's notes about another file"),
        (r"\x89HDF", "an HDF5 file"),
        (r"\x93NUMPY", "a numpy array"),
        (r"\x7fELF", "a program"),
        (r"version https://git-lfs", "a Git LFS pointer in place of the file; run git lfs pull"),
        (r"\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype|html)", "an HTML page; download the file itself"),
        (r"\s*(?:\xef\xbb\xbf)?\s*<\?xml", "an XML document"),
        (r"\xff\xfe|\xfe\xff", "text"),
        (r"\x00*\Z", "zeros only"),
    )
)


def sniff(file: BinaryIO, name: str, suffix: str) -> Kind:
    """Return what a seekable file holds, by its content; by its suffix only where the kind has no marks.

    Raises:
        MasdError: it is something else than audio; the line begins with `name` and says what it is.
    """
    head = _head(file, _FIRST)
    for magic, kind in _READ:
        if magic.match(head):
            return kind
    head = _head(file, _FURTHER)
    kind = _framed(head) or (G722 if suffix == ".g722" else None)
    if kind:
        return kind
    for magic, said in _NO_AUDIO:
        if magic.match(head):
            raise MasdError(f"{name}: not audio but {said}")
    if _is_text(head):
        raise MasdError(f"{name}: not audio but text")
    raise MasdError(f"{name}: not audio that can be decoded, or damaged")


def misnamed(kind: Kind, suffix: str) -> str:
    """Return a line that says so if a file is not what its suffix says, else an empty one."""
    if suffix not in SUFFIXES or suffix in kind.suffixes or kind is OTHER:
        return ""
    return f"called {suffix}, but is {kind.said} inside"


def suffix_of(name: str) -> str:
    """Return the suffix of a file name in lower case, with its dot."""
    return PurePath(name).suffix.lower()


def after_id3(file: BinaryIO) -> int:
    """Return where a file's content begins after the ID3v2 tags before it."""
    at = 0
    while True:
        file.seek(at)
        tag = file.read(10)
        if tag[:3] != b"ID3" or len(tag) < 10:
            return at
        at += id3_size(tag)


def id3_size(tag: bytes) -> int:
    """Return the size in bytes of an ID3v2 tag that begins so (10 bytes)."""
    size = (tag[6] & 127) << 21 | (tag[7] & 127) << 14 | (tag[8] & 127) << 7 | tag[9] & 127
    return 10 + size + (10 if tag[5] & 0x10 else 0)


def _head(file: BinaryIO, size: int) -> bytes:
    file.seek(after_id3(file))
    return file.read(size)


def _framed(head: bytes) -> Kind | None:
    """Say whether frames of MP3 or ADTS follow each other somewhere in the first bytes."""
    for at in (match.start() for match in re.finditer(rb"\xff[\xe0-\xff]", head)):
        for kind, length in ((MP3, mpeg_frame), (AAC, _adts_frame)):
            if _follow(head, at, length):
                return kind
    return None


def _follow(head: bytes, at: int, length) -> bool:  # noqa: ANN001 - one of the two functions below
    first = length(head[at : at + 8])
    for count in range(_FRAMES):
        if at == len(head) and count:
            return True
        frame = length(head[at : at + 8])
        if not frame or frame[1:] != first[1:]:
            # the last frame of a short file may be cut off; a tag may follow it
            return count > 0 and head[at : at + 3] in (b"TAG", b"APE", b"ID3")
        at += frame[0]
    return True


_BITRATES = {  # kbit/s of (MPEG-1?, layer)
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def mpeg_frame(header: bytes) -> tuple[int, int, int, int, int] | None:
    """Return (bytes, samples, layer, rate, offset of a Xing header) of an MPEG frame, None if it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bitrate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    one = version == 3
    hz = (44100, 48000, 32000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    kbit = _BITRATES[one, layer][bitrate - 1]
    samples = 384 if layer == 1 else 1152 if one or layer == 2 else 576
    size = (12000 * kbit // hz + padding) * 4 if layer == 1 else samples * 125 * kbit // hz + padding
    mono = header[3] >> 6 == 3
    side = (17 if mono else 32) if one else (9 if mono else 17)
    return size, samples, layer, hz, 4 + side


def _adts_frame(header: bytes) -> tuple[int, int] | None:
    if len(header) < 7 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return None
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return (size, header[2] >> 2 & 15) if size > 7 else None


def _is_text(head: bytes) -> bool:
    try:
        text = head[:1024].decode("utf-8", "strict" if len(head) < 1024 else "ignore")
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c in "\t\r\n\f\ufeff" for c in text)
