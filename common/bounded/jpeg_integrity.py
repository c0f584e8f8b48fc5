"""Whether a JPEG is whole: every coded value is read by a decoder that stops at the first thing that is not right.

An ordinary decoder forgives: it fills what is missing with grey and goes on, so a photograph whose lower half is lost
"decodes". Here libjpeg-turbo's warnings are the verdict (simplejpeg's strict mode), at an eighth of the size, where
reading the codes is all the work that is left. Two kinds of loss leave valid codes and are looked for by themselves: a
block of a disk or a card that reads as zeros, and passes of a progressive picture that are missing at its end.

What no decoder can tell from the codes alone: bytes that were exchanged for others which happen to be codes for as many
blocks (most single flipped bits). Hashes protect what was read once; this protects against a bad read.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.bounded.limits import MAX_COEFFICIENT_BYTES, MAX_PIXELS, MAX_SCANS, MAX_SEGMENTS, OutOfBounds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ZEROS = 64  # bytes of nothing but zero bits, within which a block of a photograph would have to end
PADDING = 64  # equal bytes that a body may leave between its last code and the end marker
_SOI, _EOI, _SOS, _DHT = 0xD8, 0xD9, 0xDA, 0xC4
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)  # a coefficient's bits come in several passes
_SEQUENTIAL = (0xC0, 0xC1)  # Huffman coded, all bits of a coefficient at once: what cameras write
_OF_PROGRAMS = range(0xE0, 0xF0)
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # neither a stuffed byte, a restart marker nor a fill byte
_FILL = re.compile(rb"\xff*")
_EXTRA = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_QUIRKS = (  # of the header: said before any code is read, and no sign of damage
    "Warning: unknown JFIF revision",
    "Unknown Adobe color transform",
    "Inconsistent progression sequence",
    "Invalid SOS parameters",
)


@dataclass(frozen=True)
class JpegVerdict:
    """flaw: why the file is no whole JPEG; empty when nothing is wrong with it.

    strict: False when the decoder stopped at an oddity that nothing can be done about, so that the codes were not read.
    """

    flaw: str = ""
    strict: bool = True


@dataclass(frozen=True)
class _Layout:
    """components: of the frame. sequential: see _SEQUENTIAL. scans: where the codes of each begin and end, and whether
    they may be zeros without end. end: where the end marker is. width, height in pixels. coefficient_bytes: what a
    decoder holds of a picture whose codes come in several passes; 0 where they come in one. whole: whether the passes
    bring every bit of every coefficient."""

    components: int
    sequential: bool
    scans: tuple[tuple[int, int, bool], ...]
    end: int
    width: int
    height: int
    coefficient_bytes: int
    whole: bool


def is_progressive(data: bytes) -> bool:
    """Whether reading the codes takes the memory of the whole picture. False for rubbish, too."""
    try:
        return _lay_out(data).coefficient_bytes > 0
    except ValueError:
        return False


def check_size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels of what looks like a JPEG. Raises ValueError for what does not, OutOfBounds for one
    that takes more memory or passes than there are for it.
    """
    layout = _lay_out(data)
    _check_bounds(layout)
    return layout.width, layout.height


def _check_bounds(layout: _Layout) -> None:
    mega = layout.width * layout.height / 1e6
    if mega * 1e6 > MAX_PIXELS:
        what = f"{layout.width} x {layout.height} pixels are {mega:,.0f} megapixels"
        raise OutOfBounds(f"{what}; at most {MAX_PIXELS // 1_000_000} are read")
    if layout.coefficient_bytes > MAX_COEFFICIENT_BYTES:
        takes = f"{layout.coefficient_bytes / 1e6:,.0f} MB; at most {MAX_COEFFICIENT_BYTES / 1e6:,.0f} are given"
        raise OutOfBounds(
            f"it is progressive, and {mega:,.0f} megapixels so written take {takes}: write it as baseline"
        )
    if len(layout.scans) > MAX_SCANS:
        raise OutOfBounds(f"its picture comes in {len(layout.scans)} passes; at most {MAX_SCANS} are read")


