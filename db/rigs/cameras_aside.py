"""Cameras that the operator has set aside: recorded with reason and duration, lifted once, never deleted."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from db.audit import audit_log
from db.engine import changed, utc_now
from db.errors import NotFound, StateConflict
from db.models import Camera, CameraAside, CaptureSession, Rig, SessionState


@dataclass(frozen=True)
class CameraAsideRecord:
    """A camera that is aside now."""

    camera: str
    reason: str
    since: datetime
    until: datetime | None = None  # it comes back by itself then
    session: str | None = None  # ... or when this session is closed; neither: when it is brought back


def asides_of(tx: Session, rig: Rig) -> dict[str, CameraAsideRecord]:
    """The cameras of this rig that are aside, by name in order of view; those whose time is over too: see lift_over."""
    query = (
        select(CameraAside)
        .join(Camera, Camera.id == CameraAside.camera_id)
        .where(Camera.rig_id == rig.id, CameraAside.lifted_at.is_(None))
        .options(joinedload(CameraAside.camera), joinedload(CameraAside.session))
        .order_by(Camera.view_index)
    )
    return {row.camera.name: _aside(row) for row in tx.scalars(query)}


def put_aside(
    tx: Session,
    rig: Rig,
    cameras: Collection[str],
    reason: str,
    *,
    until: datetime | None = None,
    session: CaptureSession | None = None,
) -> None:
    """Set cameras aside; for one that is aside already reason and duration change.

    Raises NotFound for a camera that the rig does not have, StateConflict when somebody else did it this moment.
    """
    known = _known(rig, cameras)
    now = utc_now()
    _lift(tx, CameraAside.camera_id.in_(known.values()), "changed", now)
    rows = [
        CameraAside(
            camera_id=camera,
            reason=reason,
            since=now,
            until=until,
            session_id=session.id if session is not None else None,
        )
        for camera in known.values()
    ]
    try:
        with tx.begin_nested():
            tx.add_all(rows)
    except IntegrityError as error:
        raise StateConflict(
            f"Somebody else set {' or '.join(known)} aside this moment; see: mien rig status"
        ) from error
    # The reason is in free words, so it stays out of the audit log, which forgets nothing.
    detail = {
        "cameras": sorted(known),
        "until": until.isoformat() if until is not None else None,
        "session": session.code if session is not None else None,
    }
    audit_log.record(tx, "rig.aside", "rig", rig.name, detail)


def bring_back(tx: Session, rig: Rig, cameras: Collection[str]) -> None:
    """Lift these asides. Raises NotFound for a camera that the rig does not have or that is not aside."""
    known = _known(rig, cameras)
    there = asides_of(tx, rig)
    wrong = [camera for camera in known if camera not in there]
    if wrong:
        raise NotFound(f"{', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} not aside; see: mien rig aside")
    _lift(tx, CameraAside.camera_id.in_(known.values()), "back", utc_now())
    audit_log.record(tx, "rig.back", "rig", rig.name, {"cameras": sorted(known), "by": "back"})


def lift_over(tx: Session, rig: Rig, now: datetime | None = None) -> list[str]:
    """Lift the asides whose time is over or whose session is closed, and return the cameras that are back."""
    now = now or utc_now()
    ids = {camera.id: camera.name for camera in rig.cameras}
    closed = select(CaptureSession.id).where(CaptureSession.state == SessionState.CLOSED)
    back: list[str] = []
    for by, over in (("time", CameraAside.until <= now), ("session", CameraAside.session_id.in_(closed))):
        where = (CameraAside.camera_id.in_(ids), CameraAside.lifted_at.is_(None), over)
        names = sorted(ids[camera] for camera in tx.scalars(select(CameraAside.camera_id).where(*where)))
        if names:
            changed(tx, update(CameraAside).where(*where).values(lifted_at=now, lifted_by=by))
            audit_log.record(tx, "rig.back", "rig", rig.name, {"cameras": names, "by": by})
            back += names
    return back


def _lift(tx: Session, which: ColumnElement[bool], by: str, now: datetime) -> None:
    where = (which, CameraAside.lifted_at.is_(None))
    changed(tx, update(CameraAside).where(*where).values(lifted_at=now, lifted_by=by))


def _known(rig: Rig, cameras: Collection[str]) -> Mapping[str, int]:
    ids = {camera.name: camera.id for camera in rig.cameras}
    strange = [camera for camera in cameras if camera not in ids]
    if strange:
        raise NotFound(f"Rig {rig.name} has no camera {', '.join(strange)}; see: mien rig status")
    return {camera: ids[camera] for camera in dict.fromkeys(cameras)}


def _aside(row: CameraAside) -> CameraAsideRecord:
    code = row.session.code if row.session is not None else None
    return CameraAsideRecord(row.camera.name, row.reason, row.since, row.until, code)
