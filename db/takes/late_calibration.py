"""Takes that were photographed before anybody had calibrated the rig, and the calibration that serves them later."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.audit import audit_log
from db.errors import NotFound
from db.models import ActKind, Calibration, CaptureSession, Rig, Take, TakeState
from db.takes.take_decisions import note


@dataclass(frozen=True)
class CalibratedTakes:
    """A take and the version of the calibration that it has now."""

    take: str
    session: str
    version: int


def lacking(tx: Session, rig: Rig, session: CaptureSession | None = None) -> list[Take]:
    """Fired takes of a rig, or of one session, without a calibration; failed ones too, for they may be kept."""
    query = (
        select(Take)
        .join(CaptureSession, CaptureSession.id == Take.session_id)
        .where(CaptureSession.rig_id == rig.id, CaptureSession.calibration_id.is_(None))
        .where(Take.calibration_id.is_(None), Take.state != TakeState.PLANNED)
    )
    if session is not None:
        query = query.where(CaptureSession.id == session.id)
    return list(tx.scalars(query.order_by(Take.id)))


def serve(tx: Session, rig: Rig, takes: Sequence[Take], chosen: Calibration | None = None) -> list[CalibratedTakes]:
    """Give these takes a calibration: the chosen one, else of each the one nearest in time. Kept and audited.

    Raises NotFound when the rig has none.
    """
    query = select(Calibration).where(Calibration.rig_id == rig.id).order_by(Calibration.version)
    known = [chosen] if chosen is not None else list(tx.scalars(query))
    if takes and not known:
        raise NotFound(f"Rig {rig.name} has no calibration yet. To add one:  mien rig calibration FILE")
    served = []
    for take in takes:
        at = take.fired_at or take.planned_at
        best = min(known, key=lambda found: abs((found.made_at - at).total_seconds()))
        before = take.calibration_id
        if before == best.id:
            continue
        tx.execute(update(Take).where(Take.id == take.id).values(calibration_id=best.id))
        tx.refresh(take, ["calibration_id"])
        detail = {"version": best.version, "chosen": chosen is not None, "before": before}
        note(tx, take.session_id, ActKind.CALIBRATE, take, detail)
        audit_log.record(tx, "take.calibrate", "take", take.code, detail)
        served.append(CalibratedTakes(take.code, take.session.code, best.version))
    return served
