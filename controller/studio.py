"""The studio: control link, ingest and records put together, and what an operator does with them.

with Studio(load_settings(home)) as studio:
    studio.wait_for_cameras(timeout_s=30)
    session = studio.start_session("S012")
    result = studio.fire(session, "neutral")
    if result.kept:
        studio.accept(session, result.take)
"""

import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import zmq
from msgspec import structs

from camera_nodes.curve_keys import CONTROLLER, AllowList, ensure_keys
from camera_nodes.transport import Authenticator
from common.take_codes import TakeCode
from controller.cameras.camera_maintenance import CameraMaintenance
from controller.errors import ControllerError, RigNotReady, SessionError
from controller.firing.fire_timing import FireOrder, order_fire
from controller.ingest.photograph_transfer import Ingest
from controller.lighting.sacn_sender import LightingRecord, SacnSender, setup_record
from controller.node_links.arming import arm_patiently
from controller.node_links.camera_status import CameraReport, report_cameras
from controller.node_links.connection_guard import ConnectionGuard, NodePort
from controller.node_links.control_channel import ControlLink
from controller.preflight.preflight import Preflight, run_preflight
from controller.preflight.start_requirements import lacking, look, require_decision
from controller.rig.cameras_aside import CamerasAside, told
from controller.rig.roster import Roster
from controller.rig_file import DEFAULT_PROFILE
from controller.sessions.farm_handoff import FarmHandoff, hand_over
from controller.sessions.late_photographs import LatePhotographs
from controller.sessions.operator_decisions import Decisions
from controller.sessions.session_lifecycle import SessionLifecycle
from controller.sessions.session_state import ExpressionState, SessionStateMachine, TakeLine
from controller.sessions.session_store import SessionStore
from controller.shutter_lag.lag_book import ShutterLagStatistics
from controller.shutter_lag.lag_measurement import LagReport, ShutterLagStore, measure_lags
from controller.studio_settings import StudioSettings
from controller.take_checks.take_reviewer import TakeReviewer
from controller.takes.incomplete_takes import accept_take
from controller.takes.take_completion import TakeCompletion
from controller.takes.take_events import TakeEvents
from controller.takes.take_outcome import TakeSettlement
from controller.takes.take_progress import TakeProgress
from controller.takes.take_recovery import TakeRecovery
from controller.takes.take_result import TakeResult as TakeResult
from db import migrations
from db.access_guard import require_closed
from db.audit.restore_journal import keep_journal, place
from db.engine import open_database, transaction
from db.errors import RecordError
from db.protocols import FACESCAPE, install_protocol
from db.store import Store

log = logging.getLogger(__name__)


