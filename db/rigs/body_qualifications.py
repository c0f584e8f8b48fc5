"""Qualifications of camera bodies in the records: kept with the place in the rig, listed, the newest first."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.audit import audit_log
from db.engine import utc_now
from db.errors import AlreadyThere, NotFound, StateConflict
from db.models import BodyVerdict, Camera, CameraReport, Rig


@dataclass(frozen=True)
class NewReport:
    """A report to be kept."""

    model: str
    serial: str
    firmware: str
    made_at: datetime
    verdict: BodyVerdict
    exposures: int
    data: bytes  # its file, byte for byte
    report: Mapping[str, Any]  # the same as JSON values


@dataclass(frozen=True)
class KeptReport:
    """A kept report as it is listed."""

    id: int
    camera: str | None  # rig and name of the place, as in "studio-a cam-07"
    model: str
    serial: str
    firmware: str
    made_at: datetime
    verdict: BodyVerdict
    exposures: int
    reasons: tuple[str, ...]


def keep_report(tx: Session, new: NewReport, *, camera: str | None = None, rig: str | None = None) -> CameraReport:
    """Keep a report for a place in a rig; without a name for the place whose serial it is, where there is one.

    Raises AlreadyThere for a report that is kept, NotFound for a place that is not there, StateConflict when another
    serial belongs there, or when the name is in several rigs.
    """
    sha256 = hashlib.sha256(new.data).hexdigest()
    if tx.scalar(select(CameraReport.id).where(CameraReport.sha256 == sha256)) is not None:
        raise AlreadyThere(f"This report of {new.model} ({new.serial or 'no serial'}) is kept already")
    place = _place(tx, camera, rig) if camera else _place_of(tx, new.serial)
    if camera and place and place.serial and new.serial and place.serial != new.serial:
        raise StateConflict(
            f"The report is of the body {new.serial}, but {place.serial} belongs at {place.rig.name} {place.name}:"
            " keep it without --camera, or correct the rig file"
        )
    row = CameraReport(
        camera=place,
        model=new.model[:100],
        serial=new.serial[:64],
        firmware=new.firmware[:64],
        made_at=new.made_at,
        kept_at=utc_now(),
        verdict=new.verdict,
        exposures=new.exposures,
        sha256=sha256,
        report=dict(new.report),
    )
    tx.add(row)
    detail = {"model": row.model, "serial": row.serial, "verdict": row.verdict.value, "report": sha256}
    about = f"{place.rig.name} {place.name}" if place else f"{row.model} {row.serial}".strip()
    audit_log.record(tx, "camera.report", "camera", about[:64], detail)
    tx.flush()
    return row


def kept_reports(
    tx: Session, *, camera: str | None = None, model: str | None = None, limit: int = 100
) -> list[KeptReport]:
    """Kept reports, the newest first; of one place or one model where it is named."""
    query = (
        select(CameraReport, Camera.name, Rig.name)
        .outerjoin(Camera, Camera.id == CameraReport.camera_id)
        .outerjoin(Rig, Rig.id == Camera.rig_id)
        .order_by(CameraReport.made_at.desc(), CameraReport.id.desc())
        .limit(limit)
    )
    if camera is not None:
        query = query.where(Camera.name == camera)
    if model is not None:
        query = query.where(CameraReport.model == model)
    return [
        KeptReport(
            row.id,
            f"{rig} {place}" if place else None,
            row.model,
            row.serial,
            row.firmware,
            row.made_at,
            row.verdict,
            row.exposures,
            tuple(str(reason["what"]) for reason in row.report.get("reasons", ())),
        )
        for row, place, rig in tx.execute(query).all()
    ]


def get_report(tx: Session, number: int) -> CameraReport:
    """One kept report.  Raises NotFound."""
    row = tx.get(CameraReport, number)
    if row is None:
        raise NotFound(f"No report {number}: `mien camera reports` lists them")
    return row


def _place(tx: Session, name: str, rig: str | None) -> Camera:
    query = select(Camera).join(Rig, Rig.id == Camera.rig_id).where(Camera.name == name).order_by(Rig.id)
    found = list(tx.scalars(query.where(Rig.name == rig) if rig else query))
    if not found:
        where = f"Rig {rig} has" if rig else "The records have"
        raise NotFound(f"{where} no camera {name}; a rig is there once its studio was served")
    if len(found) > 1:
        raise StateConflict(f"{name} is in the rigs {', '.join(c.rig.name for c in found)}: name one with --rig")
    return found[0]


def _place_of(tx: Session, serial: str) -> Camera | None:
    """The place of a serial, in the newest rig that has it."""
    if not serial:
        return None
    return tx.scalars(select(Camera).where(Camera.serial == serial).order_by(Camera.rig_id.desc())).first()
