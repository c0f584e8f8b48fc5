"""The studio: control link, ingest and records put together, and what an operator does with them.

with Studio(load_settings(home)) as studio:
    studio.wait_for_cameras(timeout_s=30)
    session = studio.start_session("S012")
    result = studio.fire(session, "neutral")
    if result.kept:
        studio.accept(session, "neutral")
"""

import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import zmq
from msgspec import structs

from camera_nodes.transport import CONTROLLER, AllowList, Authenticator, ensure_keys
from controller.arming import arm_patiently
from controller.asides import AsideBook, told, told_of
from controller.care import Care
from controller.desk import Desk
from controller.draining import Draining
from controller.errors import ControllerError, RigNotReady, SessionError, TakeFailed, describe_failure
from controller.fire import FireOrder, Skew, order_fire
from controller.handoff import Handoff, hand_over
from controller.ingest import Ingest
from controller.keeping import accept_take, offer
from controller.lag import LagBook
from controller.lag_shots import LagReport, LagStore, measure_lags
from controller.late import LateNews
from controller.lights import Lights, Lit, setup_record
from controller.link import ControlLink
from controller.plain import by_reason
from controller.port_guard import PortGuard
from controller.preflight import Preflight, fly
from controller.quality.reviewer import Reviewer
from controller.records import Records
from controller.resume import Recovery
from controller.rig_file import DEFAULT_PROFILE
from controller.rig_report import CameraReport, report_cameras
from controller.roster import Roster
from controller.script import Line, Script, TakeLine
from controller.session_book import SessionBook
from controller.settings import StudioSettings
from controller.tally import Tally
from db import migrations
from db.closed import require_closed
from db.engine import open_database, transaction
from db.errors import RecordError
from db.models import TakeState
from db.protocols import FACESCAPE, install_protocol
from db.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TakeResult:
    """What became of a fire. `faults`: why it was not kept, by camera. `flags` and `advice`: kept, but look again.

    `cameras`: how many took part; `aside`: those that did not, and why.
    `warnings`: what a camera or its node could not do as it was asked to, and fired all the same.

    What its photographs show is looked at meanwhile: see Studio.reviewer.result().
    """

    take: str
    session: str
    expression: str
    position: int
    attempt: int
    state: str
    frames: int
    cameras: int
    skew: Skew
    faults: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    advice: Mapping[str, str] = field(default_factory=dict)
    warnings: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    aside: Mapping[str, str] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        return self.state == TakeState.CAPTURED.value

    @property
    def coming_in(self) -> bool:
        """Fired, and its photographs are on their way: look again."""
        return self.state == TakeState.FIRED.value

    def require_kept(self) -> Self:
        """Itself, or TakeFailed with every camera that failed."""
        if not self.kept:
            raise TakeFailed(self.take, self.faults, self.message)
        return self


