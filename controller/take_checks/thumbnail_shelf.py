"""Thumbnails of photographs by the photograph's hash: in memory alone, the latest ones.

They show participants, so they lie on no disk: nothing of them outlives the studio's process, or has to be found when
somebody withdraws. One that is not here is made again from the photograph.
"""

import io
import threading
from collections import OrderedDict

from PIL import Image, ImageOps

THUMBNAIL_PX = 320
MOST_BYTES = 64_000_000  # about 3000 thumbnails: two sessions of 68 cameras


class ThumbnailShelf:
    """Thread-safe."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._lock = threading.Lock()
        self._shelf: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def put(self, sha256: str, thumbnail: bytes) -> None:
        """Keep a thumbnail of the photograph of this hash; the ones that were not asked for longest make room."""
        with self._lock:
            self._bytes += len(thumbnail) - len(self._shelf.pop(sha256, b""))
            self._shelf[sha256] = thumbnail
            while self._bytes > self._most:
                self._bytes -= len(self._shelf.popitem(last=False)[1])

    def get(self, sha256: str) -> bytes | None:
        """The thumbnail, if it is here."""
        with self._lock:
            found = self._shelf.get(sha256)
            if found is not None:
                self._shelf.move_to_end(sha256)
            return found

    def discard(self, sha256: str) -> None:
        """It may not be shown any more."""
        with self._lock:
            self._bytes -= len(self._shelf.pop(sha256, b""))


def make_thumbnail(photograph: bytes) -> bytes:
    """A small JPEG, upright as EXIF says that the camera was held. Raises OSError for what is no JPEG."""
    with Image.open(io.BytesIO(photograph), formats=["JPEG"]) as image:
        orientation = image.getexif().get(0x0112, 1)
        image.draft("RGB", (THUMBNAIL_PX, THUMBNAIL_PX))  # decoded at an eighth, where that is large enough
        return shrunk(image.convert("RGB"), orientation)


def shrunk(picture: Image.Image, orientation: int = 1) -> bytes:
    """The picture as a thumbnail. orientation: EXIF's; 1 is upright."""
    small = picture.copy()
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    small.getexif()[0x0112] = orientation
    small = ImageOps.exif_transpose(small)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=85)
    return stream.getvalue()
