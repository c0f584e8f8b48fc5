"""Firing of one take: the rig's two phases between the journal's entries, in a window in which nothing else is done.

ARM asks every camera, the journal is written, FIRE names the moment. See controller.firing.fire_timing.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from msgspec import structs

from common.guarding.log_fields import about
from controller.change_bell import ChangeBell
from controller.firing.fire_timing import FireOrder, order_fire
from controller.ingest.photograph_transfer import Ingest
from controller.lighting.sacn_sender import SacnSender, setup_record
from controller.node_links.arming import arm_patiently
from controller.node_links.control_channel import ControlLink
from controller.rig_file import Rig
from controller.sessions.session_store import SessionStore
from controller.shutter_lag.lag_measurement import ShutterLagStore
from controller.shutter_lag.lag_statistics import ShutterLagStatistics
from controller.side_processes.side_processes import SideProcesses
from controller.take_checks.take_reviewer import TakeReviewer
from controller.takes.take_under_way import TakeUnderWay
from db.errors import RecordError

log = logging.getLogger(__name__)


class QuietWindow:
    """The time around a fire: nothing is taken in and nothing is looked at, on the nodes as in the studio."""

    def __init__(
        self, link: ControlLink, ingest: Ingest, reviewer: TakeReviewer, side: SideProcesses, bell: ChangeBell
    ) -> None:
        self._link = link
        self._bell = bell
        self._ingest = ingest
        self._reviewer = reviewer
        self._side = side

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Enter the window; arming tells the nodes to hold their uploads, leaving lets them go on."""
        self._ingest.hold()
        self._reviewer.hold()
        self._side.hold()
        try:
            with self._bell.hush():
                yield
        finally:
            self._link.allow_uploads()
            self._ingest.go_on()
            self._reviewer.go_on()
            self._side.go_on()


class TakeFiring:
    """Fires the rig for takes; the caller holds the studio's FiringLock and has the scene lit."""

    def __init__(
        self,
        rig: Rig,
        link: ControlLink,
        lights: SacnSender,
        records: SessionStore,
        lag_store: ShutterLagStore,
        lag_statistics: ShutterLagStatistics,
        quiet: QuietWindow,
    ) -> None:
        self._rig = rig
        self._link = link
        self._lights = lights
        self._records = records
        self._lag_store = lag_store
        self._lag_statistics = lag_statistics
        self._quiet = quiet
        self.fires = 0  # that went out, since the studio was started

    def fire(self, take: TakeUnderWay) -> bool:
        """Fire a planned take; its stamps and faults are added to its progress.

        False when not every camera could be armed, so that nothing was fired. Whatever else fails is raised, with the
        cameras let go and the take recorded as failed.
        """
        lags = {camera: state.hello.lag_ns for camera, state in self._link.nodes().items()}
        order = order_fire(take.code, self._rig.without(take.progress.aside), lags, take.profile)
        order = self._lag_store.applied(order, take.profile)
        try:
            with about(take=take.code, fire=order.fire_id), self._quiet():
                return self._shoot(order, take)
        except BaseException as error:
            self._link.disarm(order, "the controller gave up")
            with suppress(RecordError):  # the first error counts; a take left open is settled at the next start
                self._records.failed(take.code, f"The controller failed during the fire: {error}")
            raise
        finally:
            self._lights.rest()

    def _shoot(self, order: FireOrder, take: TakeUnderWay) -> bool:
        progress = take.progress
        order, armed = arm_patiently(self._link, order)
        for camera, found in armed.armed.items():
            progress.add_warnings(camera, found.warnings)
        if armed.faults:
            self._link.disarm(order, "not every camera could be armed")
            for camera, reason in armed.faults.items():
                progress.add_fault(camera, reason)
            progress.call_off()
            return False
        if take.lit is not None:
            self._lights.settle(take.lit)
        self._records.fired(take.code, setup_record(take.profile, structs.asdict(order.exposure), take.lit))
        progress.mark_fired()
        self.fires += 1
        report = self._link.release(order)
        self._lag_statistics.add(report.stamps.values(), take.profile)
        told = (take.code, len(order.cameras), len(report.faults))
        log.info("%s is fired: %d cameras, %d at fault", *told, extra={"fire": order.fire_id})
        for camera, reason in report.faults.items():
            progress.add_fault(camera, reason)
        return True
