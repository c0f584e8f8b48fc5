"""What a file from a camera is, by its content: a photograph, a raw file or something else, and whether it is whole.

Names lie: a PEF is a raw file without a known ending, a THM is a JPEG that is no photograph, a sidecar comes first.
Signatures: JPEG by ISO/IEC 10918-1 annex B, raw files by their makers' headers (TIFF 6.0 and its relatives, ISO base
media for CR3, FUJIFILM's RAF, Foveon's X3F, Minolta's MRW), capture times by EXIF 2.32.
"""

import re
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Kind = Literal["jpeg", "raw", "other"]

_RAW_STARTS = (
    b"II*\0",
    b"MM\0*",
    b"IIRO",
    b"IIRS",
    b"MMOR",
    b"IIU\0",
    b"FUJIFILMCCD-RAW",
    b"FOVb",
    b"\0MRM",
    b"II\x1a\0\0\0HEAPCCDR",
)
_NO_PHOTOGRAPH = (".thm", ".xmp", ".wav", ".mov", ".mp4", ".avi", ".ctg", ".dat", ".txt")
_RAW_ENDINGS = (
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".fff", ".iiq", ".mrw", ".nef", ".nrw", ".orf", ".pef",
    ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)  # fmt: skip
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD8)))  # markers without a length
_NUMBER = re.compile(r"(\d{1,8})\Z")
_HOST_NAME = re.compile(r"capt\d+\Z")  # given by libgphoto2 to what never was on a card


@dataclass(frozen=True)
class FileName:
    """What a name says under DCF (CIPA DC-009)."""

    stem: str  # in lower case
    number: int | None  # the counter at its end
    made_up: bool  # by the host: it says nothing of the body


def read_name(name: str) -> FileName:
    """The parts of a file's name; the stem in lower case."""
    stem = name.rpartition(".")[0].lower() or name.lower()
    found = _NUMBER.search(stem)
    return FileName(stem, int(found[1]) if found else None, _HOST_NAME.match(stem) is not None)


def next_number(number: int) -> int:
    """The counter that a body gives the next exposure: DCF's run from 0001 to 9999 and begin again."""
    return number + 1 if number != 9999 else 1


def kind_of(name: str, data: bytes) -> Kind:
    """What the bytes are.  The name decides only what looks like a photograph and is none."""
    if name.lower().endswith(_NO_PHOTOGRAPH):
        return "other"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(_RAW_STARTS) or data[4:11] == b"ftypcrx":
        return "raw"
    return "other"


def kind_by_name(name: str) -> Kind | None:
    """What the name of a file says that came in pieces; None when only its bytes could tell."""
    ending = name.lower()
    if ending.endswith(_NO_PHOTOGRAPH):
        return "other"
    if ending.endswith((".jpg", ".jpeg")):
        return "jpeg"
    return "raw" if ending.endswith(_RAW_ENDINGS) else None


def jpeg_fault(data: bytes) -> str:
    """Why these bytes are no whole JPEG, "" when its structure is: markers from SOI to EOI, at least one scan.

    What is inside a scan is not looked at.  Bytes after EOI are the maker's own affair (padding, previews).
    """
    if not data:
        return "it is empty"
    if not data.startswith(b"\xff\xd8"):
        return "it does not begin as a JPEG"
    at, scans, end = 2, 0, len(data)
    while True:
        while at < end and data[at] == 0xFF and at + 1 < end and data[at + 1] == 0xFF:
            at += 1  # fill bytes
        if at + 2 > end:
            return f"it ends after {end} bytes, before the end of the picture"
        if data[at] != 0xFF:
            return f"there is no marker at byte {at}"
        marker = data[at + 1]
        at += 2
        if marker == 0xD9:
            return "" if scans else "it has no picture in it"
        if marker in _STANDALONE:
            continue
        if at + 2 > end:
            return f"it ends after {end} bytes, before the end of the picture"
        size = int.from_bytes(data[at : at + 2], "big")
        if size < 2 or at + size > end:
            return f"it ends after {end} bytes, before the end of the picture"
        at += size
        if marker == 0xDA:
            scans += 1
            at = _after_scan(data, at)
            if at < 0:
                return f"it ends after {end} bytes, before the end of the picture"


def _after_scan(data: bytes, at: int) -> int:
    """Where the next marker that is not part of entropy-coded data stands; -1 without one."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return -1
        after = data[at + 1]
        if after == 0 or 0xD0 <= after <= 0xD7:
            at += 2
        elif after == 0xFF:
            at += 1
        else:
            return at


def capture_time(data: bytes) -> float | None:
    """When a photograph was taken by the body's own clock, read as if that were UTC, in seconds; None without it.

    DateTimeOriginal with SubSecTimeOriginal of the EXIF block of a JPEG or a TIFF-like raw file.  DateTime (0x0132) is
    no answer: it may be when the file was written.
    """
    try:
        tiff = _exif_block(data)
        return None if tiff is None else _read_time(tiff)
    except (struct.error, IndexError, ValueError, OverflowError):
        return None


def _exif_block(data: bytes) -> bytes | None:
    if data[:4] in (b"II*\0", b"MM\0*"):
        return data[: 1 << 20]
    at = 2
    while data.startswith(b"\xff\xd8") and at + 4 <= len(data) and data[at] == 0xFF:
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return data[at + 10 : at + 2 + size]
        if marker in (0xDA, 0xD9):
            return None
        at += 2 + size
    return None


def _read_time(tiff: bytes) -> float | None:
    text = _exif_text(tiff, 0x9003)
    if not text or not re.match(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d", text):
        return None
    whole = datetime.strptime(text[:19], "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    part = re.match(r"\d{1,9}", (_exif_text(tiff, 0x9291) or "").strip())
    return whole + (float(f"0.{part[0]}") if part else 0.0)


def _exif_text(tiff: bytes, tag: int) -> str | None:
    """A text field of the EXIF directory."""
    order = "<" if tiff[:2] == b"II" else ">"
    first = struct.unpack_from(f"{order}I", tiff, 4)[0]
    pointer = _field(tiff, order, first, 0x8769)
    if pointer is None:
        return None
    entry = _field(tiff, order, struct.unpack_from(f"{order}I", pointer[2])[0], tag)
    if entry is None:
        return None
    kind, count, value = entry
    if kind != 2 or count > 64:
        return None
    at = struct.unpack_from(f"{order}I", value)[0]
    text = value[:count] if count <= 4 else tiff[at : at + count]
    return text.split(b"\0")[0].decode("ascii", "replace")


def _field(tiff: bytes, order: str, directory: int, tag: int) -> tuple[int, int, bytes] | None:
    count = struct.unpack_from(f"{order}H", tiff, directory)[0]
    for index in range(min(count, 512)):
        at = directory + 2 + 12 * index
        found, kind, number = struct.unpack_from(f"{order}HHI", tiff, at)
        if found == tag:
            return kind, number, tiff[at + 8 : at + 12]
    return None