class Studio:
    """A context manager: enters with sockets bound and threads running, leaves with everything written.

    Methods may be called from any thread; one fire at a time. Raises KeyRefused, RecordError or ConfigurationError on
    entering; takes that an earlier controller left under way are settled in the background.
    """

    def __init__(self, settings: StudioSettings) -> None:
        self.settings = settings
        self.rig = settings.rig
        self._firing = threading.Lock()
        self.last_preflight: Preflight | None = None
        self.lags = ShutterLagStatistics()
        self.lights = SacnSender(settings.rig.lights, settings.rig.scenes, f"Mien {settings.rig.name}")

    def __enter__(self) -> Self:
        settings = self.settings
        settings.records.make_home()
        require_closed(settings.records)
        self.engine = open_database(settings.records.database)
        keep_journal(self.engine, place(settings.records.store, settings.records.home))
        if migrations.current(self.engine) is None:
            migrations.upgrade(self.engine)
            with transaction(self.engine) as tx:
                install_protocol(tx, FACESCAPE)
        migrations.require_current(self.engine)
        self.store = Store(settings.records.store, cache=settings.records.home / "cache")
        self.records = SessionStore(self.engine, self.rig)
        self.asides = CamerasAside(self.engine, self.rig)
        self.lag_store = ShutterLagStore(self.engine, self.rig)
        self.sessions = SessionLifecycle(self.engine, self.rig)
        self.decisions = Decisions(self.engine, self.rig)
        self.reviewer = TakeReviewer(self.engine, self.store, self.rig, self.records.photographs)
        self.care = CameraMaintenance(self.engine, self.rig, self.records, self._firing)
        self.care.start()
        self.late = LatePhotographs(self.engine, self.reviewer.finish)
        self.conclusion = TakeSettlement(self.rig, self.records, self.asides, self.reviewer, self.late)
        self.desk = TakeEvents(self.records, self.reviewer.add, self.late.came, self.care)
        keys = ensure_keys(settings.records.keys, CONTROLLER)
        self.public_key = keys.public
        self.allowed = AllowList(settings.records.keys)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._guard = Authenticator(self._context, self.allowed)
        self._guard.__enter__()
        self._ports = ConnectionGuard(self._context, self._guard.bar)
        self._ports.start()
        self.link = ControlLink(self._context, settings.control, keys, self.allowed, self.rig, self.desk, self._ports)
        self.care.attach(self.link)
        self.ingest = Ingest(
            NodePort(self._context, settings.bulk, keys, self.allowed, self._ports),
            settings.records.ingest,
            self.store,
            self.desk,
            self.link.owner,
            self.rig.transfer,
            self.care.viewer.piece,
        )
        self.lights.__enter__()
        stopped, quiet_s = (lambda: self.desk.stopped), self.rig.transfer.frame_timeout_s
        self.draining: TakeCompletion[TakeResult] = TakeCompletion(lambda: self.ingest.trouble, stopped, quiet_s)
        self._recovery = TakeRecovery(self.records, self.desk, self.link, self.rig, self.conclusion.conclude_late)
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

        Takes fired from now on refer to it; Decisions.calibrate gives it to those that have none.
        """
        return self.records.add_calibration(method, data)

    def begin_session(
        self,
        subject: str,
        protocol: str | None = None,
        version: int | None = None,
        profile: str = DEFAULT_PROFILE,
        *,
        without: Collection[str] = (),
        consent_later: bool = False,
    ) -> str:
        """start_session, once nothing lacks that a session needs but what the operator decided to do `without`.

        Raises NotPrepared, naming all that lacks.
        """
        self.rig.profile(profile)
        aside = {name: told(aside) for name, aside in self.asides.current().items()}
        checks = look(
            self.rig, self.link.roster().without(aside), self.link.nodes(), aside, self.asides.broken(aside),
            self.ingest.trouble, self.sessions.newest_calibration(), set(self.lag_store.used(profile)),
        )  # fmt: skip
        decided = require_decision(subject, lacking(checks), without)
        return self.start_session(subject, protocol, version, profile, without=decided, consent_later=consent_later)

    def start_session(
        self,
        subject: str,
        protocol: str | None = None,
        version: int | None = None,
        profile: str = DEFAULT_PROFILE,
        *,
        without: Mapping[str, str] | None = None,
        consent_later: bool = False,
    ) -> str:
        """Open a session of a subject (code) under a protocol (FaceScape's 20 expressions) and return its code.

        The rig is not looked at: see begin_session. without: what is recorded as lacking. consent_later: it begins
        before a consent is recorded. Raises ConsentError for a subject who does not consent.
        """
        self.rig.profile(profile)
        session = self.records.start_session(
            subject, protocol, version, profile, consent_later=consent_later, without=without
        )
        self.reviewer.warm_up()
        return session

    def resume_session(self, session: str) -> SessionStateMachine:
        """Go on with a paused session, where it stands. Raises StateConflict when another one is open."""
        self.sessions.resume(session)
        self.reviewer.warm_up()
        return self.records.script(session)

    def script(self, session: str) -> SessionStateMachine:
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
        shown: str | None = None,
    ) -> TakeResult:
        """Fire one take and wait until it is whole or known not to be; what is next by default.

        shown: what the operator was shown as next; when another one is next by now, nothing is fired.

        Another take may be fired, from another thread, as soon as every photograph of this one is safe on its node:
        the transfer goes on behind. wait=False returns then, with a result that is `coming_in`; so does a take whose
        photographs cannot be filed for a reason on this side.
        profile: settings and lights of this take; the session's by default. Raises SessionError when the session does
        not allow it, ConsentError when the subject has withdrawn, RigNotReady when a camera is not there and
        LightsFailed when the scene cannot be sent: nothing was fired then and no attempt is used up. A take that fails
        is returned as failed, not raised.
        """
        if not self._firing.acquire(blocking=False):
            raise SessionError("A take is being fired; wait for it")
        try:
            script = self.records.script(session)
            line = script.find(expression) if expression is not None else script.check_next(shown)
            script.check_fire(line.position, retake)
            self.decisions.require_consent(session)
            profile = profile or script.profile
            scene = self.rig.scene_of(profile)
            aside = self._require_rig()
            lit = self.lights.show(scene) if scene is not None else None
            take = self.records.plan(session, line.position, profile, aside)
            attempt = TakeCode.parse(take).attempt
            tally = TakeProgress(take, (camera.name for camera in self.rig.cameras), aside=aside)
            self.desk.open(tally)
            future = self._fire(script, line, attempt, tally, profile, lit)
            if not future.done():
                tally.wait_spooled(self.rig.transfer.frame_timeout_s)
        finally:
            self.lights.rest()
            self._firing.release()
        result = self.draining.wait(future) if wait or future.done() else None
        if result is None:
            result = self.conclusion.coming_in(script, line, attempt, tally, self.ingest.trouble)
        return result

    def retake(self, session: str, expression: str, profile: str | None = None) -> TakeResult:
        """Fire an expression again. The takes before stay what they are: of two whole ones the operator chooses."""
        return self.fire(session, expression, retake=True, profile=profile)

    def accept(
        self, session: str, wanted: str | None = None, *, without: Collection[str] = (), reason: str = ""
    ) -> TakeLine:
        """Accept a take: a code means exactly that one, an expression the one that is shown, None the one that waits.

        Other whole takes of the expression are put beside it: see choose(). without, reason: the last take, which
        failed, is kept although it lacks these cameras' photographs. Raises SessionError saying its state for a take
        that cannot be accepted, and AsideRefused when more would be missing than may.
        """
        script = self.records.script(session)
        code, _ = accept_take(self.records, self.asides, script, wanted, without, reason)
        if without:
            self.reviewer.finish(code)  # it failed, so nobody has judged it
        return self.records.take(code)

    def choose(self, session: str, take: str) -> TakeLine:
        """This whole take stands for its expression from now on, whatever was decided before. Raises SessionError."""
        found = self.records.script(session).find_take(take)
        if found is None:
            raise SessionError(f"Say which take, as in {session}-E02-1; see: mien session show {session}")
        self.records.accept(found.code, choose=True)
        return self.records.take(found.code)

    def close(
        self,
        session: str,
        *,
        incomplete: bool = False,
        keep: Collection[str] = (),
        drop: Collection[str] = (),
        keep_all: bool = False,
    ) -> FarmHandoff:
        """Close the session: the farm takes over.

        keep, drop, keep_all: what becomes of whole takes that nobody has accepted; DecisionNeeded is raised where that
        is not said. Raises SessionError, naming what is not accepted yet. Cameras that were aside until its end are
        back.
        """
        handed = hand_over(self.records, self.decisions, self.store, session, incomplete, keep, drop, keep_all)
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
            found = run_preflight(
                self.rig, profile, self.link, self.lights, self.sessions, disks, trouble, aside, broken
            )
            found = replace(found, checks=(*found.checks, *self.care.checks()))
            self.last_preflight = found
            return found
        finally:
            self._firing.release()

    @property
    def last_take(self) -> TakeResult | None:
        return self.conclusion.last

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
        self,
        script: SessionStateMachine,
        line: ExpressionState,
        attempt: int,
        tally: TakeProgress,
        profile: str,
        lit: LightingRecord | None,
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
            nothing_fired.set_result(self.conclusion.conclude(script, line, attempt, tally, "fired"))
            return nothing_fired
        return self.draining.begin(tally, lambda: self.conclusion.conclude(script, line, attempt, tally, "kept"))

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

    def _shoot(self, order: FireOrder, tally: TakeProgress, profile: str, lit: LightingRecord | None) -> bool:
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
