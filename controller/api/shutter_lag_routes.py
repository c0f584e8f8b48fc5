"""Routes of shutter lags: those that are kept and used, and those seen in takes since."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.params import Depends
from pydantic import Field

from controller.accounts.roles import require
from controller.api.request_body import Body
from controller.rig_file import DEFAULT_PROFILE, format_rig
from controller.shutter_lag.lag_measurement import LEAST_SHOTS, MOST_SHOTS
from controller.shutter_lag.lag_statistics import ShutterLagEstimate, SkewForecast, outlook, settings_text, with_lags
from controller.studio import Studio


class LagBody(Body):
    """What to measure."""

    shots: int = Field(ge=LEAST_SHOTS, le=MOST_SHOTS)
    profile: str = DEFAULT_PROFILE


def lag_router(studio: Studio, guard: Sequence[Depends]) -> APIRouter:
    """/api/lag; `guard`: what each request must pass."""
    api = APIRouter(prefix="/api/lag", dependencies=guard)

    @api.get("", dependencies=[require("viewer")])
    def lag(profile: str = DEFAULT_PROFILE) -> dict[str, Any]:
        return lag_data(studio, profile)

    @api.post("", dependencies=[require("operator")])
    def measure_lag(body: LagBody) -> dict[str, Any]:
        return shots_data(studio, body)

    return api


def lag_data(studio: Studio, profile: str) -> dict[str, Any]:
    """The kept lags that a fire with this profile goes by, else what takes have shown since the studio was started.

    Each says the profile that it was measured under: cameras that this one has no lag of go by the default profile's.
    """
    settings = settings_text(studio.rig.profile(profile))
    kept = studio.kept_lags(profile)
    seen = {lag.camera: lag for lag in studio.observed_lags(profile)}
    lags = [
        ShutterLagEstimate(record.camera, record.shots, record.mean_ms, record.sigma_ms) for record in kept.values()
    ]
    at = [record.measured_at for record in kept.values() if record.measured_at is not None]
    shown = lags or list(seen.values())
    return {
        "profile": profile,
        "settings": settings,
        "kept": bool(lags),
        "measured_at": min(at).isoformat() if at else None,
        "measured_by": sorted({record.measured_by for record in kept.values()}),
        "lags": [
            _row(studio, lag, seen.get(lag.camera)) | {"profile": kept[lag.camera].profile if lags else profile}
            for lag in shown
        ],
        "unmeasured": _unmeasured(studio, shown),
        **_outlook_data(outlook(shown, studio.rig.sync.max_skew_ms)),
        "max_skew_ms": studio.rig.sync.max_skew_ms,
        "rig_file": format_rig(with_lags(studio.rig, shown)),
    }


def shots_data(studio: Studio, body: LagBody) -> dict[str, Any]:
    """Measure now, and report like lag_data with what the shots themselves showed."""
    report = studio.measure_lags(body.shots, body.profile)
    return lag_data(studio, body.profile) | {"shots": report.shots, "observed_ms": report.observed_ms}


def _row(studio: Studio, lag: ShutterLagEstimate, seen: ShutterLagEstimate | None) -> dict[str, Any]:
    """A camera's lag, and how far its takes have moved from it since: a shutter that wears, or other settings."""
    drift = None if seen is None or seen.shots < LEAST_SHOTS else seen.mean_ms - lag.mean_ms
    return asdict(lag) | {"tier": studio.rig.camera(lag.camera).tier, "drift_ms": drift}


def _unmeasured(studio: Studio, lags: list[ShutterLagEstimate]) -> list[str]:
    known = {lag.camera for lag in lags}
    known |= studio.cameras_aside().keys()
    return [camera.name for camera in studio.rig.cameras if camera.name not in known]


def _outlook_data(found: SkewForecast | None) -> dict[str, Any]:
    if found is None:
        return {"expected_skew_ms": None, "outlook": None, "verdict": ""}
    data = asdict(found) | {"holds": found.holds}
    return {"expected_skew_ms": found.range_ms, "outlook": data, "verdict": found.text()}