def check_layout(data: bytes) -> None:
    """What of examine() needs no decoder: segments, end marker, zeros. Raises ValueError with the flaw."""
    layout = _lay_out(data)
    _check_bounds(layout)
    if not layout.whole:
        raise ValueError("it is cut short: passes that complete the picture are missing")
    for start, end, may_be_zeros in layout.scans:
        at = -1 if may_be_zeros else data.find(bytes(ZEROS), start, end)
        if at >= 0:
            raise ValueError(f"nothing but zeros from byte {at} on, for {ZEROS} bytes or more")


def examine(data: bytes) -> JpegVerdict:
    """Read all of a JPEG's codes. Needs simplejpeg (ImportError without it). Raises nothing else, whatever `data` is.

    What follows the end marker (padding, a maker's trailer, another picture) is not looked at.
    """
    try:
        check_layout(data)
        verdict = _decoded(data)
        return verdict if verdict.strict else _decoded(_without_oddities(data))
    except ValueError as error:
        return JpegVerdict(str(error)[:300] or "the decoder gives no reason")


def _decoded(data: bytes) -> JpegVerdict:
    """What the decoder says that stops at its first warning."""
    import simplejpeg

    layout = _lay_out(data)
    try:
        kind = "CMYK" if layout.components == 4 else "GRAY"
        simplejpeg.decode_jpeg(data, kind, fastdct=True, fastupsample=True, min_height=1, min_width=1, strict=True)
    except ValueError as error:
        text = str(error)
        if text.startswith(_QUIRKS):
            return JpegVerdict(strict=False)
        if (extra := _EXTRA.search(text)) and _is_padding(data, layout.end, int(extra[1])):
            return JpegVerdict()
        return JpegVerdict(text[:300] or "the decoder gives no reason")
    return JpegVerdict()


def _without_oddities(data: bytes) -> bytes:
    """The same codes under a header that says nothing of programs, and of a pass what a sequential one must say.

    A decoder that stops at its first warning would stop there, and hear nothing of damage behind it.
    """
    parts, at, sequential = [data[:2]], 2, False
    while True:
        marker, inside, end = _segment(data, at)
        if marker == _EOI:
            return b"".join([*parts, b"\xff\xd9"])
        sequential |= marker in _SEQUENTIAL
        following = end
        if marker == _SOS and (found := _MARKER.search(data, end)):
            following = found.start()
        if marker == _SOS and sequential:
            parts += [data[inside - 2 : end - 3], b"\x00\x3f\x00", data[end:following]]
        elif marker not in _OF_PROGRAMS:
            parts.append(data[inside - 2 : following])
        at = following


def read_pixels(
    data: bytes,
    colours: str,
    *,
    min_height: int = 0,
    min_width: int = 0,
    buffer: memoryview | bytearray | None = None,
) -> "NDArray[np.uint8] | JpegVerdict":
    """The picture as an array (H, W, 3) uint8, strictly decoded: every code is read as by examine().

    At the smallest of the decoder's sizes that has min_height and min_width, by default whole. A Verdict in its place
    when it is no whole JPEG, or, without a flaw, when it takes an ordinary decoder (CMYK, oddities). buffer: to decode
    into.
    """
    import simplejpeg

    try:
        check_layout(data)
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data, colours, min_height=min_height, min_width=min_width, buffer=buffer, strict=True
        )
        return pixels
    except ValueError:
        return examine(data)


def _is_padding(data: bytes, end: int, count: int) -> bool:
    return count <= PADDING and len(set(data[end - count : end])) == 1


