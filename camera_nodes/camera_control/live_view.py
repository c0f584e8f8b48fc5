"""Live view for the studio: a frame from the body every so often, in pieces over the bulk socket.

It ends by itself when nobody has asked for VIEW_LASTS_S, and at once when a fire comes near: an Arm or UploadHold.  A
frame under way is then waited for, dropped, and live view switched off before the arming begins.
"""

import logging
import time
from collections import deque
from collections.abc import Callable

from camera_nodes import wire
from camera_nodes.camera import Camera, CameraState
from camera_nodes.camera_control.agent_services import AgentServices
from camera_nodes.camera_control.exposure_control import ExposureController
from camera_nodes.camera_control.worker_thread import JobOutcome
from camera_nodes.errors import CameraFault, CameraMissing, EquipmentError, NotPossible

log = logging.getLogger(__name__)

_BAD_FRAMES = 5  # in a row, then live view is given up
_FULL_S = 0.02  # a full socket is tried again after so long
_AGAIN_S = 5.0  # a refusal is told again this often: the studio may be another one


class LiveView:
    """One camera's live view.  The agent's loop calls everything here; frames are read in the worker thread.

    send_bulk: sends on the bulk socket now, or not at all.
    """

    def __init__(
        self,
        agent: AgentServices,
        exposures: ExposureController,
        camera: Camera,
        name: str,
        send_bulk: Callable[[wire.Message], bool],
    ) -> None:
        self._agent = agent
        self._exposures = exposures
        self._camera = camera
        self._name = name
        self._send_bulk = send_bulk
        self._on = False
        self._every_s = 0.5
        self._ends = self._due = 0.0
        self._reading = False  # a frame is under way from the body
        self._pieces: deque[wire.Preview] = deque()  # of the frame that is being sent
        self._number = 0
        self._bad = 0
        self._told: tuple[bool, str] = (False, "")
        self._told_at = 0.0

    def ask(self, message: wire.View) -> None:
        """Begin, go on, or end."""
        if self._exposures.in_window:
            return
        if not message.on:
            self.end()
            return
        reason = self._exposures.camera_fault if self._exposures.state == "no_camera" else self._exposures.near_fire
        if reason:
            self.end(reason)
            self._tell(reason)
            return
        now = time.monotonic()
        self._every_s, self._ends = message.every_ms / 1e3, now + wire.VIEW_LASTS_S
        if not self._on:
            self._on, self._due, self._bad = True, now, 0
            self._tell("")
        self._due = min(self._due, now + self._every_s)

    def end(self, why: str = "") -> None:
        """No frame after this; the camera is as it was before, once what the worker has at hand is done."""
        if self._on:
            self._on = False
            self._pieces.clear()
            self._exposures.quick_job(self._switch_off)
            self._tell(why)

    def turn(self) -> None:
        """Ask for the next frame when it is due; end when nobody asks any more."""
        if not self._on:
            return
        while self._pieces and self._send_bulk(self._pieces[0]):
            self._pieces.popleft()
        now = time.monotonic()
        if now >= self._ends:
            self.end("nobody asks for it any more")
        elif self._exposures.state != "idle":
            self.end(self._exposures.near_fire or self._exposures.camera_fault or "the camera went away")
        elif now >= self._due and not self._reading and not self._pieces and not self._exposures.near_fire:
            self._reading, self._due = True, now + self._every_s
            self._exposures.quick_job(self._read)

    def timeout_s(self) -> float:
        """How long the loop may sleep as far as live view goes."""
        if not self._on:
            return 60.0
        if self._pieces:
            return _FULL_S
        next_s = self._ends if self._reading else min(self._due, self._ends)
        return max(0.0, next_s - time.monotonic())

    # --- in the worker

    def _read(self) -> JobOutcome:
        if not self._on or self._camera.state is not CameraState.IDLE:
            return self._skipped
        try:
            jpeg = self._camera.preview()
        except EquipmentError as error:
            return lambda error=error: self._failed(error)  # type: ignore[misc]
        return lambda: self._frame(jpeg)

    def _switch_off(self) -> JobOutcome:
        if self._camera.state is CameraState.IDLE:
            try:
                self._camera.end_preview()
            except CameraMissing as error:
                return lambda error=error: self._exposures.lost(error)  # type: ignore[misc]
            except CameraFault as error:  # arming tries it again, and is refused when that fails
                log.error("%s: live view could not be ended: %s", self._name, error)
        return lambda: None

    # --- what came of it, in the loop

    def _skipped(self) -> None:
        self._reading = False

    def _frame(self, jpeg: bytes) -> None:
        self._reading, self._bad = False, 0
        if not self._on:
            return
        if len(jpeg) > wire.PREVIEW_LIMIT:
            self.end(
                f"a frame of {len(jpeg) / 1e6:.1f} MB is too large; the limit is {wire.PREVIEW_LIMIT / 1e6:.1f} MB"
            )
            return
        self._number += 1
        for offset in range(0, len(jpeg), wire.CHUNK_BYTES):
            data = jpeg[offset : offset + wire.CHUNK_BYTES]
            self._pieces.append(
                wire.Preview(camera=self._name, number=self._number, size=len(jpeg), offset=offset, data=data)
            )

    def _failed(self, error: EquipmentError) -> None:
        self._reading = False
        self._bad += 1
        if isinstance(error, CameraMissing):
            self._exposures.lost(error)
        if isinstance(error, CameraMissing | NotPossible) or self._bad >= _BAD_FRAMES:
            self.end(str(error))

    def _tell(self, text: str) -> None:
        told = (self._on, text[:1000])
        now = time.monotonic()
        if told == self._told and now - self._told_at < _AGAIN_S:
            return
        self._told, self._told_at = told, now
        self._agent.send(wire.ViewState(camera=self._name, on=self._on, text=text[:1000]))
