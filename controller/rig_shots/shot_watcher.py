"""A look at each rig shot: a thumbnail for whoever photographs, and where a board was seen. One photograph at a time.

Photographs are decoded in a process of its own (common.bounded.decoder_pool), reduced; so a board that is small in the
picture may be missed here that `mien calibrate` finds. While the shutters are used no photograph is begun. The thread
keeps its priority: the decoding processes that it starts serve photographs that come in, too.
"""

import io
import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.bounded.decoder_pool import decode
from controller.rig_shots.board_coverage import Sighting, sighting

if TYPE_CHECKING:
    from common.array_types import Image
    from common.charuco.charuco_board import Board

log = logging.getLogger(__name__)

LOOKED_PX = 1400  # the decoded picture has at least so many rows, where the photograph has
THUMBNAIL_PX = 320
THUMBNAILS = 400  # that are held; the oldest go
_PAUSE_S = 0.05


@dataclass(frozen=True)
class Look:
    """A photograph that is to be looked at."""

    pose: str
    camera: str
    path: Path
    sha256: str
    board: "Board | None"  # that is looked for


@dataclass(frozen=True)
class Seen:
    """What there is to say of a photograph."""

    look: Look
    sighting: Sighting | None  # None where no board was looked for, or nothing could be seen
    problem: str = ""  # why it could not be looked at


class ShotWatcher:
    """start() and stop() once. seen: called from its thread with each photograph that was looked at."""

    def __init__(self, busy: Callable[[], bool], seen: Callable[[Seen], None]) -> None:
        """busy: whether the shutters are used now."""
        self._busy = busy
        self._seen = seen
        self._looks: queue.SimpleQueue[Look | None] = queue.SimpleQueue()
        self._thumbnails: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mien-rig-shots", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._looks.put(None)
        if self._thread.is_alive():
            self._thread.join(30)

    def add(self, look: Look) -> None:
        self._looks.put(look)

    def thumbnail(self, sha256: str) -> bytes | None:
        """Of a photograph that was looked at lately, JPEG."""
        with self._lock:
            return self._thumbnails.get(sha256)

    def _run(self) -> None:
        while (look := self._looks.get()) is not None:
            while self._busy() and not self._stopping.wait(_PAUSE_S):
                pass
            if self._stopping.is_set():
                return
            try:
                seen = self._look(look)
            except Exception as error:  # whatever one photograph does, the others are looked at
                log.warning("%s of %s could not be looked at: %s", look.pose, look.camera, error)
                seen = Seen(look, None, f"it could not be looked at: {error}"[:300])
            self._seen(seen)

    def _look(self, look: Look) -> Seen:
        arrays, about = decode("photograph", look.path, colours="BGR", min_height=LOOKED_PX)
        if about["flaw"]:
            return Seen(look, None, f"the photograph is damaged: {about['flaw']}")
        image = arrays[0]
        with self._lock:
            self._thumbnails[look.sha256] = _thumbnail(image)
            while len(self._thumbnails) > THUMBNAILS:
                self._thumbnails.popitem(last=False)
        return Seen(look, None if look.board is None else _sighting(image, look.board))


def _sighting(image: "Image", board: "Board") -> Sighting:
    import cv2
    import numpy as np

    from common.charuco.corner_search import agreeing, search_corners

    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    corner, pixels = search_corners(grey, board)
    return sighting(pixels[agreeing(corner, pixels, board)], grey.shape[1], grey.shape[0])


def _thumbnail(image: "Image") -> bytes:
    from PIL import Image as Pictures

    picture = Pictures.fromarray(image[:, :, ::-1])
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=80)
    return stream.getvalue()
