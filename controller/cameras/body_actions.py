"""What a camera's body is asked for between takes, and what its node answers: signs to be found by, its lens moved."""

import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence

from camera_nodes import wire
from common.guarding.safe_text import plain
from controller.errors import RigNotReady, SessionError

ANSWER_S = 20.0  # longer than any body takes
SIGNS = 3

Tell = Callable[[Sequence[str], wire.Message], Mapping[str, str]]


class BodyActions:
    """Asks a camera's node and waits for its answer. Any thread may call anything; acted() returns at once."""

    def __init__(self, cameras: Collection[str], tell: Tell) -> None:
        self._cameras = set(cameras)
        self._tell = tell
        self._changed = threading.Condition()
        self._waited: dict[str, wire.BodyActed | None] = {}  # by request; None: no answer yet

    def identify(self, camera: str) -> str:
        """Have a camera give signs by which a person finds it; what is to be heard or seen.

        Raises SessionError for an unknown camera, RigNotReady saying why there is none.
        """
        return self._ask(camera, wire.Identify(request_id=uuid.uuid4().hex, signs=SIGNS))

    def focus(self, camera: str, drive: wire.Drive, step: int) -> str:
        """Move a camera's lens once; what was done. Raises as identify()."""
        return self._ask(camera, wire.Focus(request_id=uuid.uuid4().hex, drive=drive, step=step))

    def acted(self, message: wire.BodyActed) -> None:
        """What a node has told. Called in the control thread."""
        with self._changed:
            if message.request_id in self._waited:
                self._waited[message.request_id] = message
                self._changed.notify_all()

    def _ask(self, camera: str, message: wire.Identify | wire.Focus) -> str:
        if camera not in self._cameras:
            raise SessionError(f"{camera} is not in the rig file; mien rig status lists the cameras")
        request, end = message.request_id, time.monotonic() + ANSWER_S
        with self._changed:
            self._waited[request] = None
        try:
            if camera in (failed := self._tell([camera], message)):
                raise RigNotReady(f"{camera}: {failed[camera]}")
            with self._changed:
                while (answer := self._waited[request]) is None:
                    if (left := end - time.monotonic()) <= 0:
                        raise RigNotReady(
                            f"{camera}: its node has not answered within {ANSWER_S:.0f} s: look at its log; a node of"
                            " an earlier version does not know what was asked"
                        )
                    self._changed.wait(min(left, 1.0))
        finally:
            with self._changed:
                del self._waited[request]
        if answer.outcome != "done" or answer.camera != camera:
            raise RigNotReady(f"{camera}: {plain(answer.text) or answer.outcome}")
        return plain(answer.text)