class Studio:
    """A context manager: enters with sockets bound and threads running, leaves with everything written.

    Methods may be called from any thread; one fire at a time. Raises KeyRefused, RecordError or ConfigurationError on
    entering; takes that an earlier controller left under way are settled in the background.
    """

    def __init__(self, settings: StudioSettings) -> None:
        self.settings = settings
        self.rig = settings.rig
        self._firing = threading.Lock()
        self._last: TakeResult | None = None
        self.last_preflight: Preflight | None = None
        self.lags = LagBook()
        self.lights = Lights(settings.rig.lights, settings.rig.scenes, f"Mien {settings.rig.name}")

    def __enter__(self) -> Self:
        settings = self.settings
        settings.records.make_home()
        require_closed(settings.records)
        self.engine = open_database(settings.records.database)
        if migrations.current(self.engine) is None:
            migrations.upgrade(self.engine)
            with transaction(self.engine) as tx:
                install_protocol(tx, FACESCAPE)
        migrations.require_current(self.engine)
        self.store = Store(settings.records.store, cache=settings.records.home / "cache")
        self.records = Records(self.engine, self.rig)
        self.asides = AsideBook(self.engine, self.rig)
        self.lag_store = LagStore(self.engine, self.rig)
        self.sessions = SessionBook(self.engine, self.rig)
        self.reviewer = Reviewer(self.engine, self.store, self.rig, self.records.photographs)
        self.care = Care(self.engine, self.rig, self.records, self._firing)
        self.care.start()
        self.late = LateNews(self.engine, self.reviewer.finish)
        self.desk = Desk(self.records, self.reviewer.add, self.late.came, self.care)
        keys = ensure_keys(settings.records.keys, CONTROLLER)
        self.public_key = keys.public
        self.allowed = AllowList(settings.records.keys)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._guard = Authenticator(self._context, self.allowed)
        self._guard.__enter__()
        self._ports = PortGuard(self._context, self._guard.bar)
        self._ports.start()
        self.link = ControlLink(self._context, settings.control, keys, self.allowed, self.rig, self.desk, self._ports)
        self.care.attach(self.link)
        self.ingest = Ingest(
            self._context,
            settings.bulk,
            keys,
            self.allowed,
            settings.records.ingest,
            self.store,
            self.desk,
            self.link.owner,
            self.rig.transfer,
            self.care.viewer.piece,
            self._ports,
        )
        self.lights.__enter__()
        stopped, quiet_s = (lambda: self.desk.stopped), self.rig.transfer.frame_timeout_s
        self.draining: Draining[TakeResult] = Draining(lambda: self.ingest.trouble, stopped, quiet_s)
        self._recovery = Recovery(self.records, self.desk, self.link, self.rig, self._conclude_late)
        try:
            self._recovery.begin()
            self.link.start()
            self.ingest.start()
            self.reviewer.catch_up()
        except zmq.ZMQError as error:
            self.__exit__(None, None, None)
            places = f"{settings.control} and {settings.bulk}"
            raise ControllerError(f"cannot listen on {places}: {error.strerror}; is another studio running?") from error
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.desk.stop_waiting()
        self.link.stop()
        self.ingest.stop()
        self._recovery.join(30)
        self.draining.join(30)
        self.reviewer.stop()
        self.care.stop()
        self.lights.__exit__(None, None, None)
        self._guard.__exit__(None, None, None)
        self._ports.stop()
        self._context.destroy(linger=0)
        self.engine.dispose()

    @property
    def control_endpoint(self) -> str:
        return self.link.endpoint

    @property
    def bulk_endpoint(self) -> str:
        return self.ingest.endpoint

    def enrol(self, node: str, public_key: str) -> None:
        """Let a node in by its public key (Z85). Raises KeyRefused."""
        self.allowed.add(node, public_key)

    # --- the rig ---

    def roster(self) -> Roster:
        """Who should be here, and is; the cameras that are aside are not expected."""
        return self.link.roster().without(self.asides.current())

    def cameras(self) -> list[CameraReport]:
        """Every camera of the rig in view order, those aside too, then the unknown ones."""
        aside = {name: told(aside) for name, aside in self.asides.current().items()}
        return report_cameras(self.rig, self.link.roster().without(aside), self.link.nodes(), aside)

    def wait_for_cameras(self, timeout_s: float) -> Roster:
        """Until every expected camera is here with a clock good enough to arm; those aside are not waited for.

        Raises RigNotReady, naming each camera that is not.
        """
        end = time.monotonic() + timeout_s
        while True:
            reports = [report for report in self.cameras() if report.view >= 0 and not report.aside]
            waiting = [report for report in reports if not report.ready]
            if not waiting:
                return self.roster()
            left = end - time.monotonic()
            if left <= 0:
                width = max(len(report.camera) for report in waiting)
                lines = [f"  {report.camera:<{width}}  {'; '.join(report.problems)}" for report in waiting]
                head = f"{len(waiting)} of {len(reports)} cameras are not ready after {timeout_s:g} s."
                raise RigNotReady("\n".join([head, *lines]))
            with self.link.changed:
                self.link.changed.wait(min(left, 0.25))

    # --- the session ---

    def add_calibration(self, method: str, data: Mapping[str, Any]) -> int:
        """Keep a calibration of this rig (FaceScape's params.json keys, millimetres) and return its version.

        Sessions started from now on refer to it.
        """
        return self.records.add_calibration(method, data)

    def start_session(
        self,
        subject: str,
        protocol: str | None = None,
        version: int | None = None,
        profile: str = DEFAULT_PROFILE,
    ) -> str:
        """Open a session of a subject (code) under a protocol (FaceScape's 20 expressions) and return its code."""
        self.rig.profile(profile)
        session = self.records.start_session(subject, protocol, version, profile)
        self.reviewer.warm_up()
        return session

    def resume_session(self, session: str) -> Script:
        """Go on with a paused session, where it stands. Raises StateConflict when another one is open."""
        self.sessions.resume(session)
        self.reviewer.warm_up()
        return self.records.script(session)

    def script(self, session: str) -> Script:
        """The session as it stands: expressions, takes, what comes next."""
        return self.records.script(session)

    def fire(
        self,
        session: str,
        expression: str | None = None,
        *,
        retake: bool = False,
        profile: str | None = None,
        wait: bool = True,
    ) -> TakeResult:
        """Fire one take and wait until it is whole or known not to be; the next expression to fire by default.

        Another take may be fired, from another thread, as soon as every photograph of this one is safe on its node:
        the transfer goes on behind. wait=False returns then, with a result that is `coming_in`; so does a take whose
        photographs cannot be filed for a reason on this side.
        profile: settings and lights of this take; the session's by default. Raises SessionError when the session does
        not allow it, RigNotReady when a camera is not there and LightsFailed when the scene cannot be sent: nothing
        was fired then and no attempt is used up. A take that fails is returned as failed, not raised.
        """
        if not self._firing.acquire(blocking=False):
            raise SessionError("A take is being fired; wait for it")
        try:
            script = self.records.script(session)
            line = script.find(expression) if expression is not None else script.next_to_fire()
            if line is None:
                raise SessionError(
                    f"Every expression of {session} is accepted or skipped. To end it:  mien session close {session}"
                )
            script.check_fire(line.position, retake)
            profile = profile or script.profile
            scene = self.rig.scene_of(profile)
            aside = self._require_rig()
            lit = self.lights.show(scene) if scene is not None else None
            attempt = script.attempt(line.position)
            take = self.records.plan(session, line.position, profile, aside)
            tally = Tally(take, (camera.name for camera in self.rig.cameras), aside=aside)
            self.desk.open(tally)
            future = self._fire(script, line, attempt, tally, profile, lit)
            if not future.done():
                tally.wait_spooled(self.rig.transfer.frame_timeout_s)
        finally:
            self.lights.rest()
            self._firing.release()
        result = self.draining.wait(future) if wait or future.done() else None
        if result is None:
            result = self._last = self._coming_in(script, line, attempt, tally)
        return result

    def retake(self, session: str, expression: str, profile: str | None = None) -> TakeResult:
        """Fire an expression again. The old take is kept, and superseded once the new one is whole."""
        return self.fire(session, expression, retake=True, profile=profile)

    def accept(
        self, session: str, expression: str | None = None, *, without: Collection[str] = (), reason: str = ""
    ) -> TakeLine:
        """Accept the expression's latest whole take; by default the one that was captured last and not yet decided.

        without, reason: the last take, which failed, is kept although it lacks these cameras' photographs. Raises
        SessionError, and AsideRefused when more would be missing than may.
        """
        script = self.records.script(session)
        code = accept_take(self.records, self.asides, script, expression, without, reason)
        if without:
            self.reviewer.finish(code)  # it failed, so nobody has judged it
        return self.records.take(code)

    def close(self, session: str, *, incomplete: bool = False) -> Handoff:
        """Close the session: the farm takes over. Raises SessionError, naming what is not accepted yet.

        Cameras that were aside until its end are back.
        """
        handed = hand_over(self.records, self.store, session, incomplete)
        self.asides.lift_over()
        return handed

    def measure_lags(self, shots: int, profile: str = DEFAULT_PROFILE) -> LagReport:
        """Fire shots that belong to no take, and keep each camera's lag under a profile. Raises like fire()."""
        if not self._firing.acquire(blocking=False):
            raise SessionError("A take is being fired; wait for it")
        try:
            scene = self.rig.scene_of(profile)
            rig = self.rig.without(self._require_rig())
            if scene is not None:
                self.lights.settle(self.lights.show(scene))
            return measure_lags(rig, self.link, self.lags, self.lag_store, profile, shots, self._quiet, log.info)
        finally:
            self.lights.rest()
            self._firing.release()

    def preflight(self, profile: str = DEFAULT_PROFILE) -> Preflight:
        """Whether a session can begin: every camera is armed and let go again, the lights are lit for a moment."""
        if not self._firing.acquire(blocking=False):
            raise SessionError("A take is being fired; wait for it")
        try:
            self.care.require_quiet()
            disks = [self.settings.records.home, *([self.store.folder] if self.store.folder else [])]
            aside = {name: told(aside) for name, aside in self.asides.current().items()}
            broken, trouble = self.asides.broken(aside), self.ingest.trouble
            found = fly(self.rig, profile, self.link, self.lights, self.sessions, disks, trouble, aside, broken)
            found = replace(found, checks=(*found.checks, *self.care.checks()))
            self.last_preflight = found
            return found
        finally:
            self._firing.release()

    @property
    def last_take(self) -> TakeResult | None:
        return self._last

    # --- one fire ---

    def _require_rig(self) -> dict[str, str]:
        """Who is aside, and why. Raises RigNotReady when another camera is not there, or when too many are aside."""
        self.care.require_quiet()
        aside = self.asides.reasons()
        roster = self.link.roster().without(aside)
        if len(roster.ready) < len(roster.expected):
            raise RigNotReady(f"Nothing was fired. {roster.describe()}")
        broken = self.asides.broken(aside)
        if broken:
            raise RigNotReady(
                "Nothing was fired. Too much is aside:\n  "
                + "\n  ".join(broken)
                + f"\nTo bring one back:  mien rig back {next(iter(aside))}"
            )
        return aside

    def _fire(
        self, script: Script, line: Line, attempt: int, tally: Tally, profile: str, lit: Lit | None
    ) -> "Future[TakeResult]":
        lags = {camera: state.hello.lag_ns for camera, state in self.link.nodes().items()}
        order = self.lag_store.applied(order_fire(tally.take, self.rig.without(tally.aside), lags, profile), profile)
        try:
            with self._quiet():
                failed = self._shoot(order, tally, profile, lit)
        except BaseException as error:
            self.link.disarm(order, "the controller gave up")
            with suppress(RecordError):  # the first error counts; a take left open is settled at the next start
                self.records.failed(tally.take, f"The controller failed during the fire: {error}")
            raise
        finally:
            self.lights.rest()
        if failed:
            nothing_fired: Future[TakeResult] = Future()
            nothing_fired.set_result(self._conclude(script, line, attempt, tally, "fired"))
            return nothing_fired
        return self.draining.begin(tally, lambda: self._conclude(script, line, attempt, tally, "kept"))

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Nothing is taken in and nothing is looked at while a fire is near."""
        self.ingest.hold()
        self.reviewer.hold()
        try:
            yield
        finally:
            self.link.allow_uploads()
            self.ingest.go_on()
            self.reviewer.go_on()

    def _coming_in(self, script: Script, line: Line, attempt: int, tally: Tally) -> TakeResult:
        held = f" Photographs cannot be filed: {self.ingest.trouble}" if self.ingest.trouble else ""
        frames, cameras = len(tally.frames), len(tally.cameras)
        return TakeResult(
            take=tally.take,
            session=script.session,
            expression=line.name,
            position=line.position,
            attempt=attempt,
            state=TakeState.FIRED.value,
            frames=frames,
            cameras=cameras,
            skew=tally.skew(),
            faults=tally.faults,
            warnings=tally.warnings,
            message=f"Take {tally.take} is coming in: {frames} of {cameras} photographs are here.{held}",
            aside=tally.aside,
        )

    def _shoot(self, order: FireOrder, tally: Tally, profile: str, lit: Lit | None) -> bool:
        """ARM, journal, FIRE. True when the cameras did not all arm, so that nothing was fired."""
        order, armed = arm_patiently(self.link, order)
        for camera, found in armed.armed.items():
            tally.add_warnings(camera, found.warnings)
        if armed.faults:
            self.link.disarm(order, "not every camera could be armed")
            for camera, reason in armed.faults.items():
                tally.add_fault(camera, reason)
            tally.call_off()
            return True
        if lit is not None:
            self.lights.settle(lit)
        self.records.fired(order.take_id, setup_record(profile, structs.asdict(order.exposure), lit))
        report = self.link.release(order)
        self.lags.add(report.stamps.values(), profile)
        for camera, reason in report.faults.items():
            tally.add_fault(camera, reason)
        return False

    def _conclude(self, script: Script, line: Line, attempt: int, tally: Tally, verb: str) -> TakeResult:
        """Write what became of the take: captured when every camera is settled well, else failed with every reason."""
        if verb == "kept":
            for camera in tally.missing():
                quiet = self.rig.transfer.frame_timeout_s
                tally.add_fault(camera, f"its photograph did not come; nothing came in for {quiet:g} s")
        faults = dict(tally.faults)
        skew = tally.skew() if faults or tally.fully_stamped() else Skew()
        flags: list[str] = []
        if verb == "kept":
            flags = [*skew.flags(self.rig.sync), *by_reason(self.records.deviations(tally.take))]
        reference = f"mien session retake {script.reference(line.position)}"
        cameras = len(tally.cameras)
        state = TakeState.FAILED if faults else TakeState.CAPTURED
        if faults:
            lacking = tally.lacking() if verb == "kept" else []
            keep = offer(self.asides, tally.aside, lacking, script.reference(line.position))
            message = describe_failure(tally.take, cameras, faults, reference, verb, keep)
            self.reviewer.drop(tally.take)
            self.records.failed(tally.take, message, skew)
            late = self.records.look_again(tally.take, lacking) if lacking else None
            if late is not None:
                state, message = late.after, f"{message}\n{self.late.came(late)}"
        else:
            self.records.captured(tally.take, skew, flags, tally.stamps)
            self.reviewer.finish(tally.take)
            aside = f", {told_of(tally.aside)}" if tally.aside else ""
            message = f"Take {tally.take} is whole: {cameras} of {cameras} photographs{aside}."
            if flags:
                message += f" But {'; '.join(flags)}.\nTo take it again:  {reference}"
        self._last = TakeResult(
            take=tally.take,
            session=script.session,
            expression=line.name,
            position=line.position,
            attempt=attempt,
            state=state.value,
            frames=len(tally.frames),
            cameras=cameras,
            skew=skew,
            faults=faults,
            flags=tuple(flags),
            advice={} if faults else dict(tally.notes),
            warnings=tally.warnings,
            message=message,
            aside=tally.aside,
        )
        return self._last

    def _conclude_late(self, tally: Tally) -> str:
        """A take that an earlier controller fired: all that can come of it is in."""
        session, reference = tally.take.rsplit("-E", 1)
        script = self.records.script(session)
        position, attempt = (int(part) for part in reference.split("-"))
        return self._conclude(script, script.find(f"E{position}"), attempt, tally, "kept").message
