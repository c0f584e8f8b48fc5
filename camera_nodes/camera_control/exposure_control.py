"""Arming and firing one camera: no_camera -> idle -> arming -> armed -> firing -> exposed -> idle.

The agent's loop calls everything here.  What takes long (open, arm, download, spool) runs in one worker thread, in
order, and posts its outcome back to the loop.  The exposure itself runs in the loop's thread, which has nothing else
to do in the window.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from camera_nodes import wire
from camera_nodes.camera import Camera, CameraCondition, CameraState, UncollectedExposure
from camera_nodes.camera_control.agent_services import AgentServices
from camera_nodes.camera_control.camera_supervision import READING, CameraSupervisor
from camera_nodes.camera_control.realtime import RealtimeWindow
from camera_nodes.camera_control.worker_thread import JobOutcome
from camera_nodes.clock_sync.clock import Estimate
from camera_nodes.errors import (
    CameraBusy,
    CameraClosed,
    CameraLost,
    CameraMissing,
    CardFull,
    EquipmentError,
    NotArmed,
    NotSupported,
    ReleaseFault,
    SettingsRefused,
    TooLate,
)
from camera_nodes.photo_collection.collector import CollectionEvent, CollectionFault, fault_code
from camera_nodes.photo_transfer.spool import Spool

log = logging.getLogger(__name__)

_WAKE_BEFORE_NS = 4_000_000  # the loop hands over to the precise wait this long before the moment
_LONGEST_WAIT_NS = 30_000_000_000
_REMEMBERED_FIRES = 256
_FIRE_SLACK = 2  # the uncertainty may have grown this much since the arming; the stamps tell it
_ARMING_TOLD_S, _ARMING_PATIENCE_S = 0.8, 3.0  # the studio is asked for patience from then on, for so long each time


# The release was refused, or there was no body to release: there was surely no exposure.
_NOT_RELEASED = (TooLate, NotArmed, CameraBusy, CardFull, CameraMissing, ReleaseFault, NotSupported)


@dataclass
class _Shot:
    """A Fire from its arrival to its report.  Times by the node's clock."""

    fire: wire.Fire  # as it came
    clock: Estimate | None  # the mapping to the controller's clock; None: unknown
    at_ns: int  # when the command goes out
    quiet_until_ns: int  # nothing is sent before
    clock_source: wire.ClockSource = "pings"  # what that mapping is from
    stamps: wire.Stamps | None = None  # what will be reported, once it is known
    released_s: float | None = None  # UTC; None: the shutter was surely not released


