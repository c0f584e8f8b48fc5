"""A raw file is told by its header, and one that ends early is not taken for whole, wherever it was cut."""

import struct
from pathlib import Path
from typing import Any

import pytest

from camera_nodes.gphoto.settings import is_raw
from camera_nodes.photo_collection.file_types import kind_by_name, kind_of
from controller.errors import FrameRejected
from controller.image_files.raw_file import FORMATS, read_raw

BODY = bytes(range(256)) * 40
UUID = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")


def make_directory(order: str, at: int, entries: list[tuple[int, int, int, bytes]]) -> bytes:
    """Entries (tag, type, count, data), then what does not fit into four bytes."""
    table, rest = struct.pack(order + "H", len(entries)), b""
    room = at + 2 + 12 * len(entries) + 4
    for tag, kind, count, data in sorted(entries):
        value = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(order + "I", room + len(rest))
        table += struct.pack(order + "HHI", tag, kind, count) + value
        rest += data if len(data) > 4 else b""
    return table + struct.pack(order + "I", 0) + rest


def body_entries(make: str) -> list[tuple[int, int, int, bytes]]:
    return [(271, 2, len(make) + 1, make.encode() + b"\0"), (272, 2, 8, b"Model X\0")]


def make_tiff(
    make: str,
    *,
    order: str = "<",
    magic: bytes = b"",
    mark: bytes = b"",
    dng: bool = False,
    tiles: bool = False,
    thumbnail: bool = False,
) -> bytes:
    """A TIFF of one directory with a sub-directory that holds the sensor's data, at the very end of the file."""

    def directory(at: int, entries: list[tuple[int, int, int, bytes]]) -> bytes:
        return make_directory(order, at, entries)

    def number(value: int) -> bytes:
        return struct.pack(order + "I", value)

    head = (magic or (b"II*\0" if order == "<" else b"MM\0*")) + number(16) + mark.ljust(8, b"\0")
    entries = body_entries(make)
    if dng:
        entries.append((50706, 1, 4, b"\1\6\0\0"))
    if thumbnail:
        entries.append((259, 3, 1, struct.pack(order + "H", 6)))
    main_size = len(directory(16, [*entries, (330, 4, 1, number(0))]))
    sub_at = 16 + main_size
    offsets, lengths = (324, 325) if tiles else (273, 279)
    halves = (len(BODY) // 2, len(BODY) - len(BODY) // 2)

    def sub(begin: int) -> bytes:
        places = number(begin) + number(begin + halves[0])
        return directory(sub_at, [(offsets, 4, 2, places), (lengths, 4, 2, number(halves[0]) + number(halves[1]))])

    data_at = sub_at + len(sub(0))
    return head + directory(16, [*entries, (330, 4, 1, number(sub_at))]) + sub(data_at) + BODY


def make_cr3() -> bytes:
    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(content), kind) + content

    moov = box(b"moov", box(b"uuid", UUID + box(b"CMT1", make_tiff("Canon"))))
    data = struct.pack(">I4sQ", 1, b"mdat", 16 + len(BODY)) + BODY
    return box(b"ftyp", b"crx \0\0\0\1crx isom") + moov + data


def make_raf() -> bytes:
    """Fujifilm's layout: the body's name, then where the JPEG, the data's header and the data are."""
    head = b"FUJIFILMCCD-RAW 0201FF383501" + b"Model X".ljust(32, b"\0") + b"0100".ljust(24, b"\0")
    jpeg, header = b"\xff\xd8\xff\xd9", bytes(8)
    at = 160
    places = (at, len(jpeg), at + len(jpeg), len(header), at + len(jpeg) + len(header), len(BODY))
    return (head + struct.pack(">6I", *places)).ljust(at, b"\0") + jpeg + header + BODY


