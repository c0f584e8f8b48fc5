"""Parts of a running studio: started one after the other, stopped in the opposite order, released when a start fails.

Each part that starts registers its stop with an ExitStack before it does: whatever fails at the start, what had begun
ends, in the order in which a running studio ends.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

import zmq

from camera_nodes.curve_keys import CONTROLLER, AllowList, KeyPair, ensure_keys
from camera_nodes.transport import Authenticator, Context
from controller.accounts.accounts_desk import AccountsDesk
from controller.cameras.camera_maintenance import CameraMaintenance
from controller.change_bell import ChangeBell
from controller.errors import ControllerError, SessionError
from controller.firing.firing_lock import FiringLock
from controller.ingest.photograph_transfer import Ingest
from controller.lighting.sacn_sender import SacnSender
from controller.node_links.connection_guard import ConnectionGuard, NodePort
from controller.node_links.control_channel import ControlLink
from controller.rig.cameras_aside import CamerasAside
from controller.rig_jobs import RigJobs
from controller.rig_shots.rig_shooting import RigShooting
from controller.rig_shots.shot_firing import ShotFiring
from controller.sessions.late_photographs import LatePhotographs
from controller.sessions.operator_decisions import Decisions
from controller.sessions.session_store import SessionStore
from controller.shutter_lag.lag_measurement import ShutterLagStore
from controller.shutter_lag.lag_statistics import ShutterLagStatistics
from controller.side_processes.side_processes import SideProcesses
from controller.studio_settings import StudioSettings
from controller.study.study_records import StudyRecords
from controller.take_checks.take_reviewer import TakeReviewer
from controller.takes.take_completion import TakeCompletion
from controller.takes.take_events import TakeEvents
from controller.takes.take_firing import QuietWindow, TakeFiring
from controller.takes.take_outcome import TakeSettlement
from controller.takes.take_recovery import TakeRecovery
from controller.takes.take_result import TakeResult
from db import migrations
from db.access_guard import require_closed
from db.audit.restore_journal import keep_journal, place
from db.engine import open_database, tell_commits, transaction
from db.protocols import FACESCAPE, install_protocol
from db.store import Store

ENDING_S = 30.0  # that takes under way may use to leave their records as they are


class StudioParts:
    """A context manager: enters with sockets bound and threads running, leaves with everything written.

    Raises KeyRefused, RecordError or ConfigurationError on entering, ControllerError when an address cannot be bound;
    takes that an earlier controller left under way are settled in the background. Enter it once.
    """

    def __init__(self, settings: StudioSettings) -> None:
        self.settings = settings
        self.rig = settings.rig
        self.bell = ChangeBell()
        self.jobs = RigJobs(self.bell)
        self.firing = FiringLock()
        self.lags = ShutterLagStatistics()
        self.lights = SacnSender(settings.rig.lights, settings.rig.scenes, f"Mien {settings.rig.name}", self._lit)
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self._open_records(starting)
            self._start_services(starting)
            self._start_links(starting)
            self._running = starting.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.__exit__(kind, error, trace)

    def at_stop(self, stop: Callable[[], object]) -> None:
        """Have this done first of all when the studio ends: what others run on top of it."""
        self._running.callback(stop)

    def _open_records(self, starting: ExitStack) -> None:
        """Database and store, and what reads and writes them without a thread of its own."""
        places = self.settings.records
        places.make_home()
        require_closed(places)
        self.engine = open_database(places.database)
        starting.callback(self.engine.dispose)
        keep_journal(self.engine, place(places.store, places.home))
        if migrations.current(self.engine) is None:
            migrations.upgrade(self.engine)
            with transaction(self.engine) as tx:
                install_protocol(tx, FACESCAPE)
        migrations.require_current(self.engine)
        tell_commits(self.engine, self._written)
        self.accounts = AccountsDesk(self.engine)
        self.store = Store(places.store, cache=places.home / "cache")
        self.records = SessionStore(self.engine, self.rig)
        self.decisions = Decisions(self.engine, self.rig)
        self.asides = CamerasAside(self.engine, self.rig)
        self.lag_store = ShutterLagStore(self.engine, self.rig)
        self.study = StudyRecords(self.engine, self.store, places, self.records.open_session)
        starting.callback(self.study.rules.stop)

    def _start_services(self, starting: ExitStack) -> None:
        """Whatever has threads or sockets, but for the sockets that nodes connect to."""
        self._context: Context = zmq.Context()
        starting.callback(self._context.destroy, linger=0)
        self.allowed = AllowList(self.settings.records.keys)
        authenticator = Authenticator(self._context, self.allowed)
        self.guard = ConnectionGuard(self._context, authenticator.bar)
        starting.callback(self.guard.stop)
        self.guard.start()
        starting.push(authenticator)  # beforehand: leaving it ends what a failing entry had begun
        authenticator.__enter__()
        starting.enter_context(self.lights)
        self.maintenance = CameraMaintenance(self.engine, self.rig, self.records, self.firing, self._node_told)
        starting.callback(self.maintenance.stop)
        self.maintenance.start()
        self.side = SideProcesses(self.engine, self.store, self.rig, self.settings.records.home, self._scanned)
        starting.callback(self.side.stop)
        self.side.start()
        photographs = self.records.photographs
        self.reviewer = TakeReviewer(self.engine, self.store, self.rig, photographs, self.side.whole)
        starting.callback(self.reviewer.stop)
        self.late = LatePhotographs(self.engine, self.reviewer.finish)
        self.settlement = TakeSettlement(self.rig, self.records, self.asides, self.reviewer, self.late, self._told)
        self.rig_shots = RigShooting(self.rig, self.settings.records.home, self.firing, self._jobs)
        starting.callback(self.rig_shots.stop)
        self.rig_shots.start()
        self.events = TakeEvents(self.records, self.reviewer.add, self.late.arrived, self.maintenance, self.rig_shots)

    def _start_links(self, starting: ExitStack) -> None:
        """The sockets that nodes connect to, once takes that were left under way are known; then all is running."""
        keys = ensure_keys(self.settings.records.keys, CONTROLLER)
        self.public_key = keys.public
        self.link = ControlLink(
            self._port(self.settings.control, keys), self.rig, self.events, self._node_told, self.settings.setting_up
        )
        starting.callback(self.link.stop)
        self.maintenance.attach(self.link)
        self.ingest = self._make_ingest(keys)
        starting.callback(self.ingest.stop)
        self.quiet = QuietWindow(self.link, self.ingest, self.reviewer, self.side, self.bell)
        self.rig_shots.attach(
            ShotFiring(self.rig, self.link, self.lights, self.lag_store, self.quiet), self._may_be_shot
        )
        self.take_firing = TakeFiring(
            self.rig, self.link, self.lights, self.records, self.lag_store, self.lags, self.quiet
        )
        self.completion: TakeCompletion[TakeResult] = TakeCompletion(
            lambda: self.ingest.trouble, lambda: self.events.stopped, self.rig.transfer.frame_timeout_s
        )
        starting.callback(self.completion.join, ENDING_S)
        self.recovery = TakeRecovery(self.records, self.events, self.link, self.rig, self.settlement.settle_late)
        starting.callback(self.recovery.join, ENDING_S)
        starting.callback(self.events.stop_waiting)  # first of all, so that nothing below is waited for
        self.recovery.begin()
        with self._binding():
            self.link.start()
            self.ingest.start()
        self.reviewer.catch_up()

    def _may_be_shot(self) -> dict[str, str]:
        """By camera why it is not photographed with, "" when it is. Raises SessionError when somebody may sit there."""
        session = self.records.open_session()
        if session is not None:
            raise SessionError(
                f"Session {session} is open: whoever sits there would be photographed outside of the records."
                f" First:  mien session pause {session}"
            )
        self.maintenance.require_quiet()
        roster, aside = self.link.roster(), self.asides.reasons()
        problems = {item.camera: item.text for item in roster.discrepancies}
        return {
            camera: f"aside: {aside[camera]}" if camera in aside else problems.get(camera, "")
            for camera in roster.expected
        }

    def _jobs(self) -> None:
        self.bell.ring("jobs")

    def _lit(self) -> None:
        self.bell.ring("lights")

    def _written(self) -> None:
        self.bell.ring("records")

    def _node_told(self, topic: str, camera: str) -> None:
        self.bell.ring(topic, camera)

    def _scanned(self) -> None:
        self.bell.ring("scan")

    def _told(self) -> None:
        self.bell.ring("take")

    def _port(self, address: str, keys: KeyPair) -> NodePort:
        return NodePort(self._context, address, keys, self.allowed, self.guard)

    def _make_ingest(self, keys: KeyPair) -> Ingest:
        return Ingest(
            self._port(self.settings.bulk, keys),
            self.settings.records.ingest,
            self.store,
            self.events,
            self.link.owner,
            self.rig.transfer,
            self.maintenance.viewer.piece,
        )

    @contextmanager
    def _binding(self) -> Iterator[None]:
        """Raises ControllerError for an address that cannot be bound."""
        try:
            yield
        except zmq.ZMQError as error:
            places = f"{self.settings.control} and {self.settings.bulk}"
            raise ControllerError(f"cannot listen on {places}: {error.strerror}; is another studio running?") from error
