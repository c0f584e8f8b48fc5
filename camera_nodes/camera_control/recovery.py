"""One body is made to answer again, by the gentlest means that does it, without touching its neighbours.

    reopen       close the camera and open it again
    usb_reset    reset its USB socket
    power_cycle  cut that socket's power for some seconds, where the hub can

After each of them the body is opened and asked something over the wire.  Each step is told as it happens.  All of it
runs in the worker thread, while no fire is near; nothing is armed until it is over.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from camera_nodes import wire
from camera_nodes.camera import Camera
from camera_nodes.camera_control.agent_services import AgentServices
from camera_nodes.camera_control.camera_supervision import READING
from camera_nodes.camera_control.exposure_control import ExposureController
from camera_nodes.camera_control.worker_thread import JobOutcome
from camera_nodes.errors import EquipmentError, NotPossible

log = logging.getLogger(__name__)

_ANSWER_S: dict[wire.Rung, float] = {"reopen": 4.0, "usb_reset": 15.0, "power_cycle": 40.0}  # a body starts anew
_AGAIN_S = 1.0
_READING_S = 60.0  # how long the last photograph may be read before the recovery is refused
_REMEMBERED = 16

Tell = Callable[[str, str, str], None]  # rung, outcome, text


def recover_camera(
    camera: Camera,
    rungs: tuple[wire.Rung, ...],
    tell: Tell,
    stopping: threading.Event,
    patience_s: Callable[[wire.Rung], float] = _ANSWER_S.__getitem__,
    opened: Callable[[], None] = lambda: None,
) -> bool:
    """Try each rung until the body answers; whether it does.  Leaves the camera idle or closed.  Never raises.

    patience_s: how long a body is waited for after a rung.  opened: called once it answers.
    """
    for rung in rungs:
        tell(rung, "begun", "")
        camera.close()
        try:
            done = _act(camera, rung)
        except NotPossible as error:
            tell(rung, "impossible", str(error))
            continue
        except EquipmentError as error:
            tell(rung, "failed", str(error))
            continue
        problem = _wait_for(camera, patience_s(rung), stopping)
        if problem is None:
            opened()
            tell(rung, "answers", f"{_name(camera)}, {done}")
            return True
        tell(rung, "failed", problem if rung == "reopen" else f"{done}; {problem}")
        if stopping.is_set():
            break
    return False


def _act(camera: Camera, rung: wire.Rung) -> str:
    if rung == "usb_reset":
        return camera.usb_reset()
    if rung == "power_cycle":
        return camera.power_cycle()
    return "closed and opened again"


def _wait_for(camera: Camera, patience_s: float, stopping: threading.Event) -> str | None:
    """Open the camera and ask it something, again and again; what is wrong when the time is up."""
    end = time.monotonic() + patience_s
    while True:
        try:
            camera.open()
            camera.check()
        except EquipmentError as error:
            camera.close()
            if time.monotonic() >= end or stopping.wait(_AGAIN_S):
                return str(error)
        else:
            return None


def _name(camera: Camera) -> str:
    info = camera.info
    return " ".join(part for part in (info.model, info.serial) if part) or "the body"


class Recovery:
    """Takes Recover from the studio.  The agent's loop calls everything here."""

    def __init__(self, agent: AgentServices, exposures: ExposureController, camera: Camera, name: str) -> None:
        self._agent = agent
        self._exposures = exposures
        self._camera = camera
        self._name = name
        self._stopping = threading.Event()
        self._waiting: tuple[wire.Recover, float] | None = None  # until the photograph is read, or the time is up
        self._told: OrderedDict[str, wire.RecoverStep] = OrderedDict()  # the newest step of each recovery
        self._unsent: list[wire.RecoverStep] = []  # refused in the window, where nothing is sent

    def stop(self) -> None:
        """The node ends: try nothing more."""
        self._stopping.set()

    def ask(self, message: wire.Recover) -> None:
        """Recover the body now, or as soon as its last photograph is read; refused while a fire is near."""
        if message.recovery_id in self._told:  # asked again: the answer may have been lost
            self._say(self._told[message.recovery_id])
            return
        if self._waiting is not None:
            self._refuse(message, "the camera is being recovered already")
        elif self._exposures.near_fire == READING:
            self._waiting = message, time.monotonic() + _READING_S
            self._step(message, "", "begun", f"waits: {READING}")
        else:
            self._begin(message)

    def turn(self) -> None:
        """Begin what has waited."""
        while self._unsent:
            self._agent.send_surely(self._unsent.pop(0))
        if self._waiting is None:
            return
        message, end = self._waiting
        if self._exposures.near_fire != READING:
            self._waiting = None
            self._begin(message)
        elif time.monotonic() >= end:
            self._waiting = None
            self._refuse(message, f"{READING}, and has been for {_READING_S:.0f} s")

    def timeout_s(self) -> float:
        """How long the loop may sleep as far as this goes."""
        return 60.0 if self._waiting is None else max(0.0, self._waiting[1] - time.monotonic())

    def _begin(self, message: wire.Recover) -> None:
        if reason := self._exposures.near_fire:
            self._refuse(message, reason)
            return
        log.warning("%s: the studio asks for a recovery: %s", self._name, ", ".join(message.rungs))

        def job(post: Callable[[JobOutcome], None]) -> None:
            def tell(rung: str, outcome: str, text: str) -> None:
                last = outcome == "answers"
                post(partial(self._step, message, rung, outcome, text, last))

            def opened() -> None:
                post(self._exposures.opened_anew())

            if not recover_camera(self._camera, message.rungs, tell, self._stopping, opened=opened):
                post(partial(self._step, message, "", "given_up", self._advice(), True))

        self._exposures.side_job("recovered", job)

    def _advice(self) -> str:
        if self._stopping.is_set():
            return "the node was stopped meanwhile"
        return "the body does not answer: look at its power and its cable, switch it off and on, or set it aside"

    def _refuse(self, message: wire.Recover, reason: str) -> None:
        self._step(message, "", "refused", reason, True)

    def _step(self, message: wire.Recover, rung: str, outcome: str, text: str, last: bool = False) -> None:
        log.info("%s: recovery: %s %s %s", self._name, rung, outcome, text)
        step = wire.RecoverStep(
            recovery_id=message.recovery_id, camera=self._name, rung=rung, outcome=outcome,  # type: ignore[arg-type]
            text=text[:1000], last=last,
        )  # fmt: skip
        self._told[message.recovery_id] = step
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        self._say(step)

    def _say(self, step: wire.RecoverStep) -> None:
        if self._exposures.in_window:
            self._unsent.append(step)
        else:
            self._agent.send_surely(step)
