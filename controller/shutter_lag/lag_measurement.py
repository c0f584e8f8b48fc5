"""Measurement of shutter lags: shots of the whole rig for that alone, and the lags that are kept and used at each fire.

A lag shot goes through ARM and FIRE like a take, in the same light and the same quiet. It belongs to no session, and
its photographs are let go: the node is told that they are stored, and nobody files them.
"""

import logging
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from sqlalchemy import Engine

from camera_nodes.wire import Stamps
from controller.errors import RigNotReady, TakeFailed, describe_failure
from controller.firing.fire_timing import NS_PER_MS, FireOrder, StampReport, new_fire_id, order_fire
from controller.node_links.control_channel import ControlLink
from controller.rig_file import DEFAULT_PROFILE, Rig
from controller.shutter_lag.lag_statistics import (
    ShutterLagEstimate,
    ShutterLagStatistics,
    SkewForecast,
    outlook,
    settings_text,
)
from db.engine import reading, transaction
from db.rigs import rig_records
from db.rigs.sync_measures import LagRecord, add_lags, newest_lags

log = logging.getLogger(__name__)

LAG_SHOT = "lag-"  # no take's code begins like this
LEAST_SHOTS, MOST_SHOTS = 5, 200
BETWEEN_S, FREE_S = 0.3, 20.0
LONGEST_SHOT_S = 2 * FREE_S  # waiting for the bodies, arming, fire and stamps

Quiet = Callable[[], AbstractContextManager[None]]


def patience_s(shots: int) -> float:
    """How long so many shots may take before something is wrong."""
    return 60.0 + shots * LONGEST_SHOT_S


def is_lag_shot(take_id: str) -> bool:
    """Whether photographs under this name belong to no take and are let go."""
    return take_id.startswith(LAG_SHOT)


class ShutterLagStore:
    """The measured lags as the records have them. Thread-safe."""

    def __init__(self, engine: Engine, rig: Rig) -> None:
        self._engine = engine
        self._rig = rig
        self._known: dict[str, dict[str, LagRecord]] = {}
        self._lock = threading.Lock()

    def of(self, profile: str) -> Mapping[str, LagRecord]:
        """By camera, the newest lag measured with the settings that this profile has now."""
        with self._lock:
            if profile not in self._known:
                settings = settings_text(self._rig.profile(profile))
                with reading(self._engine) as tx:
                    found = newest_lags(tx, rig_records.get_rig(tx, self._rig.name), profile)
                self._known[profile] = {record.camera: record for record in found if record.settings == settings}
            return dict(self._known[profile])

    def used(self, profile: str) -> Mapping[str, LagRecord]:
        """By camera, what a fire with this profile goes by: its own lags, else the default profile's."""
        found = {**self.of(DEFAULT_PROFILE), **self.of(profile)}
        return {camera.name: found[camera.name] for camera in self._rig.cameras if camera.name in found}

    def keep(self, profile: str, lags: Sequence[ShutterLagEstimate], measured_by: str) -> None:
        settings = settings_text(self._rig.profile(profile))
        records = [
            LagRecord(lag.camera, profile, settings, lag.shots, lag.mean_ms, lag.sigma_ms or 0.0, measured_by)
            for lag in lags
        ]
        with transaction(self._engine) as tx:
            add_lags(tx, rig_records.get_rig(tx, self._rig.name), records)
        with self._lock:
            self._known.pop(profile, None)

    def applied(self, order: FireOrder, profile: str) -> FireOrder:
        """The order with the measured lags in place of the rig file's and the nodes' own."""
        known = self.used(profile)
        lags = {
            camera: round(known[camera].mean_ms * NS_PER_MS) if camera in known else lag
            for camera, lag in order.lags_ns.items()
        }
        return replace(order, lags_ns=lags)


