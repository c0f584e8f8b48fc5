"""NumPy's .npz files from elsewhere: what each array says of itself is added up before one is unpacked."""

import io
import math
import mmap
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from common.bounded.files import open_regular_file
from common.bounded.limits import MAX_ARRAY_BYTES, MAX_ARRAYS, OutOfBounds

if TYPE_CHECKING:
    from numpy import dtype
    from numpy.typing import NDArray

HEADER_BYTES = 10_000
MAX_DIMENSIONS = 8
_KINDS = "biufUS"  # numbers and texts; never objects, which are programs
_CHUNK = 1 << 20
_DIGITS = re.compile(rb"\d{19,}")


def read_npz(
    path: Path, names: Collection[str] | None = None, *, most: int = MAX_ARRAY_BYTES
) -> "dict[str, NDArray[Any]]":
    """The arrays of an .npz by name. names: only these; those that are not there are left out.

    most: bytes of all together, unpacked. Raises OSError, and ValueError (OutOfBounds is one) for what is none.
    """
    with _opened(path, most) as (_, archive):
        return _arrays(archive, names, most)


def map_npz(
    path: Path, names: Collection[str], mapped: Collection[str], *, most: int = MAX_ARRAY_BYTES
) -> "tuple[dict[str, NDArray[Any]], Callable[[], None]]":
    """`read_npz`, where arrays called in `mapped`, if they are stored as they are, stay in the file: read-only, read
    when they are looked at. And what compares their checksums: it raises ValueError; until then they may be damaged.

    For files that are replaced and not written into, as ours are: one cut short meanwhile ends the process.
    """
    import numpy as np

    with _opened(path, most) as (file, archive):
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        later = [
            m
            for m in archive.infolist()
            if m.filename.removesuffix(".npy") in mapped and m.compress_type == zipfile.ZIP_STORED
        ]
        there = {m.filename.removesuffix(".npy") for m in later}
        found = _arrays(archive, [n for n in names if n not in there], most - sum(m.file_size for m in later))
        if len(there) != len(later):
            raise ValueError("it holds an array twice")
        spans = {}
        for member in later:
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as stream:  # looks at the member's own header
                shape, fortran, dtype, start = _header(stream, member.file_size, name[:40])
            first = _data_offset(memory, member)
            found[name] = np.frombuffer(memory, dtype, math.prod(shape), first + start).reshape(
                shape, order="F" if fortran else "C"
            )
            spans[name] = (first, member.file_size, member.CRC)

    def check() -> None:
        for name, (first, length, wanted) in spans.items():
            crc, view = 0, memoryview(memory)
            for at in range(first, first + length, _CHUNK):
                crc = zlib.crc32(view[at : min(at + _CHUNK, first + length)], crc)
            if crc != wanted:
                raise ValueError(f"it is no .npz file, or a damaged one (Bad CRC-32 for file '{name[:40]}.npy')")

    return found, check


@contextmanager
def _opened(path: Path, most: int) -> Iterator[tuple[IO[bytes], zipfile.ZipFile]]:
    """The file and the archive in it. Raises OSError, and ValueError also for what turns out damaged meanwhile."""
    with os.fdopen(open_regular_file(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most + (1 << 20):
            raise OutOfBounds(f"it has {size:,} bytes; at most {most:,} are read")
        try:
            with zipfile.ZipFile(file) as archive:
                yield file, archive
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
            raise ValueError(f"it is no .npz file, or a damaged one ({error})") from None


def _data_offset(memory: mmap.mmap, member: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member begin (PKWARE's APPNOTE, section 4.3.7)."""
    name, extra = struct.unpack_from("<HH", memory, member.header_offset + 26)
    first = member.header_offset + 30 + int(name) + int(extra)
    if member.compress_size != member.file_size or first + member.file_size > len(memory):
        raise ValueError(f"{member.filename[:40]} is cut short")
    return first


def _arrays(archive: zipfile.ZipFile, names: Collection[str] | None, most: int) -> "dict[str, NDArray[Any]]":
    members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
    if len(archive.infolist()) > MAX_ARRAYS:
        raise OutOfBounds(f"it holds {len(archive.infolist())} members; at most {MAX_ARRAYS} are read")
    wanted = [m for m in members if names is None or m.filename.removesuffix(".npy") in names]
    total = sum(member.file_size for member in wanted)
    if total > most:
        raise OutOfBounds(f"its arrays have {total:,} bytes unpacked; at most {most:,} are read")
    found: dict[str, NDArray[Any]] = {}
    for member in wanted:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{member.filename[:40]} is packed in a way that NumPy does not write")
        name = member.filename.removesuffix(".npy")
        if name in found:
            raise ValueError(f"it holds {name[:40]} twice")
        with archive.open(member) as stream:
            found[name] = _array(stream, member.file_size, name[:40])
    return found


def _header(stream: IO[bytes], size: int, name: str) -> "tuple[tuple[int, ...], bool, dtype[Any], int]":
    """Shape, whether columns come first, type, and where the numbers begin; it and the member's size must agree."""
    import numpy as np

    head = stream.read(12)
    if head[:6] != b"\x93NUMPY" or head[6:8] not in (b"\x01\0", b"\x02\0", b"\x03\0"):
        raise ValueError(f"{name} is no array")
    short = head[6] == 1
    length = int.from_bytes(head[8:10] if short else head[8:12], "little")
    start = (10 if short else 12) + length
    if length > HEADER_BYTES or start > size:
        raise ValueError(f"{name} has a header of {length} bytes")
    header = (head[10:] if short else b"") + stream.read(length - (2 if short else 0))
    if _DIGITS.search(header):
        raise ValueError(f"{name} has a shape that no array has")
    prefix = head[:10] if short else head[:12]
    whole = io.BytesIO(prefix + header)
    whole.seek(8)
    reader = np.lib.format.read_array_header_1_0 if short else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = reader(whole, max_header_size=HEADER_BYTES)
    except (SyntaxError, TypeError, RecursionError, MemoryError, OverflowError) as error:
        raise ValueError(f"{name} has a header that cannot be read ({type(error).__name__})") from None
    if dtype.kind not in _KINDS or dtype.fields is not None or dtype.subdtype is not None or not dtype.itemsize:
        raise ValueError(f"{name} holds {dtype}; wanted numbers or texts")
    if len(shape) > MAX_DIMENSIONS or any(n < 0 for n in shape):
        raise ValueError(f"{name} has a shape that no array has")
    expected = math.prod(shape) * dtype.itemsize
    if expected != size - start:
        raise ValueError(f"{name} has {size - start} bytes of data; its shape {shape} wants {expected}")
    return shape, fortran, dtype, start


def _array(stream: IO[bytes], size: int, name: str) -> "NDArray[Any]":
    """One array."""
    import numpy as np

    shape, fortran, dtype, _ = _header(stream, size, name)
    expected = math.prod(shape) * dtype.itemsize
    data = bytearray(expected)
    view, at = memoryview(data), 0
    while at < expected:
        count = stream.readinto(view[at : at + (1 << 20)])  # type: ignore[attr-defined]
        if not count:
            raise ValueError(f"{name} is cut short")
        at += count
    stream.read(1)  # to the end, where the checksum is compared
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
