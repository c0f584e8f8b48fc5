"""Files that a body has and that are not read yet: read whole, and again later where that fails."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from camera_nodes.camera import BodyFile, Camera
from camera_nodes.errors import CameraMissing, EquipmentError, FileGone, FileTruncated, NotIdle, PhotoDamaged
from camera_nodes.photo_collection.collection_state import CollectionState, fault_code
from camera_nodes.photo_collection.file_types import jpeg_fault

log = logging.getLogger(__name__)

_READS = 3
AGAIN_S = (2.0, 5.0, 15.0, 60.0)  # between attempts at a file that cannot be read


@dataclass
class UnreadFile:
    """A file that the body has and that is not read yet."""

    file: BodyFile  # which
    tries: int = 0  # readings that failed
    next_s: float = 0.0  # monotonic
    error: str = ""  # of the last one, in words
    code: str = "photo_missing"  # of wire.NodeFault, for what it comes to


class UnreadFiles:
    """See the module."""

    def __init__(self, collection: CollectionState) -> None:
        self._collection = collection
        self.files: list[UnreadFile] = []

    def add(self, file: BodyFile) -> None:
        """A file to be read, unless it waits already."""
        if not any(one.file.path == file.path and one.file.epoch == file.epoch for one in self.files):
            self.files.append(UnreadFile(replace(file, heard_s=time.time())))

    def read_again(self, file: BodyFile, error: str) -> None:
        """One that came in pieces, and has been told of."""
        self.files.append(UnreadFile(file, 1, time.monotonic() + AGAIN_S[0], error, "photo_damaged"))

    def holds(self, path: str) -> bool:
        """Whether a file of this path waits to be read."""
        return any(one.file.path == path for one in self.files)

    @property
    def fresh(self) -> bool:
        """Whether there is a file that nobody has tried to read."""
        return any(not one.tries for one in self.files)

    def stuck(self) -> UnreadFile | None:
        """A file that could not be read so far."""
        return next((one for one in self.files if one.tries), None)

    def read_due(self, look: Callable[[BodyFile, bytes, str], None]) -> bool:
        """Read the files that are to be read now and have them looked at: file, bytes, what is wrong with them.

        Returns whether one was.  Raises CameraMissing.
        """
        came = False
        for one in list(self.files):
            if one.next_s > time.monotonic():
                continue
            try:
                self._read(one, look)
                came = True
            except FileGone:
                if self._collection.journal.ours(one.file.path) is None:
                    log.warning("%s: %s was announced and is not there", self._collection.name, one.file.path)
            except (CameraMissing, NotIdle):
                raise
            except EquipmentError as error:
                self.postpone(one, error)
                continue
            self.files.remove(one)
        return came

    def _read(self, one: UnreadFile, look: Callable[[BodyFile, bytes, str], None]) -> None:
        problem = ""
        try:
            data = read_whole(self._collection.camera, one.file)
        except PhotoDamaged as damage:
            data, problem = damage.data, str(damage)
        look(one.file, data, problem)

    def postpone_new(self, file: BodyFile, error: EquipmentError) -> None:
        """A file that was read and could not be kept: once more, later."""
        self.files.append(one := UnreadFile(file))
        self.postpone(one, error)

    def postpone(self, one: UnreadFile, error: EquipmentError) -> None:
        """Try it again later, and tell so the first time."""
        one.next_s = time.monotonic() + AGAIN_S[min(one.tries, len(AGAIN_S) - 1)]
        one.tries += 1
        if isinstance(error, PhotoDamaged) and one.tries > len(AGAIN_S):
            one.next_s = float("inf")  # named, on the card, and no better for being read once more
        first, one.error = not one.error, str(error)
        one.code = fault_code(error)
        if first:
            self._collection.tell(one.code, f"{one.file.path} stays on its card and is read again later: {error}")


def read_whole(camera: Camera, file: BodyFile) -> bytes:
    """The file, whole.  Raises PhotoDamaged when it is not, however often it is read; FileGone; CameraFault."""
    problem, before = "", b""
    for _ in range(_READS):
        try:
            data = camera.read(file)
        except FileTruncated as cut:
            data, problem = cut.data, str(cut)
        else:
            problem = "" if data else "it is empty"
        is_jpeg = data.startswith(b"\xff\xd8") or file.name.lower().endswith((".jpg", ".jpeg"))
        if is_jpeg and (fault := jpeg_fault(data)):
            problem = fault
        elif problem and is_jpeg and data == before:
            return data  # whole, and the same bytes twice: the size that the body states is wrong
        if not problem:
            return data
        before = data
    raise PhotoDamaged(f"{problem}, {_READS} times", data)
