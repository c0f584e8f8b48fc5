"""Collector of the studio's figures: nothing is counted here, everything is read when it is asked for.

Names and units follow Prometheus' conventions: seconds, bytes, ratios of 0 to 1, counters that end in _total. Labels
name the rig, its cameras and nodes, and states of a fixed list; no subject, session or take ever becomes one.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.firing.fire_timing import Skew
from controller.node_links.camera_status import CameraReport
from controller.rig_file import DEFAULT_PROFILE
from controller.shutter_lag.lag_statistics import lag_drifts_ms
from controller.studio import Studio
from db.errors import RecordError
from db.models import TakeState

MS = 1000.0  # in a second
SETTLED = (TakeState.CAPTURED.value, TakeState.FAILED.value)  # what a take becomes when its photographs are in
ABSENT, ASIDE = "absent", "aside"  # beside the states that nodes report

CAMERA = ("camera", "node")


def _nothing() -> int:
    return 0


@dataclass
class ConsoleLoad:
    """What the console's server knows of itself."""

    connections: Callable[[], int] = _nothing
    streams: Callable[[], int] = _nothing  # pages that are told of changes


class StudioCollector(Collector):
    """One studio's figures. collect() may be called from any thread."""

    def __init__(self, studio: Studio, load: ConsoleLoad) -> None:
        self._studio = studio
        self._load = load
        self._started = time.time()

    def collect(self) -> Iterator[Metric]:
        studio = self._studio
        info = InfoMetricFamily("mien_studio", "The rig that this studio serves, and its software.")
        info.add_metric([], {"rig": studio.rig.name, "version": version("mien")})
        yield info
        yield _gauge("mien_studio_start_time_seconds", "When the studio was started, since 1970.", self._started)
        reports = [report for report in studio.cameras() if report.view >= 0]
        yield from _cameras(reports)
        yield from self._lags()
        yield from self._nodes()
        yield from self._takes()
        yield from self._transfer()
        yield from self._server()

    def _lags(self) -> Iterator[Metric]:
        """Drift under the profile of the open session; without one, under the default one."""
        studio = self._studio
        drift = GaugeMetricFamily(
            "mien_camera_lag_drift_seconds", "Shutter lag that takes show, minus the lag that is kept.", labels=CAMERA
        )
        try:
            session = studio.open_session()
            profile = studio.state_of(session).profile if session else DEFAULT_PROFILE
            means_ms = {camera: lag.mean_ms for camera, lag in studio.kept_lags(profile).items()}
            trouble = False
        except RecordError:
            profile, means_ms, trouble = DEFAULT_PROFILE, {}, True
        yield _gauge("mien_records_trouble", "1 while the records cannot be read.", trouble)
        nodes = {camera: state.node for camera, state in studio.link.nodes().items()}
        for camera, drift_ms in lag_drifts_ms(means_ms, studio.observed_lags(profile)).items():
            drift.add_metric([camera, nodes.get(camera, "")], drift_ms / MS)
        yield drift

    def _nodes(self) -> Iterator[Metric]:
        heard = GaugeMetricFamily("mien_node_heard_age_seconds", "Since a camera's node was heard last.", labels=CAMERA)
        for camera, (node, age_s) in self._studio.link.heard_ages_s().items():
            heard.add_metric([camera, node], age_s)
        yield heard
        connections = GaugeMetricFamily(
            "mien_node_connections", "Connections to a port that nodes connect to.", labels=["port"]
        )
        for port, count in self._studio.guard.connections().items():
            connections.add_metric([port], count)
        yield connections
        yield _counter(
            "mien_node_connections_dropped", "Connections of nodes that were let go.", self._studio.guard.dropped
        )
        yield _counter(
            "mien_control_messages_refused",
            "Messages over the control channel that were none.",
            self._studio.link.refused_messages,
        )

    def _takes(self) -> Iterator[Metric]:
        studio = self._studio
        yield _counter("mien_fires", "Fires of takes since the studio was started.", studio.take_firing.fires)
        takes = CounterMetricFamily(
            "mien_takes", "Takes settled since the studio was started, by what they became.", labels=["state"]
        )
        settled = Counter(studio.settlement.settled)
        for state in SETTLED:
            takes.add_metric([state], settled[state])
        yield takes
        skew = studio.settlement.last.skew if studio.settlement.last is not None else Skew()
        for name, what, value in (
            ("command_skew", "Latest minus earliest command", skew.command_skew_ms),
            ("exposure_skew", "Latest minus earliest exposure", skew.exposure_skew_ms),
            ("clock_uncertainty", "Uncertainty of the worst clock", skew.clock_uncertainty_ms),
        ):
            gauge = GaugeMetricFamily(f"mien_last_take_{name}_seconds", f"{what} of the take told of last.")
            if value is not None:
                gauge.add_metric([], value / MS)
            yield gauge
        yield _gauge("mien_side_pending", "Looks of side processes that wait or are under way.", studio.side.waiting)
        yield _gauge("mien_checks_pending", "Takes whose checks are not done yet.", studio.reviewer.pending)

    def _transfer(self) -> Iterator[Metric]:
        ingest = self._studio.ingest
        yield _counter("mien_ingest_received_bytes", "Bytes of files that have come in.", ingest.received_bytes)
        yield _counter("mien_ingest_files_stored", "Files that were filed.", ingest.stored)
        yield _gauge("mien_ingest_trouble", "1 while photographs cannot be filed.", bool(ingest.trouble))
        yield _gauge(
            "mien_lights_trouble", "1 while packets to the lights do not leave.", bool(self._studio.lights.trouble)
        )

    def _server(self) -> Iterator[Metric]:
        free = GaugeMetricFamily("mien_disk_free_bytes", "Room that is left, by what lies there.", labels=["place"])
        for place, folder in self._disks().items():
            try:
                found = os.statvfs(folder)
            except OSError:
                continue
            free.add_metric([place], found.f_bavail * found.f_frsize)
        yield free
        yield _gauge("mien_console_connections", "Connections to the console.", self._load.connections())
        yield _gauge("mien_console_streams", "Pages that are told of changes.", self._load.streams())

    def _disks(self) -> Mapping[str, Path]:
        found = {"home": self._studio.settings.records.home}
        if self._studio.store.folder is not None:
            found["store"] = self._studio.store.folder
        return found


