"""Raw files (DNG, CR2, CR3, NEF, NRW, ARW, RAF, ORF, RW2): told by their header, and whether all their parts are there.

Nothing is decoded. A body or a cable that stops half way leaves a file whose header promises more than there is, and
that is what is looked for: TIFF strips and tiles (TIFF 6.0, DNG 1.6), ISO boxes (ISO 14496-12) or RAF's table of parts
that end beyond it. RW2 does not say how long its sensor's data is, only where it begins; NRW is a NEF whose first
picture is a JPEG thumbnail. Both as ExifTool reads them (Exif.pm, PanasonicRaw.pm).
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from common.bounded.files import open_regular_file
from controller.errors import FrameRejected

FORMATS = ("dng", "cr2", "cr3", "nef", "nrw", "arw", "raf", "orf", "rw2")

_COMPRESSION, _MAKE, _MODEL, _STRIPS, _RAW_DATA, _SUB_IFDS, _DNG_VERSION = 259, 271, 272, 273, 280, 330, 50706
_JPEG_COMPRESSION = 6
_PARTS = ((_STRIPS, 279), (324, 325), (513, 514))  # offsets and lengths of strips, tiles, an old-style JPEG
_WANTED = {_COMPRESSION, _MAKE, _MODEL, _RAW_DATA, _SUB_IFDS, _DNG_VERSION, *(tag for pair in _PARTS for tag in pair)}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_MAX_DIRECTORIES, _MAX_ENTRIES, _MAX_VALUES = 64, 1000, 200_000
_RAF = b"FUJIFILMCCD-RAW "
_ORF = (b"IIRO", b"IIRS", b"MMOR")
_RW2 = b"IIU\0"
_CANON_BOX = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")  # the uuid box of CR3 with the camera's TIFF tags


@dataclass(frozen=True)
class RawHeader:
    """What the header of a raw file says."""

    format: str  # one of FORMATS
    make: str = ""  # of the body; empty: it does not say
    model: str = ""  # of the body; empty: it does not say


def read_raw(path: Path) -> RawHeader:
    """Read the header and see that every part it names lies within the file.

    Raises FrameRejected for a file of another kind, a damaged header, or a file that ends early; OSError when it cannot
    be opened.
    """
    with os.fdopen(open_regular_file(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(16)
        try:
            if start[4:12] == b"ftypcrx ":
                return _read_cr3(file, size)
            if start == _RAF:
                return _read_raf(file, size)
            if start[:4] in _ORF:
                return _whole("orf", _Tiff(file, 0, size), size)
            if start[:4] == _RW2:
                return _read_rw2(file, size)
            if start[:4] in (b"II*\0", b"MM\0*"):
                return _read_tiff(file, size, start)
        except (struct.error, OverflowError) as error:
            raise FrameRejected("the raw file's header is damaged or cut off") from error
    raise FrameRejected(f"no raw file that is known here ({', '.join(FORMATS)})")


def _read_tiff(file: IO[bytes], size: int, start: bytes) -> RawHeader:
    tiff = _Tiff(file, 0, size)
    make = tiff.text(_MAKE)
    if tiff.has(_DNG_VERSION):
        return _whole("dng", tiff, size)
    if start[8:10] == b"CR":
        return _whole("cr2", tiff, size)
    if make.upper().startswith("NIKON"):
        return _whole("nrw" if tiff.number(_COMPRESSION) == _JPEG_COMPRESSION else "nef", tiff, size)
    if make.upper().startswith("SONY"):
        return _whole("arw", tiff, size)
    raise FrameRejected(
        f"a TIFF file of {make or 'no maker'}, not a raw file that is known here ({', '.join(FORMATS)})"
    )


def _whole(kind: str, tiff: "_Tiff", size: int) -> RawHeader:
    if tiff.end > size:
        raise FrameRejected(f"the raw file ends early: {size} bytes of {tiff.end}")
    return RawHeader(kind, tiff.text(_MAKE), tiff.text(_MODEL))


def _read_rw2(file: IO[bytes], size: int) -> RawHeader:
    """Panasonic's TIFF. Some bodies write 0xffffffff as the strip's offset, and lengths that are not the file's."""
    tiff = _Tiff(file, 0, size, parts=())
    begins_at = tiff.number(_RAW_DATA) or tiff.number(_STRIPS)
    if begins_at is None:
        raise FrameRejected("the raw file's header is damaged: it does not say where its data begins")
    if begins_at >= size:
        raise FrameRejected(f"the raw file ends early: {size} bytes, its data begins at {begins_at}")
    return RawHeader("rw2", tiff.text(_MAKE), tiff.text(_MODEL))


def _read_raf(file: IO[bytes], size: int) -> RawHeader:
    """Fujifilm's: the body at 28; from 84 offset and length of a JPEG, the data's header and the data, big-endian."""
    name = _at(file, 28, 32).split(b"\0", 1)[0].decode("ascii", "replace")
    table = struct.unpack(">6I", _at(file, 84, 24))
    parts = list(zip(table[::2], table[1::2], strict=True))
    if 0 in parts[-1]:
        raise FrameRejected("the raw file's header is damaged: it names no data of the sensor")
    end = max(offset + length for offset, length in parts)
    if end > size:
        raise FrameRejected(f"the raw file ends early: {size} bytes of {end}")
    return RawHeader("raf", "FUJIFILM", _printable(name))


