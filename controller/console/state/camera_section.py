"""The section of the cameras: each as the operator's tile shows it. Only what changed is composed again."""

from collections.abc import Collection
from typing import Any

from common.computer import computer_name
from controller.console.state.camera_places import CameraPlaces
from controller.console.state.known_values import known, rounded
from controller.console.state.record_facts import RecordFacts
from controller.console.state.take_sections import SeenTake
from controller.node_links.camera_status import CameraReport, report_cameras
from controller.readiness.places import computer_of
from controller.rig.cameras_aside import aside_text
from controller.rig.roster import Roster
from controller.rig_file import DEFAULT_PROFILE, CameraEntry
from controller.studio import Studio


class CameraSection:
    """By camera: its node's report, its lag, the place where it stands, and how far its photograph is."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._places = CameraPlaces(studio)
        self._entries = {camera.name: camera for camera in studio.rig.cameras}
        self._values: dict[str, dict[str, Any]] = {}
        self._aside: dict[str, str] = {}
        self._computers: dict[str, str] = {}
        self._roster: Roster | None = None
        self._lags: dict[str, dict[str, float]] = {}

    def compose(self, seen: SeenTake, facts: RecordFacts, changed: Collection[str] | None) -> dict[str, Any]:
        """The cameras as they are now; those that did not change are the same objects as before.

        changed: which may have; None: any may, or who is here.
        """
        studio = self._studio
        if changed is None or self._roster is None:
            changed = None
            self._aside = {name: aside_text(aside) for name, aside in studio.cameras_aside().items()}
            self._roster = studio.link.roster().without(self._aside)
            self._lags = self._read_lags(facts.state.profile if facts.state is not None else DEFAULT_PROFILE)
            self._places.read(facts.calibration[0])
            seen_last = studio.link.last_seen()  # a computer that is off keeps its cameras
            self._computers = {
                name: computer_name(computer_of(last.disk, last.node)) for name, last in seen_last.items()
            }
        nodes = studio.link.nodes()
        values = {}
        for report in report_cameras(studio.rig, self._roster, nodes, self._aside, changed):
            value = self._camera(report, seen, facts)
            before = self._values.get(report.camera)
            values[report.camera] = before if value == before else value
        if changed is not None:
            values = {**self._values, **values}
        if values.keys() != self._values.keys() or any(values[name] is not self._values[name] for name in values):
            self._values = values
        return self._values

    def _read_lags(self, profile: str) -> dict[str, dict[str, float]]:
        """By camera, its lag under the profile, and how far its takes have moved from it since."""
        kept, seen = self._studio.kept_lags(profile), self._studio.lags.means_ms(profile)
        found: dict[str, dict[str, float]] = {}
        for name, entry in self._entries.items():
            record = kept.get(name)
            lag = record.mean_ms if record is not None else entry.lag_ms or None
            drift = seen[name] - lag if lag is not None and name in seen else None
            found[name] = known(lag_ms=rounded(lag), lag_drift_ms=rounded(drift))
        return found

    def _camera(self, report: CameraReport, seen: SeenTake, facts: RecordFacts) -> dict[str, Any]:
        name = report.camera
        entry: CameraEntry | None = self._entries.get(name)
        newest = facts.newest.get(name)
        picture = seen.pictures.get(name) or (newest.sha256 if newest is not None else None)
        take = seen.code if name in seen.pictures else newest.take if newest is not None else None
        value = known(
            view=report.view,
            node=report.node,
            computer=self._computers.get(name) or None,
            tier=entry.tier if entry is not None else "unknown",
            state=report.state,
            ready=report.ready,
            problems=list(report.problems),
            warnings=list(report.warnings),
            battery=report.battery_percent,
            photos_left=report.photos_left,
            waiting=report.spooled,
            uncertainty_ms=rounded(report.clock_uncertainty_ms),
            lateness_ms=rounded(seen.lateness_ms.get(name)),
            aside=report.aside or None,
            unresolved=report.unresolved or None,
            settings=dict(report.settings) or None,
            picture=picture,
            photograph=picture,
            picture_take=take,
            phase=seen.phases.get(name, "idle"),
            check=seen.checks.get(name),
        )
        return value | self._lags.get(name, {}) | self._places.of(name)
