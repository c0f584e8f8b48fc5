"""The section of the cameras: each as the operator's tile shows it."""

from collections.abc import Mapping
from typing import Any

from controller.console.state.camera_places import CameraPlaces
from controller.console.state.known_values import known, rounded
from controller.console.state.take_sections import SeenTake
from controller.node_links.camera_status import CameraReport
from controller.studio import Studio


class CameraSection:
    """By camera: its node's report, its lag, the place where it stands, and how far its photograph is."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._places = CameraPlaces(studio)

    def compose(self, seen: SeenTake, profile: str) -> dict[str, Any]:
        studio = self._studio
        kept = studio.kept_lags(profile)
        drifts = {
            lag.camera: lag.mean_ms - kept[lag.camera].mean_ms
            for lag in studio.observed_lags(profile)
            if lag.camera in kept and lag.shots >= 5
        }
        places = self._places.now()
        return {
            report.camera: self._camera(report, seen, kept, drifts, places.get(report.camera, {}))
            for report in studio.cameras()
        }

    def _camera(
        self,
        report: CameraReport,
        seen: SeenTake,
        kept: Mapping[str, Any],
        drifts: Mapping[str, float],
        place: Mapping[str, Any],
    ) -> dict[str, Any]:
        name = report.camera
        entry = next((camera for camera in self._studio.rig.cameras if camera.name == name), None)
        lag = kept.get(name)
        return known(
            view=report.view,
            node=report.node,
            tier=entry.tier if entry is not None else "unknown",
            state=report.state,
            ready=report.ready,
            problems=list(report.problems),
            warnings=list(report.warnings),
            battery=report.battery_percent,
            photos_left=report.photos_left,
            waiting=report.spooled,
            uncertainty_ms=rounded(report.clock_uncertainty_ms),
            lag_ms=rounded(lag.mean_ms if lag is not None else entry.lag_ms if entry and entry.lag_ms else None),
            lag_drift_ms=rounded(drifts.get(name)),
            lateness_ms=rounded(seen.lateness_ms.get(name)),
            aside=report.aside or None,
            picture=seen.pictures.get(name),
            photograph=seen.pictures.get(name),
            picture_take=seen.take if name in seen.pictures else None,
            phase=seen.phases.get(name, "idle"),
            check=seen.checks.get(name),
            **place,
        )
