"""What the decoding processes do with a file: decoders that are not ours, after a look at what the file says of itself.

Each takes an open file's bytes (or its path) and options, and gives arrays and plain facts. Raises ValueError for what
cannot be decoded, OutOfBounds for what would take more than there is for it. Runs in a process of its own where it is
called by common.bounded.decoder_pool.
"""

import io
import math
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from common.bounded.exif_lens import lens_facts
from common.bounded.exif_orientation import INVERSE, turned
from common.bounded.jpeg_integrity import JpegVerdict, check_size, examine, read_pixels
from common.bounded.limits import MAX_MAP_PIXELS, MAX_PIXELS, OutOfBounds

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
_CHECKED = (b"\x89PNG", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # PNG, TIFF, BigTIFF
_COMPRESSION, _DEFLATED = 259, (8, 32946)  # tags and values of TIFF 6.0 and its supplements
_STRIPS = ((273, 279), (324, 325))  # offsets and lengths of strips, of tiles
_PIECE = 1 << 22  # bytes unpacked at a time
EXR_CHANNELS = 8
EXR_HEADER_BYTES = 1 << 20

Answer = tuple[list["NDArray[Any]"], dict[str, Any]]
Room = Callable[[int], memoryview | bytearray]


def proof(data: bytes, room: Room) -> Answer:
    """Whether a JPEG is whole: about has flaw and strict, as examine() says it."""
    del room
    check_size(data)
    verdict = examine(data)
    if not verdict.flaw and not verdict.strict:  # it stopped at an oddity of the header: the ordinary reading has to do
        with _open(data) as found:
            found.draft("L", (1, 1))
            found.load()
    return [], {"flaw": verdict.flaw, "strict": verdict.strict}


def photograph(data: bytes, room: Room, *, colours: str = "BGR", min_height: int = 0, min_width: int = 0) -> Answer:
    """A photograph strictly decoded, (H, W, 3) or, for GRAY, (H, W, 1), as stored: JPEG, PNG or TIFF.

    about has the flaw where it is no whole one, and the orientation (1 to 8) that EXIF gives it.
    """
    if data[:4] in _CHECKED:
        _check_whole(data)
        (pixels,), about = picture(data, room, colours="BGR" if colours != "GRAY" else "GRAY", most_pixels=MAX_PIXELS)
        orientation = _orientation(data)
        if not data.startswith(b"\x89"):  # libtiff's readers turn it themselves
            pixels = turned(pixels, INVERSE[orientation])
        return [pixels], about | {"orientation": orientation}
    width, height = check_size(data)
    depth = 1 if colours == "GRAY" else 3
    buffer = room(width * height * depth) if not (min_height or min_width) else None
    found = read_pixels(data, colours, min_height=min_height, min_width=min_width, buffer=buffer)
    if not isinstance(found, JpegVerdict):
        return [found], {"flaw": "", "orientation": _orientation(data)}
    if found.flaw:
        return [], {"flaw": found.flaw}
    arrays, about = picture(data, room, colours="BGR" if depth == 3 else "GRAY", most_pixels=MAX_PIXELS)
    return arrays, about | {"orientation": _orientation(data)}


def _check_whole(data: bytes) -> None:
    """Every block of a PNG or a TIFF: checksums where it has them, lengths and codes. Raises ValueError."""
    _look(data, MAX_PIXELS)
    try:
        with _open(data) as found:
            found.verify()  # a PNG's checksums
        with _open(data) as found:
            _check_strips(data, found)
            found.load()
    except (OSError, SyntaxError, zlib.error) as error:
        raise ValueError(str(error)[:200]) from None


def _check_strips(data: bytes, found: "Image.Image") -> None:
    """The checksums of a TIFF's deflated strips or tiles, which libtiff does not look at. Raises zlib.error."""
    tags: Mapping[int, Any] = getattr(found, "tag_v2", {})
    if tags.get(_COMPRESSION) not in _DEFLATED:
        return
    for offsets, counts in _STRIPS:
        for start, count in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=True):
            left = MAX_PIXELS * 8
            strip = zlib.decompressobj()
            rest = data[start : start + count]
            while rest and not strip.eof and left > 0:
                left -= len(strip.decompress(rest, _PIECE))
                rest = strip.unconsumed_tail
            if not strip.eof:
                raise zlib.error("a deflated strip has no end")


def _orientation(data: bytes) -> int:
    """EXIF's, 1 to 8; 1 where it says nothing that can be read."""
    from PIL import ExifTags

    try:
        with _open(data) as found:
            said = found.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a stranger's bytes in a stranger's parser: whatever it is, the photograph stands
        return 1
    return said if isinstance(said, int) and 1 <= said <= 8 else 1


def portrait(data: bytes, room: Room) -> Answer:
    """A photograph from anywhere, turned upright as EXIF says, (H, W, 3) BGR of 8 bits; about has what it says of the
    lens, the orientation, and the flaw where it is no whole photograph.
    """
    del room
    known = data[:2] == b"\xff\xd8" or data[:4] in _CHECKED
    arrays, about = photograph(data, bytearray) if known else picture(data, bytearray, most_pixels=MAX_PIXELS)
    lens: dict[str, float] = {}
    try:
        with _open(data) as found:
            from PIL import ExifTags

            lens = lens_facts(found.getexif().get_ifd(ExifTags.IFD.Exif))
    except Exception:  # a stranger's bytes in a stranger's parser: whatever it is, the photograph stands
        lens = {}
    return [turned(pixels, about.get("orientation", 1)) for pixels in arrays], about | {"lens": lens}


