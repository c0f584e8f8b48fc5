"""Live view of the cameras: asked for as long as somebody looks, frames put together, focus measured when looked at.

Frames stay in memory, the newest of each camera, and are forgotten when nobody has looked for a while.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from camera_nodes import wire
from common.guarding.safe_text import plain
from controller.cameras.focus_measure import focus_measure
from controller.errors import FrameRejected, SessionError

FORGET_S = 30.0  # a frame older than this is not shown
FRESH_S = 60.0  # after so long without a look a camera's best focus is found anew

Tell = Callable[[Sequence[str], wire.Message], Mapping[str, str]]


@dataclass(frozen=True)
class LiveViewFrame:
    """One camera in live view; None is not known."""

    camera: str  # its name
    frame: int | None = None  # its number, counted by the node
    age_ms: float | None = None  # since the frame came in whole
    width: int | None = None  # pixels
    height: int | None = None  # pixels
    focus: float | None = None  # its focus measure, without unit
    best: float | None = None  # the largest since the look began
    relative: float | None = None  # focus over best, 1.0 at the best so far
    problem: str = ""  # why there is no frame; "" for none


@dataclass
class _LiveViewStream:
    """What is known of one camera's live view."""

    number: int = -1  # of the frame that is coming in
    coming: bytearray | None = None  # its bytes so far; None when it was given up
    size: int = 0  # bytes that it will have
    frame: int | None = None  # the newest whole one
    jpeg: bytes = b""  # of the newest whole one
    at: float = 0.0  # monotonic s, when that came
    measured: int | None = None  # the frame that `focus` is of
    focus: tuple[float, int, int] | None = None  # measure, width, height
    best: float = 0.0  # the largest measure since the look began
    asked_at: float = 0.0  # monotonic s, when somebody asked last
    problem: str = ""  # why there is no frame


class LiveViewer:
    """Asks nodes for live view and keeps their newest frames. Any thread may call anything.

    busy: why no live view may be asked for now ("a take is being fired"), or "".
    """

    def __init__(
        self,
        cameras: Sequence[str],
        tell: Tell,
        busy: Callable[[], str],
        changed: Callable[[str], None] = lambda _: None,
    ) -> None:
        """changed: told the camera of which there is another frame, or none any more; it returns at once."""
        self._changed = changed
        self._streams = {camera: _LiveViewStream() for camera in cameras}
        self._tell = tell
        self._busy = busy
        self._lock = threading.Lock()

    def ask(self, cameras: Sequence[str] = (), every_ms: int = 500) -> list[LiveViewFrame]:
        """Have live view go on (or begin) for some seconds, and what is to be seen now; all cameras by default.

        Raises SessionError for an unknown camera.
        """
        wanted = self._known(cameras)
        now = time.monotonic()
        with self._lock:
            for stream in (self._streams[camera] for camera in wanted):
                if now - stream.asked_at > FRESH_S:
                    stream.best = 0.0
                stream.asked_at = now
        busy = self._busy()
        failed = {} if busy else self._tell(wanted, wire.View(on=True, every_ms=every_ms))
        return [self._seen(camera, busy or failed.get(camera, "")) for camera in wanted]

    def end(self, cameras: Sequence[str] = ()) -> None:
        """End live view at once."""
        wanted = self._known(cameras)
        with self._lock:
            for camera in wanted:  # why there is none stays: a node tells it when it changes
                self._streams[camera] = _LiveViewStream(problem=self._streams[camera].problem)
        if not self._busy():  # a fire has ended it
            self._tell(wanted, wire.View(on=False))

    def look(self, cameras: Sequence[str] = ()) -> list[LiveViewFrame]:
        """What is to be seen, without asking the nodes for more."""
        return [self._seen(camera, "") for camera in self._known(cameras)]

    def shown(self) -> list[LiveViewFrame]:
        """The cameras that somebody looks at: asked for lately, or with a frame that is not old."""
        now = time.monotonic()
        with self._lock:
            wanted = [
                camera
                for camera, stream in self._streams.items()
                if now - stream.asked_at <= wire.VIEW_LASTS_S
                or (stream.frame is not None and now - stream.at <= FORGET_S)
            ]
        return [self._seen(camera, "") for camera in wanted]

    def jpeg(self, camera: str) -> bytes | None:
        """The camera's newest frame, if it is not old. Raises SessionError for an unknown camera."""
        (camera,) = self._known([camera])
        with self._lock:
            stream = self._streams[camera]
            self._forget(stream)
            return stream.jpeg or None

    def _known(self, cameras: Sequence[str]) -> list[str]:
        for camera in cameras:
            if camera not in self._streams:
                raise SessionError(f"{camera} is not in the rig file; mien rig status lists the cameras")
        return list(dict.fromkeys(cameras)) or list(self._streams)

    # --- told by the sockets: return at once

    def piece(self, message: wire.Preview) -> None:
        """A piece of a frame, from the camera's own node."""
        stream = self._streams.get(message.camera)
        if stream is None:
            return
        with self._lock:
            if message.offset == 0:
                stream.number, stream.size, stream.coming = message.number, message.size, bytearray()
            if stream.coming is None or (message.number, message.size) != (stream.number, stream.size):
                return  # the rest of a frame that was given up
            if message.offset != len(stream.coming) or message.offset + len(message.data) > stream.size:
                stream.coming = None
                return
            stream.coming += message.data
            if len(stream.coming) == stream.size:
                stream.frame, stream.jpeg, stream.at, stream.coming = (
                    stream.number,
                    bytes(stream.coming),
                    time.monotonic(),
                    None,
                )
                stream.problem = ""
                self._changed(message.camera)

    def state(self, message: wire.ViewState) -> None:
        """A node's live view began, or ended and why."""
        stream = self._streams.get(message.camera)
        if stream is not None:
            with self._lock:
                stream.problem = "" if message.on else plain(message.text)
                self._changed(message.camera)

    # ---

    def _seen(self, camera: str, problem: str) -> LiveViewFrame:
        stream = self._streams[camera]
        with self._lock:
            self._forget(stream)
            problem = problem or stream.problem
            jpeg, number, at = stream.jpeg, stream.frame, stream.at
            known = stream.focus if stream.measured == number else None
        if number is None:
            return LiveViewFrame(camera, problem=problem or "no frame yet")
        try:
            focus = known or focus_measure(jpeg)
        except FrameRejected as error:
            return LiveViewFrame(camera, number, problem=str(error))
        with self._lock:
            if stream.frame == number:
                stream.measured, stream.focus = number, focus
            stream.best = best = max(stream.best, focus[0])
        age_ms = (time.monotonic() - at) * 1e3
        value, width, height = focus
        return LiveViewFrame(
            camera, number, age_ms, width, height, value, best, value / best if best else None, problem
        )

    def _forget(self, stream: _LiveViewStream) -> None:
        if stream.frame is not None and time.monotonic() - stream.at > FORGET_S:
            stream.frame, stream.jpeg, stream.measured, stream.focus = None, b"", None, None