def _lay_out(data: bytes) -> _Layout:
    """Raises ValueError when it is no JPEG or has no end."""
    if data[:2] != b"\xff\xd8":
        raise ValueError("not a JPEG photograph")
    at, frame, start, segments = 2, 0, 0, 0
    first_scan = 0
    may_be_zeros: dict[int, bool] = {}  # by AC table: whether zeros are the code of a block's end
    scans: list[tuple[int, int, bool]] = []
    lacking = _Lacking()
    while True:
        marker, at, end = _segment(data, at)
        segments += 1
        if segments > MAX_SEGMENTS:
            raise OutOfBounds(f"it has more than {MAX_SEGMENTS:,} segments")
        if marker == _EOI:
            if not scans or not start:
                raise ValueError("it ends before its first code")
            sequential = frame in _SEQUENTIAL
            width, height, coefficients = _frame(data, start)
            at_once = sequential and len(scans) == 1 and first_scan == data[start + 7]
            whole = not lacking.of(data[start + 8 : start + 8 + 3 * data[start + 7] : 3])
            held = 0 if at_once else coefficients
            return _Layout(data[start + 7], sequential, tuple(scans), at - 2, width, height, held, whole)
        if marker in _FRAMES and not frame:
            frame, start = marker, at
        elif marker == _DHT:
            may_be_zeros |= _tables(data[at + 2 : end])
        elif marker == _SOS:
            tables = [data[at + 4 + 2 * index] & 15 for index in range(data[at + 2])]
            following = _MARKER.search(data, end)
            if following is None:
                raise ValueError("it is cut short: there is no end marker")
            flat = all(may_be_zeros.get(table, False) for table in tables)
            if frame not in _SEQUENTIAL:  # DC alone, and bits of values known already, may well be zeros for long
                flat |= data[end - 3] == 0 or data[end - 1] >> 4 > 0
            scans.append((end, following.start(), flat))
            lacking.read(data[at + 2 : end], progressive=frame in _PROGRESSIVE)
            first_scan = first_scan or data[at + 2]
            end = following.start()
        at = end


class _Lacking:
    """Which bits of which coefficients no pass has brought yet (ITU-T T.81, annex G)."""

    def __init__(self) -> None:
        self._bits: dict[int, list[int]] = {}  # by component: bits that each of 64 coefficients lacks

    def read(self, header: bytes, *, progressive: bool) -> None:
        """header: of a pass, from its number of components on."""
        first, last, lacks = (header[-3], header[-2], header[-1] & 15) if progressive else (0, 63, 0)
        for component in header[1 : 1 + 2 * header[0] : 2]:
            bits = self._bits.setdefault(component, [255] * 64)
            bits[first : last + 1] = [lacks] * len(bits[first : last + 1])

    def of(self, components: bytes) -> bool:
        """Whether the picture of these components lacks anything."""
        return any(max(self._bits.get(component, [255])) > 0 for component in components)


def _frame(data: bytes, at: int) -> tuple[int, int, int]:
    """Width and height of the frame at `at`, and the bytes of all its coefficients."""
    height, width, count = (int.from_bytes(data[at + k : at + k + n], "big") for k, n in ((3, 2), (5, 2), (7, 1)))
    sampling = [max(1, byte >> 4) * max(1, byte & 15) for byte in data[at + 9 : at + 9 + 3 * count : 3]]
    across = max((max(1, byte >> 4) for byte in data[at + 9 : at + 9 + 3 * count : 3]), default=1)
    down = max((max(1, byte & 15) for byte in data[at + 9 : at + 9 + 3 * count : 3]), default=1)
    blocks = -(-width // (8 * across)) * -(-height // (8 * down)) * sum(sampling)
    return width, height, 128 * blocks


def _segment(data: bytes, at: int) -> tuple[int, int, int]:
    """The marker at `at`, where its segment's content begins (with its length) and where it ends."""
    if data[at : at + 1] != b"\xff":
        raise ValueError(f"no marker at byte {at}, where one must be" if at < len(data) else "it is cut short")
    filled = _FILL.match(data, at)
    at = filled.end() if filled else at
    if at + 1 > len(data):
        raise ValueError("it is cut short")
    if data[at] == _EOI:
        return _EOI, at + 1, at + 1
    end = at + 1 + int.from_bytes(data[at + 1 : at + 3], "big")
    if end > len(data) or end < at + 3 or (data[at] in (_SOS, *_FRAMES) and end < at + 9):
        raise ValueError("it is cut short or its header is damaged")
    return data[at], at + 1, end


def _tables(content: bytes) -> dict[int, bool]:
    """AC tables of a DHT segment: whether the shortest code, all zeros, is the end of a block (ITU-T T.81, annex C)."""
    found: dict[int, bool] = {}
    at = 0
    while at + 17 < len(content):
        if content[at] >> 4 == 1:
            found[content[at] & 15] = content[at + 17] == 0
        at += 17 + sum(content[at + 1 : at + 17])
    return found
