"""Colour profiles as they leave: the colour alone, in a profile made anew (ICC.1:2001-04, the form all programs read).

A profile holds more than colour: names and serial numbers of devices, dates, notes, thumbnails of its own.
Of a profile of primaries and curves every number that says how a value is seen is kept, and nothing else.
"""

import struct

MAX_BYTES = 4 << 20
MAX_TAGS = 100
_HEADER = 128
_TABLE = struct.Struct(">4sII")
# What a profile of primaries and curves is made of, and the form that each has: the lengths follow from it.
_XYZ = (b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt")
_CURVES = {b"RGB ": (b"rTRC", b"gTRC", b"bTRC"), b"GRAY": (b"kTRC",)}
_MATRIX = b"chad"
_PARAMETERS = (1, 3, 4, 5, 7)
_NAME = b"colour as taken"


def clean_profile(data: bytes) -> bytes | None:
    """The same colours, said in a profile that says nothing else; None for one that cannot be said so."""
    try:
        return _cleaned(data)
    except (struct.error, ValueError, KeyError):
        return None


def _cleaned(data: bytes) -> bytes:
    if len(data) > MAX_BYTES or data[36:40] != b"acsp":
        raise ValueError("no profile")
    space, connection = data[16:20], data[20:24]
    tags = _tags(data)
    if connection != b"XYZ " or any(name[:3] in (b"A2B", b"B2A", b"D2B", b"B2D") for name in tags):
        raise ValueError("a profile of tables")
    curves = _CURVES[space]
    kept = {b"desc": _description(), b"cprt": b"text\0\0\0\0none\0"}
    for name in (*(_XYZ if space == b"RGB " else (b"wtpt",)), *curves):
        kept[name] = _curve(tags[name]) if name in curves else _numbers(tags[name], b"XYZ ", 12)
    if _MATRIX in tags:
        kept[_MATRIX] = _numbers(tags[_MATRIX], b"sf32", 36)
    return _profile(space, kept)


def _tags(data: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", data, _HEADER)
    if count > MAX_TAGS:
        raise ValueError("too many tags")
    found = {}
    for index in range(count):
        name, start, length = _TABLE.unpack_from(data, _HEADER + 4 + index * _TABLE.size)
        if start + length > len(data):
            raise ValueError("a tag beyond the end")
        found[name] = data[start : start + length]
    return found


def _numbers(tag: bytes, kind: bytes, length: int) -> bytes:
    if tag[:4] != kind or len(tag) < 8 + length:
        raise ValueError("a tag of another kind")
    return kind + bytes(4) + tag[8 : 8 + length]


def _curve(tag: bytes) -> bytes:
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count > 65536:
            raise ValueError("a long curve")
        return _numbers(tag, b"curv", 4 + 2 * count)
    (form,) = struct.unpack_from(">H", tag, 8)
    if tag[:4] != b"para" or form >= len(_PARAMETERS):
        raise ValueError("a curve of another kind")
    return b"para" + bytes(4) + struct.pack(">HH", form, 0) + _numbers(tag, b"para", 4 + 4 * _PARAMETERS[form])[12:]


def _description() -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(_NAME) + 1) + _NAME + bytes(1 + 4 + 4 + 2 + 1 + 67)


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    at = _HEADER + 4 + _TABLE.size * len(tags)
    table, body = [], b""
    places: dict[bytes, int] = {}
    for name, tag in tags.items():
        if tag not in places:  # red, green and blue often share a curve
            places[tag] = at + len(body)
            body += tag + bytes(-len(tag) % 4)
        table.append(_TABLE.pack(name, places[tag], len(tag)))
    version = 0x04200000 if any(tag[:4] == b"para" for tag in tags.values()) else 0x02100000
    header = struct.pack(">I4sI4s4s4s", at + len(body), bytes(4), version, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)  # D50, the illuminant of all profiles
    return header.ljust(_HEADER, b"\0") + struct.pack(">I", len(tags)) + b"".join(table) + body