class ExposureController(CameraSupervisor):
    """One camera's state machine.  `in_window`: call nothing but `turn` and `disarm`, and send nothing."""

    def __init__(
        self,
        agent: AgentServices,
        camera: Camera,
        spool: Spool,
        name: str,
        window: RealtimeWindow,
        wake: Callable[[], None],
    ) -> None:
        super().__init__(agent, camera, spool, name, wake)
        self.last_stamps: wire.Stamps | None = None
        self._clock = camera.clock
        self._spool = spool
        self._window = window
        self._arm: wire.Arm | None = None
        self._arming_since = self._told_arming = 0.0
        self._cancelled = False
        self._expires = 0.0
        self._armed: wire.Armed | None = None
        self._settings: wire.Exposure | None = None  # as they were read back last
        self._clock_at_arming: Estimate | None = None
        self._shot: _Shot | None = None
        self._fired: OrderedDict[str, wire.Stamps | None] = OrderedDict()  # None: not reported yet

    @property
    def in_window(self) -> bool:
        """Between FIRE and its report."""
        return self._shot is not None

    @property
    def uploads_welcome(self) -> bool:
        """Whether an upload would disturb nothing here."""
        return self.state in ("no_camera", "idle", "exposed") and not self.in_window

    def is_armed(self) -> bool:
        """Whether a fire is near: other threads had better wait."""
        return self.state in ("arming", "armed", "firing")

    def timeout_s(self) -> float:
        """How long the loop may sleep before the next turn."""
        if (shot := self._shot) is not None:
            until_ns = shot.quiet_until_ns if shot.stamps else shot.at_ns - _WAKE_BEFORE_NS
            return max(0.0, (until_ns - self._clock.now_ns()) / 1e9 - (0.0 if shot.stamps else 0.001))
        if self.state == "armed":
            return max(0.0, self._expires - time.monotonic())
        if self.state == "arming":
            return max(0.0, self._told_arming - time.monotonic())
        idle_s = self._idle_timeout_s()
        return 60.0 if idle_s is None else idle_s

    def turn(self) -> None:
        """Do what is due."""
        if (shot := self._shot) is not None:
            now_ns = self._clock.now_ns()
            if shot.stamps is None and now_ns >= shot.at_ns - _WAKE_BEFORE_NS:
                self._expose(shot)
            if shot.stamps is not None and self._clock.now_ns() >= shot.quiet_until_ns:
                self._report(shot, shot.stamps)
            return
        self._worker.deliver()
        now = time.monotonic()
        if self.state == "armed" and now >= self._expires:
            log.warning("no fire within the time of the arming: disarmed")
            self._rest()
        if self.state == "arming" and now >= self._told_arming:
            self._ask_for_patience(now)
        self._attend()

    def close(self) -> None:
        """CollectionEvent what was exposed, let a photograph under way reach the spool, let go of the camera."""
        if (shot := self._shot) is not None:
            self._report(shot, shot.stamps or self._missed(shot, "the node was stopped"))
        self._window.leave()
        self._end()

    # --- ARM

    def arm(self, message: wire.Arm) -> None:
        """Check everything and prepare the camera; answers Armed or ArmRefused."""
        if self._arm is not None and self._arm.fire_id == message.fire_id and self.state in ("arming", "armed"):
            if self._armed is not None and self.state == "armed":
                self._agent.send(self._armed)
            return
        reasons = self._objections(message)
        if reasons:
            if self.state == "armed":
                self._rest()
            self._refuse(message, reasons)
            return
        before = self._arm.fire_id if self._arm is not None and self.state == "armed" else ""
        self._arm, self._armed, self._cancelled = message, None, False
        self._window.leave()
        self._become("arming")
        self._arming_since = time.monotonic()
        self._told_arming = self._arming_since + _ARMING_TOLD_S

        def job() -> JobOutcome:
            reports: list[CollectionEvent] = []
            try:
                self._collector.not_released(before)  # armed for a fire that never came
                if self._camera.state is not CameraState.IDLE:
                    self._camera.disarm()
                warnings, reports = self._collector.before_arming()
                condition = self._camera.arm(message.exposure, allow_ram=message.allow_ram)
                condition = replace(condition, warnings=(*condition.warnings, *warnings))
                self._collector.arming(message.fire_id, message.take_id, keeps_raw=bool(condition.keeps_raw))
            except EquipmentError as error:
                reports += self._collector.take_reports()
                return lambda error=error: self._arm_failed(message, error, reports)  # type: ignore[misc]
            return lambda: self._arm_done(message, condition, reports)

        self._worker.do(job)

    def _ask_for_patience(self, now: float) -> None:
        """Some bodies need seconds for a setting, or for a connection made anew."""
        self._told_arming = now + _ARMING_PATIENCE_S / 2
        if self._arm is not None:
            self._agent.send(
                wire.Arming(
                    fire_id=self._arm.fire_id, camera=self._name, patience_ns=round(_ARMING_PATIENCE_S * 1e9),
                    doing=f"it has been getting ready for {now - self._arming_since:.0f} s",
                )
            )  # fmt: skip

    def _objections(self, message: wire.Arm) -> list[str]:
        if self._side:
            return [f"the camera is being {self._side}: wait until that is over"]
        reasons = self._clock_objections(message)
        if self._spool.free_bytes() < self._spool.min_free_bytes:
            reasons.append(f"the spool's disk has only {self._spool.free_bytes() / 1e6:.0f} MB free")
        if self.state == "no_camera":
            reasons.append(self.camera_fault or "the camera is not open yet")
        elif self.state == "exposed":
            reasons.append(READING)
        elif self.state in ("arming", "firing"):
            reasons.append(f"the camera is {self.state} for another fire")
        if message.fire_id in self._fired:
            reasons.append("this fire was fired before")
        return reasons

    def _clock_objections(self, message: wire.Arm) -> list[str]:
        clock = self._agent.estimate()
        if clock is None:
            return ["the clock is not known yet"]
        if clock.uncertainty_ns > message.max_clock_uncertainty_ns:
            limit_ms = message.max_clock_uncertainty_ns / 1e6
            return [f"the clock is uncertain by {clock.uncertainty_ns / 1e6:.2f} ms; the limit is {limit_ms:.2f} ms"]
        return []

    def _refuse(self, message: wire.Arm, reasons: list[str]) -> None:
        log.warning("%s: not armed: %s", self._name, "; ".join(reasons), extra={"take": message.take_id})
        clock = self._agent.estimate()
        self._agent.send(
            wire.ArmRefused(
                fire_id=message.fire_id,
                camera=self._name,
                reasons=tuple(reason[:1000] for reason in reasons[:32]),
                clock_uncertainty_ns=clock.uncertainty_ns if clock else None,
            )
        )

    def _arm_failed(self, message: wire.Arm, error: EquipmentError, reports: Sequence[CollectionEvent]) -> None:
        differences = error.differences if isinstance(error, SettingsRefused) else ()
        if isinstance(error, CameraMissing):
            self.camera_fault = str(error)
        text = self.camera_fault or str(error) if isinstance(error, CameraClosed) else str(error)
        self._become_free()
        self._pass_on(reports)
        self._refuse(message, list(differences) or [text])

    def _arm_done(self, message: wire.Arm, condition: CameraCondition, reports: Sequence[CollectionEvent]) -> None:
        self.condition = condition
        self._pass_on(reports)
        reasons = self._clock_objections(message)
        battery = condition.battery_percent
        if battery is not None and battery < message.min_battery_percent:
            reasons.append(f"battery {battery} %")
        if self._cancelled:
            reasons.append("disarmed before it was ready")
        if reasons:
            self._rest()
            self._refuse(message, reasons)
            return
        self._expires = time.monotonic() + message.expires_ns / 1e9
        self._become("armed")
        self._window.enter()
        clock = self._clock_at_arming = self._agent.estimate()
        self._armed = wire.Armed(
            fire_id=message.fire_id,
            camera=self._name,
            clock_uncertainty_ns=clock.uncertainty_ns if clock else wire.UNKNOWN_NS,
            free_bytes=self._spool.free_bytes(),
            battery_percent=battery,
            photos_left=condition.photos_left,
            focus_mode=None if condition.focus_mode is None else condition.focus_mode[:1000],
            warnings=tuple(text[:1000] for text in (*condition.warnings, self._agent.clock_problem)[:32] if text),
            body_clock_error_ms=self._collector.clock_error_ms,
        )
        self._agent.send(self._armed)
        if condition.settings is not None and condition.settings != self._settings:
            self._settings = condition.settings
            self.tell_settings()

    def tell_settings(self) -> None:
        """Tell the studio what the body was set to at its last arming, if there was one."""
        if self._settings is not None:
            self._agent.send(wire.SettingsRead(camera=self._name, settings=self._settings))

    def _rest(self, released_s: float | None = None) -> None:
        """Become idle and disarm in the worker.  released_s: when the shutter may have been released all the same."""
        self._window.leave()
        fire_id = self._arm.fire_id if self._arm is not None else ""
        self._arm = self._armed = None

        def job() -> JobOutcome:
            try:
                if released_s is None:
                    self._collector.not_released(fire_id)
                else:
                    self._collector.released(fire_id, released_s, doubtful=True)
                if self._camera.state is not CameraState.CLOSED:
                    self._camera.disarm()
            except EquipmentError as error:
                log.error("%s: %s", self._name, error)
            return lambda: self._become_free() if self.state == "idle" else None

        self._become("idle")  # an Arm that comes now waits its turn in the worker
        self._worker.do(job)

    def disarm(self, message: wire.Disarm) -> None:
        """Forget an Arm, and a Fire whose moment has not come."""
        if self._arm is None or self._arm.fire_id != message.fire_id:
            return
        if self.state == "arming":
            self._cancelled = True
        elif self.state == "armed":
            self._rest()
        elif self._shot is not None and self._shot.stamps is None:
            self._shot.stamps = self._missed(self._shot, f"disarmed: {message.why}"[:1000])

    # --- FIRE

    def fire(self, message: wire.Fire) -> None:
        """Expose at the given moment, once, or report it missed; never late."""
        if message.fire_id in self._fired:
            if (stamps := self._fired[message.fire_id]) is not None and not self.in_window:
                self._agent.send(stamps)
            return
        if self._shot is not None:
            log.error("a fire %s arrived while %s is in its window", message.fire_id, self._shot.fire.fire_id)
            return
        self._fired[message.fire_id] = None
        while len(self._fired) > _REMEMBERED_FIRES:
            self._fired.popitem(last=False)
        now_ns = self._clock.now_ns()
        # How well the clock will be known at the moment, not how well now; the arming's will do to tell when that is.
        moment_ns = self._clock_at_arming.to_node(message.at_ns) if self._clock_at_arming else now_ns
        clock = self._agent.estimate(moment_ns if 0 < moment_ns - now_ns <= _LONGEST_WAIT_NS else None)
        at_ns = clock.to_node(message.at_ns - message.lag_ns) if clock else now_ns
        quiet_ns = clock.to_node(message.at_ns) + wire.QUIET_AFTER_NS if clock else now_ns
        shot = self._shot = _Shot(message, clock, at_ns, max(quiet_ns, now_ns), self._agent.clock_source)
        problem = ""
        if self.state != "armed" or self._arm is None or self._arm.fire_id != message.fire_id:
            problem = f"not armed for this fire: the camera is {f'being {self._side}' if self._side else self.state}"
            shot.quiet_until_ns = min(shot.quiet_until_ns, now_ns + _LONGEST_WAIT_NS)
        elif clock is None or clock.uncertainty_ns > _FIRE_SLACK * self._arm.max_clock_uncertainty_ns:
            problem = "the clock is not known well enough any more"
        elif at_ns <= now_ns:
            problem = f"the fire arrived {(now_ns - at_ns) / 1e6:.1f} ms too late"
        elif at_ns - now_ns > _LONGEST_WAIT_NS:
            problem = f"its moment is {(at_ns - now_ns) / 1e9:.0f} s ahead"
            shot.quiet_until_ns = now_ns
        if problem:
            shot.stamps = self._missed(shot, problem)
        else:
            self.state = "firing"
            self._collector.firing(message.fire_id)

    def _missed(self, shot: _Shot, reason: str) -> wire.Stamps:
        return wire.Stamps(
            fire_id=shot.fire.fire_id,
            take_id=shot.fire.take_id,
            camera=self._name,
            commanded_at_ns=shot.fire.at_ns - shot.fire.lag_ns,
            clock_uncertainty_ns=shot.clock.uncertainty_ns if shot.clock else wire.UNKNOWN_NS,
            missed=True,
            reason=reason,
        )

    def _expose(self, shot: _Shot) -> None:
        try:
            frame = self._camera.expose(shot.at_ns)
        except EquipmentError as error:
            shot.stamps = self._missed(shot, str(error)[:1000])
            surely_not = isinstance(error, _NOT_RELEASED) and not isinstance(error, CameraLost)
            shot.released_s = None if surely_not else time.time()
        else:
            shot.stamps = self._stamps(shot, frame)
            shot.released_s = time.time() - (self._clock.now_ns() - frame.release.released_at_ns) / 1e9
            shot.quiet_until_ns = max(shot.quiet_until_ns, frame.release.released_at_ns + wire.QUIET_AFTER_NS)

    def _stamps(self, shot: _Shot, frame: UncollectedExposure) -> wire.Stamps:
        assert shot.clock is not None  # a fire without it is missed
        release = frame.release
        exposed_ns = release.exposed_at_ns
        return wire.Stamps(
            fire_id=shot.fire.fire_id,
            take_id=shot.fire.take_id,
            camera=self._name,
            commanded_at_ns=shot.fire.at_ns - shot.fire.lag_ns,
            clock_uncertainty_ns=shot.clock.uncertainty_ns,
            clock_source=shot.clock_source,
            clock_offset_ns=shot.clock.offset_ns,
            clock_drift_ppb=round(shot.clock.drift * 1e9),
            released_at_ns=shot.clock.to_controller(release.released_at_ns),
            exposed_at_ns=None if exposed_ns is None else shot.clock.to_controller(exposed_ns),
            exposure_source=release.source,
        )

    def _report(self, shot: _Shot, stamps: wire.Stamps) -> None:
        was_firing = self.state == "firing"
        self._shot = None
        self._fired[shot.fire.fire_id] = self.last_stamps = stamps
        self._window.leave()
        self._agent.send_surely(stamps)
        if not stamps.missed:
            self._arm = self._armed = None
            self._become("exposed")
            self._worker.do(lambda: self._fetch(shot))
            return
        its = {"fire": shot.fire.fire_id, "take": shot.fire.take_id}
        log.error("%s: missed %s: %s", self._name, shot.fire.fire_id, stamps.reason, extra=its)
        if was_firing or self.state == "armed":
            self._rest(shot.released_s)

    def _fetch(self, shot: _Shot) -> JobOutcome:
        """In the worker: the exposure's files from the camera into the spool."""
        try:
            self._collector.released(shot.fire.fire_id, shot.released_s or time.time())
            reports = self._collector.collect(shot.fire.fire_id)
        except EquipmentError as error:
            reports = self._collector.take_reports()
            reports.append(CollectionFault(fault_code(error), str(error), shot.fire.fire_id, shot.fire.take_id))
        return lambda: self._fetched(reports)

    def _fetched(self, reports: Sequence[CollectionEvent]) -> None:
        self._become_free()
        self._pass_on(reports)
