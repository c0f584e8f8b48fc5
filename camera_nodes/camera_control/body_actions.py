"""What a person at the studio has one body do between takes: give signs by which it is found, move its lens.

Signs are given one after the other in the worker thread, so that an Arm that comes meanwhile waits for one of them at
the most.  While a lens moves no Arm is taken.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from camera_nodes import wire
from camera_nodes.camera import Camera, CameraState
from camera_nodes.camera_control.agent_services import AgentServices
from camera_nodes.camera_control.exposure_control import ExposureController
from camera_nodes.camera_control.worker_thread import JobOutcome
from camera_nodes.errors import CameraMissing, EquipmentError, NotPossible

log = logging.getLogger(__name__)

_REMEMBERED = 16
Outcome = Literal["done", "impossible", "refused", "failed"]


class BodyActions:
    """One camera's.  The agent's loop calls everything here; the body is spoken to in the worker thread."""

    def __init__(self, agent: AgentServices, exposures: ExposureController, camera: Camera, name: str) -> None:
        self._agent = agent
        self._exposures = exposures
        self._camera = camera
        self._name = name
        self._told: OrderedDict[str, wire.BodyActed | None] = OrderedDict()  # None: under way

    def ask(self, message: wire.Identify | wire.Focus) -> None:
        """Do it now, or refuse; a request that came before is answered as it was then."""
        if self._exposures.in_window:
            return  # nothing is sent there; whoever asked hears nothing, and asks again
        if message.request_id in self._told:
            if answer := self._told[message.request_id]:
                self._agent.send_surely(answer)
            return
        self._told[message.request_id] = None
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        gone = self._exposures.camera_fault or "the camera is not open yet"
        if reason := gone if self._exposures.state == "no_camera" else self._exposures.near_fire:
            self._answer(message, "refused", reason)
        elif None in [answer for key, answer in self._told.items() if key != message.request_id]:
            self._answer(message, "refused", "the camera is doing something else that was asked of it")
        elif isinstance(message, wire.Identify):
            self._sign(message, message.signs)
        else:
            self._focus(message)

    def _sign(self, message: wire.Identify, left: int) -> None:
        def job() -> JobOutcome:
            if self._camera.state is not CameraState.IDLE:  # armed in the meantime
                return lambda: self._answer(message, "refused", "a fire is near")
            try:
                text = self._camera.give_sign()
            except EquipmentError as error:
                return lambda error=error: self._failed(message, error)  # type: ignore[misc]
            return lambda: self._signed(message, left - 1, text)

        self._exposures.quick_job(job)

    def _signed(self, message: wire.Identify, left: int, text: str) -> None:
        if left and not self._exposures.near_fire and self._exposures.state == "idle":
            self._sign(message, left)
        else:
            self._answer(message, "done", text)

    def _focus(self, message: wire.Focus) -> None:
        def job(post: Callable[[JobOutcome], None]) -> None:
            try:
                text = self._camera.focus(message.drive, message.step)
            except EquipmentError as error:
                post(lambda error=error: self._failed(message, error))  # type: ignore[misc]
            else:
                post(lambda: self._answer(message, "done", text))

        self._exposures.side_job("focused", job)

    def _failed(self, message: wire.Identify | wire.Focus, error: EquipmentError) -> None:
        if isinstance(error, CameraMissing):
            self._exposures.lost(error)
        self._answer(message, "impossible" if isinstance(error, NotPossible) else "failed", str(error))

    def _answer(self, message: wire.Identify | wire.Focus, outcome: Outcome, text: str) -> None:
        log.info("%s: %s: %s %s", self._name, type(message).__name__, outcome, text)
        answer = wire.BodyActed(request_id=message.request_id, camera=self._name, outcome=outcome, text=text[:1000])
        self._told[message.request_id] = answer
        self._agent.send_surely(answer)