def _cameras(reports: Iterable[CameraReport]) -> Iterator[Metric]:
    reports = list(reports)
    states = Counter(ASIDE if report.aside else report.state for report in reports)
    count = GaugeMetricFamily("mien_cameras", "Cameras of the rig, by state.", labels=["state"])
    for state in sorted({*states, ABSENT, ASIDE, "idle"}):
        count.add_metric([state], states[state])
    yield count
    yield _by_camera(
        "mien_camera_ready", "1 when nothing stands in the way of a fire.", reports, lambda one: float(one.ready)
    )
    yield _by_camera(
        "mien_camera_aside", "1 while nothing is asked of the camera.", reports, lambda one: float(bool(one.aside))
    )
    yield _by_camera(
        "mien_camera_battery_ratio",
        "Charge of the battery, 0 to 1.",
        reports,
        lambda one: None if one.battery_percent is None else one.battery_percent / 100,
    )
    yield _by_camera(
        "mien_camera_frames_left", "Photographs that fit on the card.", reports, lambda one: one.photos_left
    )
    yield _by_camera(
        "mien_camera_clock_uncertainty_seconds",
        "How wrong the clock of the camera's node may be.",
        reports,
        lambda one: None if one.clock_uncertainty_ms is None else one.clock_uncertainty_ms / MS,
    )
    yield _by_camera(
        "mien_camera_round_trip_seconds",
        "Best round trip of the last minute to the camera's node.",
        reports,
        lambda one: None if one.round_trip_ms is None else one.round_trip_ms / MS,
    )
    yield _by_camera(
        "mien_camera_spooled_photographs", "Photographs that wait on the node.", reports, lambda one: one.spooled
    )
    yield _by_camera("mien_camera_stray_files", "Files on the node of no take.", reports, lambda one: one.strays)


def _by_camera(
    name: str, text: str, reports: Iterable[CameraReport], value: Callable[[CameraReport], float | None]
) -> Metric:
    """A gauge by camera; one whose value is not known is left out."""
    gauge = GaugeMetricFamily(name, text, labels=CAMERA)
    for report in reports:
        if (found := value(report)) is not None:
            gauge.add_metric([report.camera, report.node], found)
    return gauge


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=float(value))