@dataclass(frozen=True)
class LagReport:
    """What a measurement found."""

    profile: str  # the settings profile that was measured
    settings: str  # of the cameras in that profile, in words
    shots: int  # how many were fired
    lags: tuple[ShutterLagEstimate, ...]  # of cameras whose true exposure moment is known
    unmeasured: tuple[str, ...]  # the other cameras
    outlook: SkewForecast | None  # None with fewer than two lags
    # mean over the shots of latest minus earliest exposure, each camera's own mean taken off: seen, not computed
    observed_ms: float | None
    measured_by: str  # where the exposure moments are from


def measure_lags(
    rig: Rig,
    link: ControlLink,
    observed: ShutterLagStatistics,
    store: ShutterLagStore,
    profile: str,
    shots: int,
    quiet: Quiet,
    report_progress: Callable[[int], None],
) -> LagReport:
    """Fire `shots` lag shots and keep each camera's mean and standard deviation.

    The caller holds the right to fire and has lit the profile's scene; nothing else is done while `quiet` is entered.
    Raises RigNotReady when cameras do not arm or none knows its exposure moment, TakeFailed naming the cameras that
    missed a shot.
    """
    stamps: list[Mapping[str, Stamps]] = []
    run = uuid.uuid4().hex[:8]
    for number in range(1, shots + 1):
        reported = {camera: state.hello.lag_ns for camera, state in link.nodes().items()}
        order = store.applied(order_fire(f"{LAG_SHOT}{run}-{number}", rig, reported, profile), profile)
        report = _shot(order, link, rig, quiet)
        observed.add(report.stamps.values(), profile)
        stamps.append(report.stamps)
        report_progress(number)
    lags = _lags_of(stamps)
    if not lags:
        raise RigNotReady(
            "No camera reports a true exposure moment, so there is no lag to measure: connect the hot shoes"
            " (gpio: release), or see what the LED board says:  mien rig optical-skew"
        )
    sources = sorted({stamp.exposure_source or "" for shot in stamps for stamp in shot.values()} - {""})
    store.keep(profile, lags, "+".join(sources)[:24])
    known = {lag.camera for lag in lags}
    return LagReport(
        profile=profile,
        settings=settings_text(rig.profile(profile)),
        shots=shots,
        lags=tuple(lags),
        unmeasured=tuple(camera.name for camera in rig.cameras if camera.name not in known),
        outlook=outlook(lags, rig.sync.max_skew_ms),
        observed_ms=_observed_ms(stamps, {lag.camera for lag in lags if lag.shots == shots}),
        measured_by="+".join(sources),
    )


def _shot(order: FireOrder, link: ControlLink, rig: Rig, quiet: Quiet) -> StampReport:
    """One shot. Cameras that still write the last one are waited for, and clocks near their limit."""
    end = time.monotonic() + FREE_S
    while True:
        with quiet():
            armed = link.arm(order)
            if not armed.faults:
                report = link.release(order)
                break
            link.disarm(order, "not every camera could be armed")
        if time.monotonic() > end:
            message = describe_failure(order.take_id, len(rig.cameras), armed.faults, "mien rig lag --shots N", "fired")
            raise RigNotReady(message)
        time.sleep(BETWEEN_S)
        order = replace(order, fire_id=new_fire_id(order.take_id))
    if report.faults:
        message = describe_failure(order.take_id, len(rig.cameras), report.faults, "mien rig lag --shots N", "whole")
        raise TakeFailed(order.take_id, report.faults, message)
    return report


def _lags_of(shots: Sequence[Mapping[str, Stamps]]) -> list[ShutterLagEstimate]:
    observed = ShutterLagStatistics()
    for stamps in shots:
        observed.add(stamps.values())
    return [lag for lag in observed.table() if lag.shots >= LEAST_SHOTS]


def _observed_ms(shots: Sequence[Mapping[str, Stamps]], cameras: set[str]) -> float | None:
    """Over the cameras that were measured in every shot."""
    if len(cameras) < 2:
        return None
    late = {
        camera: [((shot[camera].exposed_at_ns or 0) - shot[camera].commanded_at_ns) / NS_PER_MS for shot in shots]
        for camera in cameras
    }
    residual = [[value - statistics.fmean(values) for value in values] for values in late.values()]
    return statistics.fmean(max(shot) - min(shot) for shot in zip(*residual, strict=True))
