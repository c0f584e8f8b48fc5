"""A camera between takes: it comes and goes, is listened to, looked after, and its photographs are answered for.

The part of exposure control that has nothing to do with a fire.  What takes long runs in one worker thread, in order,
and posts its outcome back to the agent's loop, which calls everything here.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from camera_nodes import wire
from camera_nodes.camera import Camera, CameraCondition, CameraState
from camera_nodes.camera_control.agent_services import AgentServices
from camera_nodes.camera_control.worker_thread import JobOutcome, WorkerThread
from camera_nodes.errors import CameraFault, CameraMissing, EquipmentError
from camera_nodes.photo_collection.collector import CollectionEvent, CollectionFault, Collector, FileSpooled, fault_code
from camera_nodes.photo_transfer.spool import Spool
from common.photograph_facts import PhotographFacts

log = logging.getLogger(__name__)

State = Literal["no_camera", "idle", "arming", "armed", "firing", "exposed"]

READING = "the last photograph is still being read from the camera"
_OPEN_AGAIN_S = 2.0
_LISTEN_S = 0.5  # an idle camera is listened to this often
_CHECK_S = 2.0  # ... and asked how it is
_HUNG_S = 4.0  # a call that takes longer between takes is told: nobody can say whether the camera is alive
_FINISH_S = 10.0  # at the end of the node: for the photograph under way


class CameraSupervisor:
    """See the module.  `near_fire` and `in_window` are the exposure control's to know."""

    def __init__(self, agent: AgentServices, camera: Camera, spool: Spool, name: str, wake: Callable[[], None]) -> None:
        self.state: State = "no_camera"
        self.condition = CameraCondition()
        self.camera_fault: str | None = None
        self.settled = False  # the camera was opened once, or was not to be had
        self._agent = agent
        self._camera = camera
        self._name = name
        self._worker = WorkerThread(wake)
        self._collector = Collector(camera, spool, name, self._is_closing)
        self._opening = self._listening = self._hung = False
        self._next_open = self._next_listen = self._next_check = self._listening_since = 0.0
        self._closing_since: float | None = None
        self._serial = ""  # as it was announced
        self._side = ""  # what is done with the camera beside the takes ("recovered"); no Arm meanwhile

    @property
    def in_window(self) -> bool:
        """Between FIRE and its report."""
        return False

    @property
    def unresolved(self) -> str:
        """The take of the oldest exposure that has given no photograph yet; empty when there is none."""
        return self._collector.unresolved

    @property
    def strays(self) -> int:
        """Files in the tray."""
        return self._collector.strays

    def _is_closing(self) -> bool:
        """Whether the node is ending and has waited long enough for what is under way."""
        return self._closing_since is not None and time.monotonic() - self._closing_since > _FINISH_S

    def _end(self) -> None:
        """Let a photograph under way reach the spool, let go of the camera."""
        self._closing_since = time.monotonic()
        self._worker.finish(timeout_s=2 * _FINISH_S)
        self._worker.deliver()
        self._camera.close()

    def _idle_timeout_s(self) -> float | None:
        """How long the loop may sleep as far as this goes; None when it waits for nothing."""
        if self._side or self._opening:
            return None
        if self.state == "no_camera" and not self._hung:
            return max(0.0, self._next_open - time.monotonic())
        if self.state == "idle":
            due = self._listening_since + _HUNG_S if self._listening else self._next_listen
            return max(0.0, due - time.monotonic())
        return None

    def _attend(self) -> None:
        """Do what is due between takes."""
        if self._side:
            return
        now = time.monotonic()
        if self.state == "no_camera" and not (self._opening or self._hung) and now >= self._next_open:
            self._open()
        if self.state == "idle":
            if self._listening and now >= self._listening_since + _HUNG_S:
                self._told_hung()
            elif not self._listening and now >= self._next_listen:
                self._listen()

    # --- the camera comes and goes

    def _open(self) -> None:
        self._opening = True

        def job() -> JobOutcome:
            try:
                self._camera.open()
                reports = self._collector.connect()
            except EquipmentError as error:
                self._camera.close()
                code = error.code if isinstance(error, CameraFault) else "camera_missing"
                return lambda text=str(error): self._opened(text, code)  # type: ignore[misc]
            return lambda: self._opened(None, reports=reports)

        self._worker.do(job)

    def _opened(self, fault: str | None, code: str = "camera_missing", reports: Sequence[CollectionEvent] = ()) -> None:
        changed = not self.settled or fault != self.camera_fault
        self._opening, self.settled, self.camera_fault = False, True, fault
        if fault is None:
            self._serial = self._camera.info.serial
            log.info("%s: %s %s", self._name, self._camera.info.model, self._camera.info.serial)
        elif changed:
            self._fault(code, fault)
        self._next_open = time.monotonic() + _OPEN_AGAIN_S
        self._become("no_camera" if fault else "idle", camera_changed=changed)
        self._pass_on(reports)

    def _listen(self) -> None:
        """Between takes: what has the camera to say, is it still there, and how is it?"""
        self._listening, self._listening_since = True, time.monotonic()
        check = self._listening_since >= self._next_check
        if check:
            self._next_check = self._listening_since + _CHECK_S

        def job() -> JobOutcome:
            if self._camera.state is not CameraState.IDLE:  # armed in the meantime
                return lambda: self._listened(None, [])
            condition = None
            try:
                if check:
                    condition = self._camera.check()
                reports = self._collector.idle()
            except CameraFault as error:  # it lasts, or it would have been mended
                self._camera.close()
                return lambda error=error: self._lost(error)  # type: ignore[misc]
            except EquipmentError as error:
                reports = [CollectionFault(fault_code(error), str(error))]
            return lambda: self._listened(condition, reports)

        self._worker.do(job)

    def _listened(self, condition: CameraCondition | None, reports: Sequence[CollectionEvent]) -> None:
        self._listening = False
        self._next_listen = time.monotonic() + _LISTEN_S
        if condition is not None:
            self.condition = replace(condition, warnings=self.condition.warnings)
        self._pass_on(reports)
        if self.state == "idle" and self._camera.state is CameraState.IDLE and self._camera.info.serial != self._serial:
            self._serial = self._camera.info.serial  # the body has said it now
            self._agent.state_changed(camera_changed=True)
        if self._hung:  # it answers again
            self._hung, self.camera_fault = False, None
            self._become("idle", camera_changed=True)

    def _lost(self, error: CameraFault) -> None:
        self._listening = False
        already, self._hung = self._hung, False
        self.camera_fault = str(error)
        if self.state not in ("idle", "no_camera"):
            return
        if not already:
            self._fault(error.code, str(error))
        self._become_free()

    def _told_hung(self) -> None:
        """The camera does not come back from a call: it counts as gone until it does."""
        self._hung = True
        self.camera_fault = f"the camera has not answered for {_HUNG_S:.0f} s: look at its cable and power"
        self._fault("camera_missing", self.camera_fault)
        self._become("no_camera", camera_changed=True)

    def _pass_on(self, reports: Sequence[CollectionEvent]) -> None:
        """Tell the studio what the collector has to tell."""
        for report in reports:
            if isinstance(report, FileSpooled):
                self._agent.send(wire.FrameSpooled(**report.photo.facts()))
            else:
                self._fault(report.code, report.text, report.fire_id, report.take_id)

    def stored(self, entry: PhotographFacts) -> None:
        """The studio has stored a photograph: the camera's copy may go."""
        self._collector_job(lambda: self._collector.stored(entry))

    def rejected(self, entry: PhotographFacts, reason: str) -> None:
        """The studio refused a photograph: read it once more from the camera, which has it still."""
        self._collector_job(lambda: self._collector.rejected(entry, reason))

    def write_off(self, message: wire.WriteOff) -> None:
        """Give up the exposure of a take that has given no photograph."""
        self._collector_job(lambda: self._collector.write_off(message.take_id, message.why), tell_state=True)

    def _collector_job(self, act: Callable[[], Sequence[CollectionEvent]], *, tell_state: bool = False) -> None:
        def job() -> JobOutcome:
            try:
                reports = act()
            except EquipmentError as error:
                reports = [CollectionFault(fault_code(error), str(error))]
            return lambda: done(reports)

        def done(reports: Sequence[CollectionEvent]) -> None:
            self._pass_on(reports)
            if tell_state:
                self._agent.state_changed(camera_changed=False)

        self._worker.do(job)

    # --- beside the takes

    @property
    def near_fire(self) -> str:
        """Why nothing but a take may have the camera now, in words; empty when it is free."""
        if self.in_window or self.state in ("arming", "armed", "firing"):
            return f"the camera is {self.state}: a fire is near"
        if self.state == "exposed":
            return READING
        return f"the camera is being {self._side}" if self._side else ""

    def side_job(self, kind: str, job: Callable[[Callable[[JobOutcome], None]], None]) -> None:
        """Run `job` in the worker when nothing is `near_fire`; until it is done no Arm is taken.

        kind: "recovered", as in "the camera is being recovered".  The job gets a way to have the loop run something.
        """
        self._side = kind

        def run() -> JobOutcome:
            job(self._worker.post)
            return self._side_done

        self._worker.do(run)

    def opened_anew(self) -> JobOutcome:
        """In the worker, of a side job that has opened the camera: what has it that was not fetched?"""
        try:
            reports = self._collector.connect()
        except EquipmentError as error:
            reports = [CollectionFault(fault_code(error), str(error))]
        return lambda: self._pass_on(reports)

    def _side_done(self) -> None:
        self._side = ""
        gone, was_gone = self._camera.state is CameraState.CLOSED, self.state == "no_camera"
        if not gone:
            self.camera_fault = None
        else:
            self.camera_fault = self.camera_fault or "the camera does not answer: look at its cable and power"
        self._next_open = time.monotonic() + _OPEN_AGAIN_S
        self._become("no_camera" if gone else "idle", camera_changed=gone or was_gone)

    def quick_job(self, job: Callable[[], JobOutcome]) -> None:
        """Run something short in the worker, beside whatever the camera is doing."""
        self._worker.do(job)

    def lost(self, error: CameraMissing) -> None:
        """A quick job has found that the camera is gone."""
        if self.state == "idle":
            self._lost(error)

    def _become(self, state: State, *, camera_changed: bool = False) -> None:
        self.state = state
        self._next_check = self._next_listen = time.monotonic() + _LISTEN_S
        self._agent.state_changed(camera_changed=camera_changed)

    def _become_free(self) -> None:
        """Idle, or without a camera when the last call lost it."""
        gone = self._camera.state is CameraState.CLOSED
        if gone:
            self.camera_fault = self.camera_fault or "the camera no longer answers: look at its cable and power"
            self._next_open = time.monotonic() + _OPEN_AGAIN_S
        self._become("no_camera" if gone else "idle", camera_changed=gone)

    def _fault(self, code: str, text: str, fire_id: str | None = None, take_id: str | None = None) -> None:
        log.error("%s: %s: %s", self._name, code, text)
        self._agent.send_surely(
            wire.NodeFault(camera=self._name, code=code, text=text[:1000], fire_id=fire_id, take_id=take_id)
        )
