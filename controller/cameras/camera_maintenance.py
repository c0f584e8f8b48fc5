"""Maintenance of single cameras between takes: recovery, live view, giving up a photograph.

Everything here stays out of a fire's way: nothing begins while one is under way, nothing is fired during a recovery.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Engine

from camera_nodes import wire
from controller.background_writer import BackgroundWriter
from controller.cameras.body_actions import BodyActions
from controller.cameras.body_recovery import BodyRecoveries
from controller.cameras.camera_faults import CameraFaultLog
from controller.cameras.live_view import LiveViewer
from controller.errors import ControllerError, RigNotReady, SessionError
from controller.firing.firing_lock import FIRING, FiringLock
from controller.node_links.camera_status import strays_text, unresolved_text
from controller.node_links.control_channel import ControlLink
from controller.preflight.preflight import PreflightCheck
from controller.rig_file import Rig
from controller.sessions.session_store import SessionStore
from db.rigs.camera_events import record_event

WRITE_OFF_S = 15.0  # a node's Status comes every 5 s at the latest
TOLD_FOR = timedelta(hours=1)  # what a node told before is in the audit log
SHOWN = 3  # faults of one camera in an overview
SESSION_S = 1.0  # how long the open session's code is believed


@dataclass(frozen=True)
class CameraHistory:
    """What a camera has shown lately beside its present state, in words."""

    faults: tuple[str, ...]  # what its node told outside a fire, the latest first
    recovered: str  # that it was recovered again and again; "" when not


class CameraMaintenance:
    """Belongs to a Studio: start() once the records are there, attach() the link, stop() at the end.

    firing: held while a take is fired.
    """

    def __init__(
        self, engine: Engine, rig: Rig, records: SessionStore, firing: FiringLock, ring: Callable[[str, str], None]
    ) -> None:
        """ring: told "live" or "jobs", and the camera that there is something new of; it returns at once."""
        self._rig = rig
        self._records = records
        self._firing = firing
        self._link: ControlLink | None = None
        self._session = ("", 0.0)
        self._ring = ring
        self.writer = BackgroundWriter(engine)
        self.faults = CameraFaultLog(engine, rig.name, self.writer)
        self.recoveries = BodyRecoveries(engine, rig, self.writer, self._tell, self._open_session)
        names = [camera.name for camera in rig.cameras]
        self.actions = BodyActions(names, self._tell)
        self.viewer = LiveViewer(
            names, self._tell, lambda: FIRING if firing.held else "", lambda camera: ring("live", camera)
        )

    def start(self) -> None:
        self.faults.recall()
        self.recoveries.recall()
        self.writer.start()

    def attach(self, link: ControlLink) -> None:
        self._link = link

    def stop(self) -> None:
        self.writer.stop()

    # --- what the operator asks for

    def recover(self, camera: str, rungs: Sequence[wire.Rung]) -> str:
        """Begin a recovery and return its name; see recoveries.progress(). Raises SessionError or RigNotReady."""
        with self._firing.hold("a recovery begins"):
            return self.recoveries.begin(camera, rungs).recovery

    def write_off(self, camera: str, reason: str) -> str:
        """Give up the file of the camera's unresolved exposure, and return the take that it belongs to.

        Raises SessionError when the camera has no such exposure, RigNotReady when its node is not there or does not do
        it.
        """
        link = self._require_link()
        state = link.nodes().get(camera)
        if camera not in {entry.name for entry in self._rig.cameras}:
            raise SessionError(f"{camera} is not in the rig file; mien rig status lists the cameras")
        if state is None:
            raise RigNotReady(f"{camera}: no node announces it, so nothing can be written off there")
        take = state.status.unresolved if state.status is not None else ""
        if not take:
            raise SessionError(f"{camera} has no exposure that waits for its file: there is nothing to write off")
        why = reason or "written off by the operator"
        if failed := self._tell([camera], wire.WriteOff(take_id=take, why=why[:1000])):
            raise RigNotReady(f"{camera}: {failed[camera]}")
        end = time.monotonic() + WRITE_OFF_S
        while self._unresolved(camera) == take:
            if (left := end - time.monotonic()) <= 0:
                raise RigNotReady(
                    f"{camera}: its node has not written {take} off within {WRITE_OFF_S:.0f} s; see its log"
                )
            with link.changed:
                link.changed.wait(min(left, 0.25))
        detail = {"take": take, "reason": why[:300]}
        self.writer.write(lambda tx: record_event(tx, self._rig.name, camera, "camera.write_off", detail))
        return take

    def focus(self, camera: str, drive: wire.Drive, step: int) -> str:
        """Move a camera's lens once, and write that down: its calibration may hold no more. Raises as BodyActions."""
        told = self.actions.focus(camera, drive, step)
        detail = {"drive": drive, "step": step, "told": told[:300]}
        self.writer.write(lambda tx: record_event(tx, self._rig.name, camera, "camera.focus", detail))
        return told

    # --- what the studio asks for

    def require_quiet(self) -> None:
        """Raises RigNotReady while a camera is being recovered."""
        self.recoveries.require_none()

    def checks(self) -> tuple[PreflightCheck, ...]:
        """For the preflight: exposures without their file, strays, and cameras recovered again and again."""
        nodes = self._require_link().nodes()
        waiting = {
            camera: text for camera in sorted(nodes) if (text := unresolved_text(camera, self._unresolved(camera)))
        }
        strays = {
            camera: strays_text(state.status.strays)
            for camera, state in sorted(nodes.items())
            if state.status is not None and state.status.strays
        }
        often = {camera: text.removeprefix(f"{camera} ") for camera, text in self.recoveries.often().items()}
        return (
            PreflightCheck("photographs", "fault", f"{len(waiting)} have not come", waiting)
            if waiting
            else PreflightCheck("photographs", "ok", "every exposure has its file"),
            PreflightCheck("strays", "warning", f"{_count(strays)} files without a take", strays)
            if strays
            else PreflightCheck("strays", "ok", "no files without a take"),
            PreflightCheck("recovered", "warning", f"{_count(often, was=True)} recovered more than once", often)
            if often
            else PreflightCheck("recovered", "ok", "no camera was recovered more than once"),
        )

    def history(self, camera: str) -> CameraHistory:
        """What the operator should know of a camera beside its state."""
        faults = tuple(fault.line() for fault in self.faults.faults(camera, SHOWN, TOLD_FOR))
        return CameraHistory(faults, self.recoveries.often().get(camera, ""))

    # --- told by the link: return at once

    def fault(self, message: wire.NodeFault) -> None:
        self.faults.add(message)
        self._ring("cameras", message.camera)

    def recover_step(self, message: wire.RecoverStep) -> None:
        self.recoveries.step(message)
        self._ring("jobs", message.camera)

    def view_state(self, message: wire.ViewState) -> None:
        self.viewer.state(message)

    def body_acted(self, message: wire.BodyActed) -> None:
        self.actions.acted(message)

    # ---

    def _unresolved(self, camera: str) -> str:
        state = self._require_link().nodes().get(camera)
        return state.status.unresolved if state is not None and state.status is not None else ""

    def _tell(self, cameras: Sequence[str], message: wire.Message) -> Mapping[str, str]:
        return self._require_link().tell(tuple(cameras), message)

    def _require_link(self) -> ControlLink:
        if self._link is None:
            raise ControllerError("the studio is not running")
        return self._link

    def _open_session(self) -> str:
        code, at = self._session
        if time.monotonic() - at > SESSION_S:
            code = self._records.open_session() or ""
            self._session = (code, time.monotonic())
        return code


def _count(cameras: Mapping[str, str], was: bool = False) -> str:
    if len(cameras) == 1:
        return "1 camera was" if was else "1 camera has"
    return f"{len(cameras)} cameras {'were' if was else 'have'}"