def make_rw2() -> bytes:
    """Panasonic's: the strip's offset is no offset and its length 0; where the data begins has a tag of its own."""

    def directory(data_at: int) -> bytes:
        told = [(273, 4, 1, b"\xff" * 4), (279, 4, 1, bytes(4)), (280, 4, 1, struct.pack("<I", data_at))]
        return make_directory("<", 8, [*body_entries("Panasonic"), *told])

    head = b"IIU\0" + struct.pack("<I", 8)
    return head + directory(8 + len(directory(0))) + BODY


FILES = {
    "dng": make_tiff("Leica", dng=True, tiles=True),
    "dng-big-endian": make_tiff("Nobody", order=">", dng=True),
    "cr2": make_tiff("Canon", mark=b"CR\2\0"),
    "nef": make_tiff("NIKON CORPORATION", order=">"),
    "nrw": make_tiff("NIKON", thumbnail=True),
    "arw": make_tiff("SONY"),
    "orf": make_tiff("OLYMPUS CORPORATION", magic=b"IIRO"),
    "orf-older": make_tiff("OLYMPUS CORPORATION", magic=b"IIRS"),
    "orf-big-endian": make_tiff("OLYMPUS OPTICAL CO.,LTD", magic=b"MMOR", order=">"),
    "raf": make_raf(),
    "rw2": make_rw2(),
    "cr3": make_cr3(),
}


@pytest.mark.parametrize("kind", FILES)
def test_each_format_is_told_with_its_body(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "raw"
    path.write_bytes(FILES[kind])
    header = read_raw(path)
    assert header.format == kind.split("-")[0]
    assert header.model == "Model X"


@pytest.mark.parametrize("kind", FILES)
def test_cut_off_anywhere_it_is_rejected(tmp_path: Path, kind: str) -> None:
    whole = FILES[kind]
    path = tmp_path / "raw"
    data_at = len(whole) - len(BODY)
    for keep in (0, 3, 9, 15, 40, 100, data_at, len(whole) // 2, len(whole) - 1):
        if kind == "rw2" and keep > data_at:
            continue  # its header does not say how long the data is
        path.write_bytes(whole[:keep])
        with pytest.raises(FrameRejected):
            read_raw(path)


@pytest.mark.parametrize("content", [b"", b"hello " * 100, b"\xff\xd8\xff\xe0" + bytes(99), make_tiff("Epson scanner")])
def test_another_kind_of_file_is_rejected_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "raw").write_bytes(content)
    with pytest.raises(FrameRejected, match=r"not a raw file that is known|no raw file that is known"):
        read_raw(tmp_path / "raw")


def test_what_a_node_takes_for_a_raw_file_is_one_here() -> None:
    assert {kind_by_name(f"IMG_0001.{kind}") for kind in FORMATS} == {"raw"}
    assert {kind_of("IMG_0001", data) for data in FILES.values()} == {"raw"}
    assert all(is_raw(f"{kind.upper()}+Fine") for kind in FORMATS)
    assert {kind.split("-")[0] for kind in FILES} == set(FORMATS)


def test_directories_in_a_ring_end(tmp_path: Path) -> None:
    whole = bytearray(make_tiff("SONY"))
    count = struct.unpack_from("<H", whole, 16)[0]
    struct.pack_into("<I", whole, 18 + 12 * count, 16)  # the next directory is this one
    (tmp_path / "raw").write_bytes(whole)
    assert read_raw(tmp_path / "raw").format == "arw"


def test_no_bytes_at_all_upset_it(tmp_path: Path) -> None:
    import random

    draw = random.Random(3)
    path = tmp_path / "raw"
    for kind, whole in FILES.items():
        for _ in range(150):
            spoiled: Any = bytearray(whole)
            for _ in range(draw.randint(1, 8)):
                spoiled[draw.randrange(min(len(spoiled), 400))] = draw.randrange(256)
            path.write_bytes(spoiled)
            try:
                read_raw(path)
            except FrameRejected:
                continue
            except Exception as error:
                pytest.fail(f"{kind}: {error!r}")