def picture(data: bytes, room: Room, *, colours: str = "BGR", most_pixels: int = MAX_MAP_PIXELS) -> Answer:
    """Any picture by OpenCV, as it is stored (no EXIF rotation): BGR, GRAY, or as many channels as it has (AS_IS)."""
    import cv2
    import numpy as np

    del room
    _look(data, most_pixels)
    flag = {"BGR": cv2.IMREAD_COLOR, "GRAY": cv2.IMREAD_GRAYSCALE, "AS_IS": cv2.IMREAD_UNCHANGED}[colours]
    orient = 0 if colours == "AS_IS" else cv2.IMREAD_IGNORE_ORIENTATION
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), flag | orient)
    except cv2.error as error:
        raise ValueError(f"it cannot be decoded: {error}") from None
    if found is None:
        raise ValueError("it cannot be decoded as a picture")
    return [found], {"flaw": ""}


def pillow(data: bytes, room: Room, *, mode: str = "", draft_px: int = 0, most_pixels: int = MAX_MAP_PIXELS) -> Answer:
    """A picture by Pillow; about has its mode and texts. mode: turned into; draft_px: at least so large."""
    import numpy as np
    from PIL import Image

    del room
    _look(data, most_pixels)
    with _open(data) as found:
        if draft_px:
            found.draft(mode or None, (draft_px, draft_px))
        found.load()
        texts = {str(key): str(value) for key, value in getattr(found, "text", {}).items()}
        about = {"mode": found.mode, "text": texts}
        converted: Image.Image = found.convert(mode) if mode else found
        return [np.array(converted)], about


def _open(data: bytes) -> "Image.Image":
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # one meaning: Pillow's own would refuse half as much, or warn of it
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OutOfBounds(f"it has too many megapixels: {error}") from None
    except UnidentifiedImageError:
        raise ValueError("it is no picture of a kind that is read (JPEG, PNG, TIFF, BMP, WebP)") from None


def _look(data: bytes, most: int) -> None:
    """Size and kind by the header alone."""
    if data[:2] == b"\xff\xd8":
        width, height = check_size(data)
    else:
        with _open(data) as found:
            width, height = found.size
    if width * height > most:
        mega = width * height / 1e6
        raise OutOfBounds(f"{width} x {height} pixels are {mega:,.0f} megapixels; at most {most // 1_000_000} are read")


def exr(data: bytes, room: Room, *, path: str) -> Answer:
    """An OpenEXR file of one part: its channels as arrays, in about their names and the header's plain values."""
    import numpy as np
    import OpenEXR

    del room
    check_exr(data)
    with OpenEXR.File(path, separate_channels=True) as file:
        header = {key: value for key, value in file.header().items() if isinstance(value, str | int | float)}
        names, arrays = [], []
        for name, channel in file.channels().items():
            names.append(str(name))
            arrays.append(np.ascontiguousarray(channel.pixels))
    return arrays, {"channels": names, "header": header}


def check_exr(data: bytes) -> None:
    """Sizes and channels by the header alone (OpenEXR File Layout, 2.0). Raises ValueError."""
    if data[:4] != b"\x76\x2f\x31\x01" or len(data) < 8:
        raise ValueError("it is no OpenEXR file")
    version = struct.unpack_from("<I", data, 4)[0]
    if version & 0xFF != 2 or version & 0x1800:
        raise ValueError("it is an OpenEXR file of several parts or of deep pixels, which no map is")
    at, pixels, channels = 8, 0, 0
    while data[at : at + 1] != b"\0":
        try:
            name_end = data.index(b"\0", at, at + 256)
            kind_end = data.index(b"\0", name_end + 1, name_end + 257)
            (length,) = struct.unpack_from("<i", data, kind_end + 1)
        except (ValueError, struct.error):
            raise ValueError("its header is cut short") from None
        start, name = kind_end + 5, data[at:name_end]
        if not 0 <= length <= EXR_HEADER_BYTES or start + length > len(data) or at > EXR_HEADER_BYTES:
            raise ValueError("its header is damaged or too long")
        value, at = data[start : start + length], start + length
        if name == b"dataWindow" and length == 16:
            left, top, right, bottom = struct.unpack("<4i", value)
            pixels = max(0, right - left + 1) * max(0, bottom - top + 1)
        elif name == b"channels":
            channels = _exr_channels(value)
    if not 0 < pixels <= MAX_MAP_PIXELS or not 0 < channels <= EXR_CHANNELS:
        mega = pixels / 1e6
        raise OutOfBounds(
            f"it has {channels} channels of {mega:,.0f} megapixels; "
            f"at most {EXR_CHANNELS} of {MAX_MAP_PIXELS // 1_000_000} are read"
        )
    if pixels * channels > 2 * MAX_MAP_PIXELS:
        raise OutOfBounds(f"it has {pixels * channels / 1e6:,.0f} million values")


def _exr_channels(value: bytes) -> int:
    at = count = 0
    while at < len(value) and value[at] != 0 and count <= EXR_CHANNELS:
        end = value.find(b"\0", at)
        at, count = (end + 17 if end >= 0 else len(value)), count + 1
    return count


TASKS: Mapping[str, Callable[..., Answer]] = {
    "proof": proof,
    "photograph": photograph,
    "portrait": portrait,
    "picture": picture,
    "pillow": pillow,
    "exr": exr,
}


def size_of(arrays: "list[NDArray[Any]]") -> int:
    return sum(math.prod(array.shape) * array.itemsize for array in arrays)
