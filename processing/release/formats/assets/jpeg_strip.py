"""JPEG without metadata: what its pixels are made of, a header that says only that it is one, and its colours.

Kept are the frame, its tables and codes (ITU-T T.81), byte for byte. Everything else stays here: EXIF, XMP, IPTC,
makers' notes, thumbnails (JFIF's and JFXX's too), comments, further pictures (MPF), markers that no decoder needs, and
whatever follows the end. In their place stand JFIF's shortest header or, where that would change what a decoder makes
of the components, Adobe's; and the colour profile, made anew (processing.release.formats.assets.icc_profile).
"""

import re
import struct
from dataclasses import dataclass, field

from common.bounded.limits import MAX_SEGMENTS
from processing.release.formats.assets.icc_profile import clean_profile
from processing.release.formats.errors import ReleaseError

_FILL = re.compile(rb"\xff+")
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SOI, _EOI, _SOS, _DHT, _DQT, _DRI, _DNL, _DAC = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB, 0xDD, 0xDC, 0xCC
_FRAMES = {*range(0xC0, 0xD0)} - {_DHT, 0xC8, _DAC}
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a segment
JFIF = b"\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
_ICC = b"ICC_PROFILE\0"


@dataclass
class _Parts:
    """What of a JPEG leaves, and what is known of it."""

    #: (marker, its bytes), in order.
    kept: list[tuple[int, bytes]] = field(default_factory=list)
    #: Numbers of the frame's.
    components: bytes = b""
    #: Whether it has a JFIF header.
    jfif: bool = False
    #: The colour transform that an Adobe segment says.
    adobe: int | None = None
    #: Number -> piece of the ICC profile.
    profile: dict[int, bytes] = field(default_factory=dict)


def strip_jpeg(data: bytes) -> bytes:
    """The same picture and nothing else. Pixels do not change. Raises ReleaseError for what is no whole JPEG."""
    if data[:2] != b"\xff\xd8":
        raise ReleaseError("is not a JPEG")
    try:
        parts = _parts(data)
    except IndexError:
        raise ReleaseError("is a damaged JPEG") from None
    return b"".join([b"\xff\xd8", *_header(parts), *(segment for _, segment in parts.kept), b"\xff\xd9"])


def _parts(data: bytes) -> _Parts:
    found, at, segments = _Parts(), 2, 0
    while True:
        if data[at] != 0xFF or (segments := segments + 1) > MAX_SEGMENTS:
            raise IndexError
        if data[at + 1] == 0xFF:
            filled = _FILL.match(data, at)
            at = filled.end() - 1 if filled else at
        marker = data[at + 1]
        if marker == _EOI:
            if not any(kind == _SOS for kind, _ in found.kept):
                raise IndexError
            return found
        if marker in _ALONE:
            at += 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        content = data[at + 4 : end]
        if marker in (_SOI, 0) or end > len(data) or end < at + 4 or not _exact(marker, content):
            raise IndexError
        if marker == _SOS:
            following = _NEXT_MARKER.search(data, end)
            if following is None:
                raise IndexError
            end = following.start()
        if marker in _FRAMES:
            if found.components:
                raise IndexError
            found.components = content[6::3]
        if marker in (_SOS, _DHT, _DQT, _DRI, _DNL, _DAC) or marker in _FRAMES:
            found.kept.append((marker, data[at:end]))
        elif not any(kind == _SOS for kind, _ in found.kept):
            _note(found, marker, content)
        at = end


def _note(found: _Parts, marker: int, content: bytes) -> None:
    """What a segment that stays here says of the colours."""
    if marker == 0xE0 and content[:5] == b"JFIF\0" and len(content) >= 14:
        found.jfif = True
    elif marker == 0xEE and content[:5] == b"Adobe" and len(content) >= 12:
        found.adobe = content[11]
    elif marker == 0xE2 and content.startswith(_ICC) and len(content) > 14:
        found.profile[content[12]] = content[14:]


def _exact(marker: int, content: bytes) -> bool:
    """Whether a segment that is kept holds what it must and not a byte more."""
    if marker in _FRAMES:
        return len(content) >= 6 and len(content) == 6 + 3 * content[5]
    if marker == _SOS:
        return len(content) >= 4 and len(content) == 4 + 2 * content[0]
    if marker in (_DRI, _DNL):
        return len(content) == 2
    if marker == _DAC:
        return len(content) % 2 == 0
    at = 0
    if marker == _DHT:
        while at + 17 <= len(content):
            at += 17 + sum(content[at + 1 : at + 17])
    elif marker == _DQT:
        while at < len(content):
            at += 129 if content[at] >> 4 else 65
    else:
        return True
    return at == len(content)


def _header(parts: _Parts) -> list[bytes]:
    """The shortest header with which a decoder understands the components as it did before."""
    header: list[bytes] = []
    count = len(parts.components)
    if count == 1 or (count == 3 and not _is_rgb(parts)):
        header.append(JFIF)
    elif count == 3 or (count == 4 and parts.adobe is not None):
        transform = 0 if count == 3 or parts.adobe == 0 else 2
        header.append(b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0" + bytes([transform]))
    joined = b"".join(parts.profile[number] for number in sorted(parts.profile))
    profile = clean_profile(joined) if joined and count in (1, 3) else None
    if profile is not None and len(profile) <= 65_000:
        header.append(b"\xff\xe2" + struct.pack(">H", len(profile) + 16) + _ICC + b"\x01\x01" + profile)
    return header


def _is_rgb(parts: _Parts) -> bool:
    """As libjpeg decides it: JFIF means YCbCr, then Adobe's word counts, then the components' names."""
    if parts.jfif:
        return False
    if parts.adobe is not None:
        return parts.adobe == 0
    return parts.components == b"RGB"
