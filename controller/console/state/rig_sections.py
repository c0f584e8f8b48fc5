"""Sections of the rig: what it is, and the last preflight."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from controller.console.state.known_values import known, rounded
from controller.readiness.check_remedies import check_remedy
from controller.rig_file import DEFAULT_PROFILE
from controller.studio import Studio
from db.engine import utc_now

FRESH_S = 4 * 3600.0  # a preflight older than this says nothing about now


def rig_section(studio: Studio) -> dict[str, Any]:
    """The rig file's names and limits, and the scene that is lit."""
    rig, held = studio.rig, studio.lights.held
    return known(
        name=rig.name,
        order=[camera.name for camera in rig.cameras],
        frontal=[camera.name for camera in rig.cameras if camera.tier == "frontal"],
        profiles=[DEFAULT_PROFILE, *sorted(rig.profiles)],
        scenes=sorted(rig.scenes),
        scene=studio.lights.scene if studio.lights.universes else None,
        held_scene=held.name if held is not None else None,
        limits={
            "max_skew_ms": rig.sync.max_skew_ms,
            "max_clock_uncertainty_ms": rig.sync.max_clock_uncertainty_ms,
            "min_battery_percent": rig.preflight.min_battery_percent,
            "frames": rig.preflight.frames,
            "max_calibration_age_h": rig.preflight.max_calibration_age_h,
        },
    )


def preflight_section(studio: Studio) -> dict[str, Any] | None:
    """The last preflight since the studio was started."""
    found = studio.last_preflight
    if found is None:
        return None
    return {
        "at": found.at.isoformat(),
        "profile": found.profile,
        "ready": found.ready,
        "fresh": (utc_now() - found.at).total_seconds() < FRESH_S,
        "checks": [
            known(
                name=check.name,
                level=check.level,
                text=check.text,
                cameras=dict(check.cameras),
                remedy=remedy.data() if (remedy := check_remedy(check, found.profile)) is not None else None,
            )
            for check in found.checks
        ],
    }


def server_section(studio: Studio, started: str) -> dict[str, Any]:
    """What serves the page. started: UTC, ISO 8601."""
    try:
        mien = version("mien")
    except PackageNotFoundError:
        mien = "unknown"
    return {"version": mien, "started": started, "rig": studio.rig.name}


def jobs_section(studio: Studio) -> dict[str, Any]:
    """What goes on beside takes: a series of rig shots, recoveries."""
    jobs: dict[str, Any] = {}
    if (series := studio.rig_shots.job()) is not None:
        jobs[series["id"]] = series
    for camera, doing in studio.maintenance.recoveries.under_way().items():
        text = f"{camera}: {doing}" if doing else f"{camera} is being recovered"
        jobs[f"recovery-{camera}"] = {"kind": "recovery", "text": text, "done": 0, "total": 1, "state": "running"}
    if (beside := studio.firing.beside) and not any(job["state"] == "running" for job in jobs.values()):
        jobs["beside"] = {"kind": "beside", "text": beside, "done": 0, "total": 1, "state": "running"}
    return jobs


def live_section(studio: Studio) -> dict[str, Any] | None:
    """The cameras in live view: the newest frame's number, and how sharp it is; None while nobody looks."""
    seen = studio.maintenance.viewer.shown()
    found = {
        one.camera: known(
            frame=one.frame,
            focus=rounded(one.focus, 1),
            relative=rounded(one.relative),
            problem=one.problem or None,
        )
        for one in seen
    }
    return found or None