class _Tiff:
    """All directories of a TIFF structure of `size` bytes that begins at `base`. `end`: where its parts end.

    parts: tags of the offsets and lengths that are believed.
    """

    def __init__(self, file: IO[bytes], base: int, size: int, parts: tuple[tuple[int, int], ...] = _PARTS) -> None:
        self._file, self._base, self._size = file, base, size
        self._order = "<" if self._read(0, 2) == b"II" else ">"
        self._first: dict[int, tuple[int, int, bytes]] = {}
        self.end = 0
        waiting = [self._number(4, 4)]
        seen: set[int] = set()
        while waiting:
            at = waiting.pop(0)
            if at == 0 or at in seen:
                continue
            if len(seen) >= _MAX_DIRECTORIES:
                raise FrameRejected("the raw file's header is damaged: too many directories")
            seen.add(at)
            tags, following = self._directory(at)
            self._first = self._first or tags
            waiting += [following, *self._integers(tags, _SUB_IFDS)]
            for offsets, lengths in parts:
                pairs = zip(self._integers(tags, offsets), self._integers(tags, lengths), strict=False)
                self.end = max([self.end, *(offset + length for offset, length in pairs)])

    def has(self, tag: int) -> bool:
        return tag in self._first

    def text(self, tag: int) -> str:
        """A text of the first directory."""
        kind, _, data = self._first.get(tag, (0, 0, b""))
        return _printable(data.split(b"\0", 1)[0].decode("ascii", "replace")) if kind == 2 else ""

    def number(self, tag: int) -> int | None:
        """The first number under a tag of the first directory."""
        return next(iter(self._integers(self._first, tag)), None)

    def _read(self, at: int, count: int) -> bytes:
        if at < 0 or at + count > self._size:
            raise FrameRejected(f"the raw file ends early: {self._size} bytes, its header reaches to {at + count}")
        self._file.seek(self._base + at)
        return self._file.read(count)

    def _number(self, at: int, width: int) -> int:
        return int(struct.unpack(self._order + {2: "H", 4: "I"}[width], self._read(at, width))[0])

    def _directory(self, at: int) -> tuple[dict[int, tuple[int, int, bytes]], int]:
        count = self._number(at, 2)
        if not 0 < count <= _MAX_ENTRIES:
            raise FrameRejected(f"the raw file's header is damaged: a directory of {count} entries")
        table = self._read(at + 2, 12 * count + 4)
        tags: dict[int, tuple[int, int, bytes]] = {}
        for index in range(count):
            tag, kind, number = struct.unpack_from(self._order + "HHI", table, 12 * index)
            length = _SIZES.get(kind, 0) * number
            if tag not in _WANTED or length == 0 or number > _MAX_VALUES:
                continue
            data = table[12 * index + 8 : 12 * index + 12]
            if length > 4:
                data = self._read(struct.unpack(self._order + "I", data)[0], length)
            tags[tag] = (kind, number, data[:length])
        return tags, int(struct.unpack_from(self._order + "I", table, 12 * count)[0])

    def _integers(self, tags: dict[int, tuple[int, int, bytes]], tag: int) -> tuple[int, ...]:
        kind, number, data = tags.get(tag, (0, 0, b""))
        letter = {3: "H", 4: "I", 13: "I"}.get(kind)
        return () if letter is None else struct.unpack(f"{self._order}{number}{letter}", data)


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable()).strip()[:100]


def _read_cr3(file: IO[bytes], size: int) -> RawHeader:
    header = RawHeader("cr3")
    found = set()
    for kind, start, end in _boxes(file, 0, size):
        found.add(kind)
        if end > size:
            raise FrameRejected(f"the raw file ends early: {size} bytes of {end}")
        if kind == b"moov":
            header = _canon_tags(file, start, end) or header
    lacking = [name.decode() for name in (b"moov", b"mdat") if name not in found]
    if lacking:
        raise FrameRejected(f"the raw file ends early: it lacks {' and '.join(lacking)}")
    return header


def _canon_tags(file: IO[bytes], start: int, end: int) -> RawHeader | None:
    for kind, inner, inner_end in _boxes(file, start, end):
        if kind != b"uuid" or _at(file, inner, 16) != _CANON_BOX:
            continue
        for name, tags, tags_end in _boxes(file, inner + 16, inner_end):
            if name == b"CMT1":
                tiff = _Tiff(file, tags, tags_end - tags)
                return RawHeader("cr3", tiff.text(_MAKE), tiff.text(_MODEL))
    return None


def _boxes(file: IO[bytes], at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start of content and end of each box between two places; an end may lie beyond the file."""
    for _ in range(_MAX_ENTRIES):
        if at >= end:
            return
        length, kind = struct.unpack(">I4s", _at(file, at, 8))
        content = at + 8
        if length == 1:
            length, content = struct.unpack(">Q", _at(file, content, 8))[0], at + 16
        elif length == 0:
            length = end - at
        if length < content - at:
            raise FrameRejected("the raw file's header is damaged: a box shorter than its own head")
        yield kind, content, at + length
        at += length


def _at(file: IO[bytes], at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)
