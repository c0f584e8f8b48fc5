"""What was measured of the rig's sync: shutter lags by camera and profile, exposure skews read from the LED board."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.audit import audit_log
from db.engine import utc_now
from db.errors import NotFound, StateConflict
from db.models import Camera, ExposureSource, Rig, ShutterLag, Take


@dataclass(frozen=True)
class LagRecord:
    """Command to exposure of one camera, milliseconds, over `shots` exposures with `settings`."""

    camera: str
    profile: str
    settings: str
    shots: int
    mean_ms: float
    sigma_ms: float
    measured_by: str
    measured_at: datetime | None = None  # now, when it is added


def add_lags(tx: Session, rig: Rig, records: Sequence[LagRecord]) -> None:
    """Keep a measurement; earlier ones stay. Raises NotFound for a camera that the rig does not have."""
    cameras = {camera.name: camera.id for camera in rig.cameras}
    now = utc_now()
    for record in records:
        if record.camera not in cameras:
            raise NotFound(f"Rig {rig.name} has no camera {record.camera}")
        tx.add(
            ShutterLag(
                camera_id=cameras[record.camera],
                profile=record.profile,
                settings=record.settings,
                shots=record.shots,
                mean_ms=record.mean_ms,
                sigma_ms=record.sigma_ms,
                measured_by=record.measured_by,
                measured_at=record.measured_at or now,
            )
        )
    profiles = ", ".join(sorted({record.profile for record in records}))
    audit_log.record(tx, "rig.lag", "rig", rig.name, {"profile": profiles, "cameras": len(records)})
    tx.flush()


def newest_lags(tx: Session, rig: Rig, profile: str) -> list[LagRecord]:
    """The newest lag of each camera of the rig under a profile, in order of view."""
    newest = (
        select(func.max(ShutterLag.id))
        .join(Camera, Camera.id == ShutterLag.camera_id)
        .where(Camera.rig_id == rig.id, ShutterLag.profile == profile)
        .group_by(ShutterLag.camera_id)
    )
    query = (
        select(ShutterLag, Camera.name)
        .join(Camera, Camera.id == ShutterLag.camera_id)
        .where(ShutterLag.id.in_(newest))
        .order_by(Camera.view_index)
    )
    return [
        LagRecord(
            name, row.profile, row.settings, row.shots, row.mean_ms, row.sigma_ms, row.measured_by, row.measured_at
        )
        for row, name in tx.execute(query).all()
    ]


def record_optical_skew(
    tx: Session,
    take: Take,
    skew_ms: float,
    detail: Mapping[str, Any],
    *,
    flag: str | None = None,
    replace: bool = False,
) -> None:
    """The take's exposure skew is what the LED board showed; `flag` joins its problem, `detail` goes to the audit log.

    Raises StateConflict when the skew was measured in another way already, unless `replace`.
    """
    kept = (ExposureSource.NOT_MEASURED, ExposureSource.OPTICAL)
    if take.exposure_source not in kept and not replace:
        raise StateConflict(
            f"Take {take.code} has the exposure skew {take.exposure_skew_ms:.2f} ms from {take.exposure_source.value};"
            " give --replace to put the board's figure in its place"
        )
    values: dict[str, Any] = {"exposure_skew_ms": skew_ms, "exposure_source": ExposureSource.OPTICAL}
    others = [part for part in (take.problem or "").split("; ") if part and not part.startswith("exposure skew ")]
    values["problem"] = "; ".join([*others, flag] if flag else others) or None
    tx.execute(update(Take).where(Take.id == take.id).values(values))
    tx.refresh(take, list(values))
    audit_log.record(tx, "take.optical_skew", "take", take.code, detail)
