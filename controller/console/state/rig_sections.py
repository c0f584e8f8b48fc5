"""Sections of the rig: what it is, and the last preflight."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from controller.console.state.known_values import known, rounded
from controller.readiness.check_remedies import check_remedy
from controller.rig_file import DEFAULT_PROFILE
from controller.studio import Studio
from db.engine import utc_now


def rig_section(studio: Studio) -> dict[str, Any]:
    """The rig file's names and limits, and the scene that is lit."""
    rig = studio.rig
    lit = studio.lights.scene if studio.lights.universes else None
    version, made_at = studio.records.newest_calibration()
    return known(
        name=rig.name,
        order=[camera.name for camera in rig.cameras],
        frontal=[camera.name for camera in rig.cameras if camera.tier == "frontal"],
        profiles=[DEFAULT_PROFILE, *sorted(rig.profiles)],
        scenes=sorted(rig.scenes),
        scene=lit,
        held_scene=held.name if (held := studio.lights.held) is not None else None,
        calibration=None if made_at is None else {"version": version, "at": made_at.isoformat()},
        limits={
            "max_skew_ms": rig.sync.max_skew_ms,
            "max_clock_uncertainty_ms": rig.sync.max_clock_uncertainty_ms,
            "min_battery_percent": rig.preflight.min_battery_percent,
            "frames": rig.preflight.frames,
            "max_calibration_age_h": rig.preflight.max_calibration_age_h,
        },
    )


def jobs_section(studio: Studio) -> dict[str, Any]:
    """What the studio is about beside takes, by its name."""
    job = studio.rig_shots.job()
    own = {} if job is None else {job["id"]: job}
    return own | {name: known(**vars(one)) for name, one in studio.jobs_now().items()}


def preflight_section(studio: Studio) -> dict[str, Any] | None:
    """The last preflight since the studio was started."""
    found = studio.last_preflight
    if found is None:
        return None
    return {
        "at": found.at.isoformat(),
        "profile": found.profile,
        "ready": found.ready,
        "fresh": (utc_now() - found.at).total_seconds() < 60 * studio.rig.preflight.max_age_min,
        "checks": [
            {"name": check.name, "level": check.level, "text": check.text, "cameras": dict(check.cameras)}
            | ({"remedy": remedy.data()} if (remedy := check_remedy(check, found.profile)) is not None else {})
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
